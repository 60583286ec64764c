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
SEEN_PART, LINE_LEVELS, LINE_TEXTURE = 0.7, 6.0, 0.6
"""A stone has an outline where so much of its border is a line of so many levels, and deviations of its texture."""


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


def outlined(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """False (Y, X) on stones of `labels`, and round them, whose borders to their neighbours `image` does not show.

    The border to a neighbour is seen where its line differs from the stones, or they from each other; more is asked of
    it than of a stone against its joint, since it is a pixel wide.
    """
    n = int(labels.max()) + 1
    if n == 1:
        return np.ones(labels.shape, bool)
    joint = (labels == 0).astype(np.uint8)
    distance, nearest = cv2.distanceTransformWithLabels(joint, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    number = np.zeros(int(nearest.max()) + 1, np.int64)
    number[nearest[joint == 0]] = labels[joint == 0]
    owner = number[nearest]
    soft = cv2.GaussianBlur(image, (0, 0), 0.5).astype(np.float64)
    inside = cv2.distanceTransform(1 - (joint | _between(owner)), cv2.DIST_L2, 5) >= _INSIDE
    stone, texture, stone_px = _figures(soft[inside], labels[inside], n)
    pair, line = _lines(owner, distance, soft)
    first, second = pair // n, pair % n
    limit = np.maximum(LINE_LEVELS, LINE_TEXTURE * np.maximum(texture[first], texture[second]).max(axis=1))
    dark = np.abs(line[0] - (stone[first] + stone[second]) / 2).max(axis=1) >= limit
    apart = np.abs(stone[first] - stone[second]).max(axis=1) >= limit
    known = (stone_px[first] > 0) & (stone_px[second] > 0)
    seen = np.where(known, dark | apart, True)
    whole, part = (
        np.bincount(first, weight, n) + np.bincount(second, weight, n) for weight in (line[1], line[1] * seen)
    )
    lost = (part < SEEN_PART * whole) & (whole > 0)
    lost[0] = False
    return np.asarray(~(lost[owner] & (distance <= _RING)))


def _between(owner: NDArray[np.integer]) -> NDArray[np.uint8]:
    """1 on both sides of where grounds of two stones meet."""
    edge = np.zeros(owner.shape, np.uint8)
    right, below = owner[:, 1:] != owner[:, :-1], owner[1:] != owner[:-1]
    for part in (edge[:, 1:], edge[:, :-1]):
        part |= right
    for part in (edge[1:], edge[:-1]):
        part |= below
    return edge


def _lines(
    owner: NDArray[np.int64], distance: NDArray[np.float32], soft: NDArray[np.float64]
) -> tuple[NDArray[np.int64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Pairs of neighbours as first * n + second, the mean colour (P, 3) of the line between them and its pixels (P,).

    Grounds that meet further than a ring away from both stones are no line.
    """
    n = int(owner.max()) + 1
    keys, colours = [], []
    for one, other, near, a, b in (
        (owner[:, 1:], owner[:, :-1], distance[:, 1:], soft[:, 1:], soft[:, :-1]),
        (owner[1:], owner[:-1], distance[1:], soft[1:], soft[:-1]),
    ):
        meet = (one != other) & (near <= _RING)
        keys.append(np.minimum(one, other)[meet] * n + np.maximum(one, other)[meet])
        colours.append((a[meet] + b[meet]) / 2)
    pair, index = np.unique(np.concatenate(keys), return_inverse=True)
    mean, _, count = _figures(np.concatenate(colours), index, len(pair))
    return pair, (mean, count)


def _figures(
    colours: NDArray[np.float64], owner: NDArray[np.integer], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation (n, 3) and number of pixels (n,) of the colours that belong to each owner."""
    count = np.bincount(owner, minlength=n).astype(np.float64)
    least = np.maximum(count, 1)[:, None]
    mean = np.stack([np.bincount(owner, colours[:, k], n) for k in range(3)], axis=1) / least
    apart = (colours - mean[owner]) ** 2
    return mean, np.sqrt(np.stack([np.bincount(owner, apart[:, k], n) for k in range(3)], axis=1) / least), count
