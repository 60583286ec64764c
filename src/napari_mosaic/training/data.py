"""What the network learns from: a pool of drawn mosaics on disk, random crops of it, and their targets.

One decision: drawings are drawn once, in parallel, into two plain arrays that are mapped, never loaded;
a crop is turned, mirrored, resized and recoloured anew each time, and its targets come from its labels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import MissingError
from napari_mosaic.synthetic import draw_mosaic

CORE_LEVEL = 0.45
"""A pixel is core where its distance to the stone's edge exceeds this part of the stone's greatest."""
FIRST_TRAINING_SEED = 1_000_000
"""Smaller seeds are for tests, validation and looking at."""


@dataclass(frozen=True)
class Pool:
    """Drawn mosaics: `images` (N, S, S, 3) uint8 and `labels` (N, S, S) uint16, both mapped from disk."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.images)


def draw_pool(folder: str | Path, count: int, *, size: int, seed: int, processes: int) -> Iterator[int]:
    """Draw `count` mosaics into `folder` and yield how many are there; what exists already is kept.

    Parameters
    ----------
    folder
        Where `images.npy` and `labels.npy` go.
    count, size
        Drawings, and their side in pixels.
    seed
        Seed of the first drawing; the others follow.
    processes
        Drawings at a time.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if _whole(folder, count, size):
        yield count
        return
    mark = folder / "drawn"
    mark.unlink(missing_ok=True)
    for name, dtype, shape in (
        ("images", np.uint8, (count, size, size, 3)),
        ("labels", np.uint16, (count, size, size)),
    ):
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape).flush()
    chunk = 20
    starts = range(0, count, chunk)
    jobs = [(str(folder), start, min(start + chunk, count), size, seed) for start in starts]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor:
        done = 0
        for drawn in executor.map(_draw_chunk, jobs):
            done += drawn
            yield done
    mark.write_text(f"{count} {size} {seed}\n")


def open_pool(folder: str | Path) -> Pool:
    """Map the drawings in `folder`; raises `MissingError` where there are none."""
    folder = Path(folder)
    try:
        images, labels = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "labels"))
    except (OSError, ValueError) as error:
        raise MissingError(f"{folder} holds no drawn mosaics; draw a pool of them first.") from error
    return Pool(images, labels)


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
    core = (distance > level * greatest[labels]) & (labels > 0)
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


def edge_weight(labels: NDArray[np.integer], strength: float = 2.0) -> NDArray[np.float32]:
    """Weight of each pixel in the loss: 1, rising towards the outlines of stones and in thin joints."""
    grout = grout_target(labels)
    inside = cv2.distanceTransform(1 - grout, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(grout, cv2.DIST_L2, 3)
    return np.asarray(1.0 + strength * np.exp(-np.minimum(inside + outside, 8.0) / 2.0), np.float32)


def random_crop(
    rng: np.random.Generator, image: NDArray[np.uint8], labels: NDArray[np.integer], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A square of `side` px, cut at a random scale of 0.75 to 1.35, turned, mirrored and recoloured."""
    scale = float(np.exp(rng.uniform(np.log(0.7), np.log(1.5))))
    cut = min(round(side / scale), *labels.shape)
    y, x = (int(rng.integers(0, s - cut + 1)) for s in labels.shape)
    image, labels = image[y : y + cut, x : x + cut], labels[y : y + cut, x : x + cut]
    way = cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=way), np.uint8)
    labels = cv2.resize(labels.astype(np.float32), (side, side), interpolation=cv2.INTER_NEAREST).astype(np.int32)
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    if mirror:
        image, labels = image[:, ::-1], labels[:, ::-1]
    return recolour(rng, np.ascontiguousarray(image)), np.ascontiguousarray(labels)


def recolour(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Another exposure, contrast and cast of the same picture."""
    if rng.random() < 0.25:
        return image
    gain = np.exp(rng.normal(0, 0.05, 3) + rng.normal(0, 0.12))
    ramp = (np.arange(256, dtype=np.float32)[:, None] / 255.0) ** np.float32(np.exp(rng.normal(0, 0.12)))
    table = np.clip(ramp * 255.0 * gain + rng.normal(0, 6), 0, 255).astype(np.uint8)
    image = image[..., rng.permutation(3)] if rng.random() < 0.05 else image
    return np.stack([table[image[..., k], k] for k in range(3)], axis=-1)


def draw_batch(
    pool: Pool, rng: np.random.Generator, batch: int, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """A batch of crops: images (B, S, S, 3), targets (B, 2, S, S) of grout and core, weights (B, S, S)."""
    images, targets, weights = [], [], []
    for index in rng.integers(0, len(pool), batch):
        image, labels = random_crop(rng, pool.images[index], pool.labels[index], side)
        images.append(image)
        targets.append(np.stack([grout_target(labels), core_target(labels)]))
        weights.append(edge_weight(labels))
    return np.stack(images), np.stack(targets).astype(np.float32), np.stack(weights)


def _whole(folder: Path, count: int, size: int) -> bool:
    mark = folder / "drawn"
    return mark.exists() and mark.read_text().split()[:2] == [str(count), str(size)]


def _draw_chunk(job: tuple[str, int, int, int, int]) -> int:
    folder, start, stop, size, seed = job
    cv2.setNumThreads(1)
    images = np.load(os.path.join(folder, "images.npy"), mmap_mode="r+")
    labels = np.load(os.path.join(folder, "labels.npy"), mmap_mode="r+")
    for index in range(start, stop):
        drawing = draw_mosaic(size, seed + index)
        images[index], labels[index] = drawing.image, drawing.labels
    images.flush()
    labels.flush()
    return stop - start
