"""How good a network is on pictures that it has not seen.

One decision: a stone counts as found when exactly one blob of the core map lies on it, which is what the
later steps need; outlines are judged by the Dice coefficient of the joints.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_mosaic.training.data import Crop, Picture, Pictures, cut_square, grout_target, resize_crop
from napari_mosaic.training.network import Recipe, normalise
from napari_mosaic.training.pool import draw_one

FIRST_VALIDATION_SEED = 500_000
"""Drawings to validate on begin here: half way to those that are learned from."""
_LARGEST = 512
"""Largest side of a crop to validate on, px at the model's scale. *Not varied.*"""
_MOST = 225
"""Most pictures that are validated on: as many as GROUT validates on."""


def draw_validation(count: int, size: int, geometry: str = "mix") -> list[Crop]:
    """Drawings that no training pool holds; what they do not show counts neither way."""
    drawings = (draw_one(size, FIRST_VALIDATION_SEED + i, geometry) for i in range(count))
    return [Crop(drawing.image, np.where(drawing.valid, drawing.labels, 0), drawing.valid) for drawing in drawings]


def middle_crops(pictures: Pictures, most: int = _MOST) -> list[Crop]:
    """The middle of each picture, up to 512 px at the model's scale."""
    return [_middle(pictures[index]) for index in range(min(len(pictures), most))]


def _middle(picture: Picture) -> Crop:
    height, width = picture.labels.shape
    cut = min(height, width, round(_LARGEST / picture.factor))
    crop = cut_square(picture, (height - cut) // 2, (width - cut) // 2, cut)
    crop = resize_crop(crop, max(32, round(cut * picture.factor) // 32 * 32))
    return crop if crop.known is None else crop._replace(labels=np.where(crop.known, crop.labels, 0))


def validate(model: nn.Module, crops: Sequence[Crop], recipe: Recipe | None = None) -> dict[str, float]:
    """Mean figures over `crops`: `grout_dice`, and where there is a core map `found` and `false` stones.

    `found` and `false` are parts of all stones; `score` is what the best checkpoint is chosen by, 1 at most. Where
    there is nothing to find, as in `metrics`, nothing found is 1.
    """
    recipe = recipe or Recipe()
    both = total = tesserae = found = spurious = 0
    model.eval()
    for crop in crops:
        height, width = (side // 32 * 32 for side in crop.labels.shape)
        image, labels = crop.image[:height, :width], crop.labels[:height, :width]
        known = np.ones(labels.shape, bool) if crop.known is None else crop.known[:height, :width]
        maps = _predict(model, image, recipe)
        grout, truth = (maps[0] > 0.5) & known, (grout_target(labels) > 0) & known
        both += int((grout & truth).sum())
        total += int(grout.sum() + truth.sum())
        if len(maps) > 1:
            n, hit, wrong = count_blobs((maps[1] > 0.5) & known, labels)
            tesserae, found, spurious = tesserae + n, found + hit, spurious + wrong
    if not crops:
        return {}
    figures = {"grout_dice": 2 * both / total if total else 1.0}
    if recipe.channels == 1:
        return figures | {"score": figures["grout_dice"]}
    hits, extra = found / max(tesserae, 1), spurious / max(tesserae, 1)
    f1 = 2 * hits / (1 + hits + extra) if tesserae else float(spurious == 0)
    return figures | {"found": hits, "false": extra, "score": (figures["grout_dice"] + f1) / 2}


def _predict(model: nn.Module, image: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.float32]:
    device = next(model.parameters()).device
    with torch.inference_mode():
        pixels = torch.from_numpy(np.ascontiguousarray(image))[None].to(device)
        return np.asarray(model(normalise(pixels, recipe.mean, recipe.std))[0].float().sigmoid().cpu().numpy())


def count_blobs(core: NDArray[np.bool_], labels: NDArray[np.int32]) -> tuple[int, int, int]:
    """Stones, stones with exactly one blob, and blobs too many (on no stone, or a second one on it)."""
    n, _blobs, _, centres = cv2.connectedComponentsWithStats(core.astype(np.uint8), connectivity=8)
    tesserae = int(labels.max())
    place = np.round(centres[1:n]).astype(int)
    owner = labels[place[:, 1], place[:, 0]]
    per_tessera = np.bincount(owner, minlength=tesserae + 1)
    hit = int((per_tessera[1:] == 1).sum())
    extra = int(per_tessera[0] + np.maximum(per_tessera[1:] - 1, 0).sum())
    return int(np.unique(labels[labels > 0]).size), hit, extra
