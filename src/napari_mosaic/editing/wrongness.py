"""How likely a tessera is wrong: one honest number of all that is doubtful about it.

One decision: a logistic function of a few doubts, fitted on drawn floors alone (`benchmarks/suspects.py --fit`): so
the number is a probability and the queue's order the best that these doubts give.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.editing.outliers import against, areas_of, middles, nearest
from napari_mosaic.record.tables import Columns
from napari_mosaic.tesserae import Flag

Floats = NDArray[np.float64]
FEATURES = ("score", "large", "small", "long", "ragged", "colours", "alone", "edge")
"""Doubts: log odds of not being stone; by how much larger, smaller (logarithms of areas), longer, less solid (tenths)
it is than its neighbours; colours of its halves apart (CIELAB, in tens); how far its fourth neighbour is, in sides;
whether an edge cuts it."""
_WEIGHTS = np.array([2.994, 1.598, 1.831, -0.716, 0.146, 0.731, -0.156, -0.415])
_ONE = 2.403
"""What the doubts weigh, and the constant: `python benchmarks/suspects.py --out suspects --fit 60 --drawings 0`: 928
wrong stones on 60 drawn worn floors, found by `grout-lite`."""
_CERTAIN = 1e-3
"""How near to 0 and 1 a score may come: beyond, its log odds would outweigh all else. *Not varied.*"""
_FOURTH, _FARTHEST = 4, 5.0
"""Which neighbour's distance tells that a stone lies alone, and the largest that is told, in sides. *Not varied.*"""


def wrongness(doubts_: Floats) -> Floats:
    """How likely tesserae with such doubts are wrong: match no true one above IoU 0.5."""
    return np.asarray(1 / (1 + np.exp(-(doubts_ @ _WEIGHTS + _ONE))), np.float64)


def doubts(rows: Columns, around: Columns) -> Floats:
    """What is doubtful of tesserae, `(n, len(FEATURES))`; 0 where it is not known. Arguments as for `strengths`."""
    if len(rows["id"]) == 0:
        return np.zeros((0, len(FEATURES)))
    near = nearest(rows, around)
    score = np.clip(np.asarray(rows["score"], np.float64), _CERTAIN, 1 - _CERTAIN)
    size, usual, _ = against(np.log(np.maximum(areas_of(rows), 1)), np.log(np.maximum(areas_of(around), 1)), near)
    long, usual_long, _ = against(np.log(rows["elongation"]), np.log(around["elongation"]), near)
    solid, usual_solid, _ = against(rows["solidity"], around["solidity"], near)
    found = np.column_stack([
        np.log((1 - score) / score),
        np.maximum(size - usual, 0),
        np.maximum(usual - size, 0),
        np.maximum(long - usual_long, 0),
        np.maximum(usual_solid - solid, 0) * 10,
        np.asarray(rows["contrast"], np.float64) / 10,
        _apart(rows, around, near),
        np.asarray(rows["flags"] & int(Flag.EDGE) > 0, np.float64),
    ])  # fmt: skip
    return np.asarray(np.nan_to_num(found), np.float64)


def _apart(rows: Columns, around: Columns, near: NDArray[np.int64]) -> Floats:
    """How far the fourth of the nearest tesserae is, in sides of their usual size; 1 where stones lie side by side."""
    if near.shape[1] < _FOURTH:
        return np.zeros(len(near))
    middle, others = middles(rows), middles(around)
    apart = np.where(near >= 0, np.linalg.norm(others[near] - middle[:, None], axis=-1), np.nan)
    far = np.sort(apart, axis=1)[:, _FOURTH - 1]
    side = np.sqrt(np.nanmedian(np.where(near >= 0, areas_of(around)[near], np.nan), axis=1))
    found: Floats = far / np.maximum(side, 1)
    return np.minimum(found, _FARTHEST)
