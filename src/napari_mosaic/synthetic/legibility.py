"""Which drawn stones the finished picture still shows.

One decision: what no eye can tell from its joints is neither stone nor joint but unknown. A network that is
told that such stones are there learns to see stones in mortar.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_LEVELS, LEAST_TEXTURE = 4.0, 0.4
"""A stone is seen where it differs from its joint by so many levels of 255, and so many deviations of its texture."""
_RING, _INSIDE, _ENOUGH = 3.0, 2.0, 6


def legible(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """False (Y, X) on stones of `labels` that `image` (Y, X, 3) does not show, and on the joints round them."""
    n = int(labels.max()) + 1
    if n == 1:
        return np.ones(labels.shape, bool)
    joint = (labels == 0).astype(np.uint8)
    distance, nearest = cv2.distanceTransformWithLabels(joint, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    number = np.zeros(int(nearest.max()) + 1, np.int64)
    number[nearest[joint == 0]] = labels[joint == 0]
    owner = number[nearest]
    ring = (joint > 0) & (distance <= _RING)
    inside = cv2.distanceTransform(1 - joint, cv2.DIST_L2, 5) >= _INSIDE
    soft = cv2.GaussianBlur(image, (0, 0), 0.7).astype(np.float64)
    stone, texture, stone_px = _figures(soft[inside], labels[inside], n)
    mortar, _, mortar_px = _figures(soft[ring], owner[ring], n)
    contrast = np.abs(stone - mortar).max(axis=1)
    lost = (contrast < LEAST_LEVELS) | (contrast < LEAST_TEXTURE * texture.max(axis=1))
    lost &= (stone_px > 0) & (mortar_px > _ENOUGH)
    lost[0] = False
    return np.asarray(~(lost[owner] & ((joint == 0) | ring)))


def _figures(
    colours: NDArray[np.float64], owner: NDArray[np.integer], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation (n, 3) and number of pixels (n,) of the colours that belong to each owner."""
    count = np.bincount(owner, minlength=n).astype(np.float64)
    least = np.maximum(count, 1)[:, None]
    mean = np.stack([np.bincount(owner, colours[:, k], n) for k in range(3)], axis=1) / least
    apart = (colours - mean[owner]) ** 2
    return mean, np.sqrt(np.stack([np.bincount(owner, apart[:, k], n) for k in range(3)], axis=1) / least), count
