"""The least rectangle round a tessera, from its pixels.

One decision: the direction is that of the least rectangle round the centres of the pixels, and what pixels say less
exactly than the outline that they were drawn from, the direction of a long side and where it lies, is read from the
steps of the border: the middles of the border's edges lie as often within the true outline as beyond it.

References
----------
Toussaint, Solving geometric problems with the rotating calipers (1983): one side lies on an edge of the hull.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.compiled import compiled

Array = NDArray[Any]

_NEAR = 1.25
"""How far, px, edges of the border may lie from a side to belong to it: a step of one and what the hull is off. Not
varied."""
_INNER = 0.92
"""Part of a side, from its middle, whose edges are read; at the corners those of the next side begin. The angle of
single squares of 100 px is off by at most 0.52, 0.48 and 0.46 degrees with 0.85, 0.92 and 0.96, while rectangles of
20 px get longer by 0.1 % with 0.96 (300 placements each, as in tests/test_quantities.py)."""
_STRAIGHT = 0.85
"""Part of the inner side that must have edges near it, for all four sides, else they are no straight sides and the hull
tells alone. Not varied."""


@compiled
def least_rectangles(labels: Array, ids: Array, boxes: Array) -> Array:
    """Rows `(length, width, angle)` for each tessera; NaN without a pixel.

    Parameters
    ----------
    labels
        `(h, w)` ids.
    ids, boxes
        `(n,)` tesserae and `(n, 4)` their boxes in `labels`.

    Returns
    -------
    ndarray
        `(n, 3)`: longer and shorter side in pixels, and the direction of the longer one in degrees from the x axis,
        anticlockwise as seen, 0 <= angle < 180.
    """
    found = np.full((len(ids), 3), np.nan)
    for k in range(len(ids)):
        hull = _hull_of_centres(labels, ids[k], boxes[k])
        if len(hull) == 0:
            continue
        angle, frame = _calipers(hull)
        angle, length, width = _refined(labels, ids[k], boxes[k], angle, frame)
        if width > length:
            length, width, angle = width, length, angle + np.pi / 2
        turn = np.degrees(-angle) % 180.0
        found[k, 0], found[k, 1], found[k, 2] = length, width, 0.0 if turn >= 180.0 else turn
    return found


@compiled
def _hull_of_centres(labels: Array, id_: int, box: Array) -> Array:
    """Corners `(m, 2)` `(y, x)` of the convex hull of the centres of a tessera's pixels, from the box's corner."""
    y0, x0, y1, x1 = box
    count = y1 - y0
    left = np.full(count, -1)
    right = np.full(count, -1)
    for y in range(count):
        for x in range(x1 - x0):
            if labels[y0 + y, x0 + x] == id_:
                if left[y] < 0:
                    left[y] = x
                right[y] = x
    hull = np.empty((2 * count, 2))
    size = 0
    for way in range(2):
        first = size
        for step in range(count):
            y = step if way == 0 else count - 1 - step
            x = left[y] if way == 0 else right[y]
            if x < 0:
                continue
            while size > first + 1:
                ay, ax = hull[size - 1, 0] - hull[size - 2, 0], hull[size - 1, 1] - hull[size - 2, 1]
                by, bx = y - hull[size - 2, 0], x - hull[size - 2, 1]
                if ax * by - ay * bx < 0:
                    break
                size -= 1
            hull[size, 0], hull[size, 1] = y, x
            size += 1
    return hull[:size]


@compiled
def hull_perimeters(labels: Array, ids: Array, boxes: Array) -> Array:
    """Length of the convex hulls' outlines, through the centres of pixels as in `perimeters`; NaN without a pixel."""
    found = np.full(len(ids), np.nan)
    for k in range(len(ids)):
        hull = _hull_of_centres(labels, ids[k], boxes[k])
        for j in range(len(hull)):
            after = (j + 1) % len(hull)
            step = np.hypot(hull[after, 0] - hull[j, 0], hull[after, 1] - hull[j, 1])
            found[k] = step if j == 0 else found[k] + step
    return found


@compiled
def _calipers(hull: Array) -> tuple[float, Array]:
    """The direction of the least rectangle, radians from x towards y, and its extents there: lower and upper u, v."""
    best, angle, frame = np.inf, 0.0, np.zeros(4)
    for k in range(len(hull)):
        after = (k + 1) % len(hull)
        dy, dx = hull[after, 0] - hull[k, 0], hull[after, 1] - hull[k, 1]
        turn = np.arctan2(dy, dx) if dy != 0 or dx != 0 else 0.0
        c, s = np.cos(turn), np.sin(turn)
        extents = np.array([np.inf, -np.inf, np.inf, -np.inf])
        for j in range(len(hull)):
            u, v = hull[j, 1] * c + hull[j, 0] * s, hull[j, 0] * c - hull[j, 1] * s
            extents[0], extents[1] = min(extents[0], u), max(extents[1], u)
            extents[2], extents[3] = min(extents[2], v), max(extents[3], v)
        area = (extents[1] - extents[0] + 1) * (extents[3] - extents[2] + 1)
        if area < best - 1e-9:
            best, angle, frame = area, turn, extents
    return angle, frame


@compiled
def _refined(labels: Array, id_: int, box: Array, angle: float, frame: Array) -> tuple[float, float, float]:
    """Direction, and sides along it and across, from the border's edges; from the hull where sides are not straight.

    Pixels' centres stay within the outline by half a pixel where a side follows the grid and by less where it does not.
    """
    c, s = np.cos(angle), np.sin(angle)
    along, across = frame[1] - frame[0], frame[3] - frame[2]
    reach = max(abs(c), abs(s))
    plain = along + _beyond(across, angle + np.pi / 2), across + _beyond(along, angle)
    middle = (frame[0] + frame[1]) / 2, (frame[2] + frame[3]) / 2
    half = along / 2 + 0.5, across / 2 + 0.5
    sums = np.zeros((4, 5))
    y0, x0, y1, x1 = box
    for y in range(y0, y1):
        for x in range(x0, x1):
            if labels[y, x] != id_:
                continue
            for way in range(4):
                dy, dx = (way - 1) % 2 * (1 if way == 0 else -1), (way - 2) % 2 * (1 if way == 1 else -1)
                ny, nx = y + dy, x + dx
                if y0 <= ny < y1 and x0 <= nx < x1 and labels[ny, nx] == id_:
                    continue
                normal_u, normal_v = dx * c + dy * s, dy * c - dx * s
                py, px = y - y0 + dy / 2, x - x0 + dx / 2
                u, v = px * c + py * s - middle[0], py * c - px * s - middle[1]
                if abs(normal_u) >= abs(normal_v):
                    side, depth, place, length = (0 if normal_u < 0 else 1), abs(u), v, half[1]
                    off = depth - half[0]
                else:
                    side, depth, place, length = (2 if normal_v < 0 else 3), abs(v), u, half[0]
                    off = depth - half[1]
                if abs(off) > _NEAR or abs(place) > _INNER * length:
                    continue
                sums[side, 0] += 1
                sums[side, 1] += place
                sums[side, 2] += place * place
                sums[side, 3] += depth
                sums[side, 4] += depth * place
    turn, weight = 0.0, 0.0
    for side in range(4):
        length = half[1] if side < 2 else half[0]
        if sums[side, 0] < max(3.0, _STRAIGHT * 2 * _INNER * length * reach):
            return angle, plain[0], plain[1]
        n, p, pp, d, dp = sums[side]
        spread = pp - p * p / n
        slope = (dp - d * p / n) / max(spread, 1e-9)
        towards = slope if side == 2 or side == 1 else -slope
        turn -= towards * spread
        weight += spread
    turned = angle + np.arctan(turn / max(weight, 1e-9))
    scale = np.cos(turned - angle)
    sides = np.array([sums[side, 3] / sums[side, 0] for side in range(4)])
    return turned, (sides[0] + sides[1]) * scale, (sides[2] + sides[3]) * scale


@compiled
def _beyond(side: float, angle: float) -> float:
    """How far the outline lies beyond the outermost centres, both ends together, of a side with a length and an angle.

    Along the grid the next row of centres is missed by up to one, half on average; a side that crosses rows, `steps` of
    them, comes the nearer to a centre the more it crosses.
    """
    steps = (side + 1) * min(abs(np.sin(angle)), abs(np.cos(angle)))
    return float(max(1.0 - steps, 0.0) ** 2 + 1.0 / max(side, 1.0) * min(steps, 1.0))
