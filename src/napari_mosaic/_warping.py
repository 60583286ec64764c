"""The compiled loop of a picture seen through a homography.

One decision: each pixel is the mean of the same small grid of cubic samples, whatever block it is made in, so a picture
made in blocks has no seams.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_mosaic.compiled import compiled

Array = np.ndarray[Any, Any]


@compiled
def _weights(t: float, out: Array) -> None:
    """Those of four neighbours in a row for a place `t` between the inner two: Catmull and Rom (1974)."""
    out[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
    out[1] = (1.5 * t - 2.5) * t * t + 1.0
    out[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
    out[3] = (0.5 * t - 0.5) * t * t


@compiled
def _level(value: float) -> int:
    return int(min(max(value + 0.5, 0.0), 255.0))


@compiled
def warp_block(
    source: Array, valid: Array, homography: Array, corner: Array, grid: int, limits: Array, out: Array
) -> None:
    """Fill `out`, `(h, w, 4)` uint8: colours, and 255 where the source is seen.

    `source` `(H, W, 3)` uint8 and `valid` `(H, W)` uint8 are a window of the source; `homography` leads from pixels of
    the rectified picture, of which `out` begins at `corner` (x, y), to pixels of that window; `limits` are the edges of
    the whole source (x0, y0, x1, y1) in the window's pixels. `grid` samples a side make a pixel.
    """
    height, width = source.shape[:2]
    across, down, columns = np.empty(4), np.empty(4), np.empty(4, np.int64)
    share = 1.0 / (grid * grid)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            x, y = corner[0] + column + 0.5, corner[1] + row + 0.5
            depth = homography[2, 0] * x + homography[2, 1] * y + homography[2, 2]
            out[row, column, :] = 0
            if depth <= 1e-6:
                continue
            u = (homography[0, 0] * x + homography[0, 1] * y + homography[0, 2]) / depth
            v = (homography[1, 0] * x + homography[1, 1] * y + homography[1, 2]) / depth
            if u < limits[0] or v < limits[1] or u >= limits[2] or v >= limits[3]:
                continue
            if not valid[min(max(int(v), 0), height - 1), min(max(int(u), 0), width - 1)]:
                continue
            red, green, blue = 0.0, 0.0, 0.0
            for i in range(grid):
                for j in range(grid):
                    x = corner[0] + column + (j + 0.5) / grid
                    y = corner[1] + row + (i + 0.5) / grid
                    depth = homography[2, 0] * x + homography[2, 1] * y + homography[2, 2]
                    u = (homography[0, 0] * x + homography[0, 1] * y + homography[0, 2]) / depth - 0.5
                    v = (homography[1, 0] * x + homography[1, 1] * y + homography[1, 2]) / depth - 0.5
                    left, top = int(np.floor(u)), int(np.floor(v))
                    _weights(u - left, across)
                    _weights(v - top, down)
                    for m in range(4):
                        columns[m] = min(max(left - 1 + m, 0), width - 1)
                    for k in range(4):
                        line = source[min(max(top - 1 + k, 0), height - 1)]
                        for m in range(4):
                            weight = down[k] * across[m]
                            at = columns[m]
                            red += weight * line[at, 0]
                            green += weight * line[at, 1]
                            blue += weight * line[at, 2]
            out[row, column, 0] = _level(red * share)
            out[row, column, 1] = _level(green * share)
            out[row, column, 2] = _level(blue * share)
            out[row, column, 3] = 255
