"""Fragments of one stone become one tessera.

One decision: two neighbours are one stone where the map shows no joint along their common border. A fragment joins
the better of its neighbours, and only one that joins none itself, so whether it does is decided by the objects around
it and no chain of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Labels = NDArray[Any]
GAP = 2
"""Pixels that two fragments may lie apart."""
_LEAST_BORDER = 0.5
"""Length of a common border at least, as a share of the smaller one's edge (the root of its area)."""


def merge_fragments(labels: Labels, grout: NDArray[np.uint8], threshold: float) -> Labels:
    """Labels in which fragments bear the id of the stone that they belong to.

    Parameters
    ----------
    labels
        `(h, w)` ids, 0 for none.
    grout
        `(h, w)` map of joints, 255 = joint.
    threshold
        Mean probability of a joint along a common border below which there is none.

    Returns
    -------
    numpy.ndarray
        Like `labels`; what lies between the fragments of a stone belongs to it.
    """
    ids, areas = np.unique(labels, return_counts=True)
    rank = {int(id_): (-int(area), int(id_)) for id_, area in zip(ids, areas, strict=True) if id_}
    ties = _loose_borders(labels, grout, threshold, rank)
    better = {id_: [other for other in near if rank[other] < rank[id_]] for id_, near in ties.items()}
    joins = {}
    for id_, near in better.items():
        roots = [other for other in near if not better[other]]
        if roots:
            joins[id_] = max(roots, key=lambda other: (ties[id_][other], -rank[other][0], -rank[other][1]))
    if not joins:
        return labels
    values = np.array([joins.get(int(id_), int(id_)) for id_ in ids], labels.dtype)
    merged = values[np.searchsorted(ids, labels)]
    for id_ in sorted(set(joins.values())):
        _close(merged, id_)
    return np.asarray(merged)


def _loose_borders(
    labels: Labels, grout: NDArray[np.uint8], threshold: float, rank: dict[int, tuple[int, int]]
) -> dict[int, dict[int, int]]:
    """Lengths of the common borders without a joint, by id and by neighbour."""
    pairs, values = [], []
    for axis in (0, 1):
        for step in range(1, GAP + 2):
            a, b = _shifted(labels, axis, step)
            meet = (a != b) & (a > 0) & (b > 0)
            for between in range(1, step):  # what lies between is no stone
                meet &= _shifted(labels, axis, step, between)[0] == 0
            strip = np.max([_shifted(grout, axis, step, part)[0] for part in range(step + 1)], axis=0)
            low, high = np.minimum(a[meet], b[meet]), np.maximum(a[meet], b[meet])
            pairs.append(np.stack([low, high], 1))
            values.append(strip[meet])
    both, joint = np.concatenate(pairs), np.concatenate(values).astype(float)
    ties: dict[int, dict[int, int]] = {id_: {} for id_ in rank}
    if len(both) == 0:
        return ties
    found, row, lengths = np.unique(both, axis=0, return_inverse=True, return_counts=True)
    means = np.bincount(row.ravel(), joint) / lengths
    for (one, other), length, mean in zip(found.tolist(), lengths.tolist(), means.tolist(), strict=True):
        edge = min(-rank[one][0], -rank[other][0]) ** 0.5
        if length >= _LEAST_BORDER * edge and mean < 255 * threshold:
            ties[one][other] = ties[other][one] = length
    return ties


def _shifted(image: NDArray[Any], axis: int, step: int, start: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two views of an image, `step` px apart along an axis; the first begins at `start`."""
    length = image.shape[axis] - step
    first = np.take(image, range(start, start + max(length, 0)), axis)
    return first, np.take(image, range(step, step + max(length, 0)), axis)


def _close(labels: Labels, id_: int) -> None:
    """Give a stone, in place, the pixels of nobody between its parts."""
    y, x = np.nonzero(labels == id_)
    part = (slice(max(0, y.min() - GAP), y.max() + GAP + 1), slice(max(0, x.min() - GAP), x.max() + GAP + 1))
    window = labels[part]
    mask = np.pad(window == id_, GAP)
    closed = ndimage.binary_closing(mask, iterations=GAP)[GAP:-GAP, GAP:-GAP]
    window[closed & (window == 0)] = id_
