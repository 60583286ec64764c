"""From a loss to new weights: half precision, clipped gradients, AdamW or Adam, averaged weights, the rate's cycle.

One decision: it is the same for every network that is trained here; a network brings its loss and says what learns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from napari_mosaic.errors import ModelError


class Optimiser:
    """AdamW, or Adam, with the scaler that half precision needs.

    Parameters
    ----------
    groups
        What learns: parameters, or groups of them as torch takes them, each with its `scale` of the rate.
    rate, weight_decay, clip
        Highest learning rate, decay of the weights, longest gradient (0 = any).
    device, half
        Where the network is, and the half precision that it is trained in (None: single).
    kind
        adamw, or adam, in which the decay of the weights is a part of the gradient.
    """

    def __init__(
        self, groups: Iterable[Any], *, rate: float, weight_decay: float, clip: float, device: torch.device,
        half: torch.dtype | None, kind: str = "adamw",
    ) -> None:  # fmt: skip
        make = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
        self.adam = make(groups, lr=rate, weight_decay=weight_decay)
        self.scaler = torch.amp.GradScaler(device.type, enabled=half is torch.float16)
        self._clip, self._device, self._half = clip, device, half

    def half_precision(self) -> torch.autocast:
        """The context to compute a loss in."""
        return torch.autocast(self._device.type, dtype=self._half, enabled=self._half is not None)

    def add_gradient(self, loss: Tensor, step: int) -> float:
        """Add the gradient of a loss to those that are there, and return its value.

        Raises
        ------
        ModelError
            If it is no number; the weights are as they were.
        """
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(
                f"The loss is no number any more at step {step + 1}, so training cannot go on; the last checkpoint is "
                "whole: train again with a lower rate, or look for broken pictures."
            )
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return value

    def update(self, rate: float) -> None:
        """New weights from the gradients that are there; these are forgotten."""
        for group in self.adam.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        if self._clip:
            self.scaler.unscale_(self.adam)
            nn.utils.clip_grad_norm_([p for group in self.adam.param_groups for p in group["params"]], self._clip)
        self.scaler.step(self.adam)
        self.scaler.update()
        self.forget()

    def forget(self) -> None:
        """Forget the gradients that are there."""
        self.adam.zero_grad(set_to_none=True)

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"optimiser": self.adam.state_dict(), "scaler": self.scaler.state_dict()}

    def restore(self, content: Mapping[str, Any]) -> None:
        """Go on from the content of a checkpoint."""
        self.adam.load_state_dict(content["optimiser"])
        if content["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(content["scaler"])


def half_type(amp: str, device: torch.device, *, brain: bool = False) -> torch.dtype | None:
    """The half precision to train in, or None for single; with `brain` a GPU takes bfloat16 where it has it."""
    if amp == "bfloat16":
        return torch.bfloat16
    if amp == "off" or device.type != "cuda":
        return None
    return torch.bfloat16 if brain and torch.cuda.is_bf16_supported() else torch.float16


def follow(average: Mapping[str, Tensor], now: Mapping[str, Tensor], memory: float, step: int) -> None:
    """Bring averaged weights nearer to those of now: by little later on, by much in the first steps.

    `memory` is what is kept of the average in the end, 0 for none; what is no fraction is copied.
    """
    keep = min(memory, (1 + step) / (10 + step)) if memory else 0.0
    with torch.no_grad():
        for mean, value in zip(average.values(), now.values(), strict=True):
            if mean.is_floating_point() and keep:
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)


def cosine(part: float, warm: float, least: float) -> float:
    """The part of the highest rate at a `part` of a run that is past its rise, of `warm`: from 1 down to `least`."""
    return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * (part - warm) / (1 - warm)))
