"""The photograph at any scale: parts of it resampled, mirrored at the border.

One decision: what is read is a function of the place and the scale alone, from the smallest level that has as many
pixels as are wanted, so memory stays bounded.
"""

from __future__ import annotations

import math
import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.errors import ReadError
from napari_mosaic.image import MosaicImage
from napari_mosaic.tiling import Box

_MARGIN = 4
"""Pixels read around a box that is resampled; not varied."""
_TRIES = 3
"""Not varied."""


def read_patiently(
    image: MosaicImage, corner: tuple[float, float], factor: float, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """`read_resampled`, and again after a moment where reading fails: networks and shared disks do."""
    for attempt in range(_TRIES - 1):
        try:
            return read_resampled(image, corner, factor, size)
        except ReadError:
            time.sleep(0.2 * 4**attempt)
    return read_resampled(image, corner, factor, size)


def read_resampled(
    image: MosaicImage, corner: tuple[float, float], factor: float, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Read `size` pixels at `factor` pixels per source pixel, from `corner` in source pixels.

    Parameters
    ----------
    image
        The photograph.
    corner
        `(y, x)` of the upper left edge in source pixels; may lie outside, where the image is mirrored.
    factor
        Output pixels per source pixel; below 1 a smaller level is read, so memory stays bounded.
    size
        Height and width of the result.
    """
    level = level_for(image, factor)
    shape = image.level_shapes[level]
    ratios = [side / whole for side, whole in zip(shape, image.shape, strict=True)]
    starts = [edge * ratio for edge, ratio in zip(corner, ratios, strict=True)]
    stops = [start + count / factor * ratio for start, count, ratio in zip(starts, size, ratios, strict=True)]
    margin = _MARGIN if factor != 1 else 0
    box = Box(
        math.floor(starts[0]) - margin,
        math.floor(starts[1]) - margin,
        math.ceil(stops[0]) + margin,
        math.ceil(stops[1]) + margin,
    )
    pixels = read_mirrored(image, box, level)
    if (stops[0] - starts[0], stops[1] - starts[1]) == size and starts == [box.y0, box.x0]:
        return pixels
    frame = (starts[1] - box.x0, starts[0] - box.y0, stops[1] - box.x0, stops[0] - box.y0)
    resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC, box=frame)
    return np.asarray(resized)


def level_for(image: MosaicImage, factor: float) -> int:
    """The smallest level that still has at least as many pixels as wanted."""
    level = 0
    for k, shape in enumerate(image.level_shapes):
        if min(side / whole for side, whole in zip(shape, image.shape, strict=True)) >= factor * 0.999:
            level = k
    return level


def read_mirrored(image: MosaicImage, box: Box, level: int) -> NDArray[np.uint8]:
    """Read a box that may reach over the border, where the image is mirrored."""
    shape = image.level_shapes[level]
    rows = mirror(np.arange(box.y0, box.y1), shape[0])
    columns = mirror(np.arange(box.x0, box.x1), shape[1])
    inside = Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
    pixels = image.read(inside, level)
    if inside == box:
        return pixels
    return pixels.take(columns - inside.x0, axis=1).take(rows - inside.y0, axis=0)


def mirror(places: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Places outside of `0 … length - 1` mirrored into it, the edge pixel repeated."""
    folded = places % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)
