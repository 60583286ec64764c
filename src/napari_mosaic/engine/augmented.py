"""The network asked several times, about turned and mirrored copies of a window.

One decision: only the eight ways that a square can lie are used. They move whole pixels, so what comes
back needs no resampling, and the mean over all eight does not depend on how the photograph lies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.segmenters import Network, Windows
from napari_mosaic.engine.views import turned, turned_back, ways

Predict = Callable[[Windows], NDArray[np.uint8]]
_Floats = NDArray[np.float32]


def predict_augmented(predict: Predict, windows: Windows, copies: int = 8) -> tuple[_Floats, _Floats]:
    """Mean and variance of the maps over turned and mirrored copies.

    Parameters
    ----------
    predict
        That of any method: from windows to maps.
    windows
        `(N, H, W, 3)` uint8.
    copies
        2, 4 or 8.

    Returns
    -------
    tuple
        Two `(N, C, H, W)` float32: the mean probability 0..1 and its variance, 0..0.25.

    """
    total: Any = 0.0
    squares: Any = 0.0
    for turns, mirrored in ways(copies):
        seen = turned(windows, turns, mirrored, (1, 2))
        maps = turned_back(predict(seen), turns, mirrored, (2, 3)).astype(np.float32) / np.float32(255)
        total = total + maps
        squares = squares + maps * maps
    mean = np.asarray(total / copies, np.float32)
    return mean, np.maximum(squares / copies - mean * mean, 0).astype(np.float32)


class AugmentedNetwork(Network):
    """The grout network as a method that asks eight times: slower, and steadier on hard photographs."""

    def predict(self, windows: Windows) -> NDArray[np.uint8]:
        """Mean maps of a batch of windows."""
        mean, _ = predict_augmented(super().predict, windows)
        return np.round(mean * 255).astype(np.uint8)
