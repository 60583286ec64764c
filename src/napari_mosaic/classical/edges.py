"""Tesserae as what edges enclose: Canny's edges of a picture whose contrast was made even, closed over the joints.

One decision: contrast is made even by what surrounds a pixel, so the two thresholds hold for bright and dark stones
and for every window alike; only an edge that is weak all along depends on more than its neighbourhood.

References
----------
Canny, A computational approach to edge detection, IEEE PAMI 8 (1986).

"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.classical.gradient import TESSERA_PX, maps_of

_AROUND = 2 * TESSERA_PX + 1
"""Side of the square, px, whose mean and deviation make the contrast even: a tessera on each side. Not varied."""
_FLAT = 4.0
"""Grey values added to the deviation, so that noise of plain areas is no edge. Not varied."""
_WEAK, _STRONG = 50, 150
"""Canny's thresholds on a picture whose deviation is `_SPREAD`, one to three as he advises. Not varied."""
_SPREAD = 48.0
"""Grey values of one deviation after the contrast was made even. Not varied."""
_CLOSING = 7
"""Width, px, over which the two edges of a joint close into one. Not varied."""
_LEAST = 40
"""Pixels of the smallest tessera, a fifteenth of the usual one. Not varied."""


def find_edges(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Edges of a photograph `(Y, X, 3)`, one pixel wide."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    mean = cv2.blur(grey, (_AROUND, _AROUND))
    deviation = np.sqrt(np.maximum(cv2.blur(grey * grey, (_AROUND, _AROUND)) - mean * mean, 0))
    even = np.clip(128 + _SPREAD * (grey - mean) / (deviation + _FLAT), 0, 255).astype(np.uint8)
    return np.asarray(cv2.Canny(even, _WEAK, _STRONG, L2gradient=True) > 0)


def edge_map(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Joints and inner parts of tesserae, `(2, Y, X)` uint8, of a window `(Y, X, 3)`."""
    kernel: Any = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_CLOSING, _CLOSING))
    joints = cv2.morphologyEx(find_edges(image).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    _, labels, figures, _ = cv2.connectedComponentsWithStats(1 - joints, connectivity=4)
    small = figures[:, cv2.CC_STAT_AREA] < _LEAST
    return maps_of(np.where(small[labels], 0, labels).astype(np.int32), np.zeros(labels.shape, np.float32))
