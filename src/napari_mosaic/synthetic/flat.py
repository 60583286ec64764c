"""Flat even stones: one colour each, straight edges, no texture, as in drawings, diagrams and new tile work.

One decision: what makes such a stone one is its outline alone, so nothing else is drawn; without them a network
takes every flat patch with straight edges for a colour chart.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.synthetic import drawing, layouts
from napari_mosaic.synthetic.camera import photograph_closely
from napari_mosaic.synthetic.drawing import Drawing
from napari_mosaic.synthetic.legibility import legible
from napari_mosaic.synthetic.noise import Field, chance, smooth_noise

_STREAM = 19
"""Second word of the seed, so that no other drawing of the seed shares its chance."""
_LEAST = 25.0
"""Levels of 255 between every stone and the joint: less is what worn floors are for. *Not varied.*"""


def draw_flat(shape: tuple[int, int], seed: int, *, tessera_px: float | None = None) -> Drawing:
    """Draw flat even stones with their truth: the same for the same seed.

    Parameters
    ----------
    shape
        Height and width in pixels.
    seed
        The same seed and parameters draw the same.
    tessera_px
        Usual side of a stone; None draws 10 to 40.

    Returns
    -------
    Drawing
    """
    rng = np.random.default_rng((seed, _STREAM))
    tessera = float(np.clip(rng.lognormal(np.log(19), 0.3), 10, 40)) if tessera_px is None else float(tessera_px)
    joint = max(1.0, tessera * rng.uniform(0.04, 0.16))
    kind = ("courses", "courses", "grid", "bond", "bricks", "cells", "rows")[int(rng.integers(7))]
    if kind == "courses":
        labels = _courses(rng, shape, tessera, round(joint))
    else:
        margin = int(2 * tessera)
        canvas = (shape[0] + 2 * margin, shape[1] + 2 * margin)
        stones = layouts.join_stones([layouts.lay_field(rng, canvas, tessera, kind)])
        layout = layouts.lay_out(rng, stones, canvas, rough=0.0)
        depth = np.minimum(layout.gap / 2, 1.6 - layout.norm) * layout.unit - joint / 2
        whole = np.where((depth > 0) & (layout.owner >= 0), layout.owner + 1, 0)
        labels = whole[margin : margin + shape[0], margin : margin + shape[1]].astype(np.int32)
    labels = drawing.number_labels(drawing.largest_pieces(labels))
    picture = _colours(rng, labels, tessera)
    if chance(rng, 0.5):
        image = photograph_closely(rng, picture, tessera)
    else:
        if chance(rng, 0.4):
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
        if chance(rng, 0.5):
            noise = rng.standard_normal(picture.shape, dtype=np.float32)
            picture = np.asarray(picture + noise * np.float32(rng.uniform(0.5, 10.0)), np.float32)
        image = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    return Drawing(image, labels, legible(image, labels), tessera, "flat")


def _courses(rng: np.random.Generator, shape: tuple[int, int], tessera: float, joint: int) -> NDArray[np.int32]:
    """Courses of uneven height of stones of uneven length."""
    labels = np.zeros(shape, np.int32)
    spread = rng.uniform(0.0, 0.35)
    y, number = -int(rng.integers(0, max(1, round(tessera)))), 0
    while y < shape[0]:
        height = max(5, round(tessera * np.exp(rng.normal(0, spread))))
        x = -int(rng.integers(0, max(1, round(tessera))))
        while x < shape[1]:
            width, number = max(5, round(tessera * np.exp(rng.normal(0, spread)))), number + 1
            labels[max(0, y) : max(0, y + height - joint), max(0, x) : max(0, x + width - joint)] = number
            x += width
        y += height
    return labels


def _colours(rng: np.random.Generator, labels: NDArray[np.int32], tessera: float) -> Field:
    """One grey or colour a stone over an even joint that all differ from, in patches of like stones or mixed."""
    n = int(labels.max()) + 1
    ground = np.full(3, rng.uniform(0, 255)) if chance(rng, 0.6) else rng.uniform(0, 255, 3)
    palette = rng.uniform(0, 255, (int(rng.integers(1, 7)), 3))
    if chance(rng, 0.5):
        palette = np.repeat(palette.mean(axis=1, keepdims=True), 3, axis=1)
    near = np.abs(palette - ground).max(axis=1) < _LEAST + 15
    side = np.where(ground.mean() > 127, -1.0, 1.0)
    palette[near] = ground + side * rng.uniform(_LEAST + 15, 110)
    picked = rng.integers(0, len(palette), n)
    if chance(rng, 0.5) and n > 1:
        field = smooth_noise(rng, labels.shape, tessera * rng.uniform(3.0, 8.0))
        rank = ndimage.mean(field, labels, np.arange(1, n))
        order = np.argsort(np.argsort(rank)) * len(palette) // max(n - 1, 1)
        picked = np.append(0, np.minimum(order, len(palette) - 1))
    spread = rng.uniform(0.0, 15.0)
    colour = palette[picked] + np.clip(rng.normal(0, spread / 2, (n, 1)), -15, 15)
    colour[0] = ground
    return np.asarray(np.clip(colour, 0, 255)[labels], np.float32)
