"""Train a network: one generator, stopped and resumed at any step.

One decision: nothing in a run follows the clock. Minutes become a number of steps by a short trial, the
crops of a step follow from seed and step, and validation, history and checkpoint come together in rounds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from napari_mosaic.errors import InputError
from napari_mosaic.folder_lock import working_in
from napari_mosaic.grout import choose_device
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import write_error
from napari_mosaic.training.batches import batches
from napari_mosaic.training.export import delivered_weights
from napari_mosaic.training.history import History
from napari_mosaic.training.params import TrainParams
from napari_mosaic.training.pool import write_json
from napari_mosaic.training.sources import Masks, Material, draw_material, folder_material
from napari_mosaic.training.state import (
    BEST,
    LAST,
    State,
    load_checkpoint,
    rate_at,
    read_checkpoint,
    save_checkpoint,
    start_state,
    take_step,
)
from napari_mosaic.training.validation import validate

USUAL_STEPS = 5000
NOTE, TEST, DELIVERED = "run.json", "test.json", "delivered.json"
_TRIAL = 24
_WARM = 6
_FREE = {"steps", "minutes", "epochs", "start", "processes", "workers", "device"}
"""Parameters that may change when a run goes on."""


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
    with working_in(out, "a training"):
        check_folder(out, resume)
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
    state = _begin(out, params, material, resume)
    history = History(out, state.step)
    try:
        yield from _loop(out, params, state, material, history, phase)
    except GeneratorExit:
        save_checkpoint(out / LAST, state, params)
        raise
    finally:
        history.close()
    if delivery is not None:
        _judge_delivered(out, params, state, material, delivery)
    return out / LAST


def _judge_delivered(out: Path, params: TrainParams, state: State, material: Material, delivery: Delivery) -> None:
    """Judge the weights that are passed on, to the last digit as in their file, and note the figures."""
    content = read_checkpoint(chosen_checkpoint(out, params))
    weights = delivered_weights(content, delivery.before, delivery.keep)
    state.average.load_state_dict({name: v.float() if v.is_floating_point() else v for name, v in weights.items()})
    judged, tested = (validate(state.average, crops, state.recipe) for crops in (material.validation, material.test))
    step = int(content["step"])
    write_json(out / DELIVERED, {"step": step, "of": state.step, "validation": judged, "test": tested})
    if tested:
        write_json(out / TEST, {"pictures": len(material.test), "step": step, **tested})


def check_folder(out: Path, resume: bool) -> None:
    """Raise `InputError` where `out` holds a run that would be lost; make the folder."""
    if not resume and (out / LAST).exists():
        raise InputError(
            f"{out} holds a training run already, which would be lost; add --resume to go on with it, or give "
            "another folder."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(out, error) from error


def check_same(path: Path, now: dict[str, Any], before: dict[str, Any], free: set[str]) -> None:
    """Raise `InputError` where a run goes on with other parameters than it began with; `free` ones may differ."""
    for name in now.keys() & before.keys() - free:
        if now[name] != before[name]:
            raise InputError(
                f"{path.parent} was begun with {name.replace('_', ' ')} {before[name]}, not {now[name]}; go on with "
                "the same options, or train anew in another folder."
            )


def chosen_checkpoint(out: Path, params: TrainParams) -> Path:
    """The checkpoint that a run is for: the last of a full cycle, the best of a plateau schedule."""
    best = out / BEST
    return best if params.schedule == "plateau" and best.exists() else out / LAST


def _begin(out: Path, params: TrainParams, material: Material, resume: bool) -> State:
    device = choose_device(params.device)
    state = start_state(params, device)
    path, total = out / LAST, 0
    for stale in (TEST, DELIVERED) if path.exists() else (TEST, DELIVERED, BEST):
        (out / stale).unlink(missing_ok=True)
    if resume and path.exists():
        check_same(path, asdict(params), load_checkpoint(path, state), _FREE)
        total = state.total
    elif resume and (out / NOTE).exists():
        total = int(json.loads((out / NOTE).read_text(encoding="utf-8"))["total"])
    state.total = _total(params, material, total)
    write_json(out / NOTE, {"total": state.total, "params": asdict(params), "recipe": state.recipe.to_dict()})
    return state


def _total(params: TrainParams, material: Material, before: int) -> int:
    """Steps of the whole run."""
    if params.steps is not None:
        return params.steps
    if before:
        return before
    if params.minutes is not None:
        return max(1, round(params.minutes * 60 / _seconds_a_step(params, material)))
    if params.epochs is not None:
        return params.epochs * _steps_an_epoch(params, material)
    return USUAL_STEPS


def _steps_an_epoch(params: TrainParams, material: Material) -> int:
    pictures = len(material.mixture)
    return USUAL_STEPS if pictures > 10**8 else max(1, -(-pictures // params.batch))


def _seconds_a_step(params: TrainParams, material: Material) -> float:
    """How long a step takes here, from some that are thrown away."""
    state = start_state(replace(params, start="chance") if params.start == "imagenet" else params,
                        choose_device(params.device))  # fmt: skip
    state.total = 10**6
    since, seconds = 0.0, []
    for batch in batches(material.mixture, params, state.recipe.channels, 0, _TRIAL):
        take_step(params, state, batch)
        now = time.monotonic()
        seconds.append(now - since)
        since = now
    return float(np.median(seconds[_WARM:]))


def _loop(
    out: Path, params: TrainParams, state: State, material: Material, history: History, phase: str
) -> Steps[None]:
    ahead = batches(material.mixture, params, state.recipe.channels, state.step, state.total)
    round_steps = params.round_steps or _steps_an_epoch(params, material)
    began = time.monotonic() - state.seconds
    yield _progress(state, phase)
    while not state.over:
        rate = rate_at(params, state)
        loss = take_step(params, state, next(ahead))
        state.losses.append(loss)
        state.step += 1
        state.seconds = time.monotonic() - began
        if state.step % round_steps == 0 or state.over:
            _end_round(out, params, state, material, history, rate)
        yield _progress(state, phase, loss)


def _end_round(out: Path, params: TrainParams, state: State, material: Material, history: History, rate: float) -> None:
    """Validate, note, and keep: the row first, so that no checkpoint is without its row."""
    row = {"step": float(state.step), "loss": float(np.mean(state.losses)), "rate": rate}
    row |= validate(state.average, material.validation, state.recipe)
    state.losses.clear()
    best = state.standing.note(row.get("score", -row["loss"]), state.step, params)
    history.add(row)
    save_checkpoint(out / LAST, state, params)
    if best:
        save_checkpoint(out / BEST, state, params)


def _progress(state: State, phase: str, loss: float | None = None) -> Progress:
    text = f"step {state.step}" + ("" if loss is None else f", loss {loss:.3f}")
    return Progress(phase=phase, done=state.step, total=state.total, unit="steps", message=text)
