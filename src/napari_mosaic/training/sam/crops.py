"""What SAM 2 learns from a picture: squares that show about so many tesserae, and a prompt for each.

One decision: a crop is a square of tesserae, not of pixels, so small and large photographs give the network
stones of one size; what nobody said the truth about is seen, but never asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.errors import InputError
from napari_mosaic.sam.prompts import MASK_STRIDE
from napari_mosaic.training.data import Picture, Pictures, cut_square, recolour, resize_crop, turned
from napari_mosaic.training.sam.params import SamTrainParams
from napari_mosaic.training.sam.sources import SamMaterial
from napari_mosaic.training.truth import usual_pitch

_JITTER = 0.3
"""Free crops are cut at up to this much, as a logarithm, more or less than the usual size. *Not varied.*"""
_LEAST_SHARE, _LEAST_AREA = 0.1, 12
"""Stones of which a crop shows less than a tenth of the usual, or a speck, are not asked for. *Not varied.*"""
_LEAST_TESSERAE = 4
"""A crop that shows fewer is not learned from. *Not varied.*"""
_BOXES = 0.25
"""Part of mixed prompts that are boxes. *Not varied.*"""
_TRIES = 64
"""So often another place is tried. *Not varied.*"""
TURNS = 8
"""Four quarter turns, mirrored and not."""


@dataclass(frozen=True)
class SamCrop:
    """One crop: `image` (S, S, 3) uint8, and `labels` (S, S), 1..N for the N stones that may be asked for.

    `ignore` (S, S) is true where nobody said what is true; None where all is known.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    ignore: NDArray[np.bool_] | None = None

    @property
    def count(self) -> int:
        """How many stones may be asked for."""
        return int(self.labels.max(initial=0))


class Cutout(NamedTuple):
    """A square of a picture: its number, its corner, its side."""

    picture: int
    y: int
    x: int
    cut: int


class Asked(NamedTuple):
    """N prompts of P points each, and what they ask for.

    `points` (N, P, 2) float32 as `(x, y)`, `kinds` (N, P) int32 as SAM 2 counts them, `targets` (N, s, s)
    float32: the part of each cell of the mask logits that is stone; `boxes` (N, 4) `(y0, x0, y1, x1)`.
    """

    points: NDArray[np.float32]
    kinds: NDArray[np.int32]
    targets: NDArray[np.float32]
    boxes: NDArray[np.int64]


def fixed_places(pictures: Pictures, indices: Sequence[int], tesserae: int) -> list[Cutout]:
    """Squares of about `stones` tesserae that cover the pictures evenly; a small picture is one square.

    Raises
    ------
    InputError
        If no square holds a stone.
    """
    found = []
    for index in indices:
        labels = pictures[index].labels
        pitch = usual_pitch(labels)
        if pitch is None:
            continue
        for place in _cover(index, labels.shape, max(8, round(math.sqrt(tesserae) * pitch))):
            seen = labels[max(0, place.y) : place.y + place.cut, max(0, place.x) : place.x + place.cut]
            if len(np.unique(seen)) > _LEAST_TESSERAE:
                found.append(place)
    if not found:
        raise InputError(
            f"No crop of the pictures shows {_LEAST_TESSERAE} tesserae, so there is nothing to ask for; give masks "
            "that show single stones."
        )
    return found


def _cover(index: int, shape: tuple[int, ...], cut: int) -> list[Cutout]:
    height, width = shape[:2]
    if max(height, width) <= 1.5 * cut:
        side = max(height, width)
        return [Cutout(index, (height - side) // 2, (width - side) // 2, side)]
    rows, columns = (_starts(length, cut) for length in (height, width))
    return [Cutout(index, y, x, cut) for y in rows for x in columns]


def _starts(length: int, cut: int) -> list[int]:
    if length <= cut:
        return [(length - cut) // 2]
    return [int(start) for start in np.linspace(0, length - cut, math.ceil(length / cut))]


def take_place(pictures: Pictures, place: Cutout, turn: int, size: int) -> SamCrop:
    """The crop at a place in one of its eight positions, as a window of `size` px."""
    picture = pictures[place.picture]
    return _finish(picture, place, size, turn % 4, turn >= 4, None)


def take_free(
    pictures: Pictures, indices: Sequence[int], rng: np.random.Generator, tesserae: int, size: int,
    pitch_of: Callable[[int], float | None] | None = None,
) -> SamCrop:  # fmt: skip
    """A crop cut at chance: place, size, position, colours; `pitch_of` tells the usual pitch of a picture.

    Raises
    ------
    InputError
        If picture after picture shows no stone.
    """
    for _ in range(_TRIES):
        index = int(indices[int(rng.integers(len(indices)))])
        picture = pictures[index]
        pitch = pitch_of(index) if pitch_of else usual_pitch(picture.labels)
        if pitch is None:
            continue
        shape = picture.labels.shape
        cut = round(math.sqrt(tesserae) * pitch * math.exp(rng.uniform(-_JITTER, _JITTER)))
        cut = int(np.clip(cut, 16, max(16, *shape)))
        y, x = (int(rng.integers(min(0, side - cut), max(0, side - cut) + 1)) for side in shape)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        sample = _finish(picture, Cutout(index, y, x, cut), size, turns, mirror, rng)
        if sample.count >= _LEAST_TESSERAE:
            return sample
    raise InputError("The pictures show next to no tesserae, so there is nothing to ask for; give others.")


def _finish(
    picture: Picture, place: Cutout, size: int, turns: int, mirror: bool, rng: np.random.Generator | None
) -> SamCrop:
    crop = resize_crop(cut_square(picture, place.y, place.x, place.cut), size)
    image = turned(crop.image, turns, mirror)
    labels = turned(crop.labels, turns, mirror)
    ignore = None if crop.known is None else ~turned(crop.known, turns, mirror)
    return SamCrop(image if rng is None else recolour(rng, image), _number(labels, ignore), ignore)


def _number(labels: NDArray[np.int32], ignore: NDArray[np.bool_] | None) -> NDArray[np.int32]:
    """Stones that may be asked for as 1..N: large enough, and wholly known."""
    ids, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    usual = float(np.median(counts[ids > 0])) if (ids > 0).any() else 0.0
    good = (ids > 0) & (counts >= max(_LEAST_AREA, _LEAST_SHARE * usual))
    if ignore is not None:
        good &= ~np.isin(ids, np.unique(labels[ignore]))
    numbers = np.where(good, np.cumsum(good), 0).astype(np.int32)
    return np.asarray(numbers[inverse].reshape(labels.shape))


class Crops:
    """The crops of a run by step: fixed ones in shuffled order, or cut anew; encoded, or as they are."""

    def __init__(self, material: SamMaterial, params: SamTrainParams, size: int) -> None:
        self.material, self.params, self.size = material, params, size
        self.fixed = params.turns == "eight"
        self.pitch_of = cache(lambda number: usual_pitch(material.pictures[number].labels))
        self.places = fixed_places(material.pictures, material.train, params.stones) if self.fixed else []

    def __len__(self) -> int:
        """Crops in an epoch."""
        return len(self.places) * TURNS if self.fixed else len(self.material.train)

    @property
    def steps_an_epoch(self) -> int:
        """Steps that an epoch takes."""
        return max(1, math.ceil(len(self) / (self.params.batch * self.params.accumulate)))

    def of_step(self, step: int) -> list[tuple[int, SamCrop]]:
        """The crops of a step with their numbers."""
        rng = np.random.default_rng((self.params.seed, step))
        count = self.params.batch * self.params.accumulate
        if not self.fixed:
            pictures, train, tesserae = self.material.pictures, self.material.train, self.params.stones
            return [(k, take_free(pictures, train, rng, tesserae, self.size, self.pitch_of)) for k in range(count)]
        numbers = [self._number(step * count + k) for k in range(count)]
        return [(n, self.take(n)) for n in numbers]

    def _number(self, position: int) -> int:
        epoch, place = divmod(position, len(self))
        return int(np.random.default_rng((self.params.seed, 1, epoch)).permutation(len(self))[place])

    def take(self, number: int) -> SamCrop:
        """A fixed crop by its number."""
        return take_place(self.material.pictures, self.places[number // TURNS], number % TURNS, self.size)


def ask(sample: SamCrop, params: SamTrainParams, rng: np.random.Generator | None, most: int | None = None) -> Asked:
    """Prompts for the stones of a crop, at most `most` of them; without `rng` the first ones', at centroids."""
    slices = ndimage.find_objects(sample.labels)
    chosen = np.arange(len(slices))
    if most is not None and len(chosen) > most:
        chosen = chosen[:most] if rng is None else np.sort(rng.choice(chosen, most, replace=False))
    mixed = params.prompts == "mixed" and rng is not None
    boxed = mixed and rng is not None and rng.random() < _BOXES
    side = sample.labels.shape[0] // MASK_STRIDE
    points, boxes = [], np.zeros((len(chosen), 4), np.int64)
    targets = np.zeros((len(chosen), side, side), np.float32)
    for row, number in enumerate(chosen):
        window = slices[int(number)]
        bits = sample.labels[window] == number + 1
        y0, x0 = window[0].start, window[1].start
        boxes[row] = y0, x0, window[0].stop, window[1].stop
        _fill(targets[row], bits, y0, x0)
        y, x = _inside(bits, rng if mixed and rng is not None and rng.random() < 0.5 else None)
        points.append(((x0 + x, y0 + y),))
    if boxed and rng is not None:
        return Asked(_jittered(boxes, rng), np.tile(np.array([[2, 3]], np.int32), (len(chosen), 1)), targets, boxes)
    places = np.array(points, np.float32).reshape(-1, 1, 2)
    return Asked(places, np.ones((len(chosen), 1), np.int32), targets, boxes)


def _fill(target: NDArray[np.float32], bits: NDArray[np.bool_], y0: int, x0: int) -> None:
    """Write the part of each cell that the bits at (y0, x0) cover."""
    top, left = y0 % MASK_STRIDE, x0 % MASK_STRIDE
    height, width = (-(-(n + m) // MASK_STRIDE) for n, m in zip(bits.shape, (top, left), strict=True))
    grid = np.zeros((height * MASK_STRIDE, width * MASK_STRIDE), np.float32)
    grid[top : top + bits.shape[0], left : left + bits.shape[1]] = bits
    cells = grid.reshape(height, MASK_STRIDE, width, MASK_STRIDE).mean((1, 3))
    y, x = y0 // MASK_STRIDE, x0 // MASK_STRIDE
    target[y : y + height, x : x + width] = cells


def _inside(bits: NDArray[np.bool_], rng: np.random.Generator | None) -> tuple[int, int]:
    """The pixel nearest to the centroid, or with `rng` any pixel away from the outline."""
    if rng is not None:
        depth = cv2.distanceTransform(np.pad(bits, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.nonzero(depth >= 0.5 * depth.max())
        k = int(rng.integers(len(y)))
        return int(y[k]), int(x[k])
    y, x = np.nonzero(bits)
    k = int(np.argmin((y - y.mean()) ** 2 + (x - x.mean()) ** 2))
    return int(y[k]), int(x[k])


def _jittered(boxes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Boxes as two corners `(x, y)` each, drawn as roughly as by hand."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    rough = boxes + rng.uniform(-0.08, 0.08, boxes.shape) * sides
    return np.asarray(rough.reshape(-1, 2, 2)[:, :, ::-1] - 0.5, np.float32)
