"""What the grout network is trained to lower.

One decision: both maps are learned alike, cross-entropy that looks hardest at outlines plus Dice that does
not care how much joint a drawing has.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """One minus the Dice coefficient of each channel over the batch, averaged. Shapes (B, C, H, W)."""
    probability = logits.sigmoid()
    both = (probability * targets).sum(dim=(0, 2, 3))
    total = probability.sum(dim=(0, 2, 3)) + targets.sum(dim=(0, 2, 3))
    return (1.0 - (2.0 * both + 1.0) / (total + 1.0)).mean()


def map_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy plus half the Dice loss; `weights` (B, H, W) are shared by the channels."""
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    weights = weights[:, None]
    mean = (entropy * weights).sum() / (weights.sum() * logits.shape[1])
    return mean + 0.5 * dice_loss(logits, targets)
