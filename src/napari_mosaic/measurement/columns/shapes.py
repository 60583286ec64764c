"""Columns of shape.

One decision: every figure is made from the pixels of one tessera alone, counted from its own box, so it does not
depend on the window that the tessera is seen in. All functions take labels `(h, w)`, the ids `(n,)` of some
tesserae and their boxes `(n, 4)` in the labels, and say NaN for an id without a pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.compiled import compiled
from napari_mosaic.measurement.registry import column
from napari_mosaic.measurement.view import View

Array = NDArray[Any]
Floats = NDArray[np.float64]


@column(unit="1", source="labels", digits=4)
def elongation(view: View) -> Array:
    """Length by width of the ellipse of the same second moments: 1 for a disc or a square."""
    return elongations(view.moments)


@column(unit="1", source="labels", digits=4)
def solidity(view: View) -> Array:
    """Area by that of the convex hull, 0 to 1."""
    return solidities(view.labels, view.ids, view.boxes, view.moments[:, 0])


def _covariances(sums: Array) -> tuple[Floats, Floats, Floats]:
    """Variance in y and x, and covariance, of pixels that are squares and not points."""
    count = np.where(sums[:, 0] > 0, sums[:, 0], np.nan)
    _, y, x, yy, xx, xy = sums.T
    return yy / count - (y / count) ** 2 + 1 / 12, xx / count - (x / count) ** 2 + 1 / 12, xy / count - y * x / count**2


def elongations(sums: Array) -> Floats:
    """Length by width, of `moments`: 1 for a disc or a square."""
    a, b, c = _covariances(sums)
    root = np.sqrt((a - b) ** 2 / 4 + c * c)
    found: Floats = np.sqrt(((a + b) / 2 + root) / np.maximum((a + b) / 2 - root, 1 / 12))
    return found


def solidities(labels: Array, ids: Array, boxes: Array, counts: Array) -> Floats:
    """Area by that of the convex hull, 0..1; `counts` are the tesserae's pixels."""
    hulls = _hull_areas(labels, ids, boxes)
    return np.where(counts > 0, np.minimum(1.0, counts / np.maximum(hulls, 1.0)), np.nan)


@compiled
def _hull_areas(labels: Array, ids: Array, boxes: Array) -> Array:
    areas = np.zeros(len(ids))
    for k in range(len(ids)):
        y0, x0, y1, x1 = boxes[k]
        left = np.full(y1 - y0, np.inf)
        right = np.full(y1 - y0, -np.inf)
        for y in range(y0, y1):
            for x in range(x0, x1):
                if labels[y, x] == ids[k]:
                    left[y - y0] = min(left[y - y0], float(x - x0))
                    right[y - y0] = max(right[y - y0], float(x - x0))
        areas[k] = _outer(right, 1.0) - _outer(left, -1.0)
    return areas


@compiled
def _outer(edge: Array, side: float) -> float:
    """Area below the convex envelope of one side of a stone; `edge` its outermost pixel in each row, or infinite.

    The hull goes through the middles of the pixels' outer edges, which takes the stairs of a slanted side off.
    """
    count = 2 * len(edge) + 1
    stack_y = np.empty(count)
    stack_x = np.empty(count)
    top = 0
    for step in range(count):
        if step % 2:
            x = edge[step // 2] + side / 2
        else:
            above = edge[max(step // 2 - 1, 0)]
            below = edge[min(step // 2, len(edge) - 1)]
            x = max(side * above, side * below) * side
        if not np.isfinite(x):
            continue
        y = step / 2
        while top > 1:
            dy, dx = stack_y[top - 1] - stack_y[top - 2], stack_x[top - 1] - stack_x[top - 2]
            if side * (dx * (y - stack_y[top - 2]) - dy * (x - stack_x[top - 2])) > 0:
                break
            top -= 1
        stack_y[top], stack_x[top] = y, x
        top += 1
    area = 0.0
    for k in range(1, top):
        area += (stack_y[k] - stack_y[k - 1]) * (stack_x[k] + stack_x[k - 1]) / 2
    return area
