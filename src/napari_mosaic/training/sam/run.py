"""Train or fine-tune SAM 2: one generator, stopped and resumed at any step.

One decision: the crops and prompts of a step follow from seed and step, minutes become a number of steps by a
short trial, and validation, history and checkpoint come together in rounds, as for the other networks.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from napari_mosaic.grout import DTYPE_NAMES, choose_device
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.sam.network import SamNetwork, load_sam
from napari_mosaic.training.history import History
from napari_mosaic.training.pool import write_json
from napari_mosaic.training.run import DELIVERED, NOTE, TEST, check_folder, check_same
from napari_mosaic.training.sam.cache import EmbeddingCache
from napari_mosaic.training.sam.crops import Sample, fixed_places, take_place
from napari_mosaic.training.sam.network import Start, learning, start_model
from napari_mosaic.training.sam.params import CHANCE, SamTrainParams
from napari_mosaic.training.sam.sources import SamMaterial
from napari_mosaic.training.sam.state import (
    SamState,
    begin_state,
    copied,
    half_type,
    load_state,
    put,
    rate_at,
    save_state,
    update,
)
from napari_mosaic.training.sam.steps import Crops, add_gradients, memory_told
from napari_mosaic.training.sam.validation import judge
from napari_mosaic.training.state import BEST, LAST
from napari_mosaic.weights import read_header

SPLIT, BEFORE = "split.json", "before.json"
PANELS = (("loss",), ("iou", "dice", "automatic_dice", "automatic_f1"), ("rate",))
USUAL_STEPS = 1000
_TRIAL, _WARM = 6, 2
_FREE = {"steps", "minutes", "epochs", "processes", "device", "cache", "model", "most_judged"}
"""Parameters that may change when a run goes on."""


def train_material(
    out: Path, params: SamTrainParams, material: SamMaterial, *, resume: bool, shared: Path | None = None
) -> Steps[Path]:
    """Train on pictures that are there; the best checkpoint by validation, or the last where there is none.

    What the model could do before is judged too, unless `shared`, a folder of embeddings, says that this is one of
    several runs on the same crops.

    Yields
    ------
    Progress
        Steps.

    Raises
    ------
    MosaicError
        One of its kinds: pictures without stones, a loss that is no number, a full disk.
    """
    check_folder(out, resume)
    start = start_model(params)
    device = choose_device(params.device)
    size = int(start.model.image_size)  # type: ignore[arg-type]
    crops = Crops(material, params, size)
    state = _begin(out, params, start, crops, device, resume)
    judged = _judged(material, params, size)
    write_json(out / SPLIT, material.split)
    cache = _open_cache(shared or out / "embeddings", params, start, crops)
    history = History(out, state.step, PANELS)
    if state.step == 0 and judged and params.model != CHANCE and shared is None:
        write_json(out / BEFORE, _validate(params, state, judged))
    try:
        yield from _loop(out, params, state, crops, cache, judged, history)
    except GeneratorExit:
        save_state(out / LAST, state, params)
        raise
    finally:
        history.close()
    return out / BEST if (out / BEST).exists() else out / LAST


def judge_delivered(path: Path, out: Path, params: SamTrainParams, material: SamMaterial) -> None:
    """Judge a weights file that was made of a run, and note the figures in `out`."""
    device = choose_device(params.device)
    network = load_sam(path, device=str(device), precision=DTYPE_NAMES[half_type(params, device) or torch.float32])
    parts = {"validation": material.validation, "test": material.test}
    samples = {name: _fixed_samples(material, some, params, network.image_size) for name, some in parts.items()}
    figures = {
        name: judge(network, some, params, automatic=params.judge == "automatic") for name, some in samples.items()
    }
    step = int(read_header(path)["step"])
    write_json(out / DELIVERED, {"step": step, **figures})
    if figures["test"]:
        write_json(out / TEST, {"crops": len(samples["test"]), "step": step, **figures["test"]})


def _begin(
    out: Path, params: SamTrainParams, start: Start, crops: Crops, device: torch.device, resume: bool
) -> SamState:
    state = begin_state(params, start, device)
    path, total = out / LAST, 0
    if resume and path.exists():
        check_same(path, asdict(params), load_state(path, state), _FREE)
        total = state.total
    elif resume and (out / NOTE).exists():
        total = int(json.loads((out / NOTE).read_text(encoding="utf-8"))["total"])
    for stale in (TEST, DELIVERED) if path.exists() else (TEST, DELIVERED, BEST):
        (out / stale).unlink(missing_ok=True)
    state.total = _total(params, state, crops, total)
    about = {"config": start.config, "base": start.name, "base_sha256": start.sha256}
    write_json(out / NOTE, {"total": state.total, "params": asdict(params), "crops": len(crops), **about})
    return state


def _total(params: SamTrainParams, state: SamState, crops: Crops, before: int) -> int:
    """Steps of the whole run."""
    if params.steps is not None:
        return params.steps
    if before:
        return before
    if params.minutes is not None:
        return max(1, round(params.minutes * 60 / _seconds_a_step(params, state, crops)))
    return params.epochs * crops.steps_an_epoch if params.epochs is not None else USUAL_STEPS


def _seconds_a_step(params: SamTrainParams, state: SamState, crops: Crops) -> float:
    """How long a step takes here, from some whose gradients are thrown away."""
    seconds = []
    for step in range(_TRIAL):
        since = time.monotonic()
        add_gradients(params, state, crops, None, step)
        state.optimiser.zero_grad(set_to_none=True)
        seconds.append(time.monotonic() - since)
    return float(np.median(seconds[_WARM:]))


def _open_cache(folder: Path, params: SamTrainParams, start: Start, crops: Crops) -> EmbeddingCache | None:
    if not params.cached:
        return None
    places = [list(place) for place in crops.places]
    return EmbeddingCache(folder, [start.sha256, start.config, crops.size, places, crops.material.mark])


def _judged(material: SamMaterial, params: SamTrainParams, size: int) -> list[Sample]:
    return _fixed_samples(material, material.validation, params, size)


def _fixed_samples(material: SamMaterial, indices: list[int], params: SamTrainParams, size: int) -> list[Sample]:
    """Some of the crops of some pictures, chosen by the seed."""
    if not indices:
        return []
    places = fixed_places(material.pictures, indices, params.stones)
    order = np.random.default_rng(params.seed).permutation(len(places))
    taken = (take_place(material.pictures, places[int(k)], 0, size) for k in order)
    return list(islice((sample for sample in taken if sample.count), params.most_judged))


def _loop(
    out: Path, params: SamTrainParams, state: SamState, crops: Crops, cache: EmbeddingCache | None,
    judged: list[Sample], history: History,
) -> Steps[None]:  # fmt: skip
    round_steps = params.round_steps or crops.steps_an_epoch
    yield _progress(state)
    while state.step < state.total:
        rate = rate_at(params, state.step, state.total)
        with memory_told(params, state.device):
            loss = add_gradients(params, state, crops, cache, state.step)
            update(params, state)
        state.losses.append(loss)
        if state.step % round_steps == 0 or state.step == state.total:
            _end_round(out, params, state, judged, history, rate)
        yield _progress(state, loss)


def _validate(params: SamTrainParams, state: SamState, samples: list[Sample]) -> dict[str, float]:
    """Judge the average of what was learned, and put the weights back."""
    model = state.model
    now = copied(learning(model))
    half = half_type(params, state.device)
    put(model, state.average)
    try:
        precision = DTYPE_NAMES[half or torch.float32]
        network = SamNetwork(model, device=str(state.device), precision=precision)
        return judge(network, samples, params, automatic=params.judge == "automatic")
    finally:
        put(model, now)
        model.train()


def _end_round(
    out: Path, params: SamTrainParams, state: SamState, judged: list[Sample], history: History, rate: float
) -> None:
    """Validate, note, and keep: the row first, so that no checkpoint is without its row."""
    row = {"step": float(state.step), "loss": float(np.mean(state.losses)), "rate": rate}
    row |= _validate(params, state, judged)
    state.losses.clear()
    score = row.get("score", -row["loss"])
    gain = score > state.best
    if gain:
        state.best, state.best_step = score, state.step
    history.add(row)
    save_state(out / LAST, state, params)
    if gain:
        save_state(out / BEST, state, params)


def _progress(state: SamState, loss: float | None = None) -> Progress:
    text = f"step {state.step}" + ("" if loss is None else f", loss {loss:.3f}")
    return Progress(phase="train", done=state.step, total=state.total, unit="steps", message=text)
