"""How well a segmentation agrees with the truth, by every figure that this field compares by.

One decision: everything that is said about tesserae follows from one sparse table, the number of
pixels that each true and each predicted region share. The table is a sum over pixels, so it can be
counted tile by tile and added up, and nothing here is ever as large as regions times regions.

Nothing is a result too. Where nothing was found and there was something to find, every figure of agreement is 0
(`cnt` is 1, the accuracy the share of what is rightly left alone); where something was found and there was nothing,
those of masks are 0 as well. Where there was nothing to find and nothing was found, masks agree: 1. A truth without a
tessera is no truth for tesserae (`cnt` divides by their number): `InputError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from napari_mosaic.errors import InputError

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""IoU from 0.5 by 0.05, as in the field's tables (StarDist, Cellpose)."""
_TINY = 1e-12
"""Rounding: an IoU that equals a threshold does not count."""
SLIVER = 0.04
"""Share of the median true tessera's area below which a region is a sliver, the rest of one that was cut off: a true
one anywhere, a predicted one at the edge of the image."""

_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PixelMetrics:
    """Agreement pixel by pixel of one class against the rest."""

    iou: float
    dice: float
    accuracy: float
    precision: float
    recall: float


@dataclass(frozen=True, kw_only=True)
class Matching:
    """One-to-one matching of tesserae: a pair counts when its IoU is above `threshold`."""

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    f1: float
    precision: float
    recall: float
    panoptic_quality: float
    mean_matched_iou: float


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Agreement of predicted with true tesserae.

    `cnt`, `prec`, `rec` and `fm` are the field's best-overlap figures; they match nothing one to one
    (one huge region has `rec` 1), so read them beside `matching`.
    """

    truth: int
    predicted: int
    cnt: float
    prec: float
    rec: float
    fm: float
    mean_best_iou: float
    matching: tuple[Matching, ...]
    pixels: PixelMetrics
    joint_pixels: PixelMetrics
    """Of the joints, and all else that is no tessera."""

    def at(self, threshold: float) -> Matching:
        """Matching at an IoU threshold of `THRESHOLDS`."""
        for matching in self.matching:
            if abs(matching.threshold - threshold) < 1e-9:
                return matching
        known = ", ".join(f"{m.threshold:g}" for m in self.matching)
        raise InputError(f"No matching was computed at IoU {threshold:g}; choose one of {known}.")

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class MatchedIds:
    """Ids of counted tesserae: of the truth those `found` and `missed`, of the prediction those `right` and `false`."""

    found: NDArray[Any]
    missed: NDArray[Any]
    right: NDArray[Any]
    false: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """Pixels that each pair of a true and a predicted id shares; id 0 is no tessera.

    `truth`, `predicted`, `area` and `ignored` run in parallel, one entry a pair; `ignored` are the
    pixels of the pair that are to be left out. `edge` holds predicted ids that touch the edge.
    """

    truth: NDArray[Any]
    predicted: NDArray[Any]
    area: NDArray[np.int64]
    ignored: NDArray[np.int64]
    edge: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.int64))


def evaluate_labels(
    prediction: NDArray[Any], truth: NDArray[Any], *, ignore: NDArray[Any] | None = None, sliver: float = SLIVER
) -> Metrics:
    """Compare predicted with true tesserae.

    Parameters
    ----------
    prediction, truth
        Labels `(Y, X)`, integers, 0 = no tessera; ids need not be consecutive.
    ignore
        Mask `(Y, X)` of what is left out. Regions of either side that lie mostly inside are not
        counted; ignored pixels do not count in the pixel metrics.
    sliver
        Part of the median true tessera's area below which regions are slivers and not counted: true ones, and
        predicted ones at the edge of the image. 0 counts every region, which is the field's plain definition.

    Raises
    ------
    InputError
        The arrays do not fit each other, are no labels, or no true tessera is left to compare with.

    Examples
    --------
    >>> truth = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((8, 8), int))
    >>> evaluate_labels(truth, truth).at(0.5).f1
    1.0

    """
    return summarise(count_overlaps(prediction, truth, ignore=ignore), sliver=sliver)


def count_overlaps(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    *,
    ignore: NDArray[Any] | None = None,
    edges: tuple[bool, bool, bool, bool] = (True, True, True, True),
) -> Overlaps:
    """Count shared pixels of one tile; the parts of a larger image go to `add_overlaps`.

    `edges` tells which sides of the tile (top, bottom, left, right) are sides of the whole image.
    """
    _check_labels(prediction, truth, ignore)
    truth_ids, t = np.unique(truth, return_inverse=True)
    predicted_ids, p = np.unique(prediction, return_inverse=True)
    key = t.ravel().astype(np.int64) * len(predicted_ids) + p.ravel()
    keys, area = np.unique(key, return_counts=True)
    ignored = np.zeros(len(keys), np.int64)
    if ignore is not None:
        some, count = np.unique(key[np.asarray(ignore, bool).ravel()], return_counts=True)
        ignored[np.searchsorted(keys, some)] = count
    sides = (prediction[:1], prediction[-1:], prediction[:, :1], prediction[:, -1:])
    edge = np.concatenate([s.ravel() for s, used in zip(sides, edges, strict=True) if used] or [keys[:0]])
    return Overlaps(
        truth=truth_ids[keys // len(predicted_ids)],
        predicted=predicted_ids[keys % len(predicted_ids)],
        area=area.astype(np.int64),
        ignored=ignored,
        edge=np.unique(edge),
    )


def add_overlaps(parts: Sequence[Overlaps]) -> Overlaps:
    """Add up the tables of tiles that partition an image."""
    if not parts:
        raise InputError("There is nothing to add up; give the overlaps of at least one tile.")
    truth_ids, t = np.unique(np.concatenate([part.truth for part in parts]), return_inverse=True)
    predicted_ids, p = np.unique(np.concatenate([part.predicted for part in parts]), return_inverse=True)
    keys, place = np.unique(t.astype(np.int64) * len(predicted_ids) + p, return_inverse=True)
    area, ignored = np.zeros((2, len(keys)), np.int64)
    np.add.at(area, place, np.concatenate([part.area for part in parts]))
    np.add.at(ignored, place, np.concatenate([part.ignored for part in parts]))
    return Overlaps(
        truth=truth_ids[keys // len(predicted_ids)],
        predicted=predicted_ids[keys % len(predicted_ids)],
        area=area,
        ignored=ignored,
        edge=np.unique(np.concatenate([part.edge for part in parts])),
    )


def summarise(overlaps: Overlaps, *, sliver: float = SLIVER) -> Metrics:
    """All metrics of a table of overlaps, as `evaluate_labels` gives them."""
    true_ids, predicted_ids, pairs = _counted_pairs(overlaps, sliver)
    n_truth, n_predicted = len(true_ids), len(predicted_ids)
    prec, rec, best_iou = _best_overlaps(n_truth, pairs)
    matched = _match(n_truth, n_predicted, pairs)
    return Metrics(
        truth=n_truth,
        predicted=n_predicted,
        cnt=abs(n_truth - n_predicted) / n_truth,
        prec=prec,
        rec=rec,
        fm=ratio(2 * prec * rec, prec + rec),
        mean_best_iou=best_iou,
        matching=tuple(_matching(matched, t, n_truth, n_predicted) for t in THRESHOLDS),
        pixels=_pixels_of(overlaps),
        joint_pixels=_pixels_of(overlaps, joints=True),
    )


def sort_stones(overlaps: Overlaps, *, sliver: float = SLIVER) -> MatchedIds:
    """Which tesserae are found, missed, right and false at IoU 0.5, where no more than one pair can match."""
    true_ids, predicted_ids, pairs = _counted_pairs(overlaps, sliver)
    same = pairs.iou > 0.5 + _TINY
    found, right = true_ids[pairs.truth[same]], predicted_ids[pairs.predicted[same]]
    return MatchedIds(found, np.setdiff1d(true_ids, found), right, np.setdiff1d(predicted_ids, right))


def evaluate_masks(
    prediction: NDArray[Any], truth: NDArray[Any], *, ignore: NDArray[Any] | None = None
) -> PixelMetrics:
    """Compare two masks `(Y, X)`, True where the class is, pixel by pixel.

    A mask that is empty has no share in the other: all figures but the accuracy are 0; two empty ones agree: 1.

    Raises
    ------
    InputError
        The masks do not fit each other, or every pixel is left out.
    """
    predicted, true, counted = masks_to_compare(prediction, truth, ignore)
    tp = int((predicted & true & counted).sum())
    fp = int((predicted & ~true & counted).sum())
    fn = int((~predicted & true & counted).sum())
    return _pixel_metrics(tp, fp, fn, int(counted.sum()) - tp - fp - fn)


@dataclass(frozen=True)
class _Pairs:
    """Counted pairs only: positions among the counted regions, shared pixels, areas of both, IoU."""

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    shared: _Floats
    truth_area: _Floats
    predicted_area: _Floats

    @property
    def iou(self) -> _Floats:
        return self.shared / (self.truth_area + self.predicted_area - self.shared)


def _counted_pairs(overlaps: Overlaps, sliver: float) -> tuple[NDArray[Any], NDArray[Any], _Pairs]:
    """Leave out what lies in ignored places and slivers; the ids of what is left on both sides, and its pairs."""
    truth_ids, t = np.unique(overlaps.truth, return_inverse=True)
    predicted_ids, p = np.unique(overlaps.predicted, return_inverse=True)
    area, ignored = overlaps.area.astype(float), overlaps.ignored.astype(float)
    truth_area = np.bincount(t, area).astype(float)
    predicted_area = np.bincount(p, area).astype(float)
    true = truth_ids > 0
    if not true.any():
        raise InputError("The truth holds no tessera, so nothing can be compared; check that it is the right file.")
    least = sliver * float(np.median(truth_area[true]))
    keep_t = true & (truth_area >= least) & ~(np.bincount(t, ignored) > 0.5 * truth_area)
    cut = np.isin(predicted_ids, overlaps.edge) & (predicted_area < least)
    keep_p = (predicted_ids > 0) & ~cut & ~(np.bincount(p, ignored) > 0.5 * predicted_area)
    if not keep_t.any():
        raise InputError("Every true tessera lies in an ignored place, so nothing can be compared; ignore less.")
    both = keep_t[t] & keep_p[p]
    place_t, place_p = np.cumsum(keep_t) - 1, np.cumsum(keep_p) - 1
    t, p = t[both], p[both]
    pairs = _Pairs(place_t[t], place_p[p], area[both], truth_area[t], predicted_area[p])
    return truth_ids[keep_t], predicted_ids[keep_p], pairs


def _best_overlaps(n_truth: int, pairs: _Pairs) -> tuple[float, float, float]:
    """Prec, Rec and the mean of the best IoU over all true tesserae."""
    order = np.lexsort((pairs.predicted, -pairs.shared, pairs.truth))
    _, first = np.unique(pairs.truth[order], return_index=True)
    best = order[first]
    prec = float((pairs.shared[best] / pairs.predicted_area[best]).sum()) / n_truth
    rec = float((pairs.shared[best] / pairs.truth_area[best]).sum()) / n_truth
    top = np.zeros(n_truth)
    np.maximum.at(top, pairs.truth, pairs.iou)
    return prec, rec, float(top.mean())


def _match(n_truth: int, n_predicted: int, pairs: _Pairs) -> _Floats:
    """IoU of the pairs of the one-to-one matching with the greatest sum of IoU."""
    t, p, iou = pairs.truth, pairs.predicted, pairs.iou
    matched = [np.zeros(0)]
    while len(iou):
        # A pair worth more than the best that both could have instead is in every best matching.
        certain = iou > _best_other(t, iou, n_truth) + _best_other(p, iou, n_predicted)
        if not certain.any():
            break
        matched.append(iou[certain])
        rest = ~np.isin(t, t[certain]) & ~np.isin(p, p[certain])
        t, p, iou = t[rest], p[rest], iou[rest]
    return np.concatenate([*matched, _assign(t, p, iou)])


def _best_other(group: NDArray[np.int64], iou: _Floats, count: int) -> _Floats:
    """For each pair, the greatest IoU among the other pairs of its group."""
    order = np.lexsort((-iou, group))
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    best, second = np.zeros((2, count))
    best[group[order[first]]] = iou[order[first]]
    next_ = first + 1
    next_ = next_[~np.isin(next_, first) & (next_ < len(order))]
    second[group[order[next_]]] = iou[order[next_]]
    is_best = np.zeros(len(iou), bool)
    is_best[order[first]] = True
    return np.where(is_best, second[group], best[group])


def _assign(truth: NDArray[np.int64], predicted: NDArray[np.int64], iou: _Floats) -> _Floats:
    """IoU of the best matching of a sparse table of pairs."""
    if len(iou) == 0:
        return np.zeros(0)
    rows, t = np.unique(truth, return_inverse=True)
    columns, p = np.unique(predicted, return_inverse=True)
    own = np.arange(len(rows))
    # Each true tessera also has a partner of its own that is worth nothing, so that a full matching
    # always exists; 1 is added throughout because a sparse matrix cannot hold a weight of 0.
    weights = sparse.csr_array(
        (
            np.concatenate([1 + iou, np.ones(len(rows))]),
            (np.concatenate([t, own]), np.concatenate([p, len(columns) + own])),
        ),
        shape=(len(rows), len(columns) + len(rows)),
    )
    chosen_t, chosen_p = min_weight_full_bipartite_matching(weights, maximize=True)
    real = chosen_p < len(columns)
    matched: _Floats = np.asarray(weights[chosen_t[real], chosen_p[real]]).ravel() - 1
    return matched


def _matching(iou: _Floats, threshold: float, n_truth: int, n_predicted: int) -> Matching:
    """Figures at one threshold. The limit is strict, as in the definition of panoptic quality."""
    hits = iou[iou > threshold + _TINY]
    tp = len(hits)
    f1 = ratio(2 * tp, n_truth + n_predicted)
    mean = ratio(float(hits.sum()), tp)
    return Matching(
        threshold=threshold,
        true_positives=tp,
        false_positives=n_predicted - tp,
        false_negatives=n_truth - tp,
        f1=f1,
        precision=ratio(tp, n_predicted),
        recall=ratio(tp, n_truth),
        panoptic_quality=f1 * mean,
        mean_matched_iou=mean,
    )


def _pixels_of(overlaps: Overlaps, *, joints: bool = False) -> PixelMetrics:
    """Agreement of the pixels of tesserae, or of those of joints."""
    true, predicted = (overlaps.truth > 0) != joints, (overlaps.predicted > 0) != joints
    counted = overlaps.area - overlaps.ignored
    quadrants = (true & predicted, ~true & predicted, true & ~predicted, ~true & ~predicted)
    tp, fp, fn, tn = (int(counted[q].sum()) for q in quadrants)
    return _pixel_metrics(tp, fp, fn, tn)


def _pixel_metrics(tp: int, fp: int, fn: int, tn: int) -> PixelMetrics:
    if tp + fp + fn == 0:  # nothing to find, and nothing found
        return PixelMetrics(iou=1.0, dice=1.0, accuracy=1.0, precision=1.0, recall=1.0)
    return PixelMetrics(
        iou=ratio(tp, tp + fp + fn),
        dice=ratio(2 * tp, 2 * tp + fp + fn),
        accuracy=ratio(tp + tn, tp + fp + fn + tn),
        precision=ratio(tp, tp + fp),
        recall=ratio(tp, tp + fn),
    )


def ratio(part: float, whole: float) -> float:
    """`part / whole`; 0 where the whole is nothing."""
    return float(part / whole) if whole else 0.0


def masks_to_compare(
    prediction: NDArray[Any], truth: NDArray[Any], ignore: NDArray[Any] | None
) -> tuple[_Bools, _Bools, _Bools]:
    """Both masks and the mask of the pixels that count, checked for their shapes."""
    _check_shapes(prediction, truth, ignore)
    counted = np.ones(truth.shape, bool) if ignore is None else ~np.asarray(ignore, bool)
    if not counted.any():
        raise InputError("Every pixel lies in an ignored place, so nothing can be compared; ignore less.")
    return np.asarray(prediction, bool), np.asarray(truth, bool), counted


def _check_shapes(prediction: NDArray[Any], truth: NDArray[Any], ignore: NDArray[Any] | None) -> None:
    shapes = [a.shape for a in (prediction, truth, ignore) if a is not None]
    if len(set(shapes)) > 1 or truth.ndim != 2 or truth.size == 0:
        given = ", ".join(" x ".join(map(str, s)) for s in shapes)
        raise InputError(
            f"Prediction, truth and ignored places have shapes {given}, so their pixels do not correspond; "
            "give two-dimensional arrays of one size."
        )


def _check_labels(prediction: NDArray[Any], truth: NDArray[Any], ignore: NDArray[Any] | None) -> None:
    _check_shapes(prediction, truth, ignore)
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.dtype.kind not in "uib":
            raise InputError(
                f"The {name} holds {labels.dtype} numbers, which name no tesserae; give whole numbers, 0 = no tessera."
            )
        if labels.dtype.kind == "i" and int(labels.min()) < 0:
            raise InputError(
                f"The {name} holds the negative number {int(labels.min())}, which names no tessera; "
                "give labels from 0 (no tessera) upwards."
            )
