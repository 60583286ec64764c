"""What the network learns from a picture: random crops of it and their targets.

One decision: all truth is labels. A crop is turned, mirrored, resized and recoloured anew each time, and
joints, inner parts and weights are made from its labels; where nobody said what is true, nothing is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

CORE_LEVEL = 0.45
"""A pixel is core where its distance to the stone's edge exceeds this part of the stone's greatest. *Not varied.*"""
JITTER = (0.7, 1.5)
"""Crops are cut at a scale between these, around that at which stones have the model's size. *Not varied.*"""


@dataclass(frozen=True)
class Picture:
    """A picture with its truth: `image` (Y, X, 3) uint8, `labels` (Y, X) ids with 0 = no tessera.

    `known` (Y, X) is false where nobody said what is true (None: known everywhere); `factor` is how much
    to enlarge the picture so that its stones have about the model's size.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.integer]
    known: NDArray[np.bool_] | None = None
    factor: float = 1.0


class Pictures(Protocol):
    """Pictures by number: from a pool, a folder, a record, or drawn when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Picture: ...


class Crop(NamedTuple):
    """A square cut from a picture; `known` is None where all of it is."""

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    known: NDArray[np.bool_] | None


class Batch(NamedTuple):
    """Crops (B, S, S, 3) uint8, targets (B, C, S, S) of grout and core, weights (B, S, S)."""

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def grout_target(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """1 where there is joint: outside all stones, and on the border of stones that touch. Shape of `labels`."""
    edge = np.zeros(labels.shape, bool)
    right = (labels[:, 1:] != labels[:, :-1]) & (labels[:, 1:] > 0) & (labels[:, :-1] > 0)
    below = (labels[1:] != labels[:-1]) & (labels[1:] > 0) & (labels[:-1] > 0)
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    edge[1:] |= below
    edge[:-1] |= below
    return np.asarray((labels == 0) | edge, np.uint8)


def core_target(labels: NDArray[np.integer], level: float = CORE_LEVEL) -> NDArray[np.uint8]:
    """1 in the inner part of each stone: one blob a stone, apart from its neighbours'. Shape of `labels`."""
    distance = cv2.distanceTransform(1 - grout_target(labels), cv2.DIST_L2, 5)
    greatest = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(greatest, labels.ravel(), distance.ravel())
    core = _apart((distance > level * greatest[labels]) & (labels > 0), labels)
    n, pieces, figures, _ = cv2.connectedComponentsWithStats(core.astype(np.uint8), connectivity=8)
    if n == 1:
        return np.asarray(core, np.uint8)
    owner = np.zeros(n, np.int64)
    owner[pieces.ravel()] = labels.ravel()
    area = figures[:, cv2.CC_STAT_AREA].astype(np.int64)
    best = np.zeros(len(greatest), np.int64)
    np.maximum.at(best, owner[1:], area[1:] * n + np.arange(1, n))
    keep = best[owner] % n == np.arange(n)
    keep[0] = False
    return np.asarray(keep[pieces] & core, np.uint8)


def _apart(core: NDArray[np.bool_], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """The core without the pixels that meet another stone's, be it by a corner."""
    square = np.ones((3, 3), np.uint8)
    least = cv2.erode(np.where(core, labels, 2**24).astype(np.float32), square)
    most = cv2.dilate(np.where(core, labels, 0).astype(np.float32), square)
    return np.asarray(core & (least == most))


def edge_weight(labels: NDArray[np.integer], strength: float = 2.0) -> NDArray[np.float32]:
    """Weight of each pixel in the loss: 1, rising towards the outlines of stones and in thin joints."""
    if strength == 0:
        return np.ones(labels.shape, np.float32)
    grout = grout_target(labels)
    inside = cv2.distanceTransform(1 - grout, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(grout, cv2.DIST_L2, 3)
    return np.asarray(1.0 + strength * np.exp(-np.minimum(inside + outside, 8.0) / 2.0), np.float32)


def random_crop(rng: np.random.Generator, picture: Picture, side: int) -> Crop:
    """A square of `side` px, cut at a random scale, turned, mirrored and recoloured."""
    scale = picture.factor * float(np.exp(rng.uniform(*np.log(JITTER))))
    height, width = picture.labels.shape
    usual = round(side / picture.factor)
    cut = max(2, min(round(side / scale), max(usual, min(height, width))))
    y, x = (int(rng.integers(min(0, s - cut), max(0, s - cut) + 1)) for s in (height, width))
    crop = resize_crop(cut_square(picture, y, x, cut), side)
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    image, labels, known = (None if a is None else turned(a, turns, mirror) for a in crop)
    assert image is not None
    assert labels is not None
    return Crop(recolour(rng, image), labels, known)


def cut_square(picture: Picture, y: int, x: int, cut: int) -> Crop:
    """The square at (y, x), which may stick out: there the picture is mirrored and nothing is known."""
    height, width = picture.labels.shape
    inside = np.s_[max(0, y) : min(height, y + cut), max(0, x) : min(width, x + cut)]
    image = np.ascontiguousarray(picture.image[inside])
    labels = picture.labels[inside].astype(np.int32)
    known = None if picture.known is None else picture.known[inside]
    before, left = max(0, -y), max(0, -x)
    after, right = cut - before - labels.shape[0], cut - left - labels.shape[1]
    if not any((before, after, left, right)):
        return Crop(image, labels, known)
    image = np.asarray(cv2.copyMakeBorder(image, before, after, left, right, cv2.BORDER_REFLECT), np.uint8)
    known = np.ones(labels.shape, bool) if known is None else known
    pad = ((before, after), (left, right))
    return Crop(image, np.pad(labels, pad), np.pad(known, pad))


def resize_crop(crop: Crop, side: int) -> Crop:
    """The crop at `side` px; ids up to 2**24 stay exact."""
    cut, size = crop.labels.shape[0], (side, side)
    way = cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(np.ascontiguousarray(crop.image), size, interpolation=way), np.uint8)
    labels = cv2.resize(crop.labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST).astype(np.int32)
    if crop.known is None:
        return Crop(image, labels, None)
    known = cv2.resize(crop.known.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return Crop(image, labels, known)


def turned(array: NDArray[Any], turns: int, mirror: bool) -> NDArray[Any]:
    """The array after quarter turns, and then mirrored or not."""
    array = np.rot90(array, turns)
    return np.ascontiguousarray(array[:, ::-1] if mirror else array)


def recolour(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Another exposure, contrast and cast of the same picture."""
    if rng.random() < 0.25:
        return image
    gain = np.exp(rng.normal(0, 0.05, 3) + rng.normal(0, 0.12))
    ramp = (np.arange(256, dtype=np.float32)[:, None] / 255.0) ** np.float32(np.exp(rng.normal(0, 0.12)))
    table = np.clip(ramp * 255.0 * gain + rng.normal(0, 6), 0, 255).astype(np.uint8)
    image = image[..., rng.permutation(3)] if rng.random() < 0.05 else image
    return np.stack([table[image[..., k], k] for k in range(3)], axis=-1)


@dataclass(frozen=True)
class Mixture:
    """Where crops come from: `parts` gives each source its part of every batch; 1 in all."""

    sources: tuple[Pictures, ...]
    parts: tuple[float, ...] = (1.0,)

    def __len__(self) -> int:
        return len(self.sources[0])

    def draw(self, rng: np.random.Generator, batch: int) -> list[Picture]:
        """The pictures to cut a batch from."""
        counts = np.diff(np.round(np.cumsum((0.0, *self.parts)) * batch).astype(int))
        pairs = zip(self.sources, counts, strict=True)
        return [source[int(index)] for source, n in pairs for index in rng.integers(0, len(source), n)]


def draw_batch(
    pictures: Sequence[Picture], rng: np.random.Generator, side: int, *, edges: float = 2.0, channels: int = 2
) -> Batch:
    """One crop of each picture, with its targets (`channels` of grout and core) and weights."""
    images, targets, weights = [], [], []
    for picture in pictures:
        crop = random_crop(rng, picture, side)
        images.append(crop.image)
        makers = (grout_target, core_target)[:channels]
        targets.append(np.stack([make(crop.labels) for make in makers]))
        weight = edge_weight(crop.labels, edges)
        weights.append(weight if crop.known is None else weight * crop.known)
    return Batch(np.stack(images), np.stack(targets).astype(np.float32), np.stack(weights))
