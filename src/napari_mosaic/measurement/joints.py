"""The joint round a tessera: how wide it is, and whose tesserae lie beyond it.

One decision: a joint is measured across itself. From each pixel of a tessera's border the nearest pixel of another
tessera is looked for within a cone about the outward direction; where there is none within `WIDEST`, no joint is there
but a gap, which has no width. Who faces whom is found on the way, so the graph of neighbours costs nothing more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.compiled import compiled

Array = NDArray[Any]

WIDEST = 16
"""Widest joint that is looked across, px of the working grid, where a tessera is 16 to 40. Not varied."""
_CONE = 0.7
"""Cosine of the widest angle to the outward direction. Not varied."""
_AROUND = 2
"""The outward direction is away from a tessera's own pixels within this, px. Not varied."""
_ENOUGH = 0.25
"""Part of the border that must face another tessera for a joint to have a width. Not varied."""
_FACING = 3
"""Pixels of the border that another tessera must face to be a neighbour, and not a mere corner's. Not varied."""

_SLOPE = 0.27
"""Tangent of 15 degrees; see `_within`."""


def _offsets() -> Array:
    """All steps `(dy, dx)` up to `WIDEST` across a joint and its two borders, the nearest first."""
    side = WIDEST + 1
    dy, dx = np.mgrid[-side : side + 1, -side : side + 1].reshape(2, -1)
    squared = dy * dy + dx * dx
    keep = (squared > 0) & (squared <= side * side)
    order = np.lexsort((dx[keep], dy[keep], squared[keep]))
    return np.column_stack([dy[keep], dx[keep]])[order]


OFFSETS = _offsets()


def joint_figures(around: Array, ids: Array, boxes: Array, offsets: Array) -> tuple[Array, Array]:
    """Width of the joint round tesserae, and how many neighbours they have: the first two of `joint_borders`."""
    widths, counts, *_ = joint_borders(around, ids, boxes, offsets)
    return widths, counts


@compiled
def joint_borders(
    around: Array, ids: Array, boxes: Array, offsets: Array
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Width of the joint round tesserae, and their neighbours across it.

    Parameters
    ----------
    around
        `(h, w)` ids of all tesserae of a window that reaches `WIDEST + 1` px beyond the boxes, as far as the picture
        goes.
    ids, boxes
        `(n,)` tesserae and `(n, 4)` their boxes in `around`.
    offsets
        `OFFSETS`.

    Returns
    -------
    tuple of ndarray
        `(n, 2)`: mean of the middle half of the widths along the border, and their interquartile range, px; NaN where
        less than a quarter of it faces another tessera. `(n,)`: neighbours. Then a row a neighbour, in the order of
        `ids`: position of the tessera in `ids`, id of the neighbour, pixels of the border that face it, and the mean
        width of the joint to it, px.
    """
    widths = np.full((len(ids), 2), np.nan)
    neighbours = np.zeros(len(ids), np.int64)
    size = 8 * len(ids) + 8
    of, to = np.zeros(size, np.int64), np.zeros(size, around.dtype)
    facing, mean = np.zeros(size, np.int64), np.zeros(size)
    end = 0
    for k in range(len(ids)):
        y0, x0, y1, x1 = boxes[k]
        found = np.empty(max((y1 - y0) * (x1 - x0), 1))
        others = np.empty(len(found), around.dtype)
        border, count = 0, 0
        for y in range(y0, y1):
            for x in range(x0, x1):
                if around[y, x] != ids[k] or not _at_border(around, ids[k], y, x):
                    continue
                border += 1
                width, other = _across(around, ids[k], y, x, offsets)
                if width >= 0:
                    found[count], others[count] = width, other
                    count += 1
        order = np.argsort(others[:count], kind="mergesort")
        start = 0
        for i in range(1, count + 1):
            if i < count and others[order[i]] == others[order[start]]:
                continue
            if i - start >= _FACING:
                if end == len(of):
                    of, to = np.append(of, np.zeros_like(of)), np.append(to, np.zeros_like(to))
                    facing, mean = np.append(facing, np.zeros_like(facing)), np.append(mean, np.zeros_like(mean))
                of[end], to[end], facing[end] = k, others[order[start]], i - start
                mean[end] = found[:count][order[start:i]].mean()
                end += 1
                neighbours[k] += 1
            start = i
        if count >= max(1.0, _ENOUGH * border):
            low, high = np.quantile(found[:count], np.array([0.25, 0.75]))
            middle = found[:count][(found[:count] >= low) & (found[:count] <= high)]
            widths[k, 0], widths[k, 1] = middle.mean(), high - low
    return widths, neighbours, of[:end], to[:end], facing[:end], mean[:end]


@compiled
def _at_border(around: Array, id_: int, y: int, x: int) -> bool:
    """Whether a pixel beside it is of no or another tessera; beyond the picture there is none."""
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        if 0 <= y + dy < around.shape[0] and 0 <= x + dx < around.shape[1] and around[y + dy, x + dx] != id_:
            return True
    return False


@compiled
def _across(around: Array, id_: int, y: int, x: int, offsets: Array) -> tuple[float, Any]:
    """Width of the joint at a pixel of the border, and the tessera beyond it; -1 where there is none."""
    height, width = around.shape
    ny, nx = 0.0, 0.0
    for dy in range(-_AROUND, _AROUND + 1):
        for dx in range(-_AROUND, _AROUND + 1):
            if 0 <= y + dy < height and 0 <= x + dx < width and around[y + dy, x + dx] == id_:
                ny -= dy
                nx -= dx
    long = math.sqrt(ny * ny + nx * nx)
    for k in range(len(offsets)):
        dy, dx = offsets[k]
        other_y, other_x = y + dy, x + dx
        if not (0 <= other_y < height and 0 <= other_x < width):
            continue
        other = around[other_y, other_x]
        if other == 0 or other == id_:
            continue
        distance = math.sqrt(float(dy * dy + dx * dx))
        if long > 0 and dy * ny + dx * nx < _CONE * distance * long:
            continue
        return max(distance - _within(ny, nx), 0.0), other
    return -1.0, around[y, x]


@compiled
def _within(ny: float, nx: float) -> float:
    """How far the two centres lie within their outlines together, px, by the outward direction.

    A pixel along the grid; 0.70 px from 15 degrees on, as measured between drawn edges at 12 angles, 60 places each.
    """
    slope = min(abs(ny), abs(nx)) / max(abs(ny), abs(nx), 1e-9)
    return 0.7 + 0.3 * max(0.0, 1 - slope / _SLOPE)
