"""Which of overlapping masks stay, and which pixel belongs to which.

One decision: what is better depends on layer, score and id alone, and a mask is dropped if and only if a better
one overlaps it too much, dropped or not. So it is decided by looking at a mask's neighbours and no further.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.sam.proposals import Proposals
from napari_mosaic.tiling import Box

_CHUNK = 256
"""Rows compared at once: bounds memory, changes no result."""


def order_of(proposals: Proposals) -> NDArray[np.int64]:
    """Rows from the best to the worst: deeper layer first, then higher score, then smaller id."""
    columns = proposals.columns
    return np.lexsort((columns["id"], -columns["score"].astype(np.float64), -columns["layer"].astype(np.int64)))


def suppressed(proposals: Proposals, within: float, across: float) -> NDArray[np.bool_]:
    """Which masks a better one of the same name, or whose box overlaps too much, drops.

    Parameters
    ----------
    proposals
        N masks.
    within, across
        Intersection over union of two boxes of the same, and of different, layers above which the better one
        drops the other.

    Returns
    -------
    numpy.ndarray
        `(N,)`; fallbacks are never dropped and drop nothing.
    """
    count = len(proposals)
    dropped = np.zeros(count, bool)
    rank = np.empty(count, np.int64)
    rank[order_of(proposals)] = np.arange(count)
    rows = np.flatnonzero(~proposals.columns["fallback"])
    rows = rows[np.argsort(proposals.reaches[rows, 0], kind="stable")]
    if len(rows) == 0:
        return dropped
    tops = proposals.reaches[rows, 0]
    tallest = int((proposals.reaches[rows, 2] - tops).max())
    for first in range(0, len(rows), _CHUNK):
        mine = rows[first : first + _CHUNK]
        low = np.searchsorted(tops, tops[first] - tallest)
        high = np.searchsorted(tops, proposals.reaches[mine, 2].max())
        theirs = rows[low:high]
        clash = _clash(proposals, mine, theirs, within, across)
        dropped[mine] = (clash & (rank[theirs][None] < rank[mine][:, None])).any(1)
    return dropped


def _clash(
    proposals: Proposals, mine: NDArray[np.int64], theirs: NDArray[np.int64], within: float, across: float
) -> NDArray[np.bool_]:
    """`(n, m)` whether two masks bear one name or overlap above the threshold of their layers."""
    a, b = proposals.boxes[mine][:, None], proposals.boxes[theirs][None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.prod(np.maximum(sides, 0), -1)
    both = np.prod(a[..., 2:] - a[..., :2], -1) + np.prod(b[..., 2:] - b[..., :2], -1) - common
    layers, ids = proposals.columns["layer"], proposals.columns["id"]
    limit = np.where(layers[mine][:, None] == layers[theirs][None], within, across)
    return np.asarray((common > limit * both) | (ids[mine][:, None] == ids[theirs][None]))


def paint(proposals: Proposals, rows: NDArray[np.bool_], box: Box) -> NDArray[np.int32]:
    """The row of the best mask at every pixel of `box`, -1 where there is none.

    Parameters
    ----------
    proposals
        N masks.
    rows
        `(N,)` which of them count.
    box
        On the working grid.
    """
    out = np.full(box.shape, -1, np.int32)
    for row in order_of(proposals)[::-1]:
        if not rows[row] or proposals.columns["fallback"][row]:
            continue
        mine = Box(*(int(edge) for edge in proposals.boxes[row]))
        part = mine.intersect(box)
        if part.area:
            out[part.within(box)][proposals.mask(row)[part.within(mine)]] = row
    return out


def visible_areas(painted: NDArray[np.int32], count: int) -> NDArray[Any]:
    """Pixels that each of `count` masks was left with, `(count,)`."""
    return np.bincount(painted[painted >= 0], minlength=count)
