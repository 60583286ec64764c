"""All that a training run is at one step, and its checkpoints.

One decision: a step is a function of the state, the step's number and its batch, and of nothing else, so
a run that was killed goes on from its last checkpoint to the result that it would have had.
"""

from __future__ import annotations

import copy
import errno
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_mosaic.errors import ModelError, WriteError
from napari_mosaic.files import whole_file
from napari_mosaic.torch_files import BAD_FILE, read_torch_file
from napari_mosaic.training.losses import map_loss
from napari_mosaic.training.network import Recipe, encoder_of, freeze, make_network, normalise
from napari_mosaic.training.params import TrainParams

LAST, BEST = "checkpoint.pt", "best.pt"


@dataclass
class Standing:
    """How the run stands by its validation: what a plateau and an early stop go by."""

    rate: float
    best: float = -math.inf
    best_step: int = 0
    since_best: int = 0
    since_change: int = 0
    stopped: bool = False

    def note(self, score: float, step: int, params: TrainParams) -> bool:
        """Take a round's score in; whether it is the best so far."""
        gain = score > self.best
        self.since_best = 0 if gain else self.since_best + 1
        self.since_change = 0 if gain else self.since_change + 1
        if gain:
            self.best, self.best_step = score, step
        if params.schedule == "plateau" and self.since_change > params.patience:
            self.rate, self.since_change = max(self.rate * params.factor, params.least_rate), 0
        self.stopped = bool(params.early_stop) and self.since_best >= params.early_stop
        return gain


@dataclass
class State:
    """A run at one step."""

    model: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    recipe: Recipe
    standing: Standing
    total: int = 0
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

    @property
    def over(self) -> bool:
        """Whether the run has come to its end."""
        return self.step >= self.total or self.standing.stopped


def start_state(params: TrainParams, device: torch.device) -> State:
    """The state before the first step."""
    model, recipe = make_network(params)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    freeze(model, params.freeze)
    average = copy.deepcopy(model).eval()
    encoder = [p for p in encoder_of(model).parameters() if p.requires_grad]
    ours = {id(p) for p in encoder_of(model).parameters()}
    rest = [p for p in model.parameters() if id(p) not in ours]
    groups = [{"params": encoder, "scale": params.encoder_rate}, {"params": rest, "scale": 1.0}]
    optimiser = torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=params.rate, weight_decay=params.weight_decay
    )
    scaler = torch.amp.GradScaler(device.type, enabled=_half(params, device) is torch.float16)
    return State(model, average, optimiser, scaler, recipe, Standing(params.rate))


def take_step(params: TrainParams, state: State, batch: tuple[Tensor, Tensor, Tensor]) -> float:
    """One step: loss, gradient, new weights, new average; returns the loss.

    Raises
    ------
    ModelError
        If the loss is no number; the weights are as they were.
    """
    torch.manual_seed((params.seed << 32) + state.step)
    for group in state.optimiser.param_groups:
        group["lr"] = rate_at(params, state) * group["scale"]
    images, targets, weights = (part.to(state.device, non_blocking=True) for part in batch)
    state.model.train()
    freeze(state.model, params.freeze)
    half = _half(params, state.device)
    with torch.autocast(state.device.type, dtype=half, enabled=half is not None):
        logits = state.model(normalise(images, state.recipe.mean, state.recipe.std))
    loss = map_loss(
        logits, targets, weights, entropy=params.entropy, dice=params.dice, connectivity=params.connectivity
    )
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ModelError(
            f"The loss is no number any more at step {state.step + 1}, so training cannot go on; the last "
            "checkpoint is whole: train again with a lower rate, or look for broken pictures."
        )
    _update(params, state, loss)
    return value


def _update(params: TrainParams, state: State, loss: Tensor) -> None:
    state.optimiser.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    if params.clip:
        state.scaler.unscale_(state.optimiser)
        nn.utils.clip_grad_norm_(state.model.parameters(), params.clip)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    keep = min(params.ema, (1 + state.step) / (10 + state.step)) if params.ema else 0.0
    with torch.no_grad():
        for mean, now in zip(state.average.state_dict().values(), state.model.state_dict().values(), strict=True):
            if mean.is_floating_point() and keep:
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)


def rate_at(params: TrainParams, state: State) -> float:
    """Learning rate of the next step: that of the plateau, or one cycle up over a twentieth and down a cosine."""
    if params.schedule == "plateau":
        return state.standing.rate
    part = state.step / max(state.total, 1)
    if part < 0.05:
        return params.rate * (0.1 + 0.9 * part / 0.05)
    return params.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (part - 0.05) / 0.95)))


def save_checkpoint(path: Path, state: State, params: TrainParams) -> None:
    """Write the checkpoint whole or not at all; raises `WriteError` where it cannot be."""
    content = {
        "model": state.model.state_dict(), "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(), "scaler": state.scaler.state_dict(),
        "standing": asdict(state.standing), "recipe": state.recipe.to_dict(),
        "step": state.step, "total": state.total, "seconds": state.seconds, "params": asdict(params),
        "losses": list(state.losses),
    }  # fmt: skip
    write_checkpoint(path, content)


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Save beside the place and rename."""
    try:
        with whole_file(path, sync=True) as part, part.open("wb") as stream:
            torch.save(dict(content), stream)
    except (OSError, RuntimeError) as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "write" in str(error).lower()
        why = "the disk is full" if full else str(error)
        raise WriteError(
            f"The checkpoint {path} could not be written ({why}); the one before is kept: free some space and "
            "go on with --resume."
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint of this training; raises `ModelError` where it is none."""
    try:
        content: dict[str, Any] = read_torch_file(path)
        if not {"average", "params", "step", "seconds"} <= content.keys():
            raise ValueError("fields are missing")
        return content
    except BAD_FILE as error:
        raise ModelError(f"{path} is no whole checkpoint of this training; train again or resume.") from error


def load_checkpoint(path: Path, state: State) -> dict[str, Any]:
    """Set a state to that of a checkpoint; the parameters that it was trained with."""
    content = read_checkpoint(path)
    try:
        state.model.load_state_dict(content["model"])
        state.average.load_state_dict(content["average"])
        state.optimiser.load_state_dict(content["optimiser"])
        if content["scaler"] and state.scaler.is_enabled():
            state.scaler.load_state_dict(content["scaler"])
        state.standing = Standing(**content["standing"])
        state.step, state.total = int(content["step"]), int(content["total"])
        state.seconds, state.losses = float(content["seconds"]), list(content["losses"])
    except BAD_FILE as error:
        raise ModelError(f"{path} is no checkpoint that this run can resume from: another network made it.") from error
    return dict(content["params"])


def _half(params: TrainParams, device: torch.device) -> torch.dtype | None:
    """The half precision to train in, or None for single."""
    if params.amp == "bfloat16":
        return torch.bfloat16
    if params.amp == "off" or device.type != "cuda":
        return None
    return torch.float16
