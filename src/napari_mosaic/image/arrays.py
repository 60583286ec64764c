"""Arrays that somebody else holds: numpy, dask, zarr and lists of levels.

One decision: an array is read where it is; it is never copied as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.image.colour import BANDS, Colour, fix_range
from napari_mosaic.image.raster import (
    STRIP,
    BlockCache,
    Context,
    Georeference,
    Level,
    Raster,
    RawReader,
    SourceInfo,
    fingerprint_level,
    fingerprint_memory,
    read_blocks,
    sample_boxes,
)
from napari_mosaic.progress import Steps
from napari_mosaic.tiling import Box

_WHOLE = 16 << 20
"""Pixels of a level up to which it is looked at whole; not varied."""
_MM = {"millimeter": 1.0, "millimetre": 1.0, "mm": 1.0, "meter": 1e3, "metre": 1e3, "m": 1e3,
       "centimeter": 10.0, "centimetre": 10.0, "cm": 10.0, "micrometer": 1e-3, "micrometre": 1e-3,
       "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "nanometer": 1e-6, "nm": 1e-6, "inch": 25.4, "in": 25.4,
       "foot": 304.8, "ft": 304.8, "kilometer": 1e6, "km": 1e6}  # fmt: skip


def is_array(value: Any) -> bool:
    """Whether something has the manners of an array."""
    return hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(value, "__getitem__")


def is_levels(value: Any) -> bool:
    """Whether something is a sequence of arrays, such as napari's multiscale data."""
    if isinstance(value, str | os.PathLike) or is_array(value) or not isinstance(value, Sequence):
        return False
    return len(value) > 0 and all(is_array(item) for item in value)


def is_layer(value: Any) -> bool:
    """Whether something looks like a napari Image layer; napari itself is not imported."""
    return all(hasattr(value, name) for name in ("data", "multiscale", "scale")) and not is_array(value)


def open_array(source: Any, context: Context) -> Steps[Raster]:
    """Open one array or a list of levels, largest first."""
    yield from ()
    return array_raster(list(source) if is_levels(source) else [source], "array")


def to_mm(unit: Any) -> float | None:
    """Millimetres in a unit of length, given by name or as pint's; None for pixels and unknown ones."""
    if unit is None:
        return None
    known = _MM.get(str(unit).strip().lower())
    if known is None and hasattr(unit, "is_compatible_with") and unit.is_compatible_with("millimeter"):
        return float((1 * unit).to("millimeter").magnitude)
    return known


def array_raster(
    data: Sequence[Any],
    name: str,
    channels_last: bool | None = None,
    source: SourceInfo | None = None,
    georeference: Georeference | None = None,
) -> Raster:
    """A raster over arrays of one picture, largest first.

    Parameters
    ----------
    data
        Arrays `(Y, X)`, `(Y, X, channels)` or `(channels, Y, X)` with 1, 3 or 4 channels (RGBA).
    name
        Name of the image.
    channels_last
        Where the channels are; None to tell from the shape.
    source, georeference
        What is known otherwise; by default the arrays are the source.
    """
    axis = _channel_axis(tuple(data[0].shape), channels_last, name)
    cache = BlockCache()
    levels = tuple(
        Level(_plane_shape(item.shape, axis), _cached(_reader(item, axis), item, axis, cache)) for item in data
    )
    dtype = np.dtype(data[0].dtype)
    colour = measure_colour(levels, dtype, plain_colour(1 if axis is None else int(data[0].shape[axis])))
    if source is None:
        size = int(np.prod(data[0].shape)) * dtype.itemsize
        source = SourceInfo(kind="array", location="", size_bytes=size, **_fingerprints(data[0], levels[0], dtype))
    return Raster(name=name, levels=levels, colour=colour, source=source, georeference=georeference or Georeference())


def plain_colour(channels: int) -> Colour:
    """What 1 to 4 channels mean where nothing else is said: grey or RGB, with alpha where there is one more."""
    return Colour(model="grey" if channels < 3 else "rgb", alpha=channels - 1 if channels in (2, 4) else None)


def in_memory(data: Any) -> bool:
    """Whether all of an array can be looked at: it is there, and neither read nor computed piece by piece."""
    return isinstance(data, np.ndarray) and not isinstance(data, np.memmap)


def _fingerprints(data: Any, level: Level, dtype: np.dtype[Any]) -> dict[str, Any]:
    """The fingerprint of an array: of every pixel where it is in memory, because anybody may change one in place."""
    windows = fingerprint_level(level, dtype)
    if not in_memory(data):
        return {"fingerprint": windows}
    return {"fingerprint": fingerprint_memory(level, dtype), "earlier": windows}


def measure_colour(levels: Sequence[Level], dtype: np.dtype[Any], meaning: Colour, bits: int | None = None) -> Colour:
    """The colour whose range was still open, with black and white by what is inside.

    Small images are looked at as a whole, so a mask that masks nothing is dropped; of larger ones the
    smallest level and windows all over level 0 are read.
    """
    if meaning.model == "palette":
        return meaning
    whole = levels[0].shape[0] * levels[0].shape[1] <= _WHOLE
    if bits is not None and (bits < 8 or meaning.model == "lab"):
        ranged: dict[str, Any] = {"high": float(2**bits - 1)}
    else:
        ranged = fix_range(dtype, _inside(levels, meaning), bits, exact=whole)
    colour = replace(meaning, **ranged)
    alpha = meaning.alpha
    if alpha is not None and whole and all((raw[..., alpha] > colour.threshold).all() for raw in sample_raws(levels)):
        return replace(colour, alpha=None, premultiplied=False)
    return colour


def _inside(levels: Sequence[Level], meaning: Colour) -> Iterator[NDArray[Any]]:
    """Colour samples that are inside by the file's word; where the samples show none, of all rows until some are."""
    some = False
    for raw in sample_raws(levels):
        inside = _colours_inside(raw, meaning)
        some |= inside.size > 0
        yield inside
    height, width = levels[0].shape
    for top in range(0, 0 if some else height, STRIP):
        inside = _colours_inside(levels[0].read(Box(top, 0, min(height, top + STRIP), width)), meaning)
        yield inside
        if inside.size:
            return


def _colours_inside(raw: NDArray[Any], meaning: Colour) -> NDArray[Any]:
    valid, colours = meaning.to_valid(raw), raw[..., : BANDS[meaning.model]]
    return colours if valid is None else colours[valid]


def sample_raws(levels: Sequence[Level]) -> Iterator[NDArray[Any]]:
    """Raw samples of a whole small image, or of windows all over level 0 and of the coarsest small level.

    Nothing is read before the first is asked for.
    """
    first, last = levels[0], levels[-1]
    if first.shape[0] * first.shape[1] <= _WHOLE:
        yield first.read(Box(0, 0, *first.shape))
        return
    for box in sample_boxes(first.shape, 128, 5):
        yield first.read(box)
    if last.shape[0] * last.shape[1] <= _WHOLE // 4:
        yield last.read(Box(0, 0, *last.shape))


def _channel_axis(shape: tuple[int, ...], channels_last: bool | None, name: str) -> int | None:
    if len(shape) == 2:
        return None
    if len(shape) == 3:
        first = shape[2] not in (1, 3, 4) and (shape[0] in (1, 3, 4) or shape[0] < shape[2])
        axis = 0 if first and not channels_last else 2
        if shape[axis] in (1, 3, 4):
            return axis
        refuse_channels(shape[axis], name)
    raise InputError(f"{name} has the shape {shape}, which is no picture; give one plane (Y, X) or colours (Y, X, 3).")


def refuse_channels(count: int, name: str) -> None:
    """Raise the one sentence about pictures with too many or too few channels."""
    raise InputError(
        f"{name} has {count} channels, but a picture has 1 (grey), 3 (RGB) or 4 (RGBA, CMYK); "
        "choose the channels that show the mosaic and save them as RGB."
    )


def _plane_shape(shape: Sequence[int], axis: int | None) -> tuple[int, int]:
    kept = [int(length) for i, length in enumerate(shape) if i != axis]
    return kept[0], kept[1]


def _reader(data: Any, axis: int | None) -> RawReader:
    def read(box: Box) -> NDArray[Any]:
        key = box.slices if axis != 0 else (slice(None), *box.slices)
        part = np.asarray(data[key])
        if axis is None:
            return part[..., None]
        return np.moveaxis(part, 0, -1) if axis == 0 else part

    return read


def _cached(read: RawReader, data: Any, axis: int | None, cache: BlockCache) -> RawReader:
    """A reader that decodes, or computes, each chunk of a zarr or dask array once for the windows around it."""
    core = _chunk(data, axis)
    if core is None:
        return read
    shape, level = _plane_shape(data.shape, axis), object()

    def load(row: int, column: int) -> NDArray[Any]:
        place = Box(row * core[0], column * core[1], (row + 1) * core[0], (column + 1) * core[1]).clip(shape)
        return cache.get((level, row, column), lambda: read(place))

    return lambda box: read_blocks(box, core, shape, load)


def _chunk(data: Any, axis: int | None) -> tuple[int, int] | None:
    """Height and width of the chunks of an array; None where it has none, or of several sizes."""
    chunks = getattr(data, "chunksize", None) or getattr(data, "chunks", None)
    if chunks is None or not all(isinstance(length, int) and length > 0 for length in chunks):
        return None
    regular = getattr(data, "chunks", None) or ()
    if any(isinstance(lengths, tuple) and len(set(lengths[:-1])) > 1 for lengths in regular):
        return None
    return _plane_shape(chunks, axis)
