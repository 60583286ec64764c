"""Sums over the pixels of tesserae, from which places and shapes follow.

One decision: sums of whole numbers, which are exact, so they do not depend on the order or the window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.compiled import compiled
from napari_mosaic.measurement.windows import TesseraWindow

Array = NDArray[Any]


def centres(window: TesseraWindow) -> NDArray[np.float64]:
    """Centres of gravity `(n, 2)` of a window's tesserae, `(y, x)` on the working grid.

    Coordinates count from the corner of the first pixel, so the middle of pixel 0 is 0.5.
    """
    count = len(window.rows) + 1
    flat = window.local.ravel()
    y = np.repeat(np.arange(window.local.shape[0]), window.local.shape[1])
    x = np.tile(np.arange(window.local.shape[1]), window.local.shape[0])
    area = np.maximum(np.bincount(flat, minlength=count), 1)
    sums = [np.bincount(flat, weights, minlength=count) / area for weights in (y, x)]
    return np.column_stack(sums)[1:] + 0.5 + (window.box.y0, window.box.x0)


@compiled
def moments(labels: Array, ids: Array, boxes: Array) -> Array:
    """Raw moments of tesserae, from the corner of their boxes: rows `(count, y, x, yy, xx, xy)`, zeros without a pixel.

    Sums of whole numbers, so exact.
    """
    sums = np.zeros((len(ids), 6))
    for k in range(len(ids)):
        y0, x0, y1, x1 = boxes[k]
        for y in range(y0, y1):
            for x in range(x0, x1):
                if labels[y, x] == ids[k]:
                    v, u = float(y - y0), float(x - x0)
                    sums[k, 0] += 1
                    sums[k, 1] += v
                    sums[k, 2] += u
                    sums[k, 3] += v * v
                    sums[k, 4] += u * u
                    sums[k, 5] += u * v
    return sums
