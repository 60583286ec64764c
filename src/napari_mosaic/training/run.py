"""Train the grout network from drawn mosaics or pictures with masks, or teach a model a mosaic of one's own.

One decision: a model that is taught rehearses what it knew, the norms keep their statistics, the decoder learns before
the encoder does, and the result is the mean of the weights before and after; few pictures change little else then.

References
----------
Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022 (the mean of the weights).

"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from napari_mosaic.errors import InputError
from napari_mosaic.folder_lock import working_in
from napari_mosaic.grout import read_model
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.training.checkpoints import BEST, LAST, read_checkpoint
from napari_mosaic.training.data import Mixture
from napari_mosaic.training.export import delivered_weights, export_weights
from napari_mosaic.training.learner import GroutLearner
from napari_mosaic.training.loop import begin_run, claim_folder, note_delivered, run_steps
from napari_mosaic.training.network import check_encoder
from napari_mosaic.training.params import PRESETS, FinetuneParams, TrainParams
from napari_mosaic.training.sources import (
    Masks,
    Material,
    Stored,
    draw_material,
    folder_material,
    open_stored,
    rehearsal,
    split,
    store_agreed,
    store_folder,
    store_record,
)
from napari_mosaic.training.validation import middle_crops, validate
from napari_mosaic.weights import find_weights

_ROUNDS = 6
"""Rounds of a stage, each with its checkpoint. *Not varied.*"""
_SLOWER = 5.0
"""Stage 2 learns so many times more slowly. *Not varied.*"""
_GROUT_STAGE = replace(
    PRESETS["grout"], optimiser="adamw", patience=3, least_rate=0.0, early_stop=10, clip=0.0, geometry="mix",
    test_part=0.0,
)  # fmt: skip
"""What GROUT's fine-tuning does otherwise than its training (Lovecky 2026)."""
_DRAWING_SIZE = 320
"""Least side of the mosaics to rehearse on, px: that of the bundled weights' training."""


@dataclass(frozen=True)
class Delivery:
    """That the run's model is passed on, as the mean with the weights `before` in which these have the part `keep`."""

    before: Mapping[str, Tensor] | None = None
    keep: float = 0.0


def train(
    out: str | Path,
    params: TrainParams | None = None,
    *,
    data: str | Path | None = None,
    masks: Masks = "auto",
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train to the end and return the checkpoint that the run is for; see `train_steps`.

    Examples
    --------
    >>> from napari_mosaic.training import TrainParams, train
    >>> train("run", TrainParams(minutes=30))  # doctest: +SKIP
    """
    return drain(train_steps(out, params, data=data, masks=masks, resume=resume), on_progress)


def train_steps(
    out: str | Path,
    params: TrainParams | None = None,
    *,
    data: str | Path | None = None,
    masks: Masks = "auto",
    resume: bool = False,
) -> Steps[Path]:
    """Train a network in the folder `out`, from drawn mosaics or from a folder of pictures with masks.

    Parameters
    ----------
    out
        Folder for `pool/` or `data/`, `checkpoint.pt`, `best.pt`, `history.csv`, `history.png`, `tensorboard/`, and
        at the end `delivered.json` and `test.json`: how good the file is that `export_weights` makes of the
        `chosen_checkpoint`.
    params
        Parameters; None takes the defaults, those of the bundled weights. `PRESETS` has others.
    data
        A folder with `images/` and `masks/` or `labels/`; None draws mosaics.
    masks
        What the masks of `data` show; `auto` takes `labels/` where it is there, else white joints in `masks/`.
    resume
        Go on from `checkpoint.pt` in `out`, where there is one.

    Yields
    ------
    Progress
        Drawings or pictures, then steps.

    Returns
    -------
    Path
        The `chosen_checkpoint`, to be passed to `export_weights`: the last, `checkpoint.pt`, or with a plateau
        schedule `best.pt`, which did best on validation.

    Raises
    ------
    MosaicError
        One of its kinds: data that cannot be learned from, a loss that is no number, a full disk.
    """
    params, out = params or TrainParams(), Path(out)
    check_encoder(params.encoder)
    with working_in(out, "a training"):
        claim_folder(out, resume, params, GroutLearner.free)
        if data is None:
            material = yield from draw_material(out, params)
        else:
            material = yield from folder_material(Path(data), out, params, masks)
        yield from run_material(out, params, material, resume=resume, delivery=Delivery())
        return chosen_checkpoint(out, params)


def run_material(
    out: Path,
    params: TrainParams,
    material: Material,
    *,
    resume: bool,
    phase: str = "train",
    delivery: Delivery | None = None,
) -> Steps[Path]:
    """Train on material that is there already; `train_steps` without the drawing or reading.

    With a `delivery` the model that is passed on is judged at the end, not the last one.
    """
    learner = GroutLearner(params, material)
    begin_run(out, learner, resume=resume)
    yield from run_steps(out, learner, phase)
    if delivery is not None:
        _judge_delivered(out, learner, delivery)
    return out / LAST


def _judge_delivered(out: Path, learner: GroutLearner, delivery: Delivery) -> None:
    """Judge the weights that are passed on, to the last digit as in their file, and note the figures."""
    content = read_checkpoint(chosen_checkpoint(out, learner.params))
    weights = delivered_weights(content, delivery.before, delivery.keep)
    network, material = learner.average, learner.material
    network.load_state_dict({name: v.float() if v.is_floating_point() else v for name, v in weights.items()})
    judged, tested = (validate(network, crops, learner.recipe) for crops in (material.validation, material.test))
    about = {"step": int(content["step"]), "of": learner.course.step}
    note_delivered(out, about, judged, tested, {"pictures": len(material.test)})


def chosen_checkpoint(out: Path, params: TrainParams) -> Path:
    """The checkpoint that a run is for: the last of a full cycle, the best of a plateau schedule."""
    best = out / BEST
    return best if params.schedule == "plateau" and best.exists() else out / LAST


def finetune(
    source: str | Path,
    out: str | Path,
    params: FinetuneParams | None = None,
    *,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Fine-tune to the end and return the weights file; see `finetune_steps`.

    Examples
    --------
    >>> from napari_mosaic.training import finetune
    >>> weights = finetune("floor.mosaic.zarr", "floor-model")  # doctest: +SKIP
    """
    return drain(finetune_steps(source, out, params, resume=resume), on_progress)


def finetune_steps(
    source: str | Path, out: str | Path, params: FinetuneParams | None = None, *, resume: bool = False
) -> Steps[Path]:
    """Go on training a model on pictures of one's own.

    Parameters
    ----------
    source
        A folder with `images/` and `masks/`, or a mosaic record with windows marked as finished; where `masks` are
        "agreed", a folder of photographs.
    out
        Folder for what is read, checkpoints, histories and the weights; `delivered.json` of the last stage tells
        how good these are on the pictures that were kept back.
    params
        Model, stage, and how long.
    resume
        Go on with what is in `out`.

    Yields
    ------
    Progress
        Pictures, drawings, then the steps of each stage.

    Returns
    -------
    Path
        `NAME.safetensors` in `out`, named like the folder: can be given wherever a model is asked for.

    Raises
    ------
    MosaicError
        One of its kinds: pictures or masks that cannot be learned from, no finished window, a full disk.
    """
    params, source, out = params or FinetuneParams(), Path(source), Path(out)
    with working_in(out, "a training"):
        return (yield from _finetune(source, out, params, resume))


def _finetune(source: Path, out: Path, params: FinetuneParams, resume: bool) -> Steps[Path]:
    stages: tuple[Literal["1", "2"], ...] = ("1", "2") if params.stage == "both" else (params.stage,)
    entry = find_weights(params.model)
    for stage in stages:
        claim_folder(out / f"stage{stage}", resume, _recipe(params, stage, str(entry.path)), GroutLearner.free)
    network, card = read_model(entry)
    stored = open_stored(out / "data") if resume else None
    if stored is None:
        stored = yield from _store(source, out / "data", params, card.tessera_px)
    material = yield from _mix(stored, out, params)
    model, checkpoint = str(entry.path), out
    for stage in stages:
        recipe = _recipe(params, stage, model)
        folder = out / f"stage{stage}"
        delivery = Delivery(network.state_dict(), params.keep) if stage == stages[-1] else None
        steps = run_material(folder, recipe, material, resume=resume, phase=f"stage {stage}", delivery=delivery)
        yield from steps
        checkpoint = chosen_checkpoint(folder, recipe)
        model = str(checkpoint)
    name = out.resolve().name
    return export_weights(
        checkpoint, out / f"{name}.safetensors", name=name, command=f"napari-mosaic finetune {source}",
        licence=card.licence, summary=f"{card.name}, fine-tuned on {source.name}.", halo=card.halo,
        before=network.state_dict(), keep=params.keep,
    )  # fmt: skip


def _store(source: Path, out: Path, params: FinetuneParams, tessera_px: float) -> Steps[Stored]:
    if (source / "mosaic.json").exists():
        return (yield from store_record(source, out))
    if params.masks == "agreed":
        return (yield from store_agreed(source, out, params.model))
    return (yield from store_folder(source, out, masks=params.masks, tessera_px=tessera_px))


def _mix(stored: Stored, out: Path, params: FinetuneParams) -> Steps[Material]:
    """The pictures that are learned from, with drawn mosaics beside them."""
    train, validation, _ = split(len(stored), params.seed, params.validation_part, 0.0)
    known = stored.take(train)
    judged = middle_crops(stored.take(validation))
    if params.rehearsal == 0:
        return Material(Mixture((known,)), judged, [])
    drawn = yield from rehearsal(out, _recipe(params, "1", params.model))
    return Material(Mixture((known, drawn), (1 - params.rehearsal, params.rehearsal)), judged, [])


def _recipe(params: FinetuneParams, stage: Literal["1", "2"], model: str) -> TrainParams:
    """The training run that a stage is."""
    first = stage == "1"
    if round(params.batch * (1 - params.rehearsal)) < 1:
        raise InputError(
            f"Of {params.batch} crops a step none would be from your pictures with a rehearsal of {params.rehearsal}; "
            "give a larger batch or a smaller rehearsal."
        )
    how = _GROUT_STAGE if params.recipe == "grout" else TrainParams(ema=0.97, freeze="encoder" if first else "norms")
    freeze = ("encoder-weights" if first else "nothing") if params.recipe == "grout" else how.freeze
    epochs = params.epochs_of(int(stage)) or None
    return replace(
        how, start=model, steps=None if epochs else params.steps, epochs=epochs, batch=params.batch, side=params.side,
        rate=params.rate if first else params.later_rate or params.rate / _SLOWER, encoder_rate=0.0 if first else 1.0,
        freeze=freeze, drawings=params.drawings, geometry=params.geometry, validation=0,
        drawing_size=max(_DRAWING_SIZE, params.side),
        round_steps=0 if epochs else max(1, params.steps // _ROUNDS), seed=params.seed + (0 if first else 1),
        device=params.device, processes=params.processes, workers=params.workers,
    )  # fmt: skip
