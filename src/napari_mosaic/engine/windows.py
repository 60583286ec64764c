"""The windows of the map: from the photograph to the network and back to the working grid.

One decision: the pixels of a window are a function of the plan and the window's index alone, so a map
does not depend on the order, the tile size or the number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.engine.domain import Domain, Mask
from napari_mosaic.engine.resample import read_patiently
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.image import MosaicImage
from napari_mosaic.record import Plan
from napari_mosaic.record.ledger import Index
from napari_mosaic.tesserae import GROUT
from napari_mosaic.tiling import Box


@dataclass(frozen=True)
class MapContext:
    """What the work needs: the photograph, the plan, the method, and where nothing is to be computed."""

    image: MosaicImage
    plan: Plan
    segmenter: Segmenter
    domain: Domain


@dataclass(frozen=True)
class NetworkWindow:
    """A window as the network sees it.

    `core` is its box on the working grid; `scale` network pixels per working pixel; `size` the height
    and width given to the network, `halo` of them before the core.
    """

    core: Box
    scale: float
    size: tuple[int, int]
    halo: int


def network_window(plan: Plan, index: tuple[int, int]) -> NetworkWindow:
    """The window at `index` of the plan's lattice."""
    core, scale = plan.lattice.tile(index).core, plan.zone(index)
    inner = (max(1, math.ceil(side * scale)) for side in core.shape)
    size = [-(-(side + 2 * plan.halo) // plan.stride) * plan.stride for side in inner]
    return NetworkWindow(core, scale, (size[0], size[1]), plan.halo)


def read_window(image: MosaicImage, plan: Plan, index: tuple[int, int]) -> NDArray[np.uint8]:
    """The photograph under a window, `(H, W, 3)` uint8, resampled for the network, mirrored at the border."""
    window = network_window(plan, index)
    factor = plan.factor * window.scale
    y0 = window.core.y0 / plan.factor - window.halo / factor
    x0 = window.core.x0 / plan.factor - window.halo / factor
    return read_patiently(image, (y0, x0), factor, window.size)


def read_for_network(context: MapContext, index: Index) -> NDArray[np.uint8] | None:
    """The pixels of a window, or None where all of it is outside."""
    if context.domain.covers(context.plan.lattice.tile(index).core):
        return None
    return read_window(context.image, context.plan, index)


def predict_maps(
    context: MapContext, indices: Sequence[Index], windows: Sequence[NDArray[np.uint8] | None]
) -> list[NDArray[np.uint8]]:
    """The maps of some windows on the working grid; equal sizes go through the network together."""
    plan = context.plan
    maps: dict[Index, NDArray[np.uint8]] = {}
    groups: dict[tuple[int, ...], list[tuple[Index, NDArray[np.uint8]]]] = {}
    for index, window in zip(indices, windows, strict=True):
        if window is None:
            maps[index] = blank_map(plan.channels, network_window(plan, index).core.shape)
        else:
            groups.setdefault(window.shape, []).append((index, window))
    for group in groups.values():
        for first in range(0, len(group), plan.batch):
            batch = group[first : first + plan.batch]
            predicted = context.segmenter.predict(np.stack([window for _, window in batch]))
            for (index, _), map_ in zip(batch, predicted, strict=True):
                core = plan.lattice.tile(index).core
                maps[index] = blank_outside(to_working(plan, index, map_), context.domain.mask(core))
    return [maps[index] for index in indices]


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


def blank_outside(map_: NDArray[np.uint8], mask: Mask | None) -> NDArray[np.uint8]:
    """The map with joints, and no stone, wherever `mask` is True."""
    if mask is None:
        return map_
    blank: NDArray[np.uint8] = np.where(mask, np.uint8(0), map_)
    blank[GROUT][mask] = 255
    return blank


def blank_map(channels: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The map of a window with nothing in it."""
    map_ = np.zeros((channels, *shape), np.uint8)
    map_[GROUT] = 255
    return map_
