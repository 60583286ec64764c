"""Drawn floors as excavations and museums photograph them: worn, dirty, low in contrast, sharp in every pixel.

One decision: these are a set of their own beside `draw_mosaic`, which stays what it is for the same seed, so that
figures before and after can be told on both. Layouts, damage and numbering are shared; colours, joints, surface,
light and camera are drawn in the proportions that `benchmarks/appearance.py` measures on photographs.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.synthetic import damage, drawing, layouts, materials, surface
from napari_mosaic.synthetic.camera import photograph_closely
from napari_mosaic.synthetic.drawing import Drawing
from napari_mosaic.synthetic.flat import draw_flat
from napari_mosaic.synthetic.legibility import legible, outlined
from napari_mosaic.synthetic.lying import lying_thing
from napari_mosaic.synthetic.noise import Field, chance, fractal_noise, smoothstep

KINDS = {"figure": 0.34, "rows": 0.16, "mixed": 0.14, "bond": 0.08, "grid": 0.04, "cells": 0.03, "slabs": 0.08,
         "palladian": 0.05, "pebbles": 0.04, "none": 0.04}  # fmt: skip
"""Part of each kind of floor; `slabs` are large cut stones, modern glass among them, `palladian` broken ones."""
FLAT = 0.2
"""Part of the floors that are flat even stones (`draw_flat`), where no kind is asked for."""
_STREAM = 16
"""Second word of the seed, so that a floor and a mosaic of one seed share no chance."""
_CHOICE = 20
"""The same for whether it is flat, so that floors of seeds that are not remained what they were."""
_FAMILIES: tuple[tuple[float, tuple[tuple[int, int, int], ...]], ...] = (
    (0.24, ((112, 80, 48), (134, 98, 58), (150, 112, 64), (92, 64, 42), (168, 128, 78), (74, 60, 48))),
    (0.16, ((228, 222, 208), (214, 204, 182), (205, 196, 180), (190, 178, 150), (236, 232, 226))),
    (0.14, ((150, 154, 144), (128, 126, 120), (140, 148, 130), (164, 160, 150), (110, 104, 100))),
    (0.14, ((206, 168, 144), (196, 150, 124), (216, 186, 160), (178, 130, 110), (200, 170, 150))),
    (0.12, ((38, 36, 36), (60, 58, 60), (72, 56, 46), (52, 46, 44), (28, 28, 32))),
    (0.08, ((150, 72, 52), (176, 104, 74), (104, 46, 38), (130, 60, 46))),
    (0.07, ((176, 138, 72), (196, 160, 84), (190, 120, 50), (210, 170, 110))),
    (0.05, ((98, 110, 78), (120, 128, 112), (98, 104, 112), (82, 90, 96))),
)
"""Colours that lie side by side on one floor: browns, whites, greys, pinks, blacks, reds, ochres, greens and blues."""


def draw_floor(
    size: int | tuple[int, int], seed: int, kind: str | None = None, *, tessera_px: float | None = None
) -> Drawing:
    """Draw a worn floor with its truth: the same for the same seed.

    Parameters
    ----------
    size
        Side, or height and width, in pixels.
    seed
        The same seed and parameters draw the same floor.
    kind
        One of `KINDS`, or "flat"; None leaves it to chance.
    tessera_px
        Usual side of a stone; None draws 10 to 34, slabs up to 56.

    Returns
    -------
    Drawing
        `valid` is false on stones that the picture does not show, by colour or by most of their outline.
    """
    shape = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if kind == "flat" or (kind is None and np.random.default_rng((seed, _CHOICE)).random() < FLAT):
        return draw_flat(shape, seed, tessera_px=tessera_px)
    rng = np.random.default_rng((seed, _STREAM))
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values()))) if kind is None else kind
    smooth = kind == "slabs" or chance(rng, 0.08)
    tessera = _side(rng, kind) if tessera_px is None else float(tessera_px)
    inner = max(8.0, tessera * rng.uniform(0.5, 0.9)) if chance(rng, 0.35) else tessera
    margin = int(2 * tessera)
    canvas = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    figure = layouts.figure_mask(rng, canvas, inner) if kind in ("mixed", "figure") or chance(rng, 0.5) else None
    layout = _lay_out(rng, canvas, kind, tessera, inner, figure)
    depth, sockets = _depth(rng, layout, kind, tessera)
    stones = layout.stones
    region = np.zeros(len(stones), np.int64)
    if figure is not None:
        region = layouts.regions(rng, figure, stones.centre, inner)
    palette = _palette(rng)
    colour = materials.colour_stones(rng, stones.centre, canvas, palette, region)
    cut = np.s_[margin : margin + shape[0], margin : margin + shape[1]]
    owner, depth = np.ascontiguousarray(layout.owner[cut]), np.ascontiguousarray(depth[cut])
    owner, depth = drawing.settle(owner, depth)
    labels = np.where(depth > 0, owner + 1, 0).astype(np.int32)
    picture, labels = _picture(rng, owner, depth, labels, colour, np.ascontiguousarray(sockets[cut]), tessera, smooth)
    picture, labels = _around(rng, picture, labels, palette, tessera, kind)
    image = photograph_closely(rng, picture, inner)
    labels = drawing.number_labels(drawing.largest_pieces(labels))
    return Drawing(image, labels, legible(image, labels) & outlined(image, labels), tessera, kind)


def _side(rng: np.random.Generator, kind: str) -> float:
    if kind == "slabs":
        return float(rng.uniform(22, 56))
    return float(np.clip(rng.lognormal(np.log(18.5), 0.24), 10, 34))


def _lay_out(
    rng: np.random.Generator, canvas: tuple[int, int], kind: str, tessera: float, inner: float,
    figure: NDArray[np.bool_] | None,
) -> layouts.Layout:  # fmt: skip
    if kind == "palladian":
        stones = _broken(rng, canvas, tessera)
    elif kind == "pebbles":
        stones = layouts.lay_cells(rng, canvas, tessera)
        stones = _stretched(rng, stones, 0.3)
    elif kind == "slabs":
        field = ("grid", "bond", "bricks", "cells", "rows")[int(rng.integers(5))]
        stones = layouts.join_stones([layouts.lay_field(rng, canvas, tessera, field)])
    else:
        stones = drawing.lay_geometry(rng, canvas, tessera, inner, kind, figure)
    if kind in ("figure", "mixed") and chance(rng, 0.4):
        stones = layouts.fill_gaps(rng, stones, canvas)
    layout = layouts.lay_out(rng, stones, canvas, rough=tessera * rng.uniform(0.0, 0.16) ** 2)
    if kind in ("figure", "mixed", "rows", "slabs", "palladian") and chance(rng, 0.3):
        layout = layouts.cut_stones(rng, layout, share=rng.uniform(0.0, 0.2))
    return layout


def _broken(rng: np.random.Generator, canvas: tuple[int, int], tessera: float) -> layouts.Tesserae:
    """Palladianum: sherds of many sizes, small ones between large ones."""
    large = layouts.lay_cells(rng, canvas, tessera * rng.uniform(1.3, 1.9))
    small = layouts.lay_cells(rng, canvas, tessera * rng.uniform(0.8, 1.2))
    kept = rng.random(len(large)) < rng.uniform(0.4, 0.9)
    return _stretched(rng, layouts.join_stones([large.keep(kept), small]), 0.2)


def _stretched(rng: np.random.Generator, stones: layouts.Tesserae, amount: float) -> layouts.Tesserae:
    n = len(stones)
    stretch = np.exp(rng.normal(0, amount, n))[:, None] ** np.array([0.5, -0.5])
    half = np.asarray(stones.half * stretch, np.float32)
    return replace(stones, half=half)


def _depth(
    rng: np.random.Generator, layout: layouts.Layout, kind: str, tessera: float
) -> tuple[Field, NDArray[np.bool_]]:
    """Pixels inside (+) or outside (-) a stone, and where stones have fallen out; joints are often of a pixel."""
    stones, index, shape = layout.stones, np.maximum(layout.owner, 0), layout.owner.shape
    if len(stones) == 0:
        return np.full(shape, -5.0, np.float32), np.zeros(shape, bool)
    size = stones.half.min(axis=1)[index]
    tight = chance(rng, 0.6)
    wide = rng.uniform(0.3, 1.3) + tessera * rng.uniform(0.0, 0.05) if tight else tessera * rng.uniform(0.06, 0.2)
    joint = wide * np.exp(fractal_noise(rng, shape, tessera * rng.uniform(1.0, 4.0), 2) * rng.uniform(0.0, 0.45))
    if kind == "pebbles":
        limit = np.full(len(stones), rng.uniform(0.95, 1.15))
    elif kind == "palladian":
        limit = np.full(len(stones), 1.9)
    else:
        limit = rng.uniform(1.0, 1.6) + np.where(stones.power == 2, 0.25, 0.0) + rng.normal(0, 0.03, len(stones))
    shrink = 2 * size * np.abs(rng.normal(0, rng.uniform(0.0, 0.04), len(stones)))[index]
    depth = np.minimum(layout.gap / 2, limit[index] - layout.norm) * layout.unit - joint / 2 - shrink
    depth = np.where(layout.owner >= 0, depth, -tessera / 3).astype(np.float32)
    corner = rng.uniform(0.0, 0.07) * tessera
    if corner > 0.4:
        depth = np.minimum(depth, cv2.GaussianBlur(depth, (0, 0), corner) + np.float32(corner * 0.6))
    depth = damage.chip_edges(rng, depth, tessera)
    lost = damage.drop_stones(rng, len(stones), stones.centre, shape)[index] & (layout.owner >= 0)
    return drawing.take_out(depth, np.asarray(lost)), np.asarray(lost)


def _palette(rng: np.random.Generator) -> NDArray[np.float32]:
    """Two to six colours; half of the floors have one family of neighbours only, the others two or three."""
    weights = np.array([weight for weight, _ in _FAMILIES])
    n = int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2]))
    chosen = rng.choice(len(_FAMILIES), n, replace=False, p=weights / weights.sum())
    colours = []
    for family in chosen:
        shades = np.array(_FAMILIES[int(family)][1], np.float32)
        colours.append(shades[rng.permutation(len(shades))[: int(rng.integers(1, 4))]])
    if chance(rng, 0.08):
        colours.append(np.array(materials.GLASS, np.float32)[rng.permutation(len(materials.GLASS))[:3]])
    palette = np.concatenate(colours)
    return palette * rng.uniform(0.85, 1.1) + rng.normal(0, 4, palette.shape).astype(np.float32)


def _picture(
    rng: np.random.Generator, owner: NDArray[np.int32], depth: Field, labels: NDArray[np.int32],
    colour: NDArray[np.float32], sockets: NDArray[np.bool_], tessera: float, smooth: bool,
) -> tuple[Field, NDArray[np.int32]]:  # fmt: skip
    """Stones over joints with lost parts, crumbs, dirt and light; labels without what is lost."""
    shape = owner.shape
    stones = surface.stone_surface(rng, owner, depth, colour, tessera, smooth)
    grout = surface.joint_surface(rng, stones, depth, tessera)
    alpha = smoothstep(depth, -0.6, 0.6)
    height = surface.heights(rng, owner, depth, len(colour), tessera, smooth)
    picture = grout + (stones - grout) * alpha[..., None]
    bare = np.asarray((sockets & (depth <= 0)).astype(np.float32))
    if not smooth and chance(rng, 0.4):
        picture, labels, height, lost = _lacuna(rng, picture, labels, colour, height, tessera)
        bare = np.maximum(bare, lost)
    if not smooth and chance(rng, 0.6):
        near = smoothstep(-depth, -0.5, 1.5) * float(chance(rng, 0.3))
        cover, high = surface.crumbs(rng, np.maximum(bare, near), tessera)
        tone = picture.mean(axis=(0, 1)) * rng.uniform(0.5, 1.6) * np.exp(rng.normal(0, 0.05, 3))
        picture += (np.float32(tone) - picture) * (cover * rng.uniform(0.3, 0.95))[..., None]
        height = np.asarray(height + high, np.float32)
    if not smooth and chance(rng, 0.4):
        picture = surface.dirt(rng, np.asarray(picture, np.float32), depth, tessera)
    rough = fractal_noise(rng, shape, rng.uniform(1.5, 4.0), 2) * rng.uniform(0.0, 0.12 if smooth else 0.5)
    return surface.lit(np.asarray(picture, np.float32), height + rough, surface.choose_light(rng)), labels


def _lacuna(
    rng: np.random.Generator, picture: Field, labels: NDArray[np.int32], colour: NDArray[np.float32], height: Field,
    tessera: float,
) -> tuple[Field, NDArray[np.int32], Field, Field]:  # fmt: skip
    """A loss: earth, mortar or repair in the colours of the stones, its rim soft or along whole stones."""
    lost = damage.lacuna_mask(rng, labels.shape)
    if chance(rng, 0.7):
        lost = drawing.whole_stones(lost, labels)
    near = colour[rng.integers(0, len(colour), 8)] if len(colour) else colour
    fill = damage.plaster(rng, labels.shape, near, tessera)
    fill = fill * (1 + fractal_noise(rng, labels.shape, rng.uniform(1.5, 5), 3) * rng.uniform(0.0, 0.15))[..., None]
    picture, labels = drawing.cover_with(rng, picture, labels, lost, np.asarray(fill, np.float32))
    inside = np.asarray(cv2.GaussianBlur(lost.astype(np.float32), (0, 0), 0.8), np.float32)
    bumps = fractal_noise(rng, labels.shape, tessera * rng.uniform(0.2, 1.0), 3) * rng.uniform(0.0, 1.5)
    height = np.asarray(height * (1 - inside) + (bumps - rng.uniform(-1.0, 3.0)) * inside, np.float32)
    return picture, labels, height, inside


def _around(
    rng: np.random.Generator, picture: Field, labels: NDArray[np.int32], palette: NDArray[np.float32], tessera: float,
    kind: str,
) -> tuple[Field, NDArray[np.int32]]:  # fmt: skip
    """Stains, cracks, what surrounds the floor and what lies on it."""
    shape = labels.shape
    if chance(rng, 0.12):
        picture = damage.stain(rng, picture, tessera)
    if chance(rng, 0.2):
        picture = damage.crack(rng, picture)
    if kind == "none" or chance(rng, 0.2):
        outside = damage.surround_mask(rng, shape) if labels.any() else np.ones(shape, bool)
        picture, labels = drawing.cover_with(
            rng, picture, labels, outside, damage.backdrop(rng, shape, palette, tessera)
        )
    if chance(rng, 0.1):
        thing, where = lying_thing(rng, shape, tessera)
        picture, labels = drawing.cover_with(rng, picture, labels, where, thing)
    return picture, labels
