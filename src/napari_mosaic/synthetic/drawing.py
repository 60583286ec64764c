"""A drawn mosaic with its truth, the same for the same seed.

One decision: truth comes from the geometry, before any colour is laid, and only what the drawing shows as
a stone is one; a drawing is drawn on a wider canvas and cut, so that its border is a border of nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from napari_mosaic.errors import InputError
from napari_mosaic.synthetic import damage, layouts, materials
from napari_mosaic.synthetic.camera import photograph
from napari_mosaic.synthetic.legibility import legible
from napari_mosaic.synthetic.noise import Field, chance

GEOMETRIES = ("bond", "grid", "rows", "cells", "mixed", "figure", "none", "bricks")
"""Running bond, square grid, flowing rows (opus vermiculatum), cells, two fields, a figure, no mosaic at all, slabs."""
WEIGHTS = (0.08, 0.05, 0.19, 0.08, 0.20, 0.28, 0.04, 0.08)
"""How often each is drawn; as the mixture that `grout-lite` learned from (docs/model-card.md)."""
PLAIN = 0.55
"""Part of the drawings without cut stones, fillers, sockets, stains and uneven mortar: mortar is mortar there."""
LEAST_AREA, LEAST_SIDE = 12, 7.0


@dataclass(frozen=True)
class Drawing:
    """A drawn mosaic: `image` (Y, X, 3) uint8, `labels` (Y, X) int32 (0 = no tessera), `valid` (Y, X) bool.

    `valid` is false on stones that the picture does not show, and on their joints; `tessera_px` is the
    usual side of a stone, the short one of bricks.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    valid: NDArray[np.bool_]
    tessera_px: float
    geometry: str


def draw_mosaic(
    size: int | tuple[int, int],
    seed: int,
    geometry: str | None = None,
    *,
    tessera_px: float | None = None,
    damaged: bool | None = None,
    effects: bool = True,
) -> Drawing:
    """Draw a mosaic with its truth.

    Parameters
    ----------
    size
        Side, or height and width, in pixels.
    seed
        The same seed and parameters draw the same mosaic.
    geometry
        One of `GEOMETRIES`; None leaves it to chance.
    tessera_px
        Usual side of a stone; None draws 8 to 50, mostly 16 to 32.
    damaged
        Whether lacunae and surrounds are drawn; None leaves it to chance.
    effects
        Whether a camera's faults are drawn.

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If the size or the geometry cannot be drawn.

    Examples
    --------
    >>> drawing = draw_mosaic(128, seed=1, geometry="grid", tessera_px=20)
    >>> drawing.image.shape
    (128, 128, 3)
    """
    shape = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    rng = np.random.default_rng(seed)
    plain = chance(rng, PLAIN)
    geometry = str(rng.choice(GEOMETRIES, p=WEIGHTS)) if geometry is None else geometry
    _check(shape, geometry, tessera_px)
    tessera = float(np.clip(rng.lognormal(np.log(22), 0.28), 8, 50)) if tessera_px is None else float(tessera_px)
    inner = max(min(tessera, LEAST_SIDE), tessera * (rng.uniform(0.42, 0.9) if chance(rng, 0.4) else 1.0))
    margin = int(2 * tessera)
    canvas = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    figure = layouts.figure_mask(rng, canvas, inner) if geometry in ("mixed", "figure") or chance(rng, 0.4) else None
    stones = lay_geometry(rng, canvas, tessera, inner, geometry, figure)
    if not plain and geometry in ("mixed", "figure") and chance(rng, 0.6):
        stones = layouts.fill_gaps(rng, stones, canvas)
    layout = layouts.lay_out(rng, stones, canvas, rough=tessera * rng.uniform(0.0, 0.18) ** 2)
    if not plain and geometry not in ("grid", "bricks") and chance(rng, 0.6):
        layout = layouts.cut_stones(rng, layout, share=rng.uniform(0.0, 0.3))
    stones = layout.stones
    depth = stone_depth(rng, layout, tessera)
    palette = materials.choose_palette(rng)
    region = np.zeros(len(stones), np.int64)
    if figure is not None:
        region = layouts.regions(rng, figure, stones.centre, inner)
    colour = materials.colour_stones(rng, stones.centre, canvas, palette, region)
    cut = np.s_[margin : margin + shape[0], margin : margin + shape[1]]
    owner, depth = np.ascontiguousarray(layout.owner[cut]), np.ascontiguousarray(depth[cut])
    owner, depth = settle(owner, depth)
    finish = materials.choose_finish(rng, colour, plain)
    picture = materials.render(rng, owner, depth, colour, finish, tessera)
    labels = np.where(depth > 0, owner + 1, 0).astype(np.int32)
    damaged = (chance(rng, 0.5) or geometry == "none") if damaged is None else damaged
    if damaged:
        picture, labels = _damage(rng, picture, labels, palette, tessera, plain)
    image = photograph(rng, picture, inner) if effects else np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    labels = number_labels(labels)
    return Drawing(image, labels, legible(image, labels), tessera, geometry)


def _check(shape: tuple[int, int], geometry: str, tessera: float | None) -> None:
    if geometry not in GEOMETRIES:
        raise InputError(f"There is no geometry {geometry!r} to draw; choose one of {', '.join(GEOMETRIES)}.")
    if min(shape) < 32:
        raise InputError(f"A drawing of {shape[0]} x {shape[1]} px holds no mosaic; ask for 32 px at least.")
    if tessera is not None and not 6 <= tessera <= 200:
        raise InputError(f"Tesserae of {tessera} px cannot be drawn; choose 6 to 200 px.")


def lay_geometry(
    rng: np.random.Generator, canvas: tuple[int, int], tessera: float, inner: float, geometry: str,
    figure: NDArray[np.bool_] | None,
) -> layouts.Tesserae:  # fmt: skip
    if geometry == "figure" and figure is not None:
        return layouts.lay_figure(rng, figure, tessera, inner)
    if geometry == "mixed" and figure is not None:
        return layouts.lay_mixed(rng, figure, tessera, inner)
    stones = layouts.lay_field(rng, canvas, tessera, "cells" if geometry == "none" else geometry)
    if geometry == "none":
        return stones.keep(np.zeros(len(stones), bool))
    return layouts.join_stones([stones])


def stone_depth(rng: np.random.Generator, layout: layouts.Layout, tessera: float) -> Field:
    """Pixels inside (+) or outside (-) a stone, roughly: joints, rounding, wear and losses come off here."""
    stones, index = layout.stones, np.maximum(layout.owner, 0)
    if len(stones) == 0:
        return np.full(layout.owner.shape, -5.0, np.float32)
    size = stones.half.min(axis=1)[index]
    width = rng.uniform(0.0, 0.04) if chance(rng, 0.2) else rng.uniform(0.04, 0.18)
    joint = 2 * size * width + rng.uniform(0, 1)
    limit = rng.uniform(0.95, 1.5) + np.where(stones.power == 2, 0.25, 0.0) + rng.normal(0, 0.03, len(stones))
    shrink = 2 * size * np.abs(rng.normal(0, rng.uniform(0.0, 0.03), len(stones)))[index]
    depth = np.minimum(layout.gap / 2, limit[index] - layout.norm) * layout.unit - joint / 2 - shrink
    depth = np.where(layout.owner >= 0, depth, -tessera / 3).astype(np.float32)
    corner = rng.uniform(0.0, 0.08) * tessera
    if corner > 0.4:
        depth = np.minimum(depth, cv2.GaussianBlur(depth, (0, 0), corner) + np.float32(corner * 0.6))
    depth = damage.chip_edges(rng, depth, tessera)
    lost = damage.drop_stones(rng, len(stones), stones.centre, layout.owner.shape)[index]
    return take_out(depth, np.asarray(lost & (layout.owner >= 0)))


def take_out(depth: Field, lost: NDArray[np.bool_]) -> Field:
    """Depth with the stones of `lost` gone: their sockets are one with the joints and keep no outline."""
    if not lost.any():
        return depth
    outside = cv2.distanceTransform(((depth <= 0) | lost).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(np.where(lost, -outside, depth), np.float32)


def settle(owner: NDArray[np.int32], depth: Field) -> tuple[NDArray[np.int32], Field]:
    """Leave one connected piece of every stone; smaller pieces and crumbs become joint."""
    whole = np.where(depth > 0, owner + 1, 0)
    kept = largest_pieces(whole) > 0
    return owner, np.where(kept | (depth <= 0), depth, -1.0).astype(np.float32)


def largest_pieces(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Labels with only the largest 4-connected piece of each, and that only above the least area."""
    pieces, n = label(labels, connectivity=1, return_num=True)
    area = np.bincount(pieces.ravel(), minlength=n + 1)
    first = np.zeros(n + 1, np.int64)
    first[pieces.ravel()] = labels.ravel()
    best = np.zeros(int(labels.max()) + 1, np.int64)
    np.maximum.at(best, first[1:], area[1:] * (n + 1) + np.arange(1, n + 1))
    keep = np.zeros(n + 1, bool)
    keep[1:] = (best[first[1:]] % (n + 1) == np.arange(1, n + 1)) & (area[1:] >= LEAST_AREA)
    return np.where(keep[pieces], labels, 0).astype(np.int32)


def _damage(
    rng: np.random.Generator, picture: Field, labels: NDArray[np.int32], palette: NDArray[np.float32], tessera: float,
    plain: bool,
) -> tuple[Field, NDArray[np.int32]]:  # fmt: skip
    """Lacunae, surrounds and cracks over the picture, and the labels that are left."""
    shape = labels.shape
    if chance(rng, 0.6):
        lost = damage.lacuna_mask(rng, shape)
        if chance(rng, 0.6):
            lost = whole_stones(lost, labels)
        picture, labels = cover_with(rng, picture, labels, lost, damage.plaster(rng, shape, palette, tessera))
    if not plain and chance(rng, 0.2):
        lost = whole_stones(damage.socket_mask(rng, shape, tessera), labels)
        picture, labels = cover_with(rng, picture, labels, lost, damage.plaster(rng, shape, palette, tessera))
    if not plain and chance(rng, 0.3):
        picture = damage.stain(rng, picture, tessera)
    if not labels.any() or chance(rng, 0.35):
        outside = damage.surround_mask(rng, shape)
        picture, labels = cover_with(rng, picture, labels, outside, damage.backdrop(rng, shape, palette, tessera))
    if chance(rng, 0.15):
        picture = damage.crack(rng, picture)
    return picture, largest_pieces(labels)


def whole_stones(lost: NDArray[np.bool_], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """A loss that goes round stones: those mostly inside go whole, the others stay whole."""
    n = int(labels.max()) + 1
    area = np.bincount(labels.ravel(), minlength=n)
    inside = np.bincount(labels.ravel(), weights=lost.ravel(), minlength=n)
    gone = inside > 0.45 * np.maximum(area, 1)
    return np.asarray(np.where(labels > 0, gone[labels], lost))


def cover_with(
    rng: np.random.Generator, picture: Field, labels: NDArray[np.int32], where: NDArray[np.bool_], fill: Field
) -> tuple[Field, NDArray[np.int32]]:
    alpha = cv2.GaussianBlur(where.astype(np.float32), (0, 0), rng.uniform(0.5, 1.5))[..., None]
    if chance(rng, 0.5):
        rim = cv2.GaussianBlur(where.astype(np.float32), (0, 0), rng.uniform(2, 6))[..., None]
        fill = np.asarray(fill * (1 - rng.uniform(0.1, 0.5) * (1 - np.abs(2 * rim - 1))), np.float32)
    return np.asarray(picture + (fill - picture) * alpha, np.float32), np.where(where, 0, labels).astype(np.int32)


def number_labels(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Labels 1..N."""
    _, inverse = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
    return inverse[:-1].reshape(labels.shape).astype(np.int32)
