"""Train the bundled network from drawn mosaics: one generator, stopped and resumed at any step.

One decision: the schedule follows the clock (or a number of steps), so that a run ends when it should on
whatever machine, and the averaged weights are exportable at every checkpoint.
"""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from napari_mosaic.errors import InputError, ModelError
from napari_mosaic.grout import LiteNetwork
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.training.data import FIRST_TRAINING_SEED, Pool, draw_batch, draw_pool, open_pool
from napari_mosaic.training.encoder import load_imagenet_encoder
from napari_mosaic.training.losses import map_loss
from napari_mosaic.training.validation import draw_validation, validate

MEAN = STD = 0.5


@dataclass(frozen=True, kw_only=True)
class TrainParams:
    """Parameters of a training run.

    `minutes` or `steps` end it, whichever is given (`steps` wins); `drawings` of `drawing_size` px are cut
    into `batch` crops of `side` px a step; `ema` averages the weights; a checkpoint is written every
    `checkpoint_minutes`; `imagenet` starts the encoder from ImageNet weights.
    """

    minutes: float = 68.0
    steps: int | None = None
    drawings: int = 5000
    drawing_size: int = 320
    batch: int = 8
    side: int = 224
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    ema: float = 0.999
    seed: int = 42
    checkpoint_minutes: float = 3.0
    validation_drawings: int = 24
    imagenet: bool = True
    processes: int = 2
    workers: int = 1

    def __post_init__(self) -> None:
        if self.side % 32 or self.side < 64 or self.drawing_size < self.side:
            raise InputError(
                f"Crops of {self.side} px from drawings of {self.drawing_size} px cannot be trained on; "
                f"the crop's side must be a multiple of 32, 64 at least, and no larger than the drawing."
            )
        if self.batch < 1 or self.drawings < 1 or (self.steps is None and self.minutes <= 0):
            raise InputError("A training run needs at least one crop a step, one drawing and some time.")


@dataclass
class _State:
    """All that a checkpoint holds."""

    model: LiteNetwork
    average: LiteNetwork
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0


def train(out: str | Path, params: TrainParams | None = None, *, resume: bool = False) -> Path:
    """Train to the end and return the last checkpoint; see `train_steps`."""
    return drain(train_steps(out, params, resume=resume))


def train_steps(out: str | Path, params: TrainParams | None = None, *, resume: bool = False) -> Steps[Path]:
    """Draw the pool, train, and write checkpoints to the folder `out`.

    Parameters
    ----------
    out
        Folder for `pool/`, `checkpoint.pt` and `history.csv`.
    params
        Parameters; None takes the defaults, those of the bundled weights.
    resume
        Go on from `checkpoint.pt` in `out`, where there is one.

    Yields
    ------
    Progress
        Drawings, then steps.

    Returns
    -------
    Path
        The checkpoint, to be passed to `export_weights`.
    """
    params = params or TrainParams()
    out = Path(out)
    pool_at = draw_pool(
        out / "pool", params.drawings, size=params.drawing_size, seed=FIRST_TRAINING_SEED,
        processes=params.processes,
    )  # fmt: skip
    for drawn in pool_at:
        yield Progress(phase="draw", done=drawn, total=params.drawings, unit="drawings")
    torch.manual_seed(params.seed)
    state = _start(params)
    path = out / "checkpoint.pt"
    if resume and path.exists():
        _load_checkpoint(path, state)
    yield from _loop(out, params, state)
    return path


def _loop(out: Path, params: TrainParams, state: _State) -> Steps[None]:
    batches = _batches(open_pool(out / "pool"), params, state.step)
    drawings = draw_validation(params.validation_drawings, params.drawing_size)
    began, saved, losses = time.monotonic() - state.seconds, time.monotonic(), []
    while (part := _part(params, state)) < 1.0:
        losses.append(_step(params, state, next(batches), part))
        state.step += 1
        state.seconds = time.monotonic() - began
        over = _part(params, state) >= 1.0
        if over or time.monotonic() - saved > params.checkpoint_minutes * 60:
            row = {"step": state.step, "minutes": round(state.seconds / 60, 2), "loss": float(np.mean(losses))}
            row |= validate(state.average, drawings)
            _save_checkpoint(out / "checkpoint.pt", state, params)
            _append_row(out / "history.csv", row)
            saved, losses = time.monotonic(), []
        done, total, unit = (
            (state.step, params.steps, "steps") if params.steps else (state.seconds / 60, params.minutes, "minutes")
        )
        yield Progress(phase="train", done=done, total=total, unit=unit, message=f"step {state.step}")


def _start(params: TrainParams) -> _State:
    model = LiteNetwork()
    if params.imagenet:
        load_imagenet_encoder(model.encoder)
    average = LiteNetwork()
    average.load_state_dict(model.state_dict())
    average.eval()
    model, average = (m.to(memory_format=torch.channels_last) for m in (model, average))
    groups = [
        {"params": model.encoder.parameters(), "scale": 0.5},
        {"params": [*model.decoder.parameters(), *model.head.parameters()], "scale": 1.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=params.learning_rate, weight_decay=params.weight_decay)
    return _State(model, average, optimiser)


def _part(params: TrainParams, state: _State) -> float:
    """How much of the run is over, 0 to 1."""
    if params.steps:
        return state.step / params.steps
    return state.seconds / (params.minutes * 60)


def _rate(params: TrainParams, part: float) -> float:
    """One cycle: up over the first twentieth, then down a cosine to nearly nothing."""
    if part < 0.05:
        return params.learning_rate * (0.1 + 0.9 * part / 0.05)
    return params.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (part - 0.05) / 0.95)))


def _step(params: TrainParams, state: _State, batch: tuple[Tensor, Tensor, Tensor], part: float) -> float:
    for group in state.optimiser.param_groups:
        group["lr"] = _rate(params, part) * group["scale"]
    images, targets, weights = batch
    state.model.train()
    loss = map_loss(state.model(normalise(images)), targets, weights)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    state.optimiser.step()
    keep = min(params.ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for mean, now in zip(state.average.state_dict().values(), state.model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)
    return float(loss.detach())


def normalise(images: Tensor) -> Tensor:
    """Images (B, H, W, 3) uint8 as the network takes them: (B, 3, H, W), channels last, -1..1."""
    return ((images.permute(0, 3, 1, 2).float() / 255.0) - MEAN) / STD


class _Batches(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    def __init__(self, pool: Pool, params: TrainParams, step: int) -> None:
        self.pool, self.params, self.step = pool, params, step

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.params.seed, self.step, worker.id if worker else 0))
        while True:
            arrays = draw_batch(self.pool, rng, self.params.batch, self.params.side)
            yield tuple(torch.from_numpy(a) for a in arrays)  # type: ignore[misc]


def _batches(pool: Pool, params: TrainParams, step: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    workers = params.workers
    loader = DataLoader(
        _Batches(pool, params, step), batch_size=None, num_workers=workers, prefetch_factor=6 if workers else None
    )
    return iter(loader)


def _save_checkpoint(path: Path, state: _State, params: TrainParams) -> None:
    """Write the checkpoint whole or not at all."""
    content = {
        "model": state.model.state_dict(), "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(), "step": state.step, "seconds": state.seconds,
        "params": asdict(params),
    }  # fmt: skip
    part = path.with_suffix(".part")
    torch.save(content, part)
    os.replace(part, path)


def _load_checkpoint(path: Path, state: _State) -> None:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state.model.load_state_dict(content["model"])
        state.average.load_state_dict(content["average"])
        state.optimiser.load_state_dict(content["optimiser"])
        state.step, state.seconds = int(content["step"]), float(content["seconds"])
    except Exception as error:
        raise ModelError(f"{path} cannot be resumed from: it is no whole checkpoint of this training.") from error


def _append_row(path: Path, row: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow({key: round(value, 5) for key, value in row.items()})
