"""What SAM 2 is trained to lower: masks that fit, and an expectation of the overlap that comes true.

One decision: masks are compared at the logits' own size with the part of each cell that is stone, which is
a sixteenth of the work, and between cells gives the outline that interpolation finds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_mosaic.sam.prompts import MASK_STRIDE

_MARGIN = 0.75
"""What counts as around a stone: so much of its size more on each side, and two cells. *Not varied.*"""
_OTHERS = 0.5
"""Weight of the mean of the three answers beside the best of them: a point in a mosaic means one stone, so whichever
the expected overlap chooses must fit; with 0.05 the choice was worse than the single answer."""


class Weights(NamedTuple):
    """Weights of Dice, cross-entropy and expected overlap."""

    dice: float
    entropy: float
    score: float


def first_loss(logits: Tensor, scores: Tensor, targets: Tensor, boxes: Tensor, weights: Weights) -> Tensor:
    """Loss of the first of three answers, Dice over all masks of the crop at once (Kapelonis et al. 2025).

    Parameters
    ----------
    logits, scores
        (N, 4, s, s) and (N, 4): of each prompt the single answer and the three.
    targets
        (N, s, s), 0 to 1.
    boxes
        (N, 4), `(y0, x0, y1, x1)` of the stones in pixels of the window.
    weights
        Of the parts.
    """
    chosen, targets = logits[:, 1:2].float(), targets[:, None]
    part = chosen.sigmoid()
    dice = 1 - (2 * (part * targets).sum() + 1) / (part.sum() + targets.sum() + 1)
    loss = weights.dice * dice + weights.score * (scores[:, 1:2].float() - real_overlap(chosen, targets)).abs().mean()
    if weights.entropy:
        loss = loss + weights.entropy * near_entropy(chosen, targets, boxes).mean()
    return loss


def best_loss(logits: Tensor, scores: Tensor, targets: Tensor, boxes: Tensor, weights: Weights) -> Tensor:
    """Loss of the single answer and of the best of three; all four must know how well they fit. As `first_loss`."""
    logits, targets = logits.float(), targets[:, None]
    part = logits.sigmoid()
    dice = 1 - (2 * (part * targets).sum((2, 3)) + 1) / ((part + targets).sum((2, 3)) + 1)
    each = weights.dice * dice
    if weights.entropy:
        each = each + weights.entropy * near_entropy(logits, targets, boxes)
    chosen = each[:, 0] + each[:, 1:].amin(1) + _OTHERS * each[:, 1:].mean(1)
    return chosen.mean() + weights.score * (scores.float() - real_overlap(logits, targets)).abs().mean()


def real_overlap(logits: Tensor, targets: Tensor) -> Tensor:
    """Intersection over union of each mask with the truth, (N, M); without gradient."""
    with torch.no_grad():
        found, true = logits > 0, targets > 0.5
        union = (found | true).sum((2, 3)).clamp_min(1)
        return (found & true).sum((2, 3)).float() / union


def near_entropy(logits: Tensor, targets: Tensor, boxes: Tensor) -> Tensor:
    """Cross-entropy of each mask (N, M), with as much weight on the far rest of the crop as on the stone.

    Without that balance a stone of a hundredth of the crop is soonest explained by no mask at all.
    """
    near = _around(boxes, logits.shape[-1])[:, None]
    far = 1 - near
    area = targets.sum((2, 3), keepdim=True).clamp_min(1)
    weight = near * (1 + targets) + far * (2 * area / far.sum((2, 3), keepdim=True).clamp_min(1))
    weight = weight / weight.sum((2, 3), keepdim=True)
    each = functional.binary_cross_entropy_with_logits(logits, targets.expand_as(logits), reduction="none")
    return (each * weight).sum((2, 3))


def _around(boxes: Tensor, side: int) -> Tensor:
    """1 around each stone, (N, s, s)."""
    grow = _MARGIN * (boxes[:, 2:] - boxes[:, :2]) + 2 * MASK_STRIDE
    low, high = (boxes[:, :2] - grow) / MASK_STRIDE, (boxes[:, 2:] + grow) / MASK_STRIDE
    cells = torch.arange(side, device=boxes.device) + 0.5
    inside = (cells >= low[..., None]) & (cells <= high[..., None])
    return (inside[:, 0, :, None] & inside[:, 1, None, :]).float()
