"""What GDAL puts together: .vrt files, folders of georeferenced blocks, JPEG 2000.

One decision: a folder of blocks becomes a .vrt of our own in the scratch folder, with a mask band from the
blocks' own masks, so holes between blocks are outside and nothing is copied.
"""

from __future__ import annotations

import queue
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from napari_mosaic.errors import InputError, ReadError
from napari_mosaic.image.arrays import measure_colour, refuse_channels
from napari_mosaic.image.decode import unreadable
from napari_mosaic.image.georeference import describe
from napari_mosaic.image.raster import (
    Context,
    Georeference,
    Level,
    Raster,
    SourceInfo,
    close_all,
    fingerprint_bytes,
    fingerprint_file,
    fingerprint_files,
)
from napari_mosaic.progress import Steps
from napari_mosaic.tiling import Box

SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2")
_GDAL_TYPES = {
    "uint8": "Byte",
    "uint16": "UInt16",
    "int16": "Int16",
    "float32": "Float32",
    "float64": "Float64",
}


class DatasetPool:
    """Open handles on one dataset: GDAL's are not to be shared between threads at a time."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._path = path
        self._options = options
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @contextmanager
    def lend(self) -> Any:
        """A handle for the time of a `with` statement."""
        try:
            handle = self._free.get_nowait()
        except queue.Empty:
            handle = open_quietly(self._path, **self._options)
        try:
            yield handle
        finally:
            self._free.put(handle)

    def close(self) -> None:
        """Close all handles that are not lent."""
        while not self._free.empty():
            self._free.get_nowait().close()


def open_quietly(path: Path, **options: Any) -> Any:
    """Open a dataset without GDAL's warning about missing georeference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            return rasterio.open(path, **options)
        except RasterioError as error:
            raise unreadable(path, error) from error


def open_dataset(path: Path, context: Context) -> Steps[Raster]:
    """Open a .vrt or another file that GDAL reads by window."""
    yield from ()
    raster = dataset_raster(path, path, path.suffix.lstrip(".").upper() or "VRT")
    if path.suffix.lower() != ".vrt":
        return raster
    return replace(raster, source=_of_parts(path, raster.source))


def _of_parts(path: Path, source: SourceInfo) -> SourceInfo:
    """The source of a .vrt, known by the files that it names as well: its text may be the same in two folders."""
    with open_quietly(path) as dataset:
        files = sorted(Path(name) for name in dataset.files)
    marks = fingerprint_files([file for file in files if file.is_file() and file.resolve() != path.resolve()])
    if not marks:
        return source
    fingerprint = fingerprint_bytes(source.fingerprint, *(mark.fingerprint for mark in marks))
    earlier = fingerprint_bytes(source.earlier, *(mark.earlier for mark in marks))
    return replace(source, fingerprint=fingerprint, earlier=earlier)


def dataset_raster(path: Path, origin: Path, kind: str) -> Raster:
    """A raster over a file that GDAL reads; `origin` is what the user named."""
    with open_quietly(path) as dataset:
        bands, alpha, masked = _bands(dataset, origin.name)
        factors = dataset.overviews(1)
        shape = dataset.height, dataset.width
        dtype = np.dtype(dataset.dtypes[0])
        palette = _palette(dataset)
        nodata = dataset.nodata
        place = _place(dataset, shape)
    pools = [DatasetPool(path), *(DatasetPool(path, overview_level=k) for k in range(len(factors)))]
    levels = tuple(_level(pool, bands, masked) for pool in pools)
    known: dict[str, Any] = {"nodata": nodata}
    if alpha or masked:
        known["alpha"] = len(bands) - 1 if alpha else len(bands)
    if palette is not None:
        known |= {"model": "palette", "palette": palette}
    channels = len(bands) - bool(alpha)
    return Raster(
        name=origin.stem,
        levels=levels,
        colour=measure_colour(levels, dtype, channels, **{"alpha": None, **known}),
        source=SourceInfo(kind=kind, location=str(origin), **fingerprint_file(path).as_source()),
        georeference=place,
        close=close_all([pool.close for pool in pools]),
    )


def _bands(dataset: Any, name: str) -> tuple[list[int], bool, bool]:
    """Bands to read, whether the last is alpha, and whether a mask is to be appended."""
    kinds = list(dataset.colorinterp)
    alpha = [band for band, kind in enumerate(kinds, 1) if kind == ColorInterp.alpha]
    colours = [band for band in range(1, dataset.count + 1) if band not in alpha]
    if len(colours) == 4 and kinds[:3] == [ColorInterp.red, ColorInterp.green, ColorInterp.blue]:
        colours = colours[:3]  # a fourth band beside red, green and blue is infrared
    if len(colours) not in (1, 3):
        refuse_channels(dataset.count, name)
    flags = dataset.mask_flag_enums[0]
    masked = MaskFlags.per_dataset in flags and not alpha and MaskFlags.nodata not in flags
    return colours + alpha[:1], bool(alpha), masked


def _palette(dataset: Any) -> NDArray[np.uint8] | None:
    if dataset.count > 2 or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    table = np.zeros((256, 3), dtype=np.uint8)
    for index, colour in dataset.colormap(1).items():
        table[min(index, 255)] = colour[:3]
    return table


def _level(pool: DatasetPool, bands: list[int], masked: bool) -> Level:
    with pool.lend() as dataset:
        shape = dataset.height, dataset.width

    def read(box: Box) -> NDArray[Any]:
        window = Window(box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)
        with pool.lend() as dataset:
            try:
                raw: NDArray[Any] = np.moveaxis(dataset.read(bands, window=window), 0, -1)
                if not masked:
                    return raw
                mask = dataset.dataset_mask(window=window)
            except RasterioError as error:
                raise unreadable(dataset.name, error) from error
        return np.concatenate([raw, (mask[..., None] > 0).astype(raw.dtype)], axis=-1)

    return Level(shape, read)


def _place(dataset: Any, shape: tuple[int, int]) -> Georeference:
    import pyproj

    if dataset.transform.is_identity:
        return Georeference()
    try:
        crs = pyproj.CRS.from_user_input(dataset.crs.to_wkt()) if dataset.crs else None
    except pyproj.exceptions.CRSError:
        crs = None
    return describe(tuple(dataset.transform)[:6], crs, shape, "GeoTIFF")


@dataclass(frozen=True)
class Block:
    """One georeferenced file of a folder."""

    path: Path
    shape: tuple[int, int]
    transform: Any
    crs: Any
    dtypes: tuple[str, ...]
    kinds: tuple[Any, ...]
    nodata: float | None


def open_blocks(folder: Path, context: Context) -> Steps[Raster]:
    """Open a folder of georeferenced blocks as one image."""
    yield from ()
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ReadError(
            f"{folder} is a folder without any image that can be opened; "
            "give an image file, an OME-Zarr, or a folder of georeferenced blocks."
        )
    blocks = [block for block in map(_block, files) if block is not None]
    if not blocks:
        raise InputError(
            f"{folder} holds {len(files)} images, but none is georeferenced, so they cannot be put together; "
            "open one of them, or export the blocks with world files."
        )
    path = context.scratch.path() / "blocks.vrt"
    path.write_text(build_vrt(blocks), encoding="utf-8", newline="\n")
    raster = dataset_raster(path, folder, "blocks")
    marks = fingerprint_files([block.path for block in blocks])
    named = list(zip((block.path.name for block in blocks), marks, strict=True))
    source = SourceInfo(
        kind="blocks",
        location=str(folder),
        size_bytes=sum(mark.size for mark in marks),
        fingerprint=fingerprint_bytes(*(f"{name} {mark.fingerprint}" for name, mark in named)),
        earlier=fingerprint_bytes(*(f"{name} {mark.earlier}" for name, mark in named)),
        of_content=True,
    )
    return replace(raster, source=source, name=folder.name)


def _block(path: Path) -> Block | None:
    with open_quietly(path) as dataset:
        if dataset.transform.is_identity:
            return None
        return Block(
            path,
            (dataset.height, dataset.width),
            dataset.transform,
            dataset.crs,
            dataset.dtypes,
            tuple(dataset.colorinterp),
            dataset.nodata,
        )


def build_vrt(blocks: Sequence[Block]) -> str:
    """Text of a .vrt that puts blocks of one resolution together, with an alpha band from their masks."""
    first = blocks[0]
    for block in blocks[1:]:
        _check_alike(first, block)
    a, e = first.transform.a, first.transform.e
    left = min(block.transform.c for block in blocks)
    top = max(block.transform.f for block in blocks)
    places = [(round((b.transform.f - top) / e), round((b.transform.c - left) / a)) for b in blocks]
    height = max(y + block.shape[0] for (y, _), block in zip(places, blocks, strict=True))
    width = max(x + block.shape[1] for (_, x), block in zip(places, blocks, strict=True))
    colours = [k for k, kind in enumerate(first.kinds, 1) if kind != ColorInterp.alpha]
    bands = [(str(band), first.kinds[band - 1].name.capitalize()) for band in colours]
    bands.append((f"mask,{colours[0]}", "Alpha"))
    crs = f"<SRS>{escape(first.crs.to_wkt())}</SRS>" if first.crs else ""
    body = "".join(_vrt_band(n, band, kind, blocks, places) for n, (band, kind) in enumerate(bands, 1))
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{crs}'
        f"<GeoTransform>{left!r}, {a!r}, 0.0, {top!r}, 0.0, {e!r}</GeoTransform>{body}</VRTDataset>"
    )


def _check_alike(first: Block, other: Block) -> None:
    same_step = all(
        abs(getattr(first.transform, key) - getattr(other.transform, key)) <= 1e-6 * abs(first.transform.a)
        for key in "abde"
    )
    alike = (first.crs, first.dtypes, len(first.kinds)) == (other.crs, other.dtypes, len(other.kinds))
    if not same_step or not alike or first.transform.b or first.transform.d:
        raise InputError(
            f"{other.path.name} differs from {first.path.name} in pixel size, turn, CRS or colours, so "
            "the blocks do not make one image; keep in the folder only the blocks of one export."
        )


def _vrt_band(number: int, band: str, kind: str, blocks: Sequence[Block], places: Sequence[tuple[int, int]]) -> str:
    sources = []
    for block, (y, x) in zip(blocks, places, strict=True):
        size = f'xSize="{block.shape[1]}" ySize="{block.shape[0]}"'
        sources.append(
            f'<ComplexSource><SourceFilename relativeToVRT="0">{escape(str(block.path))}</SourceFilename>'
            f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" {size}/>'
            f'<DstRect xOff="{x}" yOff="{y}" {size}/><UseMaskBand>true</UseMaskBand></ComplexSource>'
        )
    gdal_type = _GDAL_TYPES.get(blocks[0].dtypes[0], "Byte")
    return (
        f'<VRTRasterBand dataType="{gdal_type}" band="{number}"><ColorInterp>{kind}</ColorInterp>'
        f"{''.join(sources)}</VRTRasterBand>"
    )
