"""How good a network is on drawings that it has not seen.

One decision: a stone counts as found when exactly one blob of the core map lies on it, which is what the
later steps need; outlines are judged by the Dice coefficient of the joints.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_mosaic.synthetic import Drawing, draw_mosaic
from napari_mosaic.training.data import grout_target

FIRST_VALIDATION_SEED = 500_000


def draw_validation(count: int, size: int) -> list[Drawing]:
    """Drawings that no training pool holds."""
    return [draw_mosaic(size, FIRST_VALIDATION_SEED + i) for i in range(count)]


def validate(model: nn.Module, drawings: list[Drawing]) -> dict[str, float]:
    """Mean figures over `drawings`: `grout_dice`, and `found` and `false` stones as parts of all."""
    both = total = stones = found = spurious = 0
    model.eval()
    for drawing in drawings:
        side = drawing.image.shape[0] // 32 * 32
        image, labels = drawing.image[:side, :side], drawing.labels[:side, :side]
        tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        with torch.inference_mode():
            maps = model(tensor.contiguous(memory_format=torch.channels_last))[0].sigmoid().numpy()
        grout, truth = maps[0] > 0.5, grout_target(labels) > 0
        both += int((grout & truth).sum())
        total += int(grout.sum() + truth.sum())
        n, hit, wrong = count_blobs(maps[1] > 0.5, labels)
        stones, found, spurious = stones + n, found + hit, spurious + wrong
    if not drawings:
        return {}
    return {"grout_dice": 2 * both / max(total, 1), "found": found / max(stones, 1), "false": spurious / max(stones, 1)}


def count_blobs(core: NDArray[np.bool_], labels: NDArray[np.int32]) -> tuple[int, int, int]:
    """Stones, stones with exactly one blob, and blobs too many (on no stone, or a second one on it)."""
    n, _blobs, _, centres = cv2.connectedComponentsWithStats(core.astype(np.uint8), connectivity=8)
    stones = int(labels.max())
    place = np.round(centres[1:n]).astype(int)
    owner = labels[place[:, 1], place[:, 0]]
    per_stone = np.bincount(owner, minlength=stones + 1)
    hit = int((per_stone[1:] == 1).sum())
    extra = int(per_stone[0] + np.maximum(per_stone[1:] - 1, 0).sum())
    return int(np.unique(labels[labels > 0]).size), hit, extra
