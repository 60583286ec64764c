"""The grout network while it learns: its weights, their average, and what a step makes of them.

One decision: a step is a function of the weights, the step's number and its batch, and of nothing else, so
a run that was killed goes on from its last checkpoint to the result that it would have had.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from napari_mosaic.errors import ModelError
from napari_mosaic.grout import choose_device
from napari_mosaic.torch_files import BAD_FILE
from napari_mosaic.training.checkpoints import read_checkpoint
from napari_mosaic.training.data import Mixture, draw_batch
from napari_mosaic.training.history import Panels
from napari_mosaic.training.loop import Course, Standing
from napari_mosaic.training.losses import map_loss
from napari_mosaic.training.network import encoder_of, freeze, make_network, normalise
from napari_mosaic.training.optimising import Optimiser, cosine, follow, half_type
from napari_mosaic.training.params import TrainParams
from napari_mosaic.training.sources import Material
from napari_mosaic.training.validation import validate

USUAL_STEPS = 5000
"""Steps of a run where no end is given. *Not varied.*"""
_TRIAL = 24
"""Steps that are tried to find out how long one takes. *Not varied.*"""
_WARM = 0.05
"""Part of a run in which the rate of a cycle rises, from a tenth. *Not varied.*"""
_LEAST = 0.01
"""Part of the highest rate that a cycle ends with. *Not varied.*"""


Tensors = tuple[Tensor, Tensor, Tensor]


class GroutLearner:
    """The grout network and its run on some material; see `loop.Learner`."""

    panels: Panels = (("loss",), ("grout_dice", "found", "false", "score"), ("rate",))
    usual_steps = USUAL_STEPS
    free = frozenset({"steps", "minutes", "epochs", "start", "processes", "workers", "device"})

    def __init__(self, params: TrainParams, material: Material) -> None:
        self.params, self.material = params, material
        self.course = Course(Standing(params.rate))
        self.device = choose_device(params.device)
        model, self.recipe = make_network(params)
        self.model = model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze(self.model, params.freeze)
        self.average = copy.deepcopy(self.model).eval()
        ours = {id(p) for p in encoder_of(self.model).parameters()}
        encoder = [p for p in encoder_of(self.model).parameters() if p.requires_grad]
        rest = [p for p in self.model.parameters() if id(p) not in ours]
        groups = [{"params": encoder, "scale": params.encoder_rate}, {"params": rest, "scale": 1.0}]
        self.optimiser = Optimiser(
            [group for group in groups if group["params"]], rate=params.rate, weight_decay=params.weight_decay,
            clip=params.clip, device=self.device, half=half_type(params.amp, self.device),
            kind=params.optimiser,
        )  # fmt: skip

    @property
    def steps_an_epoch(self) -> int:
        """Steps that go once through the pictures; where these never end, as many as are usual."""
        pictures = len(self.material.mixture)
        return USUAL_STEPS if pictures > 10**8 else max(1, -(-pictures // self.params.batch))

    def rate(self) -> float:
        """Learning rate of the next step: that of the plateau, or one cycle up over a twentieth and down a cosine."""
        if self.params.schedule == "plateau":
            return self.course.standing.rate
        part = self.course.step / max(self.course.total, 1)
        if part < _WARM:
            return self.params.rate * (0.1 + 0.9 * part / _WARM)
        return self.params.rate * cosine(part, _WARM, _LEAST)

    def learn(self) -> Iterator[float]:
        """Take the steps that are left, one after the other; the loss of each."""
        return map(self.take_step, self._batches(self.course.step, self.course.total))

    def trial(self) -> Iterator[object]:
        """Take some steps with a network that is thrown away."""
        params = replace(self.params, start="chance") if self.params.start == "imagenet" else self.params
        other = GroutLearner(params, self.material)
        other.course.total = 10**6
        return map(other.take_step, self._batches(0, _TRIAL))

    def _batches(self, first: int, total: int) -> Iterator[Tensors]:
        return batches(self.material.mixture, self.params, self.recipe.channels, first, total)

    def take_step(self, batch: Tensors) -> float:
        """One step: loss, gradient, new weights, new average; returns the loss.

        Raises
        ------
        ModelError
            If the loss is no number; the weights are as they were.
        """
        params, step = self.params, self.course.step
        torch.manual_seed((params.seed << 32) + step)
        images, targets, weights = (part.to(self.device, non_blocking=True) for part in batch)
        self.model.train()
        freeze(self.model, params.freeze)
        with self.optimiser.half_precision():
            logits = self.model(normalise(images, self.recipe.mean, self.recipe.std))
        loss = map_loss(
            logits, targets, weights, entropy=params.entropy, dice=params.dice, connectivity=params.connectivity
        )
        value = self.optimiser.add_gradient(loss, step)
        self.optimiser.update(self.rate())
        follow(self.average.state_dict(), self.model.state_dict(), params.ema, step)
        return value

    def validate(self) -> dict[str, float]:
        """Figures of the averaged weights on the pictures that are kept back."""
        return validate(self.average, self.material.validation, self.recipe)

    def note(self, score: float) -> bool:
        """Take the score of a round in; whether it is the best so far."""
        return self.course.standing.note(score, self.course.step, self.params)

    def about(self) -> dict[str, Any]:
        """What the network is."""
        return {"recipe": self.recipe.to_dict()}

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        course = self.course
        return {
            "model": self.model.state_dict(), "average": self.average.state_dict(), **self.optimiser.content(),
            "standing": asdict(course.standing), "recipe": self.recipe.to_dict(), "step": course.step,
            "total": course.total, "seconds": course.seconds, "params": asdict(self.params),
            "losses": list(course.losses),
        }  # fmt: skip

    def restore(self, path: Path) -> dict[str, Any]:
        """Go on from a checkpoint; the parameters that it was trained with."""
        content = read_checkpoint(path)
        try:
            self.model.load_state_dict(content["model"])
            self.average.load_state_dict(content["average"])
            self.optimiser.restore(content)
            self.course.standing = Standing(**content["standing"])
            self.course.restore(content)
        except BAD_FILE as error:
            raise ModelError(
                f"{path} is no checkpoint that this run can resume from: another network made it."
            ) from error
        return dict(content["params"])


def cut_step(mixture: Mixture, params: TrainParams, channels: int, step: int) -> Tensors:
    """The batch of a step: images, targets, weights."""
    rng = np.random.default_rng((params.seed, step))
    pictures = mixture.draw(rng, params.batch)
    images, targets, weights = draw_batch(pictures, rng, params.side, edges=params.edges, channels=channels)
    return torch.from_numpy(images), torch.from_numpy(targets), torch.from_numpy(weights)


def batches(mixture: Mixture, params: TrainParams, channels: int, first: int, total: int) -> Iterator[Tensors]:
    """The batches of the steps `first` to `total`, in order, cut ahead by `params.workers` processes."""
    cut, workers = partial(cut_step, mixture, params, channels), params.workers
    return iter(
        DataLoader(
            range(first, max(first, total)), batch_size=None, collate_fn=cut, num_workers=workers,
            prefetch_factor=6 if workers else None,
        )
    )  # fmt: skip
