"""Mosaics as GROUT draws them: tiles without wear, in three patterns, in its proportions.

One decision: what a drawing is (`GroutTraits`) is chosen before anything is drawn, so the proportions of a set can be
told without drawing it. Patterns are functions of turned and scaled coordinates, which tell for every pixel its tile
and how far the nearest joint is; the joint in the picture and the joint in the truth have widths of their own.

References
----------
Lovecky, GROUT (2026): proportions and ranges as its description gives them; seeds beyond the edges, and joints of at
most 2 px between many tiles, as in its generator. There a tenth of the drawings with many colours has no joint; here it
is a tenth of all, as the description says.

"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_mosaic.synthetic.drawing import Drawing
from napari_mosaic.synthetic.materials import choose_palette
from napari_mosaic.synthetic.noise import Field

PATTERNS = {"bond": 0.4, "circles": 0.3, "cells": 0.3}
"""Running bond, concentric circles (opus vermiculatum), Voronoi cells: the part of each."""
MONOCHROME, NO_JOINT = 0.15, 0.1
"""Parts of the drawings with tiles of one colour, and with tiles that touch without a joint; none is both, for it would
show nothing."""
TILES = (400, 1500)
"""Tiles on 512 x 512 px, before the scale; of cells, seeds over the picture and `_BEYOND` px around it."""
_SIDE = 512
"""Side, px, for which the recipe gives its numbers."""
_BEYOND = 50
"""Pixels around the picture where cells have seeds, too, so that those at the edge are no wider than others."""
_MANY = 1000
"""Tiles from which joints are at most 2 px wide."""

Tiles = tuple[NDArray[np.int64], Field]


@dataclass(frozen=True)
class GroutTraits:
    """What a drawing is: `tiles` as in `TILES`, widths of the joint in px in the picture (0: none) and in the truth."""

    pattern: str
    tiles: int
    monochrome: bool
    joint_px: float
    truth_px: float


def choose_traits(seed: int) -> GroutTraits:
    """What the drawing of a seed is."""
    rng = np.random.default_rng((seed, 3))
    pattern = str(rng.choice(list(PATTERNS), p=list(PATTERNS.values())))
    tiles, roll = int(rng.integers(TILES[0], TILES[1] + 1)), float(rng.uniform())
    wide = float(rng.uniform(1.0, 2.0 if tiles > _MANY else 4.0))
    wide = 0.0 if MONOCHROME <= roll < MONOCHROME + NO_JOINT else wide
    return GroutTraits(pattern, tiles, roll < MONOCHROME, wide, float(np.clip(wide + 1, 2, 3)))


def draw_grout_like(size: int, seed: int, traits: GroutTraits | None = None) -> Drawing:
    """Draw a mosaic by GROUT's recipe: the same for the same seed.

    `traits` are those of the seed where none are given.
    """
    traits = traits or choose_traits(seed)
    rng = np.random.default_rng((seed, 2))
    side = _SIDE / float(np.sqrt(traits.tiles)) * rng.uniform(0.8, 1.6)
    tile, away = _lay(rng, size, side, traits)
    numbers = np.unique(tile, return_inverse=True)[1].reshape(tile.shape)
    colour = _colours(rng, int(numbers.max()) + 1, one=traits.monochrome)
    wide = traits.joint_px
    alpha = np.clip(wide / 2 - away + 0.5, 0, 1)[..., None] if wide else np.zeros((size, size, 1), np.float32)
    picture = colour[numbers] * (1 - alpha) + _joint_colour(rng, colour) * alpha
    truth = np.where(away > traits.truth_px / 2, numbers + 1, 0).astype(np.int32)
    valid = np.ones(truth.shape, bool)
    usual = (_SIDE + 2 * _BEYOND) / float(np.sqrt(traits.tiles)) if traits.pattern == "cells" else side
    return Drawing(_photograph(rng, picture.astype(np.float32)), truth, valid, usual, traits.pattern)


def count_seeds(size: int, tiles: int) -> int:
    """Seeds of the cells of a picture `size` px wide, where one of 512 px has `tiles`."""
    return max(4, round(tiles * ((size + 2 * _BEYOND) / (_SIDE + 2 * _BEYOND)) ** 2))


def _lay(rng: np.random.Generator, size: int, side: float, traits: GroutTraits) -> Tiles:
    """The tile of every pixel, by any number, and its pixels to the nearest joint's middle."""
    if traits.pattern == "cells":
        return _cells(rng, size, count_seeds(size, traits.tiles))
    circles = traits.pattern == "circles"
    middle = rng.uniform(-0.2, 1.2, 2) * size if circles else np.full(2, size / 2)
    y, x = (np.mgrid[:size, :size] - middle[:, None, None]).astype(np.float64)
    long, tall = side * np.array([1.0, 1 / rng.uniform(1.0, 2.2)]) * rng.uniform(1.0, 1.3)
    return _circles(rng, y, x, long, tall) if circles else _bond(rng, y, x, long, tall)


def _bond(rng: np.random.Generator, y: Field, x: Field, long: float, tall: float) -> Tiles:
    turn = rng.uniform(0, np.pi)
    along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    row = np.floor(across / tall)
    along = along + (row % 2) * long / 2
    column = np.floor(along / long)
    edge = np.minimum(_to_edge(across, tall), _to_edge(along, long))
    return _number(row, column), edge.astype(np.float32)


def _circles(rng: np.random.Generator, y: Field, x: Field, long: float, tall: float) -> Tiles:
    radius = np.hypot(y, x)
    ring = np.floor(radius / tall)
    count = np.maximum(4, np.round(2 * np.pi * (ring + 0.5) * tall / long))
    shift = rng.uniform(0, 1, int(ring.max()) + 1)[ring.astype(int)]
    part = (np.arctan2(y, x) / (2 * np.pi) % 1.0) * count + shift
    arc = _to_edge(part, 1.0) / count * 2 * np.pi * radius
    return _number(ring, np.floor(part) % count), np.minimum(_to_edge(radius, tall), arc).astype(np.float32)


def _cells(rng: np.random.Generator, size: int, count: int) -> Tiles:
    seeds = rng.uniform(-_BEYOND, size + _BEYOND, (count, 2))
    pixels = np.indices((size, size)).reshape(2, -1).T
    distance, nearest = cKDTree(seeds).query(pixels, k=2)
    apart = np.linalg.norm(seeds[nearest[:, 0]] - seeds[nearest[:, 1]], axis=1)
    edge = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2 * np.maximum(apart, 1e-6))
    return nearest[:, 0].reshape(size, size), np.asarray(edge.reshape(size, size), np.float32)


def _to_edge(place: Field, period: float) -> Field:
    inside = place % period
    nearest: Field = np.minimum(inside, period - inside)
    return nearest


def _number(row: Field, column: Field) -> NDArray[np.int64]:
    row, column = (values - values.min() for values in (row, column))
    return np.asarray(row * (column.max() + 1) + column, np.int64)


def _colours(rng: np.random.Generator, count: int, *, one: bool) -> NDArray[np.float32]:
    """One RGB colour a tile: of a palette, with a little spread; or one colour for all."""
    palette = choose_palette(rng)
    if one:
        return np.repeat(np.asarray(palette[:1], np.float32), count, axis=0)
    base = palette[rng.integers(0, len(palette), count)]
    return np.clip(base + rng.normal(0, rng.uniform(2, 14), (count, 1)) + rng.normal(0, 3, (count, 3)), 0, 255).astype(
        np.float32
    )


def _joint_colour(rng: np.random.Generator, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dark beside bright tiles, bright beside dark ones."""
    bright = float(tiles.mean()) > 128
    grey = rng.uniform(15, 80) if bright else rng.uniform(175, 240)
    return np.clip(grey * np.exp(rng.normal(0, 0.04, 3)), 0, 255).astype(np.float32)


def _photograph(rng: np.random.Generator, picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Blur and noise."""
    blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.2, 1.2))
    noisy = blurred + rng.normal(0, rng.uniform(1, 9), picture.shape)
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
