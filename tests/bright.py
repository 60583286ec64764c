"""Drawn photographs of bright stones in dark joints, and a method for them that needs no network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.segmenters import FunctionSegmenter, add_factory


def brightness_map(window: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Joints where it is dark, inner parts where a 5 x 5 neighbourhood is bright: reaches 2 px."""
    from scipy import ndimage

    grey = window.mean(2)
    core = ndimage.minimum_filter(grey, 5)
    return np.stack([255 - grey, core]).astype(np.uint8)


def make_brightness(*_: Any) -> FunctionSegmenter:
    return FunctionSegmenter(brightness_map, name="brightness", channels=2, halo=8, tessera_px=24.0)


add_factory("brightness", make_brightness)


def bright_stones(shape: tuple[int, int], seed: int = 0, pitch: int = 20) -> NDArray[np.uint8]:
    """A photograph `(Y, X, 3)` of bright stones of uneven size and shade in dark joints."""
    rng = np.random.default_rng(seed)
    picture = np.full(shape, 30, np.uint8)
    y = 0
    while y < shape[0]:
        height, x = int(rng.integers(pitch // 2, pitch * 2)), 0
        while x < shape[1]:
            width = int(rng.integers(pitch // 2, pitch * 2))
            picture[y + 2 : y + height, x + 2 : x + width] = rng.integers(170, 250)
            x += width
        y += height
    return np.repeat(picture[:, :, None], 3, axis=2)
