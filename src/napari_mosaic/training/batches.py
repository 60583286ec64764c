"""Batches by number: the crops of a step follow from the seed and the step, whoever cuts them and when."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_mosaic.training.data import Mixture, draw_batch
from napari_mosaic.training.params import TrainParams

Tensors = tuple[Tensor, Tensor, Tensor]


class _Steps(Dataset[Tensors]):
    def __init__(self, mixture: Mixture, params: TrainParams, channels: int, first: int, total: int) -> None:
        self.mixture, self.params, self.channels = mixture, params, channels
        self.first, self.total = first, total

    def __len__(self) -> int:
        return max(0, self.total - self.first)

    def __getitem__(self, index: int) -> Tensors:
        return cut_step(self.mixture, self.params, self.channels, self.first + index)


def cut_step(mixture: Mixture, params: TrainParams, channels: int, step: int) -> Tensors:
    """The batch of a step: images, targets, weights."""
    rng = np.random.default_rng((params.seed, step))
    pictures = mixture.draw(rng, params.batch)
    images, targets, weights = draw_batch(pictures, rng, params.side, edges=params.edges, channels=channels)
    return torch.from_numpy(images), torch.from_numpy(targets), torch.from_numpy(weights)


def batches(mixture: Mixture, params: TrainParams, channels: int, first: int, total: int) -> Iterator[Tensors]:
    """The batches of the steps `first` to `total`, in order, cut ahead by `params.workers` processes."""
    workers = params.workers
    steps = _Steps(mixture, params, channels, first, total)
    loader = DataLoader(
        steps, batch_size=None, shuffle=False, num_workers=workers, prefetch_factor=6 if workers else None
    )
    return iter(loader)
