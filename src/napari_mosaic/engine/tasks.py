"""The two pieces of work: a window of the map, and a tile of tesserae.

One decision: each is a function of a context and an index that writes whole shards and returns what it
wrote; running them here, in threads or on a cluster is somebody else's matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.outside import Outside, blank_map, blank_outside
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.engine.windows import network_window, read_window, to_working
from napari_mosaic.errors import ReadError
from napari_mosaic.image import MosaicImage
from napari_mosaic.record import Plan, Record
from napari_mosaic.record.tables import rows_in
from napari_mosaic.tesserae import Tesserae, find_in_window
from napari_mosaic.tiling import Box, Lattice

Index = tuple[int, int]
T = TypeVar("T")
_TRIES = 3


@dataclass(frozen=True)
class Context:
    """What the work needs: the photograph, the plan, the method, and where nothing is to be computed."""

    image: MosaicImage
    plan: Plan
    segmenter: Segmenter
    outside: Outside


def read_for_network(context: Context, index: Index) -> NDArray[np.uint8] | None:
    """The pixels of a window, or None where all of it is outside."""
    if context.outside.covers(context.plan.lattice.tile(index).core):
        return None
    return retry(lambda: read_window(context.image, context.plan, index))


def predict_maps(
    context: Context, indices: Sequence[Index], windows: Sequence[NDArray[np.uint8] | None]
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
                maps[index] = blank_outside(to_working(plan, index, map_), context.outside.mask(core))
    return [maps[index] for index in indices]


def compute_tile(read_map: Callable[[Box], NDArray[np.uint8]], plan: Plan, core: Box) -> Tesserae:
    """The tesserae of a box of the working grid, from the map around it."""
    window = core.grow(plan.tesserae.halo).clip(plan.shape)
    return find_in_window(read_map(window), window, core, plan.shape, plan.tesserae)


def write_tile(record: Record, core: Box) -> list[Index]:
    """Compute the tesserae of whole shards and write them; returns the shards' indices."""
    found = compute_tile(record.read_map, record.plan, core)
    shards: Lattice = record.plan.shards
    written = shards.overlapping(core)
    for index in written:
        box = shards.tile(index).core
        record.write_tesserae(index, found.labels[box.within(core)], rows_in(found.columns, box))
    return written


def retry(work: Callable[[], T]) -> T:
    """Do `work`, and again after a moment where reading fails: networks and shared disks do."""
    for attempt in range(_TRIES - 1):
        try:
            return work()
        except ReadError:
            time.sleep(0.2 * 4**attempt)
    return work()
