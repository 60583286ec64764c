"""What time does to a mosaic, and what lies around it: missing stones, lacunae, plaster, surrounds, cracks.

One decision: whatever is drawn here belongs to no stone, and much of it is drawn to be taken for one:
plaster in the colours of stones, blotches of their size, backdrops in the colour of joints.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.synthetic.materials import mortar
from napari_mosaic.synthetic.noise import Field, chance, fractal_noise, smooth_noise, smoothstep


def drop_stones(rng: np.random.Generator, n: int, centre: Field, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which of `n` stones have fallen out: some anywhere, some in groups."""
    lost = rng.random(n) < (rng.uniform(0.0, 0.08) if chance(rng, 0.5) else 0.0)
    if n and chance(rng, 0.25):
        field = fractal_noise(rng, shape, max(shape) * rng.uniform(0.08, 0.3), 2)
        place = tuple(np.clip(np.round(centre).astype(int), 0, np.array(shape) - 1).T)
        lost |= field[place] > rng.uniform(1.0, 1.9)
    return np.asarray(lost)


def chip_edges(rng: np.random.Generator, depth: Field, tessera: float) -> Field:
    """Depth with corners and edges broken away where chance strikes them."""
    noise = fractal_noise(rng, depth.shape, tessera * rng.uniform(0.12, 0.4), 3)
    worn = np.maximum(noise - rng.uniform(0.6, 1.8), 0) * tessera * rng.uniform(0.0, 0.3) ** 2
    rough = smooth_noise(rng, depth.shape, rng.uniform(1.5, 4)) * tessera * rng.uniform(0.0, 0.15) ** 2
    return np.asarray(depth - worn * (depth < tessera * 0.25) + rough, np.float32)


def lacuna_mask(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the mosaic is lost: blobs with smooth or frayed borders over a part of the canvas."""
    scale = max(shape) * rng.uniform(0.12, 0.6)
    field = fractal_noise(rng, shape, scale, int(rng.integers(1, 5)), gain=rng.uniform(0.3, 0.6))
    return np.asarray(field > np.quantile(field, rng.uniform(0.62, 0.98)))


def socket_mask(rng: np.random.Generator, shape: tuple[int, int], tessera: float) -> NDArray[np.bool_]:
    """Where one to a few stones have fallen out and the holes were filled: blotches of the size of stones."""
    field = fractal_noise(rng, shape, tessera * rng.uniform(0.8, 2.5), 2)
    return np.asarray(field > rng.uniform(1.2, 2.0))


def stain(rng: np.random.Generator, picture: Field, tessera: float) -> Field:
    """The picture with dirt, lime or wear that crosses stones and joints alike, its blotches as large as stones."""
    field = fractal_noise(rng, picture.shape[:2], tessera * rng.uniform(0.5, 4.0), 3)
    alpha = smoothstep(field, rng.uniform(-0.6, 0.6), rng.uniform(0.9, 2.5)) * rng.uniform(0.1, 0.55)
    if chance(rng, 0.4):
        other = np.asarray(cv2.GaussianBlur(picture, (0, 0), tessera * rng.uniform(0.06, 0.3)), np.float32)
    else:
        other = picture.mean(axis=(0, 1)) * np.float32(rng.uniform(0.3, 1.5))
    return np.asarray(picture + (other - picture) * alpha[..., None], np.float32)


def surround_mask(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the picture shows what is no mosaic: beyond one or two straight or ragged edges, or round a disc."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    ragged = fractal_noise(rng, shape, max(shape) * 0.15, 4) * (rng.uniform(1, 9) if chance(rng, 0.5) else 0.0)
    mask = np.zeros(shape, bool)
    if chance(rng, 0.2):
        centre, radius = rng.uniform(0.1, 0.9, 2) * shape, rng.uniform(0.35, 0.8) * max(shape)
        return np.asarray(np.hypot(y - centre[0], x - centre[1]) + ragged > radius)
    for _ in range(int(rng.integers(1, 3))):
        slanted = chance(rng, 0.5)
        angle = rng.uniform(0, 2 * np.pi) if slanted else rng.integers(0, 4) * np.pi / 2 + rng.normal(0, 0.03)
        along = np.cos(angle) * (y - shape[0] / 2) + np.sin(angle) * (x - shape[1] / 2)
        mask |= along + ragged > rng.uniform(0.12, 0.48) * max(shape)
    return mask


def plaster(rng: np.random.Generator, shape: tuple[int, int], near: NDArray[np.float32], tessera: float) -> Field:
    """A picture of fill: smooth, sandy, blotched or scratched, in the colours of `near` (N, 3) or mortar's own."""
    if chance(rng, 0.55) and len(near):
        colour = near[int(rng.integers(len(near)))] * rng.uniform(0.7, 1.15)
    else:
        colour = rng.uniform(50, 215) * np.array([1.06, 1.0, 0.9]) * np.exp(rng.normal(0, 0.06, 3))
    picture = mortar(rng, shape, np.asarray(colour, np.float32), grain=rng.choice([0.01, 0.05, 0.12, 0.22]))
    shade = np.zeros(shape, np.float32)
    if chance(rng, 0.6):
        scale = tessera * rng.uniform(0.3, 2.5)
        shade += fractal_noise(rng, shape, scale, 3) * rng.uniform(0.02, 0.16)
    if chance(rng, 0.25):
        pebbles = smoothstep(smooth_noise(rng, shape, tessera * rng.uniform(0.12, 0.5)), 0.8, 1.4)
        shade += pebbles * rng.uniform(-0.45, 0.45)
    if chance(rng, 0.25):
        lines = np.abs(fractal_noise(rng, shape, tessera * rng.uniform(1, 5), 3))
        shade -= (1 - smoothstep(lines, 0.01, rng.uniform(0.03, 0.09))) * rng.uniform(0.1, 0.5)
    if chance(rng, 0.2):
        blot = smoothstep(fractal_noise(rng, shape, tessera * rng.uniform(1, 4), 3), 0.2, 0.8)[..., None]
        other = near[int(rng.integers(len(near)))] if len(near) else colour
        picture += (other - picture) * blot * rng.uniform(0.2, 0.8)
    return np.asarray(picture * np.maximum(0.1, 1 + shade)[..., None], np.float32)


def backdrop(rng: np.random.Generator, shape: tuple[int, int], near: NDArray[np.float32], tessera: float) -> Field:
    """A picture of a surround: black, white or grey card, a board's grain, a wall or ground."""
    kind = rng.random()
    if kind < 0.45:
        level = rng.choice([rng.uniform(0, 30), rng.uniform(225, 255), rng.uniform(30, 225)], p=[0.45, 0.25, 0.3])
        tint = np.exp(rng.normal(0, 0.03, 3)) if chance(rng, 0.5) else np.ones(3)
        return mortar(rng, shape, np.asarray(level * tint, np.float32), grain=rng.choice([0.0, 0.01, 0.04]))
    if kind < 0.6:
        wood = mortar(rng, shape, np.array([150, 110, 70], np.float32) * rng.uniform(0.5, 1.3), grain=0.04)
        grain = cv2.resize(smooth_noise(rng, (shape[0], max(8, shape[1] // 12)), rng.uniform(2, 5)), shape[::-1])
        if shape[0] != shape[1]:
            return wood
        grain = grain if chance(rng, 0.5) else grain.T
        return np.asarray(wood * (1 + grain[..., None] * 0.1), np.float32)
    picture = plaster(rng, shape, near, tessera)
    if chance(rng, 0.3):
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(1, 4)), np.float32)
    return picture


def crack(rng: np.random.Generator, picture: Field) -> Field:
    """The picture with a crack across it, dark or filled."""
    line = np.abs(fractal_noise(rng, picture.shape[:2], max(picture.shape) * rng.uniform(0.4, 0.9), 4, 0.4))
    alpha = (1 - smoothstep(line, 0.0, rng.uniform(0.008, 0.03))) * rng.uniform(0.4, 1.0)
    colour = rng.uniform(20, 190) * np.array([1.05, 1.0, 0.92], np.float32)
    return np.asarray(picture + (colour - picture) * alpha[..., None], np.float32)
