"""TIFF and BigTIFF: striped, tiled, pyramidal, OME and GeoTIFF.

One decision: GDAL tells what a file means (colours, what is outside, where it lies) and reads its masks; tifffile tells
which of its pictures is the mosaic, and decodes strips and tiles one by one, those that a window touches and no others.
It takes a third of GDAL's time for that (5 ms of one core against 14 for a megapixel of zstd tiles, 3 against 20 for
deflate strips), and interpolates the colours of subsampled JPEG where GDAL repeats them: on a photograph of stones half
of the samples differ, by up to 46 of 255 levels. GDAL decodes what it alone does right: YCbCr that is no JPEG, and a
compressed file in one huge strip, which has to be decoded first.
"""

from __future__ import annotations

import re
import struct
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from rasterio.enums import MaskFlags

from napari_mosaic.errors import InputError, MissingError, MosaicError, ReadError
from napari_mosaic.file_types import RAW
from napari_mosaic.fingerprints import fingerprint_file
from napari_mosaic.image.arrays import measure_colour, plain_colour, refuse_channels, to_mm
from napari_mosaic.image.colour import Colour, usable_profile
from napari_mosaic.image.dataset import (
    PREMULTIPLIED_ALPHA,
    Bands,
    DatasetPool,
    dataset_level,
    open_pool,
    text_beside,
)
from napari_mosaic.image.georeference import ReadText
from napari_mosaic.image.pixel_size import RECTIFIED, dpi_size, given_size, size_of_sides
from napari_mosaic.image.raster import (
    CACHE,
    BlockCache,
    Context,
    Georeference,
    Level,
    PixelSize,
    Raster,
    SourceInfo,
    decode_once,
    read_blocks,
    unreadable,
)
from napari_mosaic.perspective import Rectification, read_rectification
from napari_mosaic.progress import Steps
from napari_mosaic.tiling import Box

HUGE = 64 << 20
"""Decoded bytes above which a strip is too large to be decoded for a window. *Not varied.*"""

DAMAGE = (
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    IndexError,
    TypeError,
    KeyError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""What tifffile and the codecs raise on damaged or unsupported files (codec errors are RuntimeErrors)."""

_STRIP_ROWS = 2560
"""Rows of strips that are kept: those under a row of windows at half of the size, 2 x 1152 px, and a strip more."""
_STRIP_BYTES = 512 << 20
"""But not more than this: a picture of 70,000 px in RGB. Not varied."""

_COLOUR_SPACES = (0, 1, 2, 3, 5, 6, 8, 9)
"""Grey, inverted grey, RGB, palette, CMYK, YCbCr and two ways of Lab, as PhotometricInterpretation counts them."""

_ICCLAB = 9

_RAW_KINDS = (32803, 34892)
"""What it says of colour filter arrays and of linear raw pictures."""

_DNG_VERSION = 50706

_JPEG = (6, 7, 34892, 33007)


class PageReader:
    """Windows of one page, decoded segment by segment by tifffile; safe to share between threads."""

    def __init__(self, page: Any, cache: BlockCache, lock: threading.Lock) -> None:
        self._page = page
        self._key = key = page.keyframe
        self._cache = cache
        self._lock = lock
        self._file = page.parent.filehandle
        self.shape = int(key.imagelength), int(key.imagewidth)
        rows = int(key.tilelength if key.is_tiled else min(key.rowsperstrip or self.shape[0], self.shape[0]))
        self._core = rows, int(key.tilewidth) if key.is_tiled else self.shape[1]
        if min(self._core) < 1:
            raise unreadable(self._file.path, "its tiles have no size")
        self._planes = int(key.samplesperpixel) if key.planarconfig == 2 else 1
        self._memory: NDArray[Any] | None = None
        if key.is_memmappable and self._planes == 1:
            stored = np.dtype(key.dtype).newbyteorder(page.parent.byteorder)
            self._memory = self._file.memmap_array(stored, key.shaped[2:], page.dataoffsets[0])

    def read(self, box: Box) -> NDArray[Any]:
        """Samples `(h, w, channels)` of a box within the page."""
        if self._memory is not None:
            return np.asarray(self._memory[box.slices], dtype=self._key.dtype)
        counts = -(-self.shape[0] // self._core[0]), -(-self.shape[1] // self._core[1])

        def load(plane: int, row: int, column: int) -> NDArray[Any]:
            index = (plane * counts[0] + row) * counts[1] + column
            return self._cache.get((self._page.offset, index), lambda: self._decode(index))

        planes = [read_blocks(box, self._core, self.shape, partial(load, plane)) for plane in range(self._planes)]
        return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)

    def _decode(self, index: int) -> NDArray[Any]:
        if index >= min(len(self._page.dataoffsets), len(self._page.databytecounts)):
            raise unreadable(self._file.path, f"it has no block {index}")
        offset, count = self._page.dataoffsets[index], self._page.databytecounts[index]
        data = None
        if count:
            with self._lock:
                self._file.seek(offset)
                data = self._file.read(count)
        jpeg = self._key.compression in _JPEG
        tables = {"jpegtables": self._page.jpegtables, "jpegheader": self._key.jpegheader} if jpeg else {}
        try:
            # one reader at a time only in the file; decoding runs side by side
            segment, _, shape = self._key.decode(data, index, **tables)
        except DAMAGE as error:
            raise unreadable(self._file.path, error) from error
        if segment is None:
            return np.full(shape[1:], self._key.nodata, dtype=self._key.dtype)
        block: NDArray[Any] = segment[0]
        return block


@dataclass(frozen=True, kw_only=True)
class TiffFiles:
    """How to reach a TIFF and what lies beside it: by its path, or by range at an address."""

    location: str
    size: int
    file: Any
    beside: ReadText
    opener: Callable[..., Any] | None = None


def open_tiff(path: Path, context: Context) -> Steps[Raster]:
    """Open a TIFF file of any common layout."""
    mark = fingerprint_file(path)
    files = TiffFiles(location=str(path), size=mark.size, file=path, beside=text_beside(path))
    source = SourceInfo(kind="TIFF", location=str(path), **mark.as_source())
    return (yield from open_tiff_files(path.name, files, source, context))


def open_tiff_files(name: str, files: TiffFiles, source: SourceInfo, context: Context) -> Steps[Raster]:
    """Open a TIFF wherever it lies."""
    try:
        tif = tifffile.TiffFile(files.file, name=None if isinstance(files.file, Path) else name)
    except (ReadError, MissingError):
        raise
    except DAMAGE as error:
        raise unreadable(files.location, error) from error
    context.own.callback(tif.close)
    try:
        return (yield from _opened(tif, name, files, source, context))
    except MosaicError:
        raise
    except (AttributeError, *DAMAGE) as error:  # tags that say something else than they should
        raise unreadable(files.location, error) from error


def _opened(tif: tifffile.TiffFile, name: str, files: TiffFiles, source: SourceInfo, context: Context) -> Steps[Raster]:
    levels = _checked_levels(tif, name, files)
    key = levels[0][0].keyframe
    found, bands, place = _open(tif, levels, name, files, context.own)
    if _is_huge(key):
        found = ((yield from decode_once(found[0], context)),)
    colour = measure_colour(found, bands.dtype, bands.colour, bands.bits)
    rectified = read_rectification(key.tags.valueof(270), found[0].shape)
    return Raster(
        name=re.sub(r"(\.ome)?\.[^.]*$", "", name),
        levels=found,
        colour=replace(colour, profile=usable_profile(key.tags.valueof(34675), colour.model)),
        source=replace(
            source,
            kind="OME-TIFF" if tif.is_ome else "TIFF",
            rights=source.rights or (rectified.rights if rectified else ""),
        ),
        georeference=place if place.affine else _size_alone(tif, key, rectified),
        rectification=rectified,
        orientation=int(key.tags.valueof(274, 1)),
        by_rows=not (key.is_tiled or key.is_memmappable or _is_huge(key)),
    )


def _checked_levels(tif: tifffile.TiffFile, name: str, files: TiffFiles) -> list[list[Any]]:
    """Pages of each level, the largest first; a raw photograph and a file that ends too early are refused."""
    _refuse_raw(tif, name)
    levels = find_levels(tif, name)
    for page in (page for pages in levels for page in pages):
        ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if not ends or max(ends) > files.size:
            why = f"it ends after {files.size} bytes, its pixels would need {max(ends, default=0)}"
            raise unreadable(files.location, why)
    key = levels[0][0].keyframe
    if int(key.photometric) not in _COLOUR_SPACES:
        raise InputError(
            f"{name} holds colours of the kind {key.photometric!s}, which are not read here; save it as RGB."
        )
    return levels


def _refuse_raw(tif: tifffile.TiffFile, name: str) -> None:
    """Raise where a camera's raw file begins like a TIFF: its first picture is a thumbnail."""
    pages: list[Any] = list(tif.pages)
    inside = [*pages, *(page for first in pages[:1] for page in first.pages or ())]
    raw = any(int(getattr(page.keyframe, "photometric", 0)) in _RAW_KINDS for page in inside)
    if raw or any(_DNG_VERSION in page.tags for page in pages[:1]) or name.lower().endswith(RAW.suffixes):
        raise InputError(f"{name} is a camera's raw file: {RAW.advice}.")


def find_levels(tif: tifffile.TiffFile, name: str) -> list[list[Any]]:
    """Pages of each level, the largest first.

    A level has one page, or one for each channel. Labels and previews of other shapes are left to
    `plausible_levels`.
    """
    pages = [page for page in tif.pages if getattr(page.keyframe, "dtype", None) is not None]
    if not pages:
        raise ReadError(f"{name} holds no picture, so there is nothing to open; export it again.")
    series = max(tif.series, key=lambda one: _area(one.keyframe))
    levels = [_channel_pages(level, name) for level in series.levels]
    if len(levels) == 1 and len(levels[0]) == 1:
        key = levels[0][0].keyframe
        levels += [[page] for page in pages if page.index != levels[0][0].index and _is_overview(page, key)]
        levels += [[page] for page in (levels[0][0].pages or []) if _is_overview(page, key)]
    return levels


def _area(page: Any) -> int:
    return 0 if page is None or _is_mask(page) else int(page.imagelength) * int(page.imagewidth)


def _is_mask(page: Any) -> bool:
    return bool(int(page.keyframe.subfiletype or 0) & 4) and int(page.keyframe.bitspersample) in (1, 8)


def _is_overview(page: Any, key: Any) -> bool:
    other = page.keyframe
    same = (other.samplesperpixel, other.dtype) == (key.samplesperpixel, key.dtype)
    return same and not _is_mask(page) and bool(int(other.subfiletype or 0) & 1)


def _channel_pages(series: Any, name: str) -> list[Any]:
    """The page of a level, or those of its channels; several planes are refused."""
    pages = list(series.pages)
    if len(pages) == 1 or int(series.keyframe.samplesperpixel) > 1:
        extra = [axis for axis, length in zip(series.axes, series.shape, strict=True) if length > 1]
        if len(pages) > 1 and set(extra) - set("YXS"):
            _refuse_planes(name, len(pages))
        return pages[:1]
    channels = series.shape[series.axes.index("C")] if "C" in series.axes else 0
    if channels != len(pages):
        _refuse_planes(name, len(pages))
    if channels not in (1, 3, 4):
        refuse_channels(channels, name)
    return pages


def _refuse_planes(name: str, count: int) -> None:
    raise InputError(
        f"{name} is a stack of {count} planes, but a mosaic is one picture; save the plane that shows it by itself."
    )


class _GdalPages:
    """The pages of one TIFF as GDAL opens them, closed together."""

    def __init__(self, tif: tifffile.TiffFile, files: TiffFiles, own: ExitStack) -> None:
        self._first = tif.pages.first.offset
        self._own = own
        self._name = files.location
        self._environment = {} if files.opener is None else {"GTIFF_DIRECT_IO": "NO"}  # Python's files know no parts
        if files.opener is not None:
            door = DatasetPool(files.location, own, self._environment, driver="GTiff", opener=files.opener)
            with door.lend() as dataset:  # its name holds for others as long as it is open
                self._name = dataset.name

    def pool(self, page: Any, **options: Any) -> DatasetPool:
        """Handles on a page; its inks are left as they are."""
        inks = "GTIFF_RAW:" if int(page.keyframe.photometric) == 5 else ""
        prefix = inks if page.offset == self._first else f"GTIFF_DIR:off:{page.offset}:"
        return DatasetPool(prefix + self._name, self._own, self._environment, driver="GTiff", **options)

    def describe(self, page: Any, name: str, beside: ReadText) -> tuple[Bands, Georeference]:
        """What a page means and where it lies; ReadError where GDAL cannot tell."""
        opened = open_pool(self.pool(page), name, beside)
        bands = _by_tags(opened.bands, page.keyframe)
        if int(page.keyframe.photometric) in (5, 8, 9) and bands.colour.model != "cmyk":
            raise unreadable(name, "GDAL makes RGB of it")
        return bands, opened.place

    def masked_overviews(self, page: Any) -> list[DatasetPool]:
        """The overviews of a page that have a mask of their own."""
        with self.pool(page).lend() as dataset:
            pools = [self.pool(page, overview_level=k) for k in range(len(dataset.overviews(1)))]
        return [pool for pool in pools if _has_mask(pool)]


def _has_mask(pool: DatasetPool) -> bool:
    with pool.lend() as dataset:
        return MaskFlags.per_dataset in dataset.mask_flag_enums[0]


def _open(
    tif: tifffile.TiffFile, levels: list[list[Any]], name: str, files: TiffFiles, own: ExitStack
) -> tuple[tuple[Level, ...], Bands, Georeference]:
    """Levels, their meaning and place."""
    pages, key = levels[0], levels[0][0].keyframe
    cache, lock = BlockCache(_cache_bytes(key)), threading.Lock()
    readers = [[PageReader(page, cache, lock) for page in level] for level in levels]
    gdal = _GdalPages(tif, files, own)
    try:
        bands, place = gdal.describe(pages[0], name, files.beside)
    except ReadError:  # a codec that GDAL has not
        bands, place = _bands_of(pages, name), Georeference()
    else:
        if _is_huge(key) or (int(key.photometric) == 6 and key.compression not in _JPEG):
            return tuple(dataset_level(gdal.pool(level[0]), bands) for level in levels), bands, place
    if len(pages) > 1:
        bands = replace(bands, numbers=list(range(1, len(pages) + 1)), colour=plain_colour(len(pages)))
    found = [_side_by_side(level, bands.numbers) for level in readers]
    if bands.colour.model == "lab" and int(key.photometric) == _ICCLAB:
        found = [_signed(level) for level in found]
    if bands.masked:
        colours = {level.shape: level.read for level in found}
        pools = [gdal.pool(pages[0]), *gdal.masked_overviews(pages[0])]
        found = [dataset_level(pool, bands, colours) for pool in pools]
    return tuple(found), bands, place


def _cache_bytes(key: Any) -> int:
    """What to keep of decoded blocks: of strips all that a row of windows looks at, or each would decode them anew."""
    bits = _STRIP_ROWS * int(key.imagewidth) * int(key.samplesperpixel) * int(key.bitspersample)
    return CACHE if key.is_tiled else max(CACHE, min(_STRIP_BYTES, bits // 8))


def _side_by_side(readers: Sequence[PageReader], numbers: Sequence[int]) -> Level:
    """One level of the pages of its channels, or of one page that has them all; `numbers` are those that count."""

    def read(box: Box) -> NDArray[Any]:
        parts = [reader.read(box) for reader in readers]
        raw = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        return raw if raw.shape[-1] == len(numbers) else raw[..., [number - 1 for number in numbers]]

    return Level(readers[0].shape, read)


def _signed(level: Level) -> Level:
    """A level of ICCLab, whose a and b are counted from the middle, as one of CIELab, where they are signed."""

    def read(box: Box) -> NDArray[Any]:
        raw = level.read(box).copy()
        raw[..., 1:3] ^= raw.dtype.type(np.iinfo(raw.dtype).max // 2 + 1)
        return raw

    return Level(level.shape, read)


def _is_huge(key: Any) -> bool:
    """Whether a window would have to decode a strip that is too large."""
    rows = int(key.tilelength if key.is_tiled else min(key.rowsperstrip or key.imagelength, key.imagelength))
    samples = 1 if key.planarconfig == 2 else int(key.samplesperpixel)
    wide = int(key.tilewidth if key.is_tiled else key.imagewidth)
    return int(key.compression) != 1 and rows * wide * samples * int(key.bitspersample) // 8 > HUGE


def _by_tags(bands: Bands, key: Any) -> Bands:
    """Bands with what GDAL does not tell: that white is 0, and that alpha has multiplied the colours."""
    colour = bands.colour
    if int(key.photometric) == 0 or key.colormap is None:  # GDAL makes a palette of black and white
        grey = "grey" if colour.model == "palette" or int(key.photometric) == 0 else colour.model
        colour = replace(colour, model=grey, palette=None, inverted=int(key.photometric) == 0)
    if colour.palette is not None:
        table = np.asarray(key.colormap).T  # of 16 bits by the standard, and of 8 by some programs
        colour.palette[: len(table), :3] = table >> 8 if table.max() > 255 else table
    if colour.alpha is not None and not bands.masked and 1 in map(int, key.extrasamples):
        full = np.iinfo(bands.dtype).max if bands.dtype.kind in "ui" else 1
        threshold = max(colour.threshold, PREMULTIPLIED_ALPHA / 255 * full)
        colour = replace(colour, premultiplied=True, threshold=threshold)
    return replace(bands, colour=colour)


def _bands_of(pages: Sequence[Any], name: str) -> Bands:
    """What the samples of pages mean that GDAL cannot open."""
    key = pages[0].keyframe
    count = int(key.samplesperpixel) * len(pages)
    extra = [int(kind) for kind in key.extrasamples]
    cmyk = int(key.photometric) == 5
    lab = int(key.photometric) in (8, 9) and count > 2
    if count > 4 + cmyk or (extra and (extra[0] == 0 or count - len(extra) == 2)):
        refuse_channels(count, name)
    colour = Colour(model="cmyk", alpha=4 if count == 5 else None) if cmyk else plain_colour(count)
    colour = replace(colour, model="lab" if lab else colour.model, inverted=int(key.photometric) == 0)
    numbers = list(range(1, count + 1))
    return Bands(numbers=numbers, masked=False, colour=colour, dtype=np.dtype(key.dtype), bits=int(key.bitspersample))


def _size_alone(tif: tifffile.TiffFile, key: Any, rectified: Rectification | None) -> Georeference:
    """The pixel size of what lies nowhere: by how it was rectified or by OME, else by its resolution in print."""
    if rectified is not None:
        return Georeference(pixel_size=given_size(rectified.pixel_mm, origin=RECTIFIED))
    ome = _ome_size(tif.ome_metadata) if tif.is_ome else None
    if ome is not None:
        return Georeference(pixel_size=ome)
    unit = {2: 1.0, 3: 2.54}.get(int(key.tags.valueof(296, 2)), 0.0)
    across = key.tags.valueof(282) or (0, 1)
    down = key.tags.valueof(283) or across
    return Georeference(pixel_size=dpi_size(tuple(pair[0] / (pair[1] or np.inf) * unit for pair in (across, down))))


def _ome_size(text: str | None) -> PixelSize | None:
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(text or "")
    except ElementTree.ParseError:
        return None
    pixels = next((node for node in root.iter() if node.tag.endswith("}Pixels")), None)
    if pixels is None or "PhysicalSizeX" not in pixels.attrib:
        return None
    sides = [_ome_side(pixels.attrib, axis) for axis in "YX"]
    across, down = sides[1], sides[0] if "PhysicalSizeY" in pixels.attrib else sides[1]
    return size_of_sides(down, across, confirmed=False, origin="OME") if down and across else None


def _ome_side(attributes: Mapping[str, str], axis: str) -> float | None:
    """A side of a pixel in mm; None where there is none or its unit is no length."""
    unit = to_mm(attributes.get(f"PhysicalSize{axis}Unit", "µm"))
    value = attributes.get(f"PhysicalSize{axis}")
    return float(value) * unit if value and unit else None
