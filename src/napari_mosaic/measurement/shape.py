"""The shape of tesserae, one by one.

One decision: every figure is made from the pixels of one tessera alone, counted from its own box, so it does not
depend on the window that the tessera is seen in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.compiled import compiled

Array = NDArray[Any]


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
