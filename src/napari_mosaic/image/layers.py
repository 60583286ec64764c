"""Layers of a viewer as photographs: what they show, and how large its pixels are.

Two decisions. What is shown counts: a layer is its file only while it holds the file's own samples, so whoever replaces
or paints over the data is given the layer's pixels, never the old file. And a scale in a unit of length is a word about
the floor; it is nobody's confirmation where a reader wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.image.arrays import array_raster, in_memory, is_array, to_mm
from napari_mosaic.image.model import MosaicImage
from napari_mosaic.image.raster import STRIP, Context, PixelSize, Raster, sample_boxes
from napari_mosaic.progress import Steps
from napari_mosaic.tiling import Box

WHOLE = 32 << 20
"""Pixels of a lazy array up to which all are compared; of a larger one windows all over it."""

OWN_READERS = (None, "napari", "builtins", "napari-mosaic")
"""Readers that never give a layer a unit on a file's behalf: a unit is then a person's or a script's word."""

SQUARE = 1e-3
"""How far the two edges of a pixel may differ: less than a stone in a thousand is displaced by."""

_LOSSY = 2
"""Levels of 255 by which two decoders of one JPEG may differ."""


def open_layer(layer: Any, context: Context) -> Steps[Raster]:
    """Open a napari Image layer: its file while it shows just that, else its data."""
    data = list(layer.data) if layer.multiscale else [layer.data]
    if not all(is_array(item) for item in data):
        raise InputError(
            f"The layer {getattr(layer, 'name', '')!r} holds no image, so it shows no mosaic; choose an image layer."
        )
    size, _ = layer_size(layer)
    path = getattr(getattr(layer, "source", None), "path", None)
    rgb = bool(getattr(layer, "rgb", False))
    if path and Path(path).exists():
        raster = yield from _open_file(path, data[0], rgb, context)
        if raster is not None:
            return _with_size(raster, size)
    name = str(getattr(layer, "name", "") or "layer")
    return _with_size(array_raster(data, name, channels_last=rgb or None), size)


def _open_file(path: Any, data: Any, rgb: bool, context: Context) -> Steps[Raster | None]:
    """The file behind a layer, unless it cannot be opened or the layer shows something else by now."""
    with ExitStack() as own, suppress(MosaicError):  # what cannot be read to the end is not shown either
        raster = yield from context.open_source(path, replace(context, own=own))
        if shows_file(data, raster, rgb=rgb):
            context.own.push(own.pop_all())
            return raster
    return None


def shows_file(data: Any, raster: Raster, *, rgb: bool) -> bool:
    """Whether an array holds the samples of an opened file, pixel by pixel.

    Parameters
    ----------
    data
        `(Y, X)`, or `(Y, X, channels)` where `rgb`. All of it is compared where it is in memory or small.
    raster
        The file, as it is stored.
    rgb
        Whether the last axis holds colours.
    """
    level = raster.levels[0]
    if tuple(data.shape[:2]) != level.shape or len(data.shape) != (3 if rgb else 2) or raster.orientation != 1:
        return False
    off = _LOSSY if raster.source.kind == "JPEG" else 0
    return all(_alike(np.asarray(data[box.slices]), level.read(box), off) for box in _boxes(data, level.shape))


def _boxes(data: Any, shape: tuple[int, int]) -> Iterator[Box]:
    """Where two pictures are compared: everywhere, or in windows from corner to corner."""
    if not in_memory(data) and shape[0] * shape[1] > WHOLE:
        yield from sample_boxes(shape, 64, 5)
        return
    for top in range(0, shape[0], STRIP):
        yield Box(top, 0, min(shape[0], top + STRIP), shape[1])


def _alike(shown: NDArray[Any], stored: NDArray[Any], off: int) -> bool:
    """Whether samples are the same; an alpha channel that only one of the two has must hide nothing."""
    one, other = (raw[..., None] if raw.ndim == 2 else raw for raw in (shown, stored))
    if one.shape[-1] != other.shape[-1]:
        more, less = (one, other) if one.shape[-1] > other.shape[-1] else (other, one)
        if (less.shape[-1], more.shape[-1]) not in ((1, 2), (3, 4)) or (more[..., -1] != _opaque(more)).any():
            return False
        one, other = (raw[..., : less.shape[-1]] for raw in (one, other))
    if off and one.dtype == other.dtype == np.uint8:
        return bool((np.abs(one.astype(np.int16) - other) <= off).all())
    return np.array_equal(one, other)


def _opaque(raw: NDArray[Any]) -> Any:
    return np.iinfo(raw.dtype).max if raw.dtype.kind in "ui" else 1


def same_pixels(one: MosaicImage, other: MosaicImage, data: Any = None) -> bool:
    """Whether two images show the same; `data` is the array behind one, to know whether all of it can be looked at."""
    if one.shape != other.shape:
        return False
    return all(np.array_equal(one.read(box), other.read(box)) for box in _boxes(data, one.shape))


def _with_size(raster: Raster, size: PixelSize | None) -> Raster:
    known = raster.georeference.pixel_size
    if size is None or (known is not None and known.confirmed):
        return raster
    return replace(raster, georeference=replace(raster.georeference, pixel_size=size))


def layer_size(layer: Any) -> tuple[PixelSize | None, str]:
    """Pixel size by a layer's scale, where its units are lengths, and a word where there cannot be one.

    It is confirmed where a person or a script gave the layer its unit, and not where a reader did, which may have had
    it from a tag for printers.
    """
    units = [to_mm(unit) for unit in (getattr(layer, "units", None) or (None,))][-2:]
    if any(unit is None for unit in units):
        return None, ""
    edges = _edges(layer) * [float(unit) for unit in (units * 2)[:2] if unit is not None]
    lengths = np.linalg.norm(edges, axis=0)
    name = getattr(layer, "name", "layer")
    if not np.isfinite(lengths).all() or (lengths <= 0).any():
        return None, f"The pixels of “{name}” have no size, so its scale is left out."
    down, across = (float(length) for length in lengths)
    if abs(edges[:, 0] @ edges[:, 1]) > SQUARE * down * across:
        return (
            None,
            f"The pixels of “{name}” are sheared, so its scale gives no pixel size; type one where it is known.",
        )
    if abs(down - across) > SQUARE * max(down, across):
        return None, (
            f"The pixels of “{name}” are {down:.4g} x {across:.4g} mm (high x wide) and not square, so its scale gives "
            "no pixel size; resample the photograph, or type the size where it is known."
        )
    reader = getattr(getattr(layer, "source", None), "reader_plugin", None)
    return PixelSize(mm=across, confirmed=reader in OWN_READERS, origin="layer"), ""


def _edges(layer: Any) -> NDArray[np.float64]:
    """The two edges of a pixel in the layer's world, `(2, 2)`: a column for down, one for across."""
    to_world = getattr(layer, "data_to_world", None)
    if to_world is None:
        return np.diag(np.abs([float(step) for step in layer.scale][-2:]))
    rest = (0,) * (int(getattr(layer, "ndim", 2)) - 2)
    ends = np.array([to_world((*rest, *place))[-2:] for place in ((0, 0), (1, 0), (0, 1))], dtype=float)
    return np.asarray((ends[1:] - ends[0]).T)
