"""How stones look: their shape and their colours, stone by stone.

One decision: every figure is made from the pixels of one stone alone, so it does not depend on the window that the
stone is seen in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.compiled import compiled

Array = NDArray[Any]

_LEAST_PIXELS = 12
_DIRECTIONS = 8
_SOURCE = np.arange(256) / 255.0
_LINEAR = np.where(_SOURCE <= 0.04045, _SOURCE / 12.92, ((_SOURCE + 0.055) / 1.055) ** 2.4)
_STEPS = 4096
_RATIO = np.arange(_STEPS + 1) / _STEPS
_CUBE = np.where(_RATIO > 216 / 24389, np.cbrt(_RATIO), (24389 / 27 * _RATIO + 16) / 116)
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)
_TO_XYZ = _TO_XYZ / np.array([[0.95047], [1.0], [1.08883]])


@compiled
def shape_figures(labels: Array, ids: Array, boxes: Array) -> Array:
    """Solidity (area by that of the convex hull, 0..1) and elongation (1 for a disc or a square) of stones.

    `labels` is `(h, w)`; `boxes` `(n, 4)` holds the box of each of `ids` in it. Rows `(solidity, elongation)`,
    NaN for an id without a pixel.
    """
    figures = np.full((len(ids), 2), np.nan)
    for k in range(len(ids)):
        y0, x0, y1, x1 = boxes[k]
        height = y1 - y0
        left = np.full(height, np.inf)
        right = np.full(height, -np.inf)
        count, sy, sx, syy, sxx, sxy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
        for y in range(y0, y1):
            for x in range(x0, x1):
                if labels[y, x] == ids[k]:
                    v, u = float(y - y0), float(x - x0)
                    left[y - y0] = min(left[y - y0], u)
                    right[y - y0] = max(right[y - y0], u)
                    count += 1
                    sy += v
                    sx += u
                    syy += v * v
                    sxx += u * u
                    sxy += u * v
        if count == 0:
            continue
        hull = _outer(right, 1.0) - _outer(left, -1.0)
        figures[k, 0] = min(1.0, count / max(hull, 1.0))
        a = syy / count - (sy / count) ** 2 + 1 / 12
        b = sxx / count - (sx / count) ** 2 + 1 / 12
        c = sxy / count - sy * sx / count**2
        root = np.sqrt((a - b) ** 2 / 4 + c * c)
        figures[k, 1] = np.sqrt(((a + b) / 2 + root) / max((a + b) / 2 - root, 1 / 12))
    return figures


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
def _colour_sums(labels: Array, id_: int, box: Array, pixels: Array, lines: Array, tables: Any) -> tuple[Array, Array]:
    """Sums over the two sides of lines through a stone's middle: `(lines, 2, (count, L, a, b))`, and of squares."""
    linear, cube, matrix = tables
    y0, x0, y1, x1 = max(box[0], 2), max(box[1], 2), min(box[2], labels.shape[0] - 2), min(box[3], labels.shape[1] - 2)
    sums = np.zeros((len(lines), 2, 4))
    squares = np.zeros((len(lines), 2))
    count, sy, sx = 0, 0.0, 0.0
    for step in range(2):
        for y in range(y0, y1):
            for x in range(x0, x1):
                own = labels[y, x] == id_ and labels[y - 2, x] == id_ and labels[y + 2, x] == id_
                if not (own and labels[y, x - 2] == id_ and labels[y, x + 2] == id_):
                    continue
                if step == 0:
                    count += 1
                    sy += y
                    sx += x
                    continue
                f = np.empty(3)
                for i in range(3):
                    value = 0.0
                    for j in range(3):
                        value += matrix[i, j] * linear[pixels[y, x, j]]
                    f[i] = cube[min(int(value * (len(cube) - 1) + 0.5), len(cube) - 1)]
                lab = (116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2]))
                for k in range(len(lines)):
                    across = (y - sy / count) * lines[k, 0] + (x - sx / count) * lines[k, 1]
                    half = 1 if across > 0 else 0
                    sums[k, half, 0] += 1
                    for i in range(3):
                        sums[k, half, i + 1] += lab[i]
                        squares[k, half] += lab[i] ** 2
        if count < _LEAST_PIXELS:
            break
    return sums, squares


@compiled
def _contrast(sums: Array, squares: Array) -> float:
    """The largest difference between two sides, less where the sides are mottled themselves."""
    best = 0.0
    for k in range(len(sums)):
        n, m = sums[k, 0, 0], sums[k, 1, 0]
        if min(n, m) < _LEAST_PIXELS / 3:
            continue
        apart, within = 0.0, squares[k, 0] + squares[k, 1]
        for i in range(1, 4):
            apart += (sums[k, 0, i] / n - sums[k, 1, i] / m) ** 2
            within -= sums[k, 0, i] ** 2 / n + sums[k, 1, i] ** 2 / m
        apart, spread = np.sqrt(apart), np.sqrt(max(within, 0.0) / (n + m))
        best = max(best, apart * min(1.0, apart / (2 * spread + 1e-9)))
    return best


@compiled
def _contrasts(labels: Array, ids: Array, boxes: Array, pixels: Array, lines: Array, tables: Any) -> Array:
    found = np.zeros(len(ids))
    for k in range(len(ids)):
        sums, squares = _colour_sums(labels, ids[k], boxes[k], pixels, lines, tables)
        found[k] = _contrast(sums, squares)
    return found


def colour_contrasts(labels: Array, ids: Array, boxes: Array, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Difference of colour (CIELAB, D65) between two halves of each stone, at the line that parts it best.

    Parameters
    ----------
    labels
        `(h, w)` ids.
    ids, boxes
        `(n,)` stones and `(n, 4)` their boxes in `labels`.
    pixels
        `(h, w, 3)` uint8 sRGB.

    Returns
    -------
    ndarray
        `(n,)`: 0 for one colour, about 10 and more for two that everybody sees; a mottled stone counts for less. The
        two outermost pixels of a stone, where joints shine in, do not count.
    """
    angles = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    lines = np.column_stack([np.sin(angles), np.cos(angles)])
    found: NDArray[np.float64] = _contrasts(labels, ids, boxes, pixels, lines, (_LINEAR, _CUBE, _TO_XYZ))
    return found
