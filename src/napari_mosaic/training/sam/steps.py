"""The crops of a step, and the gradients that they give.

One decision: which crops and prompts a step has follows from the seed and its number alone; with a frozen encoder
a crop's embedding is all that is needed of it, else a whole batch is encoded at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import nn

from napari_mosaic.errors import ModelError
from napari_mosaic.memory import is_out_of_memory
from napari_mosaic.training.sam.cache import EmbeddingCache
from napari_mosaic.training.sam.crops import TURNS, Pitches, Sample, ask, fixed_places, take_free, take_place
from napari_mosaic.training.sam.losses import Weights, best_loss, first_loss
from napari_mosaic.training.sam.network import Levels, decode, encode
from napari_mosaic.training.sam.params import SamTrainParams
from napari_mosaic.training.sam.sources import SamMaterial
from napari_mosaic.training.sam.state import SamState, half_type

_MASKS = {"first": first_loss, "best": best_loss}


class Crops:
    """The crops of a run by step: fixed ones in shuffled order, or cut anew; encoded, or as they are."""

    def __init__(self, material: SamMaterial, params: SamTrainParams, size: int) -> None:
        self.material, self.params, self.size = material, params, size
        self.fixed = params.turns == "eight"
        self.pitches = Pitches(material.pictures)
        self.places = fixed_places(material.pictures, material.train, params.stones) if self.fixed else []

    def __len__(self) -> int:
        """Crops in an epoch."""
        return len(self.places) * TURNS if self.fixed else len(self.material.train)

    @property
    def steps_an_epoch(self) -> int:
        """Steps that an epoch takes."""
        return max(1, math.ceil(len(self) / (self.params.batch * self.params.accumulate)))

    def of_step(self, step: int) -> list[tuple[int, Sample]]:
        """The crops of a step with their numbers."""
        rng = np.random.default_rng((self.params.seed, step))
        count = self.params.batch * self.params.accumulate
        if not self.fixed:
            pictures, train, stones = self.material.pictures, self.material.train, self.params.stones
            return [(k, take_free(pictures, train, rng, stones, self.size, self.pitches)) for k in range(count)]
        numbers = [self._number(step * count + k) for k in range(count)]
        return [(n, self.take(n)) for n in numbers]

    def _number(self, position: int) -> int:
        epoch, place = divmod(position, len(self))
        return int(np.random.default_rng((self.params.seed, 1, epoch)).permutation(len(self))[place])

    def take(self, number: int) -> Sample:
        """A fixed crop by its number."""
        return take_place(self.material.pictures, self.places[number // TURNS], number % TURNS, self.size)


@contextmanager
def memory_told(params: SamTrainParams, device: torch.device) -> Iterator[None]:
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


def add_gradients(
    params: SamTrainParams, state: SamState, crops: Crops, cache: EmbeddingCache | None, step: int
) -> float:
    """Add up the gradients of a step's crops; the mean loss.

    Raises
    ------
    ModelError
        If the loss is no number; the weights are as they were.
    """
    torch.manual_seed((params.seed << 32) + step)
    rng = np.random.default_rng((params.seed, 2, step))
    weights = Weights(params.dice, params.entropy, params.score)
    taken = crops.of_step(step)
    half, total = half_type(params, state.device), 0.0
    state.model.train()
    for first in range(0, len(taken), params.batch):
        part = taken[first : first + params.batch]
        with torch.autocast(state.device.type, dtype=half, enabled=half is not None):
            losses = []
            for levels, which, sample in _encoded(params, state, cache, part):
                asked = ask(sample, params, rng, params.most_prompts)
                logits, scores = decode(state.model, levels, which, asked)
                targets, boxes = (torch.from_numpy(a).to(state.device) for a in (asked.targets, asked.boxes))
                losses.append(_MASKS[params.answers](logits, scores, targets, boxes.float(), weights))
            loss = torch.stack(losses).sum() / len(taken)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(
                f"The loss is no number any more at step {step + 1}, so training cannot go on; the last checkpoint is "
                "whole: train again with a lower rate, or look for broken pictures."
            )
        state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        total += value
    return total


def _encoded(
    params: SamTrainParams, state: SamState, cache: EmbeddingCache | None, part: list[tuple[int, Sample]]
) -> Iterator[tuple[Levels, int, Sample]]:
    """The crops of a batch with their embeddings: all at once where the encoder learns, else one by one."""
    model = state.model
    if not params.frozen:
        levels = encode(model, [sample.image for _, sample in part])
        yield from ((levels, k, sample) for k, (_, sample) in enumerate(part))
        return
    for number, sample in part:
        make = partial(_encode_frozen, model, sample)
        yield make() if cache is None else cache.take(number, make, state.device), 0, sample


def _encode_frozen(model: nn.Module, sample: Sample) -> Levels:
    with torch.no_grad():
        return encode(model, [sample.image])
