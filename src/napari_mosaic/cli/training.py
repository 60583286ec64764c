"""`synthesize`, `train` and `finetune`: drawn sets, and networks that learn from them or from one's own pictures.

One decision: what a run is lies in its folder, so the same command with --resume, or given again, goes on.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_mosaic.areas import read_json
from napari_mosaic.cli.options import Flag, Json, choices_of, options_of, over_preset, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json, run
from napari_mosaic.dependencies import needed_for
from napari_mosaic.training.params import FINETUNE_PRESETS, PRESETS, FinetuneParams, SynthesisParams, TrainParams

if TYPE_CHECKING:
    SynthesisOptions = SynthesisParams
    FinetuneOptions = FinetuneParams
    TrainOptions = TrainParams
else:
    SynthesisOptions = options_of(SynthesisParams)
    FinetuneOptions = choices_of(FinetuneParams, FINETUNE_PRESETS, leave_out=("recipe",))
    TrainOptions = choices_of(TrainParams, PRESETS, leave_out=("freeze",))

Out = Annotated[Path, Parameter(name=("--output", "-o"))]


def synthesize(
    out: Path,
    /,
    *,
    as_json: Json = False,
    params: Annotated[SynthesisOptions, Parameter(name="*")] = SynthesisOptions(),  # noqa: B008 - frozen
) -> int:
    """Draw mosaics with their truth, to train and to test with.

    The folder gets images, masks (joints white), labels (a number for each stone), cores (inner parts of the
    stones) and a contact sheet to look at. The same command goes on with a set that was begun.

    Parameters
    ----------
    out
        Folder for the set.
    as_json
        Write the result as JSON.
    params
        What to draw.

    """
    from napari_mosaic.training.synthesis import SHEET, synthesize_steps

    settings = plain(params, SynthesisParams)
    folder = run(synthesize_steps(out, settings), out.name)
    if as_json:
        answer_json({"folder": str(folder), "count": settings.count, "sheet": str(folder / SHEET)})
    else:
        answer(f"{settings.count:,} drawn mosaics are in {folder}; look at {folder / SHEET}.")
    return 0


def train(
    data: Path | None = None,
    /,
    *,
    output: Out,
    synthetic: Flag = False,
    preset: Literal["mosaic", "grout"] = "mosaic",
    masks: Literal["auto", "labels", "tesserae", "grout"] = "auto",
    name: str | None = None,
    resume: Flag = False,
    as_json: Json = False,
    params: Annotated[TrainOptions, Parameter(name="*")] = TrainOptions(),  # noqa: B008 - frozen
) -> int:
    """Train a network, from a folder of pictures with masks or from mosaics drawn for it.

    The output folder gets the model as NAME.safetensors, the last and the best checkpoint, history.csv with
    curves in history.png, and logs for TensorBoard. Stopped or killed, it goes on with --resume to the result
    that it would have had. Figures in brackets are those of the presets.

    Parameters
    ----------
    data
        Folder with images and masks or labels of the same names.
    output
        Folder for the run.
    synthetic
        Learn from drawn mosaics instead of a folder.
    preset
        Recipe: mosaic (the bundled model's) or grout (GROUT's).
    masks
        What the masks show: labels (a number for each stone), tesserae (stones white) or grout (joints white);
        auto takes labels where there are any, else white joints.
    name
        Name of the model; that of the output folder by default.
    resume
        Go on with the run in the output folder.
    as_json
        Write the result as JSON.
    params
        What differs from the preset.

    """
    if (data is None) != synthetic:
        raise UsageError("There must be one thing to learn from; give a folder of pictures, or --synthetic.")
    settings = over_preset(params, PRESETS[preset])
    with needed_for("Training"):
        from napari_mosaic.training.export import export_weights
        from napari_mosaic.training.run import train_steps

    checkpoint = run(train_steps(output, settings, data=data, masks=masks, resume=resume), output.name)
    name = name or output.resolve().name
    on = "drawn mosaics alone" if data is None else f"pictures of {data.resolve().name}"
    about: dict[str, Any] = {}
    if name != "grout-lite":
        about = {"licence": "as its owner says", "summary": f"Trained here on {on}."}
    path = export_weights(checkpoint, output / f"{name}.safetensors", name=name, command=_command(), **about)
    return _tell(path, output, as_json=as_json)


def finetune(
    source: Path,
    /,
    *,
    output: Out,
    preset: Literal["mosaic", "grout"] = "mosaic",
    resume: Flag = False,
    as_json: Json = False,
    params: Annotated[FinetuneOptions, Parameter(name="*")] = FinetuneOptions(),  # noqa: B008 - frozen
) -> int:
    """Teach a model your mosaic, from a few corrected pictures or windows; takes minutes.

    Parameters
    ----------
    source
        Folder with images and masks of the same names, or a mosaic record in which windows are marked as finished.
    output
        Folder for the run and the new model.
    preset
        Recipe: mosaic (forgets little) or grout (GROUT's two stages: rates 1e-4 and 1e-6, 20 and 10 epochs).
    resume
        Go on with the run in the output folder.
    as_json
        Write the result as JSON.
    params
        What differs from the preset.

    """
    with needed_for("Fine-tuning"):
        from napari_mosaic.training.run import finetune_steps

    begin = FINETUNE_PRESETS[preset]
    settings = over_preset(params, begin if params.steps is None else replace(begin, epochs=0))
    path = run(finetune_steps(source, output, settings, resume=resume), output.name)
    last = "1" if settings.stage == "1" else "2"
    return _tell(path, output / f"stage{last}", as_json=as_json)


def _tell(path: Path, folder: Path, *, as_json: bool) -> int:
    """Say where the model is and how good it is: that file, not the state in which the run ended."""
    from napari_mosaic.training.history import read_history

    with needed_for("Training"):
        from napari_mosaic.training.loop import DELIVERED

    rows, delivered = read_history(folder), read_json(folder / DELIVERED)
    if as_json:
        answer_json({"model": str(path), "delivered": delivered, "history": rows})
        return 0
    best = "" if delivered["step"] == delivered["of"] else f", the best of {delivered['of']:,}"
    found = [
        f"{figures_of(delivered[part])} on {words}"
        for part, words in (("validation", "pictures that it did not learn from"), ("test", "the test pictures"))
        if delivered[part]
    ]
    if not found:
        loss = next((row["loss"] for row in rows if row["step"] == delivered["step"]), None)
        found = [
            "no picture was kept back to judge it by" + ("" if loss is None else f", loss while learning {loss:.3f}")
        ]
    answer(
        f"The model is {path} after {delivered['step']:,} steps{best}: {'; '.join(found)}. Give it with --model {path}."
    )
    return 0


def figures_of(values: dict[str, float]) -> str:
    """Figures of a model in words, in their order."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in values.items())


def _command() -> str:
    return " ".join(["napari-mosaic", *sys.argv[1:]])
