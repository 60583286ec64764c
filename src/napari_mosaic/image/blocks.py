"""Folders of georeferenced blocks as one image.

One decision: a folder of blocks becomes a .vrt of our own in the scratch folder, with a mask band from the
blocks' own masks, so holes between blocks are outside and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape

from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from napari_mosaic.errors import InputError, ReadError
from napari_mosaic.file_types import FILE_TYPES, file_type
from napari_mosaic.fingerprints import fingerprint_bytes, fingerprint_files, read_head
from napari_mosaic.image.dataset import borrowed, dataset_raster, describe_bands, text_beside
from napari_mosaic.image.georeference import read_place
from napari_mosaic.image.raster import Context, Raster, SourceInfo
from napari_mosaic.progress import Steps

SUFFIXES = tuple(suffix for kind in FILE_TYPES if kind.driver and kind.driver != "VRT" for suffix in kind.suffixes)
"""Endings of what may be a block."""

_GDAL_TYPES = {
    "uint8": "Byte",
    "uint16": "UInt16",
    "int16": "Int16",
    "float32": "Float32",
    "float64": "Float64",
}


@dataclass(frozen=True)
class Block:
    """One georeferenced file of a folder."""

    path: Path
    shape: tuple[int, int]
    transform: Affine
    crs: str | None
    dtypes: tuple[str, ...]
    kinds: tuple[ColorInterp, ...]
    threshold: float


def open_blocks(folder: Path, context: Context) -> Steps[Raster]:
    """Open a folder of georeferenced blocks as one image."""
    yield from ()
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    files = [path for path in found if not path.name.startswith(".")]
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
    threshold = max(block.threshold for block in blocks)
    raster = dataset_raster(path, folder, "blocks", context.own, driver="VRT", threshold=threshold)
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
    kind = file_type(read_head(path))
    with borrowed(path, **({"driver": kind.driver} if kind and kind.driver else {})) as dataset:
        place = read_place(dataset, path.name, text_beside(path))
        if place.affine is None:
            return None
        return Block(
            path=path,
            shape=dataset.shape,
            transform=Affine(*place.affine),
            crs=place.crs,
            dtypes=dataset.dtypes,
            kinds=dataset.colorinterp,
            threshold=describe_bands(dataset, path.name).colour.threshold,
        )


def build_vrt(blocks: Sequence[Block]) -> str:
    """Text of a .vrt that puts blocks of one resolution together, with an alpha band from their masks."""
    first = blocks[0]
    for block in blocks[1:]:
        _check_alike(first, block)
    to_pixels = ~first.transform
    offsets = [to_pixels @ (block.transform.c, block.transform.f) for block in blocks]
    left, top = (min(round(offset[axis]) for offset in offsets) for axis in (0, 1))
    places = [(round(y) - top, round(x) - left) for x, y in offsets]
    height = max(y + block.shape[0] for (y, _), block in zip(places, blocks, strict=True))
    width = max(x + block.shape[1] for (_, x), block in zip(places, blocks, strict=True))
    colours = [k for k, kind in enumerate(first.kinds, 1) if kind != ColorInterp.alpha]
    bands = [(str(band), first.kinds[band - 1].name.capitalize()) for band in colours]
    bands.append((f"mask,{colours[0]}", "Alpha"))
    crs = f"<SRS>{escape(first.crs)}</SRS>" if first.crs else ""
    body = "".join(_vrt_band(n, band, kind, blocks, places) for n, (band, kind) in enumerate(bands, 1))
    a, b, c, d, e, f = _corner(blocks, left, top)
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{crs}'
        f"<GeoTransform>{c!r}, {a!r}, {b!r}, {f!r}, {d!r}, {e!r}</GeoTransform>{body}</VRTDataset>"
    )


def _corner(blocks: Sequence[Block], left: int, top: int) -> tuple[float, ...]:
    """The affine of all blocks together, whose corner is so many pixels off that of the first."""
    first = blocks[0].transform
    if first.b or first.d:
        return tuple(first @ Affine.translation(left, top))[:6]
    c, f = min(block.transform.c for block in blocks), (max if first.e < 0 else min)(b.transform.f for b in blocks)
    return first.a, 0.0, c, 0.0, first.e, f


def _check_alike(first: Block, other: Block) -> None:
    same_step = all(
        abs(getattr(first.transform, key) - getattr(other.transform, key)) <= 1e-6 * abs(first.transform.a)
        for key in "abde"
    )
    alike = (first.crs, first.dtypes, len(first.kinds)) == (other.crs, other.dtypes, len(other.kinds))
    if not same_step or not alike:
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
