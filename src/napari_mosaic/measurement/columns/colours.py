"""Columns of colour.

One decision: every figure is made from the pixels of one tessera alone, without its rim, where joints shine in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.compiled import compiled
from napari_mosaic.measurement.colours import LINEAR, TO_XYZ
from napari_mosaic.measurement.registry import column
from napari_mosaic.measurement.view import View

Array = NDArray[Any]

_LEAST_PIXELS = 12
"""Fewest pixels of a tessera; each half needs a third of them. Not varied."""
_DIRECTIONS = 8
"""Directions of the line that parts the halves. Not varied."""
_STEPS = 4096
"""Entries of the table of cube roots: their error is below what eight bits tell apart."""
_RATIO = np.arange(_STEPS + 1) / _STEPS
_CUBE = np.where(_RATIO > 216 / 24389, np.cbrt(_RATIO), (24389 / 27 * _RATIO + 16) / 116)
"""The curve of CIELAB (CIE 15)."""


@column(unit="1", source="photograph")
def colour_contrast(view: View) -> Array:
    """Difference of colour (CIELAB) of two halves, at the line that parts them best; 10 and more everybody sees."""
    return colour_contrasts(view.labels, view.ids, view.boxes, view.photograph)


@column(unit="1", source="photograph")
def lightness(view: View) -> Array:
    """Mean lightness L* (CIELAB, D65) without its rim, 0 to 100."""
    return view.colours[:, 0]


@column(unit="1", source="photograph")
def colour_a(view: View) -> Array:
    """Mean a* (CIELAB, D65) without its rim: green below 0, red above."""
    return view.colours[:, 1]


@column(unit="1", source="photograph")
def colour_b(view: View) -> Array:
    """Mean b* (CIELAB, D65) without its rim: blue below 0, yellow above."""
    return view.colours[:, 2]


@column(unit="1", source="photograph")
def colour_spread(view: View) -> Array:
    """How mottled it is: root mean square distance (CIELAB) of its pixels from its mean colour, without its rim."""
    return view.colours[:, 3]


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
    found: NDArray[np.float64] = _contrasts(labels, ids, boxes, pixels, lines, (LINEAR, _CUBE, TO_XYZ))
    return found
