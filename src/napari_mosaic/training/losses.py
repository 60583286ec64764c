"""What the grout network is trained to lower.

One decision: both maps are learned alike, cross-entropy that may look hardest at outlines plus Dice that
does not care how much joint a drawing has; pixels of weight 0 are nobody's truth and count nowhere.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def dice_loss(logits: Tensor, targets: Tensor, known: Tensor | None = None) -> Tensor:
    """One minus the Dice coefficient of each channel over the batch, averaged. Shapes (B, C, H, W).

    `known` (B, 1, H, W) is 0 where pixels do not count.
    """
    probability = logits.sigmoid()
    if known is not None:
        probability, targets = probability * known, targets * known
    both = (probability * targets).sum(dim=(0, 2, 3))
    total = probability.sum(dim=(0, 2, 3)) + targets.sum(dim=(0, 2, 3))
    return (1.0 - (2.0 * both + 1.0) / (total + 1.0)).mean()


def map_loss(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    *,
    entropy: float = 1.0,
    dice: float = 0.5,
    connectivity: float = 0.0,
) -> Tensor:
    """Weighted cross-entropy plus Dice, and where wanted the loss of unbroken lines.

    `weights` (B, H, W) are shared by the channels.
    """
    logits = logits.float()
    weights = weights[:, None]
    known = None if bool((weights > 0).all()) else (weights > 0).float()
    loss = dice * dice_loss(logits, targets, known)
    if entropy:
        each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        loss = loss + entropy * (each * weights).sum() / (weights.sum() * logits.shape[1]).clamp_min(1.0)
    if connectivity:
        loss = loss + connectivity * line_loss(logits[:, :1], targets[:, :1], known)
    return loss


def line_loss(logits: Tensor, targets: Tensor, known: Tensor | None = None, steps: int = 5) -> Tensor:
    """One minus the soft centre-line Dice of joints (Shit et al., clDice, CVPR 2021). Shapes (B, 1, H, W)."""
    probability = logits.sigmoid()
    if known is not None:
        probability, targets = probability * known, targets * known
    found, true = soft_skeleton(probability, steps), soft_skeleton(targets, steps)
    precision = ((found * targets).sum() + 1.0) / (found.sum() + 1.0)
    recall = ((true * probability).sum() + 1.0) / (true.sum() + 1.0)
    return 1.0 - 2.0 * precision * recall / (precision + recall)


def soft_skeleton(mask: Tensor, steps: int) -> Tensor:
    """The centre lines of a soft mask, by erosions and openings that have gradients."""
    skeleton = functional.relu(mask - _open(mask))
    for _ in range(steps):
        mask = _erode(mask)
        more = functional.relu(mask - _open(mask))
        skeleton = skeleton + functional.relu(more - skeleton * more)
    return skeleton


def _erode(mask: Tensor) -> Tensor:
    tall = -functional.max_pool2d(-mask, (3, 1), 1, (1, 0))
    wide = -functional.max_pool2d(-mask, (1, 3), 1, (0, 1))
    return tall.minimum(wide)


def _open(mask: Tensor) -> Tensor:
    return functional.max_pool2d(_erode(mask), 3, 1, 1)
