"""Tesserae that are computed where they are looked at.

One decision: a block of the dask array is a plain call of the same function that a full run uses, with
the same plan, so blocks need neither each other nor an order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.windows import MapContext, predict_maps, read_for_network
from napari_mosaic.ids import id_dtype
from napari_mosaic.record import Plan
from napari_mosaic.record.layout import level_shapes
from napari_mosaic.record.ledger import Index
from napari_mosaic.tiling import Box

_BLOCK = 512
"""Side of a block; not varied."""
_KEPT = 64
"""Windows of the map that are kept in memory, 2 MB each at 1024 px with two channels; not varied."""


class MapCache:
    """The map of a plan, computed window by window when it is read; the last windows are kept."""

    def __init__(self, context: MapContext) -> None:
        self._context = context
        self._window = lru_cache(_KEPT)(self._compute)
        self._lock = threading.Lock()

    def read_map(self, box: Box) -> NDArray[np.uint8]:
        """The map over `box`, `(C, h, w)` uint8."""
        plan = self._context.plan
        out = np.zeros((plan.channels, *box.shape), np.uint8)
        for index in plan.lattice.overlapping(box):
            core = plan.lattice.tile(index).core
            part = core.intersect(box)
            with self._lock:  # no window is computed twice
                map_ = self._window(index)
            out[(slice(None), *part.within(box))] = map_[(slice(None), *part.within(core))]
        return out

    def _compute(self, index: Index) -> NDArray[np.uint8]:
        return predict_maps(self._context, [index], [read_for_network(self._context, index)])[0]


def lazy_levels(plan: Plan, labels_of: Callable[[Box], NDArray[Any]]) -> list[da.Array]:
    """Dask arrays of all levels; `labels_of` gives the ids of a box of level 0."""
    levels = []
    for level, shape in enumerate(level_shapes(plan.shape)):
        chunks = tuple(tuple(min(_BLOCK, side - start) for start in range(0, side, _BLOCK)) for side in shape)
        levels.append(
            da.map_blocks(
                _block,
                chunks=chunks,
                dtype=id_dtype(plan.shape),
                meta=np.zeros((0, 0), id_dtype(plan.shape)),
                labels_of=labels_of,
                step=2**level,
                shape=plan.shape,
                name=False,
            )
        )
    return levels


def _block(
    labels_of: Callable[[Box], NDArray[Any]],
    step: int,
    shape: tuple[int, int],
    block_info: Any = None,
) -> NDArray[Any]:
    """One block: every `step`-th pixel of level 0, computed in pieces so that memory stays bounded."""
    (y0, y1), (x0, x1) = block_info[None]["array-location"]
    out = np.zeros((y1 - y0, x1 - x0), block_info[None]["dtype"])
    rows = max(1, 2048 // step)
    for top in range(y0, y1, rows):
        for left in range(x0, x1, rows):
            bottom, right = min(top + rows, y1), min(left + rows, x1)
            box = Box(top * step, left * step, bottom * step, right * step).clip(shape)
            out[top - y0 : bottom - y0, left - x0 : right - x0] = labels_of(box)[::step, ::step]
    return out
