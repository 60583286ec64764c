"""SAM 2 while it learns: what of it learns, its average, and what a step makes of them.

One decision: as with the grout network a step is a function of the weights, the step's number and its crops; and a
checkpoint holds what learns, its average and the optimiser, so that of a large model whose encoder stays only some
megabytes are written. With a frozen encoder a crop's embedding is all that is needed of it, else a whole batch is
encoded at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_mosaic.errors import ModelError
from napari_mosaic.grout import DTYPE_NAMES, choose_device
from napari_mosaic.memory import is_out_of_memory
from napari_mosaic.sam.network import SamNetwork
from napari_mosaic.torch_files import BAD_FILE
from napari_mosaic.training.checkpoints import read_checkpoint
from napari_mosaic.training.history import Panels
from napari_mosaic.training.loop import Course, Standing
from napari_mosaic.training.optimising import Optimiser, cosine, follow, half_type
from napari_mosaic.training.sam.crops import Crops, SamCrop, ask
from napari_mosaic.training.sam.losses import Weights, best_loss, first_loss
from napari_mosaic.training.sam.network import Levels, Start, decode, encode, learning
from napari_mosaic.training.sam.params import SamTrainParams
from napari_mosaic.training.sam.prediction_cache import EmbeddingCache
from napari_mosaic.training.sam.validation import judge

_LOSSES = {"first": first_loss, "best": best_loss}
_TRIAL = 6
"""Steps that are tried to find out how long one takes. *Not varied.*"""


class SamLearner:
    """SAM 2 and its run on some crops; see `loop.Learner`.

    `average` is what is judged and kept, the weights themselves where none is made; `judged` are the crops to validate
    on, `cache` keeps embeddings where they stay true.
    """

    panels: Panels = (("loss",), ("iou", "dice", "automatic_dice", "automatic_f1"), ("rate",))
    usual_steps = 1000  # not varied
    free = frozenset({"steps", "minutes", "epochs", "processes", "device", "cache", "model", "most_judged"})

    def __init__(self, params: SamTrainParams, start: Start, crops: Crops, judged: Sequence[SamCrop]) -> None:
        self.params, self.start, self.crops, self.judged = params, start, crops, judged
        self.cache: EmbeddingCache | None = None
        self.course = Course(Standing(params.rate))
        self.device = choose_device(params.device)
        self.half = half_type(params.amp, self.device, brain=True)
        self.model = start.model.to(self.device).train()
        self.learning = learning(self.model)
        self.average = copied(self.learning)
        self.optimiser = Optimiser(
            self.learning.values(), rate=params.rate, weight_decay=params.weight_decay, clip=params.clip,
            device=self.device, half=self.half,
        )  # fmt: skip

    @property
    def steps_an_epoch(self) -> int:
        """Steps that go once through the crops."""
        return self.crops.steps_an_epoch

    def rate(self) -> float:
        """Learning rate of the next step: a rise at the beginning where one is asked for, then down a cosine."""
        params, total = self.params, self.course.total
        part = self.course.step / max(total, 1)
        if part < params.warm:
            return params.rate * (self.course.step + 1) / max(1.0, params.warm * total)
        return params.rate * cosine(part, params.warm, params.least_rate)

    def learn(self) -> Iterator[float]:
        """Take one step after the other; the loss of each."""
        while True:
            with memory_explained(self.params, self.device):
                loss = self.add_gradients(self.course.step, self.cache)
                self.optimiser.update(self.rate())
            follow(self.average, self.learning, self.params.ema, self.course.step)
            yield loss

    def trial(self) -> Iterator[object]:
        """Take some steps whose gradients are thrown away."""
        for step in range(_TRIAL):
            yield self.add_gradients(step, None)
            self.optimiser.forget()

    def add_gradients(self, step: int, cache: EmbeddingCache | None) -> float:
        """Add up the gradients of a step's crops; the mean loss.

        Raises
        ------
        ModelError
            If the loss is no number; the weights are as they were.
        """
        params = self.params
        torch.manual_seed((params.seed << 32) + step)
        rng = np.random.default_rng((params.seed, 2, step))
        weights = Weights(params.dice, params.entropy, params.score)
        taken, total = self.crops.of_step(step), 0.0
        self.model.train()
        for first in range(0, len(taken), params.batch):
            with self.optimiser.half_precision():
                losses = []
                for levels, which, sample in self._encoded(taken[first : first + params.batch], cache):
                    asked = ask(sample, params, rng, params.most_prompts)
                    logits, scores = decode(self.model, levels, which, asked)
                    targets, boxes = (torch.from_numpy(a).to(self.device) for a in (asked.targets, asked.boxes))
                    losses.append(_LOSSES[params.answers](logits, scores, targets, boxes.float(), weights))
                loss = torch.stack(losses).sum() / len(taken)
            total += self.optimiser.add_gradient(loss, step)
        return total

    def _encoded(
        self, part: list[tuple[int, SamCrop]], cache: EmbeddingCache | None
    ) -> Iterator[tuple[Levels, int, SamCrop]]:
        """The crops of a batch with their embeddings: all at once where the encoder learns, else one by one."""
        if not self.params.frozen:
            levels = encode(self.model, [sample.image for _, sample in part])
            yield from ((levels, k, sample) for k, (_, sample) in enumerate(part))
            return
        for number, sample in part:
            make = partial(_encode_frozen, self.model, sample)
            yield make() if cache is None else cache.take(number, make, self.device), 0, sample

    def validate(self) -> dict[str, float]:
        """Judge the average of what was learned, and put the weights back."""
        now = copied(self.learning)
        put(self.model, self.average)
        try:
            precision = DTYPE_NAMES[self.half or torch.float32]
            network = SamNetwork(self.model, device=str(self.device), precision=precision)
            return judge(network, self.judged, self.params, automatic=self.params.judge == "automatic")
        finally:
            put(self.model, now)
            self.model.train()

    def note(self, score: float) -> bool:
        """Take the score of a round in; whether it is the best so far."""
        return self.course.standing.note(score, self.course.step)

    def about(self) -> dict[str, Any]:
        """How many crops there are, and what the model is."""
        return {"crops": len(self.crops), **self._base()}

    def _base(self) -> dict[str, str]:
        return {"config": self.start.config, "base": self.start.name, "base_sha256": self.start.sha256}

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        course = self.course
        return {
            "learned": copied(self.learning), "average": self.average, **self.optimiser.content(), **self._base(),
            "step": course.step, "total": course.total, "best": course.standing.best,
            "best_step": course.standing.best_step, "losses": list(course.losses), "params": asdict(self.params),
        }  # fmt: skip

    def restore(self, path: Path) -> dict[str, Any]:
        """Go on from a checkpoint; the parameters that it was trained with.

        Raises
        ------
        ModelError
            If the file is no such checkpoint, or belongs to another model.
        """
        content = read_sam_checkpoint(path)
        if content["base_sha256"] != self.start.sha256 or self.learning.keys() != content["learned"].keys():
            raise ModelError(
                f"{path} was trained from {content['base']!r} and does not fit {self.start.name!r}; go on with the "
                "same model, or train anew in another folder."
            )
        try:
            put(self.model, content["learned"])
            self.optimiser.restore(content)
        except BAD_FILE as error:
            raise ModelError(f"{path} does not fit this run: another model made it.") from error
        self.average = {name: value.to(self.device) for name, value in content["average"].items()}
        self.course.standing = Standing(best=float(content["best"]), best_step=int(content["best_step"]))
        self.course.restore(content)
        return dict(content["params"])


def read_sam_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; raises `ModelError` where it is none of this training."""
    fields = ("learned", "average", "optimiser", "params", "step", "base_sha256")
    return read_checkpoint(path, fields, "SAM 2's training")


def copied(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values of parameters by name, apart from them."""
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def put(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Set what learns to given values."""
    with torch.no_grad():
        for name, parameter in learning(model).items():
            parameter.copy_(values[name])


@contextmanager
def memory_explained(params: SamTrainParams, device: torch.device) -> Iterator[None]:
    """Say in a sentence where memory does not suffice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"A step of {params.batch} crops with {params.most_prompts} prompts does not fit into the memory of "
            f"{device}; give a smaller --batch (and a larger --accumulate), fewer --most-prompts, or a smaller model."
        ) from error


def _encode_frozen(model: nn.Module, sample: SamCrop) -> Levels:
    with torch.no_grad():
        return encode(model, [sample.image])
