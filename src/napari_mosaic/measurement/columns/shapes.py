"""Columns of shape.

One decision: every figure is made from the pixels of one tessera alone, counted from its own box, so it does not
depend on the window that the tessera is seen in. All functions take labels `(h, w)`, the ids `(n,)` of some
tesserae and their boxes `(n, 4)` in the labels, and say NaN for an id without a pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.compiled import compiled
from napari_mosaic.measurement.rectangles import hull_perimeters
from napari_mosaic.measurement.registry import column
from napari_mosaic.measurement.view import View

Array = NDArray[Any]
Floats = NDArray[np.float64]

_DIAGONAL = math.sqrt(2)
_BOTH = (1 + math.sqrt(2)) / 2


@column(unit="px", source="labels")
def perimeter(view: View) -> Array:
    """Length of the outline, of holes too, estimated as scikit-image's `regionprops` does."""
    return np.asarray(perimeters(view.labels, view.ids, view.boxes))


@column(unit="deg", source="labels")
def orientation(view: View) -> Array:
    """Direction of the longer axis of the second moments, anticlockwise from the photograph's x axis, 0 to 180."""
    return orientations(view.moments)


@column(unit="1", source="labels", digits=4)
def elongation(view: View) -> Array:
    """Length by width of the ellipse of the same second moments: 1 for a disc or a square."""
    return elongations(view.moments)


@column(unit="1", source="labels", digits=4)
def solidity(view: View) -> Array:
    """Area by that of the convex hull, 0 to 1."""
    return solidities(view.labels, view.ids, view.boxes, view.moments[:, 0])


@column(unit="1", source="labels", digits=4)
def convexity(view: View) -> Array:
    """Length of the convex hull's outline by that of its own, 0 to 1: less where the outline is ragged."""
    own = perimeters(view.labels, view.ids, view.boxes)
    return np.asarray(np.minimum(hull_perimeters(view.labels, view.ids, view.boxes) / np.maximum(own, 1e-9), 1.0))


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


def orientations(sums: Array) -> Floats:
    """Direction of the longer axis, of `moments`: degrees from the x axis, anticlockwise as seen, 0 <= angle < 180.

    NaN where no direction is longer, as of a square. Multiplied by the count squared, so that it is told from whole
    numbers whether one is.
    """
    count, y, x, yy, xx, xy = sums.T
    apart = (count * xx - x * x) - (count * yy - y * y)
    mixed = count * xy - y * x
    angle = np.degrees(np.arctan2(-2 * mixed, apart)) / 2 % 180
    return np.where((apart == 0) & (mixed == 0), np.nan, np.where(angle >= 180, 0.0, angle))


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


@compiled
def perimeters(labels: Array, ids: Array, boxes: Array) -> Array:
    """Length of the outlines, holes among them, in pixels: the line through the middles of the border's pixels.

    Estimated as scikit-image's `regionprops` does (`perimeter` with neighbourhood 4): a border pixel counts 1,
    the root of 2 or their mean, by the border pixels around it.

    References
    ----------
    Benkrid and Crookes, Design and FPGA Implementation of a Perimeter Estimator, Queen's University of Belfast.
    """
    found = np.full(len(ids), np.nan)
    for k in range(len(ids)):
        box, id_ = boxes[k], ids[k]
        length, seen = 0.0, False
        for y in range(box[0], box[2]):
            for x in range(box[1], box[3]):
                if not _is_border(labels, id_, box, y, x):
                    continue
                seen = True
                beside, corners = 0, 0
                for dy in range(-1, 2):
                    for dx in range(-1, 2):
                        if (dy != 0 or dx != 0) and _is_border(labels, id_, box, y + dy, x + dx):
                            beside += dy == 0 or dx == 0
                            corners += dy != 0 and dx != 0
                length += _step(beside, corners)
        if seen:
            found[k] = length
    return found


@compiled
def _is_border(labels: Array, id_: int, box: Array, y: int, x: int) -> bool:
    """Whether a pixel is of a tessera, and one beside it is not."""
    y0, x0, y1, x1 = box
    if not (y0 <= y < y1 and x0 <= x < x1 and labels[y, x] == id_):
        return False
    if y == y0 or x == x0 or y == y1 - 1 or x == x1 - 1:
        return True
    across = labels[y, x - 1] == id_ and labels[y, x + 1] == id_
    return not (across and labels[y - 1, x] == id_ and labels[y + 1, x] == id_)


@compiled
def _step(beside: int, corners: int) -> float:
    """What a border pixel counts, by the border pixels beside it and at its corners: the source's table."""
    if (beside == 2 or beside == 3) and corners <= 2:
        return 1.0
    if beside == 1 and (corners == 1 or corners == 2):
        return _BOTH
    if (beside == 1 and corners == 3) or (beside == 0 and corners == 2):
        return _DIAGONAL
    return 0.0
