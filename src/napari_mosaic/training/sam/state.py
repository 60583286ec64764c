"""All that a run of SAM 2 is at one step, and its checkpoints.

One decision: as in the other training a step is a function of the state, the step's number and its crops; and
a checkpoint holds what learns, its average and the optimiser, so that of a large model whose encoder stays
only some megabytes are written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_mosaic.errors import ModelError
from napari_mosaic.torch_files import BAD_FILE, read_torch_file
from napari_mosaic.training.sam.network import Start, learning
from napari_mosaic.training.sam.params import SamTrainParams
from napari_mosaic.training.state import write_checkpoint


@dataclass
class SamState:
    """A run at one step; `average` is what is judged and kept, the weights themselves where none is made."""

    start: Start
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: dict[str, Tensor]
    total: int = 0
    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    losses: list[float] = field(default_factory=list)

    @property
    def model(self) -> nn.Module:
        """The model that learns."""
        return self.start.model

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.model.parameters()).device


def begin_state(params: SamTrainParams, start: Start, device: torch.device) -> SamState:
    """The state before the first step."""
    start.model.to(device).train()
    parameters = learning(start.model)
    optimiser = torch.optim.AdamW(parameters.values(), lr=params.rate, weight_decay=params.weight_decay)
    scaler = torch.amp.GradScaler(device.type, enabled=half_type(params, device) is torch.float16)
    return SamState(start, optimiser, scaler, copied(parameters))


def copied(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values of parameters by name, apart from them."""
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def half_type(params: SamTrainParams, device: torch.device) -> torch.dtype | None:
    """The half precision to train in, or None for single."""
    if params.amp == "off" or device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def rate_at(params: SamTrainParams, step: int, total: int) -> float:
    """Learning rate of a step: a rise at the beginning where one is asked for, then down a cosine."""
    part = step / max(total, 1)
    if part < params.warm:
        return params.rate * (step + 1) / max(1.0, params.warm * total)
    wave = 0.5 * (1 + math.cos(math.pi * (part - params.warm) / (1 - params.warm)))
    return params.rate * (params.least_rate + (1 - params.least_rate) * wave)


def update(params: SamTrainParams, state: SamState) -> None:
    """New weights from the gradients that are there, and the new average."""
    parameters = learning(state.model)
    for group in state.optimiser.param_groups:
        group["lr"] = rate_at(params, state.step, state.total)
    if params.clip:
        state.scaler.unscale_(state.optimiser)
        nn.utils.clip_grad_norm_(parameters.values(), params.clip)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.optimiser.zero_grad(set_to_none=True)
    keep = min(params.ema, (1 + state.step) / (10 + state.step)) if params.ema else 0.0
    with torch.no_grad():
        for name, parameter in parameters.items():
            state.average[name].lerp_(parameter, 1 - keep)
    state.step += 1


def put(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Set what learns to given values."""
    with torch.no_grad():
        for name, parameter in learning(model).items():
            parameter.copy_(values[name])


def save_state(path: Path, state: SamState, params: SamTrainParams) -> None:
    """Write the checkpoint whole or not at all; raises `WriteError` where it cannot be."""
    content = {
        "learned": copied(learning(state.model)), "average": state.average, "optimiser": state.optimiser.state_dict(),
        "scaler": state.scaler.state_dict(), "config": state.start.config, "base": state.start.name,
        "base_sha256": state.start.sha256, "step": state.step, "total": state.total, "best": state.best,
        "best_step": state.best_step, "losses": list(state.losses), "params": asdict(params),
    }  # fmt: skip
    write_checkpoint(path, content)


def read_state(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; raises `ModelError` where it is none of this training."""
    try:
        content: dict[str, Any] = read_torch_file(path)
        if not {"learned", "average", "optimiser", "params", "step", "base_sha256"} <= content.keys():
            raise ValueError("fields are missing")
        return content
    except BAD_FILE as error:
        raise ModelError(f"{path} is no whole checkpoint of SAM 2's training; train again or resume.") from error


def load_state(path: Path, state: SamState) -> dict[str, Any]:
    """Set a state to that of a checkpoint; the parameters that it was trained with.

    Raises
    ------
    ModelError
        If the file is no such checkpoint, or belongs to another model.
    """
    content = read_state(path)
    mine, theirs = learning(state.model), content["learned"]
    if content["base_sha256"] != state.start.sha256 or mine.keys() != theirs.keys():
        raise ModelError(
            f"{path} was trained from {content['base']!r} and does not fit {state.start.name!r}; go on with the same "
            "model, or train anew in another folder."
        )
    try:
        put(state.model, theirs)
        state.optimiser.load_state_dict(content["optimiser"])
        if content["scaler"] and state.scaler.is_enabled():
            state.scaler.load_state_dict(content["scaler"])
    except BAD_FILE as error:
        raise ModelError(f"{path} does not fit this run: another model made it.") from error
    state.average = {name: value.to(state.device) for name, value in content["average"].items()}
    state.step, state.total = int(content["step"]), int(content["total"])
    state.best, state.best_step = float(content["best"]), int(content["best_step"])
    state.losses = list(content["losses"])
    return dict(content["params"])
