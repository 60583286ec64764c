"""`sam2-finetune` and `sam2-tune`: SAM 2 learns a kind of mosaic, and its thresholds are fitted to it.

One decision: as with `train`, what a run is lies in its folder, so the same command with --resume goes on.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json, choices_of, options_of, over_preset, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json, run
from napari_mosaic.dependencies import needed_for
from napari_mosaic.sam.params import PRESETS as SAM_PRESETS
from napari_mosaic.sam.params import SamParams
from napari_mosaic.training.sam.params import PRESETS, SamTrainParams, SamTuneParams
from napari_mosaic.tuning.handed import BEST

if TYPE_CHECKING:
    SamOptions = SamTrainParams
    ModelOptions = SamParams
    TuneOptions = SamTuneParams
else:
    SamOptions = choices_of(SamTrainParams, PRESETS)
    ModelOptions = choices_of(SamParams, SAM_PRESETS, leave_out=("into", "use_m2m", "merge_below"))
    TuneOptions = options_of(SamTuneParams)

Preset = Annotated[Literal["ours", "mosaic-sam2"], Parameter(name="--sam2-preset")]
Out = Annotated[Path, Parameter(name=("--output", "-o"))]


def sam2_finetune(
    *data: Path,
    output: Out,
    synthetic: Flag = False,
    preset: Literal["mosaic-sam2", "small"] = "mosaic-sam2",
    masks: Literal["auto", "labels", "tesserae", "grout"] = "auto",
    grid: Flag = False,
    half: Flag = False,
    resume: Flag = False,
    as_json: Json = False,
    params: Annotated[SamOptions, Parameter(name="*")] = SamOptions(),  # noqa: B008 - frozen
) -> int:
    """Fine-tune SAM 2 on pictures whose tesserae are drawn, or train a small one from chance.

    The output folder gets the model as NAME.safetensors, the last and the best checkpoint, split.json, history.csv
    with curves in history.png, and logs for TensorBoard. Figures in brackets are those of the presets.

    Parameters
    ----------
    data
        Folders with images and masks (tesserae white) or labels of the same names, JSON files of Label Studio or
        COCO, or records in which windows are marked as finished.
    output
        Folder for the run.
    synthetic
        Learn from drawn mosaics instead.
    preset
        Recipe: mosaic-sam2 (as published) or small (our own model, from chance).
    masks
        What the masks show: labels (a number for each stone), tesserae (stones white) or grout (joints white); auto
        takes labels where there are any, else white stones.
    grid
        Run the published grid of learning rates, weight decays and batches, and keep the best model.
    half
        Write the model in half precision.
    resume
        Go on with the run in the output folder.
    as_json
        Write the result as JSON.
    params
        What differs from the preset.

    """
    if bool(data) == synthetic:
        raise UsageError("There must be one thing to learn from; give folders, files or records, or --synthetic.")
    settings = over_preset(params, PRESETS[preset])
    with needed_for("Fine-tuning SAM 2", extra="sam2"):
        from napari_mosaic.training.sam.finetuning import finetune_sam_steps, grid_steps

    words = " ".join(["napari-mosaic", *sys.argv[1:]])
    if grid:
        steps = grid_steps(data, output, settings, masks=masks, command=words, half=half)
    else:
        steps = finetune_sam_steps(data, output, settings, masks=masks, resume=resume, command=words, half=half)
    _tell(run(steps, output.name), output, grid=grid, as_json=as_json)
    return 0


def _tell(path: Path, folder: Path, *, grid: bool, as_json: bool) -> None:
    """Say where the model is, how it does, and how the one did that it began with."""
    from napari_mosaic.training.history import read_history

    with needed_for("Fine-tuning SAM 2", extra="sam2"):
        from napari_mosaic.training.loop import DELIVERED
        from napari_mosaic.training.sam.finetuning import BEFORE, GRID

    rows = _read_json(folder / GRID) if grid else read_history(folder)
    before, delivered = {} if grid else _read_json(folder / BEFORE), _read_json(folder / DELIVERED)
    if as_json:
        named = {"grid" if grid else "history": rows}
        answer_json({"model": str(path), "before": before, "delivered": delivered, **named})
        return
    of_test = ("accuracy", "precision", "recall", "pixel_iou")
    names = ("iou", "dice", "automatic_dice", "automatic_f1")
    validation, step = delivered["validation"], delivered["step"]
    figures = ", ".join(_change(name, before, validation) for name in names if name in validation)
    if delivered["test"]:
        tested = ", ".join(
            _change(name, {}, delivered["test"]) for name in (*names, *of_test) if name in delivered["test"]
        )
        figures = f"{figures}; on the test crops {tested}"
    run_number = f"run {max(rows, key=lambda row: float(row['score']))['run']}, " if grid else ""
    answer(
        f"The model is {path}, of {run_number}step {step:,}: {figures or _UNJUDGED}. Give it with --sam2.model {path}."
    )


_UNJUDGED = (
    "nobody knows how good it is, because nothing was kept back to judge it by (that takes two pictures, better two "
    "mosaics, and --validation-part above 0)"
)


def _change(name: str, before: dict[str, float], after: dict[str, float]) -> str:
    was = f" (before {before[name]:.3f})" if name in before else ""
    return f"{name.replace('_', ' ')} {after[name]:.3f}{was}"


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def sam2_tune(
    *data: Path,
    output: Out,
    sam2_preset: Preset = "mosaic-sam2",
    masks: Literal["auto", "labels", "tesserae", "grout"] = "auto",
    as_json: Json = False,
    sam2: Annotated[ModelOptions, Parameter(name="--sam2", group="SAM 2")] = ModelOptions(),  # noqa: B008 - frozen
    params: Annotated[TuneOptions, Parameter(name="*")] = TuneOptions(),  # noqa: B008 - frozen
) -> int:
    """Find better thresholds for SAM 2's automatic masks, from a few crops whose tesserae are drawn.

    The network answers once; its answers are kept and searched. Give the same command again to go on after a stop, or
    with more --trials to search longer.

    Parameters
    ----------
    data
        Folders with images and masks or labels, JSON files of Label Studio or COCO, or records with finished windows.
    output
        Folder for the search, its diagrams and best.json.
    sam2_preset
        The settings that the search begins with.
    masks
        What the masks in folders show.
    as_json
        Write the result as JSON.
    sam2
        The model, and what differs from the preset.
    params
        How to search.

    """
    if not data:
        raise UsageError("Tuning needs a truth to compare with; name at least one folder, file or record.")
    with needed_for("Tuning SAM 2", extra="sam2"):
        from napari_mosaic.training.sam.tuning import tune_sam_steps

    settings = over_preset(sam2, SAM_PRESETS[sam2_preset])
    found = run(tune_sam_steps(data, output, settings, plain(params, SamTuneParams), masks=masks), output.name)
    if as_json:
        answer_json(asdict(found))
        return 0
    crops = f"{found.crops} crops" if found.crops > 1 else "one crop"
    answer(f"{found.goal} {found.before:.4f} before, {found.score:.4f} after {found.trials} trials on {crops}:")
    for name, value in found.best.items():
        answer(f"  {name.replace('_', '-'):<23} {value:.3g}")
    answer(f"napari-mosaic segment PHOTOGRAPH --params {output / BEST}")
    return 0
