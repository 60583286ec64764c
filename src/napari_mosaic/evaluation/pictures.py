"""A prediction, or two, against a truth: pictures of what is right and what is not.

One decision: two predictions are compared by pixels in the five colours that this field knows, where only
tesserae are coloured (white: both found the pixel; green: only the first; red: only the second, the baseline;
blue: both missed it; black: no tessera by the truth); a single one by whole stones, as it is counted.

References
----------
Kapelonis et al., Automated mosaic tesserae segmentation via deep learning techniques, arXiv 2512.18406.

"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.evaluation.files import (
    Evaluation,
    EvaluationParams,
    LabelGrid,
    Truth,
    bands,
    compare_labels,
    open_prediction,
    open_truth,
)
from napari_mosaic.metrics import count_overlaps, ratio, sort_stones
from napari_mosaic.output_files import replacing
from napari_mosaic.picture_marks import png_marks
from napari_mosaic.tiling import Box

COLOURS = {
    "background": (0, 0, 0),
    "both": (255, 255, 255),
    "first only": (0, 170, 0),
    "second only": (220, 0, 0),
    "neither": (0, 60, 255),
}
"""Of two predictions, by pixels; as published."""
TESSERA_COLOURS = {
    "found": (255, 255, 255),
    "missed": (0, 60, 255),
    "false": (255, 140, 0),
    "left out": (90, 90, 90),
}
"""Of one prediction, by tesserae."""
_LARGEST = 2**28
"""Most pixels of a picture, which is held in memory whole. *Not varied.*"""
_BAND_PIXELS = 2**22
"""Pixels that are painted at once. *Not varied.*"""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The figures of two predictions, and the shares (0..1) of true tessera pixels of each colour."""

    first: Evaluation
    second: Evaluation
    shares: dict[str, float]
    picture: NDArray[np.uint8]


def compare_predictions(
    first: str | Path,
    second: str | Path,
    truth: str | Path,
    *,
    params: EvaluationParams | None = None,
    ignore: str | Path | None = None,
) -> Comparison:
    """Compare two predictions with the truth and with each other.

    Parameters
    ----------
    first, second
        As `prediction` of `evaluate_files`; the second is the baseline.
    truth, params, ignore
        As for `evaluate_files`.

    Returns
    -------
    Comparison
        Its picture is `(Y, X, 3)` uint8 on the grid of the truth; what is ignored is black.

    """
    params = params or EvaluationParams()
    with ExitStack() as stack:
        true = open_truth(truth, params, stack)
        sides = [open_prediction(path, params, stack) for path in (first, second)]
        evaluations = [
            compare_labels(side, true, params, (str(path), str(truth)), ignore)
            for side, path in zip(sides, (first, second), strict=True)
        ]
        _require_small(true, truth)
        left_out = true.ignored(ignore, sides[0].shape)
        picture = np.concatenate(list(_bands(sides, true, left_out)))
    return Comparison(first=evaluations[0], second=evaluations[1], shares=shares_of(picture), picture=picture)


def _bands(sides: list[LabelGrid], true: Truth, left_out: NDArray[np.bool_] | None) -> Iterator[NDArray[np.uint8]]:
    cut = [true.cut(side, "The prediction") for side in sides]
    for band in bands(true.labels.shape, _BAND_PIXELS):
        tessera = true.labels.read(band) > 0
        if left_out is not None:
            tessera &= ~left_out[band.slices]
        yield five_colours(cut[0].read(band) > 0, cut[1].read(band) > 0, tessera)


def five_colours(first: NDArray[Any], second: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture `(Y, X, 3)` of two masks and the truth, `(Y, X)`, True on *tesserae*."""
    table = np.array(list(COLOURS.values()), np.uint8)
    first, second, truth = (np.asarray(mask, bool) for mask in (first, second, truth))
    kind = np.where(first & second, 1, np.where(first, 2, np.where(second, 3, 4)))
    return np.asarray(table[np.where(truth, kind, 0)])


def shares_of(picture: NDArray[np.uint8]) -> dict[str, float]:
    """Part of the true tessera pixels that has each colour."""
    counts = {name: int((picture == np.array(colour)).all(-1).sum()) for name, colour in COLOURS.items()}
    total = sum(counts.values()) - counts["background"]
    return {name: ratio(count, total) for name, count in counts.items() if name != "background"}


def draw_tesserae(
    prediction: str | Path,
    truth: str | Path,
    *,
    params: EvaluationParams | None = None,
    ignore: str | Path | None = None,
) -> NDArray[np.uint8]:
    """Draw which tesserae were found, missed, or are none.

    Arguments and errors are those of `evaluate_files`.

    Returns
    -------
    NDArray
        `(Y, X, 3)` uint8 on the grid of the truth; what `evaluate_files` counts is drawn. White: a true tessera that
        overlaps with one of the prediction by more than half of both (IoU 0.5); blue: a missed one; orange: what else
        was predicted; grey: left out.

    """
    params = params or EvaluationParams()
    with ExitStack() as stack:
        true = open_truth(truth, params, stack)
        _require_small(true, truth)
        predicted = open_prediction(prediction, params, stack)
        predicted, left_out = true.align(predicted, (str(prediction), str(truth)), ignore)
        whole = Box(0, 0, *true.labels.shape)
        return tessera_colours(predicted.read(whole), true.labels.read(whole), left_out)


def tessera_colours(
    prediction: NDArray[Any], truth: NDArray[Any], left_out: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """The picture `(Y, X, 3)` of labels against true ones, as `draw_tesserae` gives it."""
    tesserae = sort_stones(count_overlaps(prediction, truth, ignore=left_out))
    picture = np.zeros((*truth.shape, 3), np.uint8)
    picture[np.isin(prediction, tesserae.false)] = TESSERA_COLOURS["false"]
    picture[np.isin(truth, tesserae.missed)] = TESSERA_COLOURS["missed"]
    picture[np.isin(truth, tesserae.found)] = TESSERA_COLOURS["found"]
    if left_out is not None:
        picture[left_out] = TESSERA_COLOURS["left out"]
    return picture


def _require_small(true: Truth, name: str | Path) -> None:
    if true.labels.shape[0] * true.labels.shape[1] > _LARGEST:
        raise InputError(f"{name} is too large for one picture; compare a crop of at most 268 megapixels.")


def write_picture(picture: NDArray[np.uint8], path: str | Path, *, overwrite: bool = True) -> Path:
    """Write the picture `(Y, X, 3)` of a comparison as PNG."""
    from PIL import Image

    with replacing(Path(path), overwrite=overwrite) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", pnginfo=png_marks())
    return Path(path)
