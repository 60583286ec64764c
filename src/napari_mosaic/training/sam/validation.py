"""How good a model is on crops that it has not seen: with a prompt for each stone, and with the automatic generator.

One decision: masks are cut from logits, judged and laid over one another by the code that `segment` runs, and
compared by the metrics that `evaluate` prints; nothing is measured in a way of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.metrics import Metrics, evaluate_labels
from napari_mosaic.sam.automatic import ask_automatic, grid_points
from napari_mosaic.sam.composing import Around, compose
from napari_mosaic.sam.masks import Frame, cut_mask
from napari_mosaic.sam.network import SamNetwork
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import MaskNetwork, Prompts
from napari_mosaic.tiling import Box
from napari_mosaic.training.sam.crops import SamCrop, ask
from napari_mosaic.training.sam.params import VALIDATION, SamTrainParams

_BATCH = 64
"""Prompts at a time. *Not varied.*"""
_PIXELS = ("dice", "pixel_iou", "accuracy", "precision", "recall")
"""Figures by pixels, those of the thesis."""
LabelArray = NDArray[np.int64]


def judge(
    network: SamNetwork, samples: Sequence[SamCrop], params: SamTrainParams, *, automatic: bool
) -> dict[str, float]:
    """Mean figures over crops.

    Returns
    -------
    dict
        `iou`, the mean over all stones of the overlap of the mask that a point at the centroid gives; of these masks
        laid over one another, by pixels, `dice`, `pixel_iou`, `accuracy`, `precision` and `recall`, and `f1` (at IoU
        0.5); with `automatic` the same of the automatic masks, as `automatic_dice` and so on, and `automatic_fm`;
        `score`, the Dice that the best checkpoint is chosen by.
    """
    overlaps, rows = [], []
    for sample in samples:
        labels, mine = guided_labels(network, sample, params)
        overlaps += mine
        row = _figures(labels, sample, (*_PIXELS, "f1"), "")
        if automatic:
            row |= _figures(automatic_labels(network, sample), sample, (*_PIXELS, "f1", "fm"), "automatic_")
        rows.append(row)
    if not rows:
        return {}
    figures = {"iou": float(np.mean(overlaps))} | {k: float(np.mean([row[k] for row in rows])) for k in rows[0]}
    chosen = "automatic_dice" if automatic and params.judge == "automatic" else "dice"
    return figures | {"score": figures[chosen]}


def whole_frame(size: int, side: int | None = None) -> Frame:
    """A crop of `size` px as a window that is the whole image, `side` px of the working grid, else as many."""
    side = side or size
    return Frame(Box(0, 0, side, side), size / side, (side, side))


def guided_labels(network: SamNetwork, sample: SamCrop, params: SamTrainParams) -> tuple[LabelArray, list[float]]:
    """The masks of one point a stone, better ones over worse, and the overlap of each with its stone."""
    size = sample.labels.shape[0]
    asked = ask(sample, params, None)
    prompts = Prompts(points=asked.points[:, 0, ::-1].astype(np.float64) + 0.5)
    found, overlaps = [], []
    for part, answers in network.predict(network.embed(sample.image), prompts, batch=_BATCH):
        for k, scores in enumerate(answers.scores):
            which = int(np.argmax(scores))
            piece = cut_mask(answers.logits[k, which], whole_frame(size), 0.0, 0.0)
            tessera = sample.labels == part.start + k + 1
            shared = int((tessera[piece.box.slices] & piece.bits).sum())
            overlaps.append(shared / (piece.area + int(tessera.sum()) - shared))
            found.append((float(scores[which]), part.start + k + 1, piece))
    labels = np.zeros(sample.labels.shape, np.int64)
    for _, number, piece in sorted(found, key=lambda one: one[:2]):
        labels[piece.box.slices][piece.bits] = number
    return labels, overlaps


def grid_of(size: int, params: SamParams) -> NDArray[np.int64]:
    """The points of the automatic generator in a crop of `size` px of the working grid, `(N, 2)` as `(y, x)`."""
    return grid_points(Box(0, 0, size, size), size / params.points_per_side)


def automatic_labels(
    network: MaskNetwork, sample: SamCrop, params: SamParams = VALIDATION, side: int | None = None
) -> LabelArray:
    """The automatic masks of a crop, composed as in a run over a whole mosaic.

    `side` is how many pixels of the working grid the crop measures, on which masks are cut and finished; its own size
    by default. The labels are brought back to the size of the crop.
    """
    size = sample.labels.shape[0]
    side = side or size
    proposals = ask_automatic(network, sample.image, whole_frame(size, side), grid_of(side, params), params, _BATCH)
    y0, x0, y1, x1 = proposals.reaches.T
    around = Around(
        proposals=lambda box: proposals.part((y0 < box.y1) & (y1 > box.y0) & (x0 < box.x1) & (x1 > box.x0)),
        tesserae=None, outside=lambda _: None, shape=(side, side),
    )  # fmt: skip
    labels = np.asarray(compose(Box(0, 0, side, side), around, params).labels, np.int64)
    places = ((np.arange(size) + 0.5) * side / size).astype(np.int64)
    return labels[np.ix_(places, places)]


def _figures(labels: LabelArray, sample: SamCrop, names: tuple[str, ...], before: str) -> dict[str, float]:
    metrics = compare(labels, sample)
    values = {name: getattr(metrics.pixels, name.removeprefix("pixel_")) for name in _PIXELS}
    values |= {"f1": metrics.at(0.5).f1, "fm": metrics.fm}
    return {f"{before}{name}": values[name] for name in names}


def compare(labels: LabelArray, sample: SamCrop) -> Metrics:
    """The field's figures of labels against the truth of a crop."""
    if sample.count == 0:
        raise InputError("A crop without a stone says nothing about masks; validate on others.")
    return evaluate_labels(labels, sample.labels, ignore=sample.ignore)
