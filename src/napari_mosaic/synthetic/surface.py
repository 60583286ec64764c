"""What the surface of an old floor looks like: joints of many fillings, relief with cast shadows, crumbs and dirt.

One decision: a floor is a relief under one light. Stones stand higher or lower, joints and sockets lie deep,
crumbs lie on top, and all shadows follow from these heights; colours of joints follow those of the stones round
them, so that brown lies beside brown.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.synthetic.materials import grain_of_stones, mortar, own_place
from napari_mosaic.synthetic.noise import Field, chance, fractal_noise, smooth_noise, smoothstep

_STEPS = 5
"""How far a shadow reaches, in pixels."""


@dataclass(frozen=True)
class Light:
    """Where light comes from: a direction in the plane, and how many pixels of height a pixel of shadow takes."""

    angle: float
    fall: float
    shadow: float
    slope: float


def choose_light(rng: np.random.Generator) -> Light:
    """Flat light of most photographs, or a low sun that shows every edge."""
    low = chance(rng, 0.4)
    return Light(
        angle=float(rng.uniform(0, 2 * np.pi)),
        fall=float(rng.uniform(0.35, 0.8) if low else rng.uniform(0.8, 2.0)),
        shadow=float(rng.uniform(0.35, 0.8) if low else rng.uniform(0.0, 0.5)),
        slope=float(rng.uniform(0.05, 0.3) if low else rng.uniform(0.0, 0.12)),
    )


def stone_surface(
    rng: np.random.Generator, owner: NDArray[np.int32], depth: Field, colour: NDArray[np.float32], tessera: float,
    smooth: bool,
) -> Field:  # fmt: skip
    """Picture (Y, X, 3) of the stones: grain, pits, slanted faces, worn rims, stains; little of it if `smooth`."""
    n, index = max(len(colour), 1), np.maximum(owner, 0)
    if len(colour) == 0:
        return np.zeros((*owner.shape, 3), np.float32)
    strength = rng.uniform(0.0, 0.02) if smooth else rng.uniform(0.01, 0.07)
    shade = grain_of_stones(rng, index, n, float(strength))
    if not smooth:
        fine = smooth_noise(rng, owner.shape, rng.uniform(1.0, 2.2)) * rng.uniform(0.005, 0.06)
        shade += fine
    if not smooth and chance(rng, 0.5):
        field = own_place(rng, fractal_noise(rng, owner.shape, tessera * rng.uniform(0.08, 0.22), 2), index, n)
        pitted = (rng.random(n) < rng.uniform(0.1, 0.9)).astype(np.float32)[index]
        shade -= smoothstep(field, rng.uniform(1.0, 1.6), 2.2) * pitted * rng.uniform(0.2, 0.7)
    slant = rng.normal(0, rng.uniform(0.0, 0.12), (2, n)).astype(np.float32)[:, index]
    y, x = _from_middle(index, n)
    shade += (slant[0] * y + slant[1] * x) / max(tessera, 1.0)
    shade += rng.normal(0, rng.uniform(0.0, 0.05), n).astype(np.float32)[index]
    rim = rng.uniform(-0.25, 0.1) * (1 - smoothstep(depth, 0.0, tessera * rng.uniform(0.08, 0.25)))
    picture = colour[index] * np.maximum(0.1, 1 + shade + rim)[..., None]
    if not smooth and chance(rng, 0.5):
        stain = own_place(rng, fractal_noise(rng, owner.shape, tessera * rng.uniform(0.3, 0.8), 3), index, n)
        alpha = smoothstep(stain, rng.uniform(0.5, 1.2), 2.0) * rng.uniform(0.15, 0.6)
        tone = rng.uniform(40, 150) * np.array([1.25, 1.0, 0.75], np.float32)
        picture += (tone - picture) * alpha[..., None]
    return np.asarray(picture, np.float32)


def _from_middle(index: NDArray[np.int32], n: int) -> tuple[Field, Field]:
    """Pixels from the middle of each pixel's stone, down and to the right."""
    y, x = np.mgrid[: index.shape[0], : index.shape[1]].astype(np.float32)
    count = np.maximum(np.bincount(index.ravel(), minlength=n), 1)
    middle = [np.bincount(index.ravel(), axis.ravel(), n) / count for axis in (y, x)]
    return tuple(np.asarray(axis - mean[index], np.float32) for axis, mean in zip((y, x), middle, strict=True))  # type: ignore[return-value]


def joint_surface(rng: np.random.Generator, stones: Field, depth: Field, tessera: float) -> Field:
    """Picture (Y, X, 3) of the joints: mortar or earth, with dark gaps here and pale crumbs of lime there.

    A third follow the colours of the stones round them so nearly that only their crumbs, gaps and shadows show.
    """
    shape = depth.shape
    inside = (depth > 0.5).astype(np.float32)
    reach = tessera * rng.uniform(0.6, 2.5)
    share = cv2.GaussianBlur(inside, (0, 0), reach) + 1e-3
    local = cv2.GaussianBlur(stones * inside[..., None], (0, 0), reach) / share[..., None]
    kind = rng.random()
    alike = kind < 0.34
    if alike:
        grout = local * np.float32(rng.uniform(0.8, 1.12)) * np.exp(rng.normal(0, 0.03, 3)).astype(np.float32)
    elif kind < 0.64:
        earth = np.array([1.12, 1.0, 0.86]) * rng.uniform(30, 110) * np.exp(rng.normal(0, 0.08, 3))
        grout = local * 0.35 + np.asarray(earth, np.float32) * 0.65
    elif kind < 0.82:
        grout = np.zeros((*shape, 3), np.float32) + _lime(rng)
    else:
        grout = np.zeros((*shape, 3), np.float32) + np.asarray(
            rng.uniform(8, 60) * np.array([1.1, 1.0, 0.9]), np.float32
        )
    sand = mortar(rng, shape, np.ones(3, np.float32), grain=rng.uniform(0.04, 0.3))
    grout = grout * sand
    if alike or chance(rng, 0.55):
        gap = fractal_noise(rng, shape, tessera * rng.uniform(0.3, 1.6), 2)
        low = rng.uniform(-1.6, 0.2) if alike else rng.uniform(-0.4, 1.6)
        grout *= 1 - (smoothstep(gap, low, low + rng.uniform(0.2, 0.8)) * rng.uniform(0.3, 0.85))[..., None]
    if chance(rng, 0.5):
        crumb = fractal_noise(rng, shape, tessera * rng.uniform(0.1, 0.4), 2)
        low = rng.uniform(0.4, 1.7)
        alpha = smoothstep(crumb, low, low + 0.5) * rng.uniform(0.3, 0.95)
        grout += (_lime(rng) - grout) * alpha[..., None]
    return np.asarray(grout, np.float32)


def _lime(rng: np.random.Generator) -> NDArray[np.float32]:
    return np.asarray(rng.uniform(150, 235) * np.array([1.02, 0.97, 0.88]) * np.exp(rng.normal(0, 0.03, 3)), np.float32)


def heights(
    rng: np.random.Generator, owner: NDArray[np.int32], depth: Field, n: int, tessera: float, smooth: bool
) -> Field:
    """How high the surface stands, in pixels: stones raised and sunken, joints and sockets deep, rims rounded."""
    index = np.maximum(owner, 0)
    raised = rng.normal(0, rng.uniform(0.0, 0.25 if smooth else 1.2), max(n, 1)).astype(np.float32)
    if not smooth:
        sunken = rng.random(max(n, 1)) < rng.uniform(0.0, 0.08)
        raised = np.where(sunken, raised - rng.uniform(1.5, 4.0), raised).astype(np.float32)
    round_off = tessera * (rng.uniform(0.03, 0.08) if smooth else rng.uniform(0.04, 0.2))
    bed = rng.uniform(0.0, 2.5) * (0.5 if smooth else 1.0)
    inside = smoothstep(depth, -0.6, 0.6)
    dome = (1 - smoothstep(depth, 0.0, max(1.0, round_off))) * rng.uniform(0.0, 1.0)
    deep = bed * smoothstep(-depth, -1.0, 2.5)
    return np.asarray((raised[index] - dome) * inside - deep * (1 - inside), np.float32)


def crumbs(rng: np.random.Generator, where: Field, tessera: float) -> tuple[Field, Field]:
    """Loose grains where `where` (Y, X) is 1: how much of each pixel they cover, and how high they are in pixels."""
    cover, height = np.zeros(where.shape, np.float32), np.zeros(where.shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        size = tessera * rng.uniform(0.08, 0.4)
        field = smooth_noise(rng, where.shape, max(1.2, size))
        low = rng.uniform(0.5, 1.6)
        grains = smoothstep(field, low, low + rng.uniform(0.1, 0.4)) * where
        cover = np.maximum(cover, grains)
        height = np.maximum(height, grains * size * np.float32(rng.uniform(0.2, 0.7)))
    return cover, height


def lit(picture: Field, height: Field, light: Light) -> Field:
    """The picture with slopes shaded and shadows cast by what stands higher towards the light."""
    dy, dx = np.sin(light.angle), np.cos(light.angle)
    shadow = np.zeros(height.shape, np.float32)
    for step in range(1, _STEPS + 1):
        move = np.array([[1, 0, step * dx], [0, 1, step * dy]], np.float32)
        towards = cv2.warpAffine(height, move, height.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        shadow = np.maximum(shadow, np.clip((towards - height - step * light.fall) / 0.8, 0, 1))
    soft = cv2.GaussianBlur(shadow, (0, 0), 0.5)
    gy, gx = np.gradient(cv2.GaussianBlur(height, (0, 0), 0.6))
    slope = np.clip(dx * gx + dy * gy, -1.5, 1.5) * light.slope
    return np.asarray(
        picture * np.maximum(0.1, 1 + slope)[..., None] * (1 - light.shadow * soft)[..., None], np.float32
    )


def dirt(rng: np.random.Generator, picture: Field, depth: Field, tessera: float) -> Field:
    """The picture under a film of dirt or lime that gathers in joints and thins towards the middles of stones."""
    shape = depth.shape
    field = fractal_noise(rng, shape, tessera * rng.uniform(0.8, 5.0), 4)
    gather = smoothstep(-depth, -tessera * rng.uniform(0.1, 0.35), 0.5) * rng.uniform(0.0, 1.2)
    low = rng.uniform(0.0, 1.2)
    alpha = smoothstep(np.asarray(field + gather, np.float32), low, low + rng.uniform(0.6, 2.0)) * rng.uniform(
        0.1, 0.55
    )
    mean = picture.mean(axis=(0, 1))
    tone = mean * rng.uniform(0.5, 1.25) * np.exp(rng.normal(0, 0.06, 3))
    layer = mortar(rng, shape, np.asarray(tone, np.float32), grain=rng.uniform(0.02, 0.15))
    return np.asarray(picture + (layer - picture) * alpha[..., None], np.float32)
