"""Rasters that GDAL reads: which of their bands are colours, what is outside, where they lie.

One decision: whatever the format, the same few questions are asked of the dataset, so colour, validity and place are
settled here for all of them. GDAL turns no picture and knows no colour profile: both remain ours.
"""

from __future__ import annotations

import queue
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from napari_mosaic.file_types import file_type
from napari_mosaic.fingerprints import fingerprint_bytes, fingerprint_file, fingerprint_files, read_head
from napari_mosaic.image.arrays import measure_colour, refuse_channels
from napari_mosaic.image.colour import Colour, Model
from napari_mosaic.image.georeference import ReadText, read_place
from napari_mosaic.image.raster import (
    Context,
    Georeference,
    Level,
    Raster,
    RawReader,
    SourceInfo,
    unreadable,
)
from napari_mosaic.progress import Steps
from napari_mosaic.tiling import Box

OPTIONS = {
    "GDAL_CACHEMAX": 128,  # megabytes, else a twentieth of the machine's memory; 512 rows of 40,000 px of RGB are 63 MB
    "GDAL_GEOREF_SOURCES": "INTERNAL,PAM,WORLDFILE",  # the file's own word first
    "GTIFF_DIRECT_IO": "YES",  # an uncompressed picture in one strip is read by row, not as a whole
    "GDAL_ALLOW_LARGE_LIBJPEG_MEM_ALLOC": "YES",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # a JPEG that ends too early is an error, not grey
}

NOTHING: Mapping[str, str] = {}

LOSSY_ALPHA = 127
"""What an alpha channel must be above where it went through JPEG, which makes 3 of a 0 and 250 of a 255."""

PREMULTIPLIED_ALPHA = 40
"""What an alpha channel must be above where the colours were multiplied by it: theirs come back within 3 of 255 levels,
half a level times 255 / 41; below, there is not enough left of them."""

_COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


class DatasetPool:
    """Open handles on one dataset, closed with `own`: GDAL's are not to be shared between threads at a time."""

    def __init__(self, name: str, own: ExitStack, environment: Mapping[str, str] = NOTHING, **options: Any) -> None:
        self.name = name
        own.callback(self._close)
        self._environment = {**OPTIONS, **environment}
        self._options = options
        self._free: queue.LifoQueue[DatasetReader] = queue.LifoQueue()  # the last one used knows the blocks around

    @contextmanager
    def lend(self) -> Iterator[DatasetReader]:
        """A handle for the time of a `with` statement; what GDAL cannot read is a ReadError."""
        with rasterio.Env(**self._environment):
            try:
                dataset = self._free.get_nowait()
            except queue.Empty:
                dataset = self._open()
            try:
                yield dataset
            except RasterioError as error:
                raise unreadable(self.name, error) from error
            finally:
                self._free.put(dataset)

    def _open(self) -> DatasetReader:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            try:
                return rasterio.open(self.name, **self._options)
            except RasterioError as error:
                raise unreadable(self.name, error) from error

    def _close(self) -> None:
        while not self._free.empty():
            self._free.get_nowait().close()


@contextmanager
def borrowed(path: Path, **options: Any) -> Iterator[DatasetReader]:
    """A dataset that is opened for the time of a `with` statement."""
    with ExitStack() as own, DatasetPool(str(path), own, **options).lend() as dataset:
        yield dataset


@dataclass(frozen=True, kw_only=True)
class Bands:
    """Which bands are read, counted from 1 (alpha last), whether the mask is appended, and what they mean.

    The colour's range is still open: it is measured on what is read.
    """

    numbers: list[int]
    masked: bool
    colour: Colour
    dtype: np.dtype[Any]
    bits: int | None


def describe_bands(dataset: DatasetReader, name: str) -> Bands:
    """What the bands of a dataset mean; InputError where they are no picture."""
    kinds = list(dataset.colorinterp)
    model, colours, alpha = _roles(kinds, name, apart=dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "BAND")
    flags = dataset.mask_flag_enums[0]
    masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags and not alpha
    structure = {**dataset.tags(ns="IMAGE_STRUCTURE"), **dataset.tags(1, ns="IMAGE_STRUCTURE")}
    lossy = structure.get("COMPRESSION") == "JPEG"
    bits = structure.get("NBITS")
    colour = Colour(
        model=model,
        alpha=len(colours) if alpha or masked else None,
        threshold=LOSSY_ALPHA if alpha and lossy else 0,
        # with one value for each band GDAL makes the mask of them
        nodata=None if masked and MaskFlags.nodata in flags else dataset.nodata,
        inverted=structure.get("MINISWHITE") == "YES",
        palette=_palette(dataset) if model == "palette" else None,
    )
    return Bands(
        numbers=colours + alpha,
        masked=masked,
        colour=colour,
        dtype=np.dtype("complex64" if dataset.dtypes[0].startswith("complex") else dataset.dtypes[0]),
        bits=int(bits) if bits else None,
    )


def _roles(kinds: Sequence[ColorInterp], name: str, *, apart: bool) -> tuple[Model, list[int], list[int]]:
    """Colour model, bands of its colours, and that of alpha; `apart` where each band is stored by itself."""
    alpha = [band for band, kind in enumerate(kinds, 1) if kind == ColorInterp.alpha][:1]
    if kinds[0] == ColorInterp.palette and len(kinds) <= 2:
        return "palette", [1], alpha
    if kinds[0] == ColorInterp.cyan:
        return "cmyk", [1, 2, 3, 4], alpha
    if set(_COLOURS) <= set(kinds):  # what lies beside red, green and blue is infrared
        return "rgb", [kinds.index(kind) + 1 for kind in _COLOURS], alpha
    if len(kinds) == 4 and (alpha or apart) and kinds[0] == ColorInterp.gray:
        return "rgb", [1, 2, 3], [4]  # drone orthophotos as MINISBLACK: alpha is the last, whichever is flagged
    colours = [band for band in range(1, len(kinds) + 1) if band not in alpha]
    if len(colours) not in (1, 3):
        refuse_channels(len(kinds), name)
    return "grey" if len(colours) == 1 else "rgb", colours, alpha


def _palette(dataset: DatasetReader) -> NDArray[np.uint8]:
    table = np.zeros((256, 4), dtype=np.uint8)
    for index, colour in dataset.colormap(1).items():
        table[min(index, 255)] = colour
    return table


def dataset_level(pool: DatasetPool, bands: Bands, others: Mapping[tuple[int, int], RawReader] | None = None) -> Level:
    """A level over a dataset; `others` read the colour bands of levels of some shapes in its stead."""
    with pool.lend() as dataset:
        shape = dataset.height, dataset.width
    colours = (others or {}).get(shape)

    def read(box: Box) -> NDArray[Any]:
        window = Window(box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)
        with pool.lend() as dataset:
            raw = colours(box) if colours else np.moveaxis(dataset.read(bands.numbers, window=window), 0, -1)
            if not bands.masked:
                return raw
            with pool.lend() as other:  # one handle loses its place in a strip when it turns to the mask
                mask = other.read_masks(1, window=window)
        return np.concatenate([raw, (mask[..., None] > 0).astype(raw.dtype)], axis=-1)

    return Level(shape, read)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What GDAL says of a file: its largest level, its meaning and place."""

    level: Level
    bands: Bands
    place: Georeference


def open_pool(pool: DatasetPool, title: str, beside: ReadText) -> Opened:
    """The largest level of a dataset; `beside` reads a text file next to it."""
    with pool.lend() as dataset:
        bands = describe_bands(dataset, title)
        place = read_place(dataset, title, beside)
    return Opened(level=dataset_level(pool, bands), bands=bands, place=place)


def open_dataset(path: Path, context: Context) -> Steps[Raster]:
    """Open a .vrt or another file that GDAL reads by window."""
    yield from ()
    kind = file_type(read_head(path))
    assert kind is not None
    raster = dataset_raster(path, path, path.suffix.lstrip(".").upper() or "VRT", context.own, driver=kind.driver)
    return replace(raster, source=_of_parts(path, raster.source)) if kind.driver == "VRT" else raster


def dataset_raster(path: Path, origin: Path, kind: str, own: ExitStack, *, driver: str, threshold: float = 0) -> Raster:
    """A raster over a file that GDAL reads; `origin` is what the user named."""
    pool = DatasetPool(str(path), own, driver=driver)
    opened = open_pool(pool, origin.name, text_beside(path))
    with pool.lend() as dataset:
        count = len(dataset.overviews(1))
    pools = [DatasetPool(str(path), own, driver=driver, overview_level=k) for k in range(count)]
    levels = (opened.level, *(dataset_level(coarse, opened.bands) for coarse in pools))
    colour = measure_colour(levels, opened.bands.dtype, opened.bands.colour, opened.bands.bits)
    return Raster(
        name=origin.stem,
        levels=levels,
        colour=replace(colour, threshold=max(colour.threshold, threshold)),
        source=SourceInfo(kind=kind, location=str(origin), **fingerprint_file(path).as_source()),
        georeference=opened.place,
    )


def text_beside(path: Path) -> ReadText:
    """Reads a text file beside a local one; None where there is none."""

    def read(name: str) -> str | None:
        try:
            return path.with_name(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    return read


def _of_parts(path: Path, source: SourceInfo) -> SourceInfo:
    """The source of a .vrt, known by the files that it names as well: its text may be the same in two folders."""
    with borrowed(path) as dataset:
        files = sorted(Path(name) for name in dataset.files)
    marks = fingerprint_files([file for file in files if file.is_file() and file.resolve() != path.resolve()])
    if not marks:
        return source
    fingerprint = fingerprint_bytes(source.fingerprint, *(mark.fingerprint for mark in marks))
    earlier = fingerprint_bytes(source.earlier, *(mark.earlier for mark in marks))
    return replace(source, fingerprint=fingerprint, earlier=earlier)
