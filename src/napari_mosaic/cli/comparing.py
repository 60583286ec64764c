"""`evaluate`: a record, labels or a mask against the truth.

One decision: the best-overlap figures of the field are never printed without the one-to-one matching,
because alone they flatter.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_mosaic.cli.options import Json, options_of, plain
from napari_mosaic.cli.output import answer, answer_json, answer_table
from napari_mosaic.evaluation import Evaluation, EvaluationParams, evaluate_files

if TYPE_CHECKING:
    EvaluationOptions = EvaluationParams
else:
    EvaluationOptions = options_of(EvaluationParams)

_SHOWN = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)


def evaluate(
    prediction: Path,
    truth: Path,
    /,
    *,
    ignore: Path | None = None,
    as_json: Json = False,
    params: Annotated[EvaluationOptions, Parameter(name="*")] = EvaluationOptions(),  # noqa: B008 - frozen
) -> int:
    """Compare a record, labels or a mask with the truth.

    Parameters
    ----------
    prediction
        Record, label image or mask.
    truth
        The same, or NAME.json with the place of the labels NAME.png in the photograph.
    ignore
        Leave this out: mask image, GeoJSON, or JSON with a list of boxes.
    as_json
        Write the result as JSON.
    params
        What the pixels of the files mean.

    """
    found = evaluate_files(prediction, truth, params=plain(params, EvaluationParams), ignore=ignore)
    if as_json:
        answer_json(found.to_dict())
    else:
        show(found)
    return 0


def show(found: Evaluation) -> None:
    """Write the figures of a comparison."""
    metrics, pixels, grout = found.metrics, found.metrics.pixels, found.grout
    answer_table(
        [
            ("tesserae, true / predicted", f"{metrics.truth} / {metrics.predicted}"),
            ("Cnt, Prec, Rec, Fm", _figures(metrics.cnt, metrics.prec, metrics.rec, metrics.fm)),
            ("mean best IoU", _figures(metrics.mean_best_iou)),
            ("pixel IoU, Dice, accuracy", _figures(pixels.iou, pixels.dice, pixels.accuracy)),
            ("pixel precision, recall", _figures(pixels.precision, pixels.recall)),
            ("grout boundary F, clDice", grout and _figures(grout.boundary_f, grout.centreline_dice)),
        ]
    )
    answer("")
    answer("matching    F1     precision  recall  PQ     matched IoU")
    for matching in (metrics.at(threshold) for threshold in _SHOWN):
        answer(
            f"IoU > {matching.threshold:<5.2f} {matching.f1:.3f}  {matching.precision:.3f}      "
            f"{matching.recall:.3f}   {matching.panoptic_quality:.3f}  {matching.mean_matched_iou:.3f}"
        )


def _figures(*values: float) -> str:
    return "  ".join(f"{value:.3f}" for value in values)
