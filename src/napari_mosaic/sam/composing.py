"""From the proposals of many windows to the labels of one tile.

One decision: the tile asks for what meets a box, again and again, until everything that can decide one of its
pixels is in hand: masks that meet it, masks that could hide those, masks that could drop these. No tile
asks another, so size, order and number of workers leave no trace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.ids import id_dtype
from napari_mosaic.sam.cleaning import erode_labels, largest_parts, open_labels
from napari_mosaic.sam.masks import hull
from napari_mosaic.sam.merging import GAP, merge_fragments
from napari_mosaic.sam.overlaps import paint, suppressed, visible_areas
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.proposals import Proposals
from napari_mosaic.tesserae import Flag
from napari_mosaic.tiling import Box

Ids = NDArray[Any]
_HOPS = 4
"""Neighbours of neighbours that decide what a fragment joins, and with it the stone that it joins."""


@dataclass(frozen=True, kw_only=True)
class Around:
    """What a tile may ask for.

    Parameters
    ----------
    proposals
        From a box to all proposals whose reach meets it.
    tesserae
        From a box to the joints' ids over it, or None where there is no guide.
    outside
        From a box to a mask of what is not to be computed, or None.
    shape
        Of the working grid.
    joints
        From a box to the map of joints over it; needed where fragments are merged.
    """

    proposals: Callable[[Box], Proposals]
    tesserae: Callable[[Box], Ids] | None
    outside: Callable[[Box], NDArray[np.bool_] | None]
    shape: tuple[int, int]
    joints: Callable[[Box], NDArray[np.uint8]] | None = None


@dataclass(frozen=True)
class Composed:
    """Labels `(h, w)` of one tile and the rows of the objects whose canonical pixels lie in it."""

    labels: Ids
    columns: dict[str, NDArray[Any]]


def compose(core: Box, around: Around, params: SamParams) -> Composed:
    """The labels of `core`, exact whatever other tiles there are.

    Parameters
    ----------
    core
        On the working grid.
    around
        Where proposals and the joints' tesserae come from.
    params
        Rules.

    Returns
    -------
    Composed
        Columns: those of the table of tesserae, and `stability`, `layer`, `fallback`.
    """
    seen = core.grow(params.reach).clip(around.shape)
    for _ in range(_HOPS if params.merge_below > 0 else 0):
        seen = _around(seen, around, GAP + params.reach)
    whole = _around(seen, around, params.reach)
    judged = _around(whole, around, 0)
    proposals = around.proposals(_around(judged, around, 0))
    alive = np.ones(len(proposals), bool)
    if around.tesserae is None:
        alive = ~suppressed(proposals, params.box_nms_thresh, params.crop_nms_thresh)
    visible = visible_areas(paint(proposals, alive, judged), len(proposals))
    area = proposals.columns["area"]
    kept = alive & (visible > 0) & (visible >= params.least_visible * area) & ~proposals.columns["fallback"]
    labels = _labels(proposals, kept, whole, around)
    labels = _finished(labels, whole, around, params)
    columns = _rows(proposals, kept, labels, whole, core, around.shape)
    return Composed(np.ascontiguousarray(labels[core.within(whole)]), columns)


def _finished(labels: Ids, box: Box, around: Around, params: SamParams) -> Ids:
    """Labels over `box` after opening, merging, erosion; every stone in one piece and large enough."""
    labels = largest_parts(open_labels(labels, params.opening))
    if params.merge_below > 0 and around.joints is not None:
        labels = merge_fragments(labels, around.joints(box), params.merge_below)
    labels = largest_parts(erode_labels(labels, params.erosion))
    return _without_small(labels, params.min_area)


def _around(box: Box, around: Around, margin: int) -> Box:
    """The box around everything that reaches into `box`, with a margin."""
    return hull([box, *around.proposals(box).reaches]).grow(margin).clip(around.shape)


def _labels(proposals: Proposals, kept: NDArray[np.bool_], box: Box, around: Around) -> Ids:
    """Ids over `box`: the masks that were kept, then the joints' tesserae of those that were not."""
    painted = paint(proposals, kept, box)
    ids = proposals.columns["id"]
    labels = np.zeros(box.shape, id_dtype(around.shape))
    labels[painted >= 0] = ids[painted[painted >= 0]]
    if around.tesserae is not None:
        joints = around.tesserae(box)
        fallen = np.isin(joints, ids[~kept]) & (labels == 0)
        labels[fallen] = joints[fallen]
    outside = around.outside(box)
    if outside is not None:
        labels[outside] = 0
    return labels


def _without_small(labels: Ids, smallest: int) -> Ids:
    ids, counts = np.unique(labels, return_counts=True)
    small = ids[(counts < smallest) & (ids > 0)]
    return labels if len(small) == 0 else np.where(np.isin(labels, small), 0, labels).astype(labels.dtype)


def _rows(
    proposals: Proposals, kept: NDArray[np.bool_], labels: Ids, box: Box, core: Box, shape: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """The rows of the objects that have pixels and whose canonical pixels lie in `core`, sorted by id."""
    columns = proposals.columns
    y, x = columns["y"], columns["x"]
    mine = (y >= core.y0) & (y < core.y1) & (x >= core.x0) & (x < core.x1)
    best: dict[int, int] = {}
    for row in np.flatnonzero(mine & (kept | columns["fallback"] | _orphans(proposals, kept))):
        id_ = int(columns["id"][row])
        if id_ not in best or kept[row]:
            best[id_] = int(row)
    ids, area, boxes = _measure(labels, box)
    found = [k for k, id_ in enumerate(ids.tolist()) if id_ in best]
    rows = np.array([best[int(ids[k])] for k in found], np.int64)
    boxes, area = boxes[found], area[found]
    edge = (boxes[:, 0] == 0) | (boxes[:, 1] == 0) | (boxes[:, 2] == shape[0]) | (boxes[:, 3] == shape[1])
    flags = (columns["flags"][rows] & ~np.uint8(Flag.EDGE)) | np.where(edge, int(Flag.EDGE), 0)
    flags = flags | np.where(kept[rows], 0, int(Flag.FALLBACK))
    return {
        "id": ids[found].astype(np.uint64),
        "y": y[rows],
        "x": x[rows],
        **{name: boxes[:, k].astype(np.int32) for k, name in enumerate(("y0", "x0", "y1", "x1"))},
        "area": area.astype(np.int32),
        "score": np.where(kept[rows], columns["score"][rows], 0).astype(np.float32),
        "flags": flags.astype(np.uint8),
        "stability": np.where(kept[rows], columns["stability"][rows], 0).astype(np.float32),
        "layer": columns["layer"][rows],
        "fallback": ~kept[rows],
    }


def _orphans(proposals: Proposals, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows whose name no kept mask bears: their tessera may stand for them."""
    ids = proposals.columns["id"]
    return ~np.isin(ids, ids[kept])


def _measure(labels: Ids, box: Box) -> tuple[Ids, NDArray[np.int64], NDArray[np.int64]]:
    """Ids, areas and boxes `(n, 4)` on the working grid of all objects in `labels`."""
    y, x = np.nonzero(labels)
    ids, row, area = np.unique(labels[y, x], return_inverse=True, return_counts=True)
    boxes = np.zeros((len(ids), 4), np.int64)
    for column, places, origin in ((0, y, box.y0), (1, x, box.x0)):
        low = np.full(len(ids), np.iinfo(np.int64).max)
        high = np.zeros(len(ids), np.int64)
        np.minimum.at(low, row, places)
        np.maximum.at(high, row, places)
        boxes[:, column], boxes[:, column + 2] = low + origin, high + 1 + origin
    return ids, area.astype(np.int64), boxes
