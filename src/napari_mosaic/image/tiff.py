"""TIFF and BigTIFF: striped, tiled, pyramidal, OME and GeoTIFF.

One decision: strips and tiles are fetched and decoded one by one, those that a window touches and no
others; only a compressed file in one huge strip has to be decoded first.
"""

from __future__ import annotations

import re
import struct
import threading
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.image.arrays import measure_colour, refuse_channels, to_mm
from napari_mosaic.image.colour import Colour, usable_profile
from napari_mosaic.image.decode import decode_lines, unreadable
from napari_mosaic.image.georeference import describe, read_georeference
from napari_mosaic.image.pixel_size import dpi_size, size_of_sides
from napari_mosaic.image.raster import (
    BlockCache,
    Context,
    Georeference,
    Level,
    PixelSize,
    Raster,
    SourceInfo,
    fingerprint_file,
    read_blocks,
)
from napari_mosaic.progress import Steps
from napari_mosaic.tiling import Box

HUGE = 64 << 20
"""Decoded bytes above which a strip is too large to be decoded for a window."""

DAMAGE = (
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    IndexError,
    TypeError,
    KeyError,
    struct.error,
    zlib.error,
)
"""What tifffile and the codecs raise on damaged or unsupported files (codec errors are RuntimeErrors)."""

_MODELS = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "rgb"}
_ALPHA = (1, 2)


class PageReader:
    """Windows of one page, decoded segment by segment; safe to share between threads."""

    def __init__(self, page: Any, cache: BlockCache, lock: threading.Lock) -> None:
        self._page = page
        self.key = page.keyframe
        self._cache = cache
        self._lock = lock
        self._file = page.parent.filehandle
        key = self.key
        self.shape = int(key.imagelength), int(key.imagewidth)
        self.dtype = np.dtype(key.dtype)
        tiled = bool(key.is_tiled)
        rows = int(key.tilelength if tiled else min(key.rowsperstrip or self.shape[0], self.shape[0]))
        self.core = (rows, int(key.tilewidth)) if tiled else (rows, self.shape[1])
        self.planes = int(key.samplesperpixel) if key.planarconfig == 2 else 1
        self._memory: NDArray[Any] | None = None
        if key.is_memmappable and self.planes == 1:
            self._map()

    def _map(self) -> None:
        stored = self.dtype.newbyteorder(self._page.parent.byteorder)
        offset = self._page.dataoffsets[0]
        self._memory = self._file.memmap_array(stored, self.key.shaped[2:], offset)

    @property
    def segment_bytes(self) -> int:
        """Decoded size of a strip or tile; 0 where the file is mapped into memory."""
        if self._memory is not None:
            return 0
        samples = 1 if self.planes > 1 else int(self.key.samplesperpixel)
        return int(self.core[0] * self.core[1] * samples * self.dtype.itemsize)

    def read(self, box: Box) -> NDArray[Any]:
        """Samples `(h, w, channels)` of a box within the page."""
        if self._memory is not None:
            return np.asarray(self._memory[box.slices], dtype=self.dtype)
        parts = [self._read_plane(box, plane) for plane in range(self.planes)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def _read_plane(self, box: Box, plane: int) -> NDArray[Any]:
        counts = -(-self.shape[0] // self.core[0]), -(-self.shape[1] // self.core[1])
        start = plane * counts[0] * counts[1]

        def load(row: int, column: int) -> NDArray[Any]:
            index = start + row * counts[1] + column
            return self._cache.get((self._page.index, index), lambda: self._decode(index))

        return read_blocks(box, self.core, self.shape, load)

    def _decode(self, index: int) -> NDArray[Any]:
        offset, count = self._page.dataoffsets[index], self._page.databytecounts[index]
        data = None
        if count:
            with self._lock:
                self._file.seek(offset)
                data = self._file.read(count)
        try:
            # one reader at a time only in the file; decoding runs side by side
            segment, _, shape = self.key.decode(data, index, **self._tables())
        except DAMAGE as error:
            raise unreadable(self._file.path, error) from error
        if segment is None:
            return np.full(shape[1:], self.key.nodata, dtype=self.dtype)
        block: NDArray[Any] = segment[0]
        return block

    def _tables(self) -> dict[str, Any]:
        if self.key.compression not in (6, 7, 34892, 33007):
            return {}
        return {"jpegtables": self._page.jpegtables, "jpegheader": self.key.jpegheader}


@dataclass(frozen=True, kw_only=True)
class TiffSource:
    """Where a TIFF lies: a local file, or an address that is read by range (then `path` is None)."""

    name: str
    location: str
    size_bytes: int
    fingerprint: str
    path: Path | None = None
    earlier: str = ""
    of_content: bool = False


def open_tiff(path: Path, context: Context) -> Steps[Raster]:
    """Open a TIFF file of any common layout."""
    source = TiffSource(name=path.name, location=str(path), path=path, **fingerprint_file(path).as_source())
    return (yield from open_tiff_source(path, source, context))


def open_tiff_source(file: Any, source: TiffSource, context: Context) -> Steps[Raster]:
    """Open a TIFF from a path or a seekable binary file; the raster closes what was opened here."""
    try:
        tif = tifffile.TiffFile(file, name=source.name if source.path is None else None)
    except (ReadError, MissingError):
        raise
    except DAMAGE as error:
        raise unreadable(source.location, error) from error
    with ExitStack() as opened:
        opened.callback(tif.close)
        raster = yield from _open(tif, source, context)
        opened.pop_all()
        return raster


def _open(tif: tifffile.TiffFile, source: TiffSource, context: Context) -> Steps[Raster]:
    readers, mask_readers = _readers(tif, source)
    key = readers[0][0].key
    if readers[0][0].segment_bytes > HUGE and source.path is not None:
        level, _, _ = yield from decode_lines(source.path, context)
        found: tuple[Level, ...] = (level,)
        mask_readers = []
    else:
        found = tuple(_level(pages) for pages in readers)
    colour = _colour(key, found, len(readers[0]), source.name)
    found, colour = _with_masks(found, mask_readers, colour, len(readers[0]) * int(key.samplesperpixel))
    return Raster(
        name=re.sub(r"(\.ome)?\.[^.]*$", "", source.name),
        levels=found,
        colour=colour,
        source=SourceInfo(
            kind="OME-TIFF" if tif.is_ome else "TIFF",
            location=source.location,
            size_bytes=source.size_bytes,
            fingerprint=source.fingerprint,
            earlier=source.earlier,
            of_content=source.of_content,
        ),
        georeference=_georeference(tif, key, source.path, found[0].shape),
        orientation=int(key.tags.valueof(274, 1)),
        close=tif.close,
    )


def _readers(tif: tifffile.TiffFile, source: TiffSource) -> tuple[list[list[PageReader]], list[PageReader]]:
    """Readers of each level's pages and of the internal masks."""
    try:
        levels, masks = find_levels(tif, source.name)
        _check_complete([page for pages in (*levels, *masks) for page in pages], source)
        cache, lock = BlockCache(), threading.Lock()
        readers = [[PageReader(page, cache, lock) for page in pages] for pages in levels]
        return readers, [PageReader(pages[0], cache, lock) for pages in masks]
    except (tifffile.TiffFileError, struct.error, ZeroDivisionError, AttributeError) as error:
        raise unreadable(source.location, error) from error


def find_levels(tif: tifffile.TiffFile, name: str) -> tuple[list[list[Any]], list[list[Any]]]:
    """Pages of each level, the largest first, and of each internal mask.

    A level has one page, or one for each channel. Labels and previews of other shapes are left to
    `plausible_levels`.
    """
    pages = [page for page in tif.pages if getattr(page.keyframe, "dtype", None) is not None]
    if not pages:
        raise ReadError(f"{name} holds no picture, so there is nothing to open; export it again.")
    masks = [[page] for page in pages if _is_mask(page)]
    series = max(tif.series, key=lambda one: _area(one.keyframe))
    levels = [_channel_pages(level, name) for level in series.levels]
    if len(levels) == 1 and len(levels[0]) == 1:
        key = levels[0][0].keyframe
        levels += [[page] for page in pages if page.index != levels[0][0].index and _is_overview(page, key)]
        levels += [[page] for page in (levels[0][0].pages or []) if _is_overview(page, key)]
    return levels, masks


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


def _check_complete(pages: Sequence[Any], source: TiffSource) -> None:
    size = source.size_bytes
    for page in pages:
        ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if not ends or max(ends) > size:
            raise unreadable(
                source.location, f"it ends after {size} bytes, its pixels would need {max(ends, default=0)}"
            )


def _level(readers: Sequence[PageReader]) -> Level:
    if len(readers) == 1:
        return Level(readers[0].shape, readers[0].read)
    return Level(readers[0].shape, lambda box: np.concatenate([reader.read(box) for reader in readers], axis=-1))


def _colour(key: Any, levels: Sequence[Level], pages: int, name: str) -> Colour:
    photometric = int(key.photometric)
    if photometric not in _MODELS:
        raise InputError(
            f"{name} holds colours of the kind {key.photometric!s}, which are not read here; save it as RGB."
        )
    model = _MODELS[photometric]
    samples = int(key.samplesperpixel) * pages
    extra = [int(kind) for kind in key.extrasamples]
    bands = samples - len(extra)
    if pages > 1 and model == "grey":
        model, bands, extra = "rgb", 3, [2] * (pages - 3)
    elif model == "grey" and samples in (3, 4) and key.planarconfig == 2:
        model, bands, extra = "rgb", 3, [2] * (samples - 3)
    if bands != {"grey": 1, "rgb": 3, "cmyk": 4, "palette": 1}[model] or len(extra) > 1:
        refuse_channels(samples, name)
    if model == "grey" and extra and extra[0] not in _ALPHA:
        refuse_channels(samples, name)
    known: dict[str, Any] = {"model": model, "alpha": bands if extra and extra[0] in _ALPHA else None}
    bits = int(key.bitspersample)
    if model == "palette":
        known |= {"palette": (np.asarray(key.colormap).T >> 8).astype(np.uint8), "low": 0.0, "high": 255.0}
    elif photometric == 0:
        known["inverted"] = True
    if "GDAL_NODATA" in key.tags or 42113 in key.tags:
        known["nodata"] = _nodata(key)
    if bits < 8 and model != "palette":
        known |= {"high": float(2**bits - 1)}
    profile = key.tags.valueof(34675)
    known["profile"] = usable_profile(profile, model)  # type: ignore[arg-type]
    return measure_colour(levels, np.dtype(key.dtype), samples, bits=bits, **known)


def _nodata(key: Any) -> float | None:
    try:
        return float(str(key.tags.valueof(42113)).strip("\0 "))
    except ValueError:
        return None


def _with_masks(
    levels: tuple[Level, ...], masks: Sequence[PageReader], colour: Colour, channels: int
) -> tuple[tuple[Level, ...], Colour]:
    """Append the internal mask of each level as its last channel."""
    by_shape = {reader.shape: reader for reader in masks}
    if levels[0].shape not in by_shape or colour.alpha is not None:
        return levels, colour
    masked = [_masked(level, by_shape[level.shape]) for level in levels if level.shape in by_shape]
    return tuple(masked), replace(colour, alpha=channels)


def _masked(level: Level, mask: PageReader) -> Level:
    def read(box: Box) -> NDArray[Any]:
        raw = level.read(box)
        return np.concatenate([raw, (mask.read(box)[..., :1] > 0).astype(raw.dtype)], axis=-1)

    return Level(level.shape, read)


def _georeference(tif: tifffile.TiffFile, key: Any, path: Path | None, shape: tuple[int, int]) -> Georeference:
    place = _from_geokeys(key, shape) if path is None else read_georeference(path, shape)
    if place.affine is not None:
        return place
    ome = _ome_size(tif.ome_metadata) if tif.is_ome else None
    if ome is not None:
        return Georeference(pixel_size=ome)
    unit = {2: 1.0, 3: 2.54}.get(int(key.tags.valueof(296, 2)))
    across = key.tags.valueof(282)
    down = key.tags.valueof(283) or across
    if unit is None or not across or not across[-1] or not down[-1]:
        return Georeference()
    return Georeference(pixel_size=dpi_size(tuple(pair[0] / pair[1] * unit for pair in (across, down))))


def _from_geokeys(key: Any, shape: tuple[int, int]) -> Georeference:
    """Place of a TIFF at an address, which GDAL is not asked about: matrix, or tie point and scale, and EPSG code."""
    import pyproj

    scale, tie, matrix = (key.tags.valueof(code) for code in (33550, 33922, 34264))
    if matrix is not None and len(matrix) >= 8:
        a, b, c, d, e, f = (float(matrix[place]) for place in (0, 1, 3, 4, 5, 7))
        affine = (a, b, c, d, e, f)
    elif scale and tie:
        a, e = float(scale[0]), -float(scale[1])
        affine = (a, 0.0, tie[3] - tie[0] * a, 0.0, e, tie[4] - tie[1] * e)
    else:
        return Georeference()
    geokeys = key.geotiff_tags or {}
    code = int(geokeys.get("ProjectedCSTypeGeoKey", geokeys.get("GeographicTypeGeoKey", 0)))
    try:
        crs = pyproj.CRS.from_epsg(code) if 0 < code < 32767 else None
    except pyproj.exceptions.CRSError:
        crs = None
    return describe(affine, crs, shape, "GeoTIFF")


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


__all__ = ["DAMAGE", "HUGE", "PageReader", "TiffSource", "find_levels", "open_tiff", "open_tiff_source"]
