"""Finishing of label images: opening, erosion that parts touching stones, one piece for every stone.

One decision: a pixel's fate depends on the pixels within the radius alone, each stone against all others, so
tiles that see that margin agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as label_regions

Labels = NDArray[Any]


def _shifted(labels: Labels, radius: int) -> Iterator[Labels]:
    """The image moved by every step within a disc; what comes in is the edge repeated."""
    height, width = labels.shape
    padded = np.pad(labels, radius, mode="edge")
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx <= radius * radius:
                yield padded[radius + dy : radius + dy + height, radius + dx : radius + dx + width]


def erode_labels(labels: Labels, radius: int) -> Labels:
    """Take `radius` px off every stone, wherever it meets another or none; the image's border takes nothing."""
    if radius <= 0 or labels.size == 0:
        return labels
    same = np.ones(labels.shape, bool)
    for moved in _shifted(labels, radius):
        same &= moved == labels
    return np.where(same, labels, 0).astype(labels.dtype)


def open_labels(labels: Labels, radius: int) -> Labels:
    """Take off what is thinner than a disc of `radius` px, stone by stone.

    Examples
    --------
    >>> import numpy as np
    >>> stone = np.zeros((7, 9), np.uint8)
    >>> stone[1:6, 1:6] = 1
    >>> stone[3, 6:] = 1
    >>> bool(open_labels(stone, 1)[3, 8])
    False
    """
    if radius <= 0 or labels.size == 0:
        return labels
    inner = erode_labels(labels, radius)
    keep = np.zeros(labels.shape, bool)
    for moved in _shifted(inner, radius):
        keep |= moved == labels
    return np.where(keep, labels, 0).astype(labels.dtype)


def largest_parts(labels: Labels) -> Labels:
    """Every stone in one piece: of one that lies in several the largest stays, the first of equals.

    Examples
    --------
    >>> import numpy as np
    >>> largest_parts(np.array([[5, 0, 5, 5]])).tolist()
    [[0, 0, 5, 5]]
    """
    if labels.size == 0:
        return labels
    parts = label_regions(labels, background=0, connectivity=1)
    _, first, sizes = np.unique(parts, return_index=True, return_counts=True)
    owners = labels.ravel()[first]
    order = np.lexsort((first, -sizes, owners))
    keep = np.zeros(len(first), bool)
    keep[order[np.concatenate([[True], owners[order][1:] != owners[order][:-1]])]] = True
    return np.where(keep[parts], labels, 0).astype(labels.dtype)
