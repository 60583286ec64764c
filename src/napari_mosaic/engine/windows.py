"""From the photograph to the network's windows and back to the working grid.

One decision: the pixels of a window are a function of the plan and the window's index alone, so a map
does not depend on the order, the tile size or the number of workers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.image import MosaicImage
from napari_mosaic.record import Plan
from napari_mosaic.tiling import Box

_MARGIN = 4


@dataclass(frozen=True)
class NetworkWindow:
    """A window as the network sees it.

    `core` is its box on the working grid; `scale` network pixels per working pixel; `size` the height
    and width given to the network, `halo` of them before the core.
    """

    core: Box
    scale: float
    size: tuple[int, int]
    inner: tuple[int, int]
    halo: int


def network_window(plan: Plan, index: tuple[int, int]) -> NetworkWindow:
    """The window at `index` of the plan's lattice."""
    core, scale = plan.lattice.tile(index).core, plan.zone(index)
    inner = tuple(max(1, math.ceil(side * scale)) for side in core.shape)
    size = tuple(-(-(side + 2 * plan.halo) // plan.stride) * plan.stride for side in inner)
    return NetworkWindow(core, scale, (size[0], size[1]), (inner[0], inner[1]), plan.halo)


def read_window(image: MosaicImage, plan: Plan, index: tuple[int, int]) -> NDArray[np.uint8]:
    """The photograph under a window, `(H, W, 3)` uint8, resampled for the network, mirrored at the border."""
    window = network_window(plan, index)
    factor = plan.factor * window.scale
    y0 = window.core.y0 / plan.factor - window.halo / factor
    x0 = window.core.x0 / plan.factor - window.halo / factor
    return read_resampled(image, (y0, x0), factor, window.size)


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
    level = _level_for(image, factor)
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


def _level_for(image: MosaicImage, factor: float) -> int:
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


def to_working(plan: Plan, index: tuple[int, int], map_: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The core of a window's map, `(C, H, W)`, on the working grid: `(C, h, w)` uint8."""
    window = network_window(plan, index)
    height, width = window.core.shape
    if window.scale == 1:
        start = window.halo
        return np.ascontiguousarray(map_[:, start : start + height, start : start + width])
    frame = (
        window.halo,
        window.halo,
        window.halo + width * window.scale,
        window.halo + height * window.scale,
    )
    planes = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR, box=frame))
        for plane in map_
    ]
    return np.stack(planes)
