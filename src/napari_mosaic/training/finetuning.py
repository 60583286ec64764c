"""Teach a model a mosaic of one's own: from a few pictures with masks, or from the finished windows of a record.

One decision: what it knew is rehearsed while it learns, the norms keep their statistics, the decoder learns
before the encoder does, and the result is the mean of the weights before and after; few pictures change little
else then.

References
----------
Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022 (the mean of the weights).

"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from napari_mosaic.errors import InputError
from napari_mosaic.folder_lock import working_in
from napari_mosaic.grout import read_model
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.training.data import Mixture
from napari_mosaic.training.export import export_weights
from napari_mosaic.training.loop import claim_folder
from napari_mosaic.training.params import FinetuneParams, TrainParams
from napari_mosaic.training.run import Delivery, run_material
from napari_mosaic.training.sources import (
    Material,
    Stored,
    open_stored,
    rehearsal,
    split,
    store_folder,
    store_record,
)
from napari_mosaic.training.validation import middle_crops
from napari_mosaic.weights import find_weights

_ROUNDS = 6
"""Rounds of a stage, each with its checkpoint. *Not varied.*"""
_SLOWER = 5.0
"""Stage 2 learns so many times more slowly. *Not varied.*"""
_DRAWING_SIZE = 320
"""Least side of the mosaics to rehearse on, px: that of the bundled weights' training."""


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
        A folder with `images/` and `masks/`, or a mosaic record with windows marked as finished.
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
    for stage in stages:
        claim_folder(out / f"stage{stage}", resume)
    entry = find_weights(params.model)
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
        checkpoint = yield from steps
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
    return TrainParams(
        start=model, steps=params.steps, batch=params.batch, side=params.side,
        rate=params.rate if first else params.rate / _SLOWER, encoder_rate=0.0 if first else 1.0,
        freeze="encoder" if first else "norms", ema=0.97, drawings=params.drawings, validation=0,
        drawing_size=max(_DRAWING_SIZE, params.side), round_steps=max(1, params.steps // _ROUNDS),
        seed=params.seed + (0 if first else 1), device=params.device, processes=params.processes,
        workers=params.workers,
    )  # fmt: skip
