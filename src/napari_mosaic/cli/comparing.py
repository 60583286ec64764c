"""`evaluate` and `compare-models`: a record, labels or a mask against the truth; a folder of them; two of them.

One decision: the best-overlap figures of the field are never printed without the one-to-one matching,
because alone they flatter.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_mosaic.cli.options import Json, options_of, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json, answer_table, run, say
from napari_mosaic.evaluation.files import Evaluation, EvaluationParams, evaluate_files, is_label_layer
from napari_mosaic.evaluation.folders import evaluate_folders_steps, pair_files, table_of, write_report
from napari_mosaic.evaluation.models import compare_models_steps, name_models, write_comparison
from napari_mosaic.evaluation.pictures import compare_predictions, draw_tesserae, write_picture
from napari_mosaic.metrics import SLIVER

if TYPE_CHECKING:
    EvaluationOptions = EvaluationParams
else:
    EvaluationOptions = options_of(EvaluationParams)

_SHOWN = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
"""IoU that are printed of `metrics.THRESHOLDS`; all are in the JSON."""


def evaluate(
    prediction: Path,
    truth: Path,
    /,
    *,
    against: Path | None = None,
    picture: Path | None = None,
    ignore: Path | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    as_json: Json = False,
    params: Annotated[EvaluationOptions, Parameter(name="*")] = EvaluationOptions(),  # noqa: B008 - frozen
) -> int:
    """Compare a record, labels or a mask with the truth; or a folder of them with a folder of truths.

    Parameters
    ----------
    prediction
        Record, RECORD/labels/NAME (one of its labels, such as sam2), label image or mask; or a folder of them.
    truth
        The same (of a record its tesserae), or NAME.json with the place of the labels NAME.png in the photograph; or a
        folder with files of the same names.
    against
        A second prediction (or folder) as the baseline.
    picture
        The picture to write, or the folder for several (white: found, blue: missed, orange: no tessera by the truth;
        with --against, by pixels, white: both right, green: only the first, red: only the baseline, blue: both missed).
    ignore
        Leave this out: mask image, GeoJSON, or JSON with a list of boxes.
    output
        Also write the table to this CSV or JSON file.
    as_json
        Write the result as JSON.
    params
        What the pixels of the files mean.

    """
    settings = plain(params, EvaluationParams)
    if _is_folder(prediction) or _is_folder(truth):
        if ignore is not None:
            raise UsageError("--ignore belongs to one image; compare the images of a folder without it.")
        return _evaluate_folders(prediction, truth, against, picture, (output, as_json, settings))
    if against is not None:
        return _compare(prediction, against, truth, picture, (output, as_json, settings, ignore))
    found, joints = evaluate_files(prediction, truth, params=settings, ignore=ignore), settings.truth_is == "grout"
    if picture is not None:
        write_picture(draw_tesserae(prediction, truth, params=settings, ignore=ignore), picture)
    if output is not None:
        write_report(output, found.to_dict(), table_of({truth.stem: found}).to_csv(joints=joints))
    if as_json:
        answer_json(found.to_dict())
    else:
        show(found, joints=joints)
    return 0


def compare_models(
    truths: Path,
    /,
    *predictions: Path,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    runs: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    as_json: Json = False,
    params: Annotated[EvaluationOptions, Parameter(name="*")] = EvaluationOptions(),  # noqa: B008 - frozen
) -> int:
    """Compare many models on pictures with truth: models.csv, models.json, bars.png, and curves.png of their runs.

    Parameters
    ----------
    truths
        Folder with the truths.
    predictions
        A folder a model, as segment -o or export fill it: records, labels or masks with the names of the truths.
    output
        Folder for the table and the pictures; it is made.
    runs
        Folders of training runs, whose histories are drawn into curves.png.
    as_json
        Write the result as JSON.
    params
        What the pixels of the files mean.

    """
    settings = plain(params, EvaluationParams)
    joints = settings.truth_is == "grout"
    found = run(compare_models_steps(name_models(predictions), truths, params=settings), output.name)
    written = write_comparison(found, output, joints=joints)
    if runs:
        from napari_mosaic.training.curves import plot_runs

        written.append(plot_runs(runs, output / "curves.png"))
    if as_json:
        answer_json(found.to_dict())
        return 0
    answer(found.to_text(joints=joints))
    say(_rule(settings))
    say("Written: " + ", ".join(map(str, written)))
    return 0


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not (path / "mosaic.json").exists() and not is_label_layer(path)


def _evaluate_folders(
    prediction: Path,
    truth: Path,
    against: Path | None,
    picture: Path | None,
    how: tuple[Path | None, bool, EvaluationParams],
) -> int:
    """A table an image; with a baseline a second one, and a picture an image."""
    output, as_json, settings = how
    tables = {"": run(evaluate_folders_steps(prediction, truth, params=settings), prediction.name)}
    if against is not None:
        tables["baseline "] = run(evaluate_folders_steps(against, truth, params=settings), against.name)
    if picture is not None:
        _draw_all(prediction, against, truth, picture, settings)
    values = {(name.strip() or "prediction"): table.to_dict() for name, table in tables.items()}
    first, joints = tables[""], settings.truth_is == "grout"
    if output is not None:
        write_report(output, first.to_dict() if against is None else values, first.to_csv(joints=joints))
    if as_json:
        answer_json(first.to_dict() if against is None else values)
        return 0
    for name, table in tables.items():
        if against is not None:
            answer(f"{name}{against if name else prediction}")
        answer(table.to_text(joints=joints))
    say(_rule(settings))
    return 0


def _draw_all(prediction: Path, against: Path | None, truth: Path, folder: Path, settings: EvaluationParams) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    others = {} if against is None else pair_files(against, truth)
    for name, (first, true) in pair_files(prediction, truth).items():
        if against is None:
            drawn = draw_tesserae(first, true, params=settings)
        else:
            drawn = compare_predictions(first, others[name][0], true, params=settings).picture
        write_picture(drawn, folder / f"{name}.png")


def _compare(
    prediction: Path,
    against: Path,
    truth: Path,
    picture: Path | None,
    how: tuple[Path | None, bool, EvaluationParams, Path | None],
) -> int:
    """Two predictions of one image, line by line, and their picture."""
    output, as_json, settings, ignore = how
    found = compare_predictions(prediction, against, truth, params=settings, ignore=ignore)
    if picture is not None:
        write_picture(found.picture, picture)
    table = table_of({str(prediction): found.first, str(against): found.second})
    values, joints = {**table.to_dict(), "shares": found.shares}, settings.truth_is == "grout"
    if output is not None:
        write_report(output, values, table.to_csv(joints=joints))
    if as_json:
        answer_json(values)
        return 0
    answer(table.to_text(mean=False, joints=joints))
    say(_rule(settings))
    answer("of the true tesserae's pixels: " + ", ".join(f"{k} {100 * v:.1f} %" for k, v in found.shares.items()))
    return 0


def _rule(settings: EvaluationParams) -> str:
    """Which regions a table counts."""
    if settings.slivers == "count":
        return "Every region counts; --slivers leave-out takes small ones that an edge has cut off for slivers."
    return (
        f"Slivers under {SLIVER:.0%} of the median true tessera are left out (true ones anywhere, predicted ones at "
        "the edge); --slivers count takes all regions."
    )


def show(found: Evaluation, *, joints: bool = False) -> None:
    """Write the figures of a comparison; with `joints` those of the joints first, and no pixels of tesserae."""
    metrics, pixels = found.metrics, found.metrics.pixels
    tesserae = [
        ("tesserae, true / predicted", f"{metrics.truth} / {metrics.predicted}"),
        ("Cnt, Prec, Rec, Fm", _figures(metrics.cnt, metrics.prec, metrics.rec, metrics.fm)),
        ("mean best IoU", _figures(metrics.mean_best_iou)),
    ]
    if joints:
        answer("Joints:")
        answer_table(_joint_rows(found))
        answer("")
        answer("Tesserae between the joints:")
        answer_table(tesserae)
    else:
        tesserae += [
            ("pixel IoU, Dice, accuracy", _figures(pixels.iou, pixels.dice, pixels.accuracy)),
            ("pixel precision, recall", _figures(pixels.precision, pixels.recall)),
        ]
        answer_table([*tesserae, *((f"joints: {name}", value) for name, value in _joint_rows(found))])
    answer("")
    answer("matching    F1     precision  recall  PQ     matched IoU")
    for matching in (metrics.at(threshold) for threshold in _SHOWN):
        answer(
            f"IoU > {matching.threshold:<5.2f} {matching.f1:.3f}  {matching.precision:.3f}      "
            f"{matching.recall:.3f}   {matching.panoptic_quality:.3f}  {matching.mean_matched_iou:.3f}"
        )
    answer("")
    answer(found.sliver_rule)


def _joint_rows(found: Evaluation) -> list[tuple[str, str | None]]:
    joints, grout = found.metrics.joint_pixels, found.grout
    return [
        ("Dice, IoU, accuracy", _figures(joints.dice, joints.iou, joints.accuracy)),
        ("precision, recall", _figures(joints.precision, joints.recall)),
        ("boundary F, clDice", None if grout is None else _figures(grout.boundary_f, grout.centreline_dice)),
    ]


def _figures(*values: float) -> str:
    return "  ".join(f"{value:.3f}" for value in values)
