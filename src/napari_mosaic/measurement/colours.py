"""Mean colours of tesserae in CIELAB.

One decision: colours are averaged in CIELAB, where distances are those that people see, over the photograph's pixels
inside the tessera; its rim, where the joint shines in, is left out as far as the tessera is large enough.

References
----------
IEC 61966-2-1 (sRGB), CIE 15 (CIELAB, white D65, 2 degree observer).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.compiled import compiled

Array = NDArray[Any]

RIM = 2
"""Rim that is left out, px of the working grid; less of one with fewer pixels than `LEAST` inside. Not varied."""
LEAST = 12
"""Pixels that a mean is made of, where a tessera has so many. Not varied."""

_CODES = np.arange(256) / 255.0
LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4)
"""sRGB to linear light."""
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])
"""Linear light to CIE XYZ, each as a part of the white's (D65)."""


def mean_colours(labels: Array, ids: Array, boxes: Array, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean colour of tesserae and how far their pixels are from it.

    Parameters
    ----------
    labels
        `(h, w)` ids.
    ids, boxes
        `(n,)` tesserae and `(n, 4)` their boxes in `labels`.
    pixels
        `(h, w, 3)` uint8 sRGB.

    Returns
    -------
    ndarray
        `(n, 4)`: L*, a*, b*, and the root mean square distance from them; NaN without a pixel.
    """
    found: NDArray[np.float64] = _mean_colours(labels, ids, boxes, pixels, LINEAR, TO_XYZ)
    return found


@compiled
def _mean_colours(labels: Array, ids: Array, boxes: Array, pixels: Array, linear: Array, matrix: Array) -> Array:
    found = np.full((len(ids), 4), np.nan)
    for k in range(len(ids)):
        for step in range(RIM + 1):
            count, sums, square = _colour_sums(labels, ids[k], boxes[k], RIM - step, pixels, linear, matrix)
            if count >= LEAST or (count > 0 and step == RIM):
                for i in range(3):
                    found[k, i] = sums[i] / count
                apart = square / count - (found[k, 0] ** 2 + found[k, 1] ** 2 + found[k, 2] ** 2)
                found[k, 3] = np.sqrt(max(apart, 0.0))
                break
    return found


@compiled
def _colour_sums(
    labels: Array, id_: int, box: Array, rim: int, pixels: Array, linear: Array, matrix: Array
) -> tuple[int, Array, float]:
    """Pixels at least `rim` within a tessera: how many, sums of L*, a*, b*, and the sum of all squares."""
    y0, x0, y1, x1 = box
    count, sums, square = 0, np.zeros(3), 0.0
    for y in range(y0 + rim, y1 - rim):
        for x in range(x0 + rim, x1 - rim):
            own = labels[y, x] == id_ and labels[y - rim, x] == id_ and labels[y + rim, x] == id_
            if not (own and labels[y, x - rim] == id_ and labels[y, x + rim] == id_):
                continue
            red, green, blue = linear[pixels[y, x, 0]], linear[pixels[y, x, 1]], linear[pixels[y, x, 2]]
            fx = _curve(matrix[0, 0] * red + matrix[0, 1] * green + matrix[0, 2] * blue)
            fy = _curve(matrix[1, 0] * red + matrix[1, 1] * green + matrix[1, 2] * blue)
            fz = _curve(matrix[2, 0] * red + matrix[2, 1] * green + matrix[2, 2] * blue)
            light, a, b = 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)
            count += 1
            sums[0] += light
            sums[1] += a
            sums[2] += b
            square += light * light + a * a + b * b
    return count, sums, square


@compiled
def _curve(part: float) -> float:
    """The curve of CIELAB for a part of the white's."""
    return np.cbrt(part) if part > 216 / 24389 else (24389 / 27 * part + 16) / 116
