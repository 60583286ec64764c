"""What stones and joints are made of: palettes, colours by region, textures, bevels, gloss and shadows.

One decision: colour belongs to regions of the picture, not to stones, so that neighbours share it and only
the joint parts them, as on real floors; palettes are those of Roman floors, with glass as the exception.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.synthetic.noise import Field, chance, fractal_noise, smooth_noise, smoothstep

WHITES = ((228, 222, 208), (214, 200, 168), (205, 196, 180), (190, 178, 150), (236, 232, 226))
DARKS = ((38, 36, 36), (60, 58, 60), (72, 56, 46), (82, 84, 90), (96, 90, 82))
EARTHS = ((176, 138, 72), (196, 160, 84), (150, 72, 52), (176, 104, 74), (200, 160, 140), (112, 80, 52), (104, 46, 38))
GREYS = ((128, 126, 120), (98, 104, 112), (150, 154, 144), (164, 160, 150), (110, 104, 100))
GREENS = ((98, 110, 78), (140, 148, 130), (120, 128, 112), (70, 84, 66))
BROWNS = ((112, 80, 48), (134, 98, 58), (92, 64, 42), (150, 112, 64), (122, 90, 62), (84, 62, 46))
GLASS = ((16, 22, 34), (150, 18, 24), (232, 180, 50), (52, 98, 150), (110, 110, 70), (20, 74, 60), (240, 238, 228))
PINKS = ((206, 168, 144), (196, 150, 124), (216, 186, 160), (178, 96, 82), (150, 122, 116))
THEMES: tuple[tuple[float, tuple[tuple[int, int, int], ...]], ...] = (
    (0.28, WHITES + DARKS + EARTHS + GREYS),
    (0.12, WHITES[:3] + DARKS[:3]),
    (0.14, BROWNS + DARKS[2:4]),
    (0.12, GREYS + GREENS + WHITES[2:4]),
    (0.12, PINKS + WHITES[1:4] + EARTHS[2:]),
    (0.12, GLASS),
    (0.08, DARKS + GREYS[:2] + BROWNS[4:]),
    (0.06, WHITES),
)


@dataclass(frozen=True)
class Finish:
    """How the stones and joints of one drawing look."""

    grout: tuple[float, float, float]
    texture: float
    bevel: float
    gloss: float
    shadow: float
    light: float
    dirt: float
    mottle: float
    uneven: bool


def choose_palette(rng: np.random.Generator) -> NDArray[np.float32]:
    """Two to six colours that occur together, as (N, 3) RGB."""
    weights = np.array([weight for weight, _ in THEMES])
    theme = THEMES[int(rng.choice(len(THEMES), p=weights / weights.sum()))][1]
    n = min(len(theme), int(rng.integers(2, 7)))
    chosen = np.array(theme, np.float32)[rng.permutation(len(theme))[:n]]
    if chance(rng, 0.08):
        chosen = rng.uniform(20, 235, chosen.shape).astype(np.float32)
    return chosen * rng.uniform(0.85, 1.1) + rng.normal(0, 5, chosen.shape).astype(np.float32)


def colour_stones(
    rng: np.random.Generator, centre: Field, shape: tuple[int, int], palette: NDArray[np.float32],
    region: NDArray[np.int64],
) -> NDArray[np.float32]:  # fmt: skip
    """One RGB colour a stone: that of its `region` and of wider bands, with the spread of natural stone."""
    n = len(centre)
    place = tuple(np.clip(np.round(centre).astype(int), 0, np.array(shape) - 1).T)
    bands = int(rng.integers(0, 4 if not region.any() else 2))
    for _ in range(bands):
        field = fractal_noise(rng, shape, max(shape) * rng.uniform(0.15, 0.5), octaves=2)
        region = region * 2 + (field[place] > rng.uniform(-0.6, 0.9)).astype(int)
    table = rng.integers(0, len(palette), 64)
    mixed = rng.random(n) < rng.choice([0.0, 0.05, 0.25, 0.9], p=[0.4, 0.3, 0.2, 0.1])
    index = np.where(mixed, rng.integers(0, len(palette), n), table[region % 64])
    spread = rng.uniform(1.5, 18)
    colour = palette[index] * np.exp(rng.normal(0, spread / 130, (n, 1)))
    return np.asarray(colour + rng.normal(0, spread * 0.35, (n, 3)), np.float32)


def choose_finish(rng: np.random.Generator, colour: NDArray[np.float32], plain: bool) -> Finish:
    """Finish of a drawing; the joint is seen by its colour, its depth or both; in a `plain` one mortar is even."""
    mean = colour.mean(axis=0) if len(colour) else np.full(3, 128.0, np.float32)
    kind = rng.random()
    grout: NDArray[np.floating]
    if kind < 0.26:
        grout = rng.uniform(165, 225) * np.array([1.0, 0.97, 0.91]) * np.exp(rng.normal(0, 0.03, 3))
    elif kind < 0.58:
        grout = rng.uniform(25, 95) * np.array([1.12, 1.0, 0.86]) * np.exp(rng.normal(0, 0.06, 3))
    elif kind < 0.74:
        grout = np.array([150, 118, 92]) * rng.uniform(0.6, 1.2) * np.exp(rng.normal(0, 0.1, 3))
    else:
        like = colour[int(rng.integers(len(colour)))] if len(colour) and chance(rng, 0.5) else mean
        grout = np.asarray(like * rng.uniform(0.72, 1.12), np.float64)
    faint = kind >= 0.74 or abs(float((grout - mean).mean())) < 22
    return Finish(
        grout=tuple(float(v) for v in grout),  # type: ignore[arg-type]
        texture=float(rng.uniform(0.0, 0.012) if chance(rng, 0.12) else rng.uniform(0.01, 0.11)),
        bevel=float(rng.uniform(0.05, 0.3) if faint or chance(rng, 0.5) else 0.0),
        gloss=float(rng.uniform(0.1, 0.5) if chance(rng, 0.15) else 0.0),
        shadow=float(rng.uniform(0.25, 0.75) if faint or chance(rng, 0.5) else rng.uniform(0, 0.2)),
        light=float(rng.uniform(0, 2 * np.pi)),
        dirt=float(rng.uniform(0.1, 0.6) if chance(rng, 0.4) else 0.0),
        mottle=float(rng.uniform(0.15, 0.9) if chance(rng, 0.15 if plain else 0.5) else 0.0),
        uneven=not plain and chance(rng, 0.5),
    )


def render(
    rng: np.random.Generator, owner: NDArray[np.int32], depth: Field, colour: NDArray[np.float32], finish: Finish,
    tessera: float,
) -> Field:  # fmt: skip
    """Picture (Y, X, 3), 0..255, of stones over their joints; `depth` is pixels inside (+) or outside (-) a stone."""
    shape = owner.shape
    stone = _stone_picture(rng, owner, depth, colour, finish, tessera)
    grout = _grout_picture(rng, shape, finish, tessera)
    grout *= (1.0 - finish.shadow * 0.5 * smoothstep(-depth, -0.5, 3.0))[..., None]
    alpha = smoothstep(depth, -0.7, 0.7)
    if finish.shadow > 0:
        reach = rng.uniform(1.0, 3.5)
        move = np.array([[1, 0, reach * np.cos(finish.light)], [0, 1, reach * np.sin(finish.light)]], np.float32)
        cast = cv2.GaussianBlur(cv2.warpAffine(alpha, move, shape[::-1]), (0, 0), 0.7)
        grout *= (1.0 - finish.shadow * cast)[..., None]
    if finish.dirt > 0:
        film = finish.dirt * smoothstep(fractal_noise(rng, shape, rng.uniform(8, 60), 4), 0.0, 2.0)
        stone += (grout.mean(axis=(0, 1)) - stone) * film[..., None]
    if chance(rng, 0.3):
        smear = smoothstep(fractal_noise(rng, shape, rng.uniform(5, 20), 3), 0.6, 1.8) * rng.uniform(0.2, 0.8)
        alpha = alpha * (1.0 - smear * smoothstep(-depth, -4.0, 0.0))
    return np.asarray(grout + (stone - grout) * alpha[..., None], np.float32)


def mortar(rng: np.random.Generator, shape: tuple[int, int], colour: NDArray[np.float32], grain: float) -> Field:
    """A picture of mortar: its colour with grains of sand and soft clouds."""
    sand = rng.standard_normal(shape, dtype=np.float32) * grain * 0.5
    sand += fractal_noise(rng, shape, rng.uniform(2, 5), 2) * grain * 0.6
    sand += fractal_noise(rng, shape, rng.uniform(20, 90), 2) * rng.uniform(0.01, 0.08)
    return np.asarray(colour * np.maximum(0.1, 1.0 + sand)[..., None], np.float32)


def _grout_picture(rng: np.random.Generator, shape: tuple[int, int], finish: Finish, tessera: float) -> Field:
    """Mortar, where it is uneven pale here and dark or washed out there."""
    colour = np.array(finish.grout, np.float32)
    grout = mortar(rng, shape, colour, grain=rng.uniform(0.02, 0.14))
    if finish.uneven:
        other = colour * rng.uniform(0.25, 0.8) if chance(rng, 0.6) else colour + rng.uniform(10, 110)
        field = fractal_noise(rng, shape, tessera * rng.uniform(0.4, 4.0), 2)
        alpha = smoothstep(field, rng.uniform(-0.5, 0.5), rng.uniform(0.6, 1.5)) * rng.uniform(0.3, 1.0)
        grout += (np.float32(other) - grout) * alpha[..., None]
    return grout


def _stone_picture(
    rng: np.random.Generator, owner: NDArray[np.int32], depth: Field, colour: NDArray[np.float32], finish: Finish,
    tessera: float,
) -> Field:  # fmt: skip
    shape = owner.shape
    index = np.maximum(owner, 0)
    picture: Field = colour[index] if len(colour) else np.zeros((*shape, 3), np.float32)
    shade = grain_of_stones(rng, index, len(colour), finish.texture)
    if finish.mottle > 0 and len(colour):
        picture = _mottle(rng, picture, index, colour, finish.mottle, tessera)
    if finish.bevel > 0:
        width = rng.uniform(1.5, 6)
        height = smoothstep(depth, -0.5, width)
        dy, dx = np.gradient(cv2.GaussianBlur(height, (0, 0), 0.6))
        slope = -(np.cos(finish.light) * dx + np.sin(finish.light) * dy)
        shade = shade - finish.bevel * 0.6 * (1 - height) + finish.bevel * slope * width * 0.7
        if finish.gloss > 0:
            rim = smoothstep(slope * width, 0.35, 0.9) * smoothstep(depth, 0.0, 1.5)
            shade = shade + rim * finish.gloss * rng.uniform(0.0, 3.0)
    tilt = rng.normal(0, rng.uniform(0, 0.05), max(len(colour), 1)).astype(np.float32)
    picture = picture * np.maximum(0.08, 1.0 + shade + tilt[index])[..., None]
    if finish.gloss > 0:
        spot = smoothstep(smooth_noise(rng, shape, rng.uniform(3, 8)), 1.0, 2.0) * finish.gloss
        picture += (255.0 - picture) * (spot * smoothstep(depth, 0.5, 3.0))[..., None]
    return np.asarray(picture, np.float32)


def _mottle(
    rng: np.random.Generator, picture: Field, index: NDArray[np.int32], colour: NDArray[np.float32], strength: float,
    tessera: float,
) -> Field:  # fmt: skip
    """Stones of two colours: clouds, halves and veins of another stone's colour or of their own, paler or darker."""
    n = len(colour)
    field = fractal_noise(rng, index.shape, tessera * rng.uniform(0.25, 1.0), 3, gain=rng.uniform(0.3, 0.7))
    if chance(rng, 0.25):
        field = 1.0 - np.abs(field) * np.float32(rng.uniform(3, 8))
    soft = rng.uniform(0.1, 1.2)
    alpha = smoothstep(own_place(rng, field, index, n), rng.uniform(0.0, 0.6), soft + 0.6) * strength
    amount = rng.uniform(0, 1, n).astype(np.float32) * (rng.random(n) < rng.uniform(0.2, 1.0))
    other = np.asarray(colour * np.exp(rng.normal(0, 0.35, (n, 1))), np.float32)
    foreign = rng.random(n) < rng.uniform(0, 0.5)
    other[foreign] = colour[rng.permutation(n)][foreign]
    return np.asarray(picture + (other[index] - picture) * (alpha * amount[index])[..., None], np.float32)


def own_place(rng: np.random.Generator, field: Field, index: NDArray[np.int32], n: int) -> Field:
    """A field read at a place of each stone's own, so that it ends where the stone ends."""
    height, width = index.shape
    shift = rng.integers(0, 4096, (max(n, 1), 2))
    y = (np.arange(height)[:, None] + shift[index, 0]) % height
    x = (np.arange(width)[None, :] + shift[index, 1]) % width
    return np.asarray(field[y, x], np.float32)


def grain_of_stones(rng: np.random.Generator, index: NDArray[np.int32], n: int, strength: float) -> Field:
    """Texture that differs from stone to stone: clouds, grains, pits and veins, none on smooth ones."""
    field = fractal_noise(rng, index.shape, rng.uniform(4, 14), 4, gain=rng.uniform(0.5, 0.9)) * strength
    if strength > 0.012 and chance(rng, 0.45):
        pits = smoothstep(fractal_noise(rng, index.shape, rng.uniform(2, 5), 2), 1.4, 2.2)
        field -= pits * rng.uniform(0.15, 0.6)
    if strength > 0.012 and chance(rng, 0.3):
        vein = np.abs(fractal_noise(rng, index.shape, rng.uniform(12, 40), 3))
        field += (1 - smoothstep(vein, 0.02, 0.12)) * rng.uniform(-0.3, 0.25)
    return own_place(rng, field, index, n)
