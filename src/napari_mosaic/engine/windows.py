"""The windows of the map: from the photograph to the network and back to the working grid.

One decision: the pixels of a window are a function of the plan and the window's index alone, so a map
does not depend on the order, the tile size or the number of workers. That holds for each view of a window, and so for
what is fused of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.engine.domain import Domain, Mask
from napari_mosaic.engine.resample import read_patiently
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.engine.views import View, fuse, turned, turned_back
from napari_mosaic.image import MosaicImage
from napari_mosaic.record import Plan
from napari_mosaic.record.ledger import Index
from napari_mosaic.tesserae import GROUT
from napari_mosaic.tiling import Box

_T = TypeVar("_T", bound=np.generic)
Seen = tuple[NDArray[np.uint8], ...]
"""A window as it is shown to the network, `(H, W, 3)` a view."""


@dataclass(frozen=True)
class MapContext:
    """What the work needs: the photograph, the plan, the method, and where nothing is to be computed.

    `seen`, where somebody looks on, gets each window's map as soon as it is computed here, on the thread that did.
    """

    image: MosaicImage
    plan: Plan
    segmenter: Segmenter
    domain: Domain
    seen: Callable[[Index, NDArray[np.uint8]], object] | None = None


@dataclass(frozen=True)
class NetworkWindow:
    """A window in one of its views, before it is turned.

    `core` is its box on the working grid; `scale` network pixels per working pixel; `size` the height
    and width given to the network, `halo` of them before the core.
    """

    core: Box
    scale: float
    size: tuple[int, int]
    halo: int


def network_window(plan: Plan, index: Index, view: View) -> NetworkWindow:
    """The window at `index` of the plan's lattice, in one of the plan's views."""
    core, scale = plan.lattice.tile(index).core, plan.zone(index) * view.scale
    inner = (max(1, math.ceil(side * scale)) for side in core.shape)
    size = [-(-(side + 2 * plan.halo) // plan.stride) * plan.stride for side in inner]
    return NetworkWindow(core, scale, (size[0], size[1]), plan.halo)


def read_window(image: MosaicImage, plan: Plan, index: Index) -> Seen:
    """The photograph under a window in each view, resampled for the network, mirrored at the border."""
    return tuple(_read_view(image, plan, index, view) for view in plan.views)


def _read_view(image: MosaicImage, plan: Plan, index: Index, view: View) -> NDArray[np.uint8]:
    window = network_window(plan, index, view)
    factor = plan.factor * window.scale
    y0 = window.core.y0 / plan.factor - window.halo / factor
    x0 = window.core.x0 / plan.factor - window.halo / factor
    pixels = read_patiently(image, (y0, x0), factor, window.size)
    return turned(pixels, view.turns, view.mirrored, (0, 1))


def read_for_network(context: MapContext, index: Index) -> Seen | None:
    """The pixels of a window in each view, or None where all of it is outside."""
    if context.domain.covers(context.plan.lattice.tile(index).core):
        return None
    return read_window(context.image, context.plan, index)


def predict_maps(
    context: MapContext, indices: Sequence[Index], windows: Sequence[Seen | None]
) -> list[NDArray[np.uint8]]:
    """The maps of some windows on the working grid; equal sizes go through the network together."""
    plan = context.plan
    groups: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for place, seen in enumerate(windows):
        for k, pixels in enumerate(seen or ()):
            groups.setdefault(pixels.shape, []).append((place, k))
    answers: dict[tuple[int, int], NDArray[np.uint8]] = {}
    for group in groups.values():
        for first in range(0, len(group), plan.batch):
            batch = group[first : first + plan.batch]
            stack = np.stack([windows[place][k] for place, k in batch])  # type: ignore[index]
            answers |= zip(batch, context.segmenter.predict(stack), strict=True)
    maps = []
    for place, (index, seen) in enumerate(zip(indices, windows, strict=True)):
        core = plan.lattice.tile(index).core
        if seen is None:
            maps.append(blank_map(plan.channels, core.shape))
        else:
            fused = to_working(plan, index, [answers[place, k] for k in range(len(seen))])
            maps.append(blank_outside(fused, context.domain.mask(core)))
    return maps


def to_working(plan: Plan, index: Index, maps: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The core of a window's maps, one `(C, H, W)` a view, fused on the working grid: `(C, h, w)` uint8."""
    return fuse([view_to_working(plan, index, view, map_) for view, map_ in zip(plan.views, maps, strict=True)])


def view_to_working(plan: Plan, index: Index, view: View, map_: NDArray[_T]) -> NDArray[_T]:
    """The core of a window's map in one view, `(C, H, W)`, on the working grid: `(C, h, w)`."""
    window = network_window(plan, index, view)
    map_ = turned_back(map_, view.turns, view.mirrored, (1, 2))
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
