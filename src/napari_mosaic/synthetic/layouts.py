"""Where stones lie: seeds of stones in rows, grids, circles, cells and round figures.

One decision: a stone is a place, a direction and two half sizes, and a pixel belongs to the stone that
is nearest in the stone's own rounded-box norm. Neighbours then fit each other whatever laid them: the
joint is where two norms are nearly equal.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from napari_mosaic.compiled import compiled
from napari_mosaic.synthetic.noise import Field, chance, fractal_noise, smooth_noise

REACH = 1.9
"""How far a stone may claim pixels, in its own half sizes."""


@dataclass(frozen=True)
class Tesserae:
    """Seeds of N stones: `centre` (N, 2) as (y, x), `angle` of the long axis, `half` (N, 2) sizes along and across.

    `skew` (N, 2) is how far sides run together and lean: 0 for a rectangle. `row` is the row that a stone was laid in,
    in the order of its stones, -1 where stones are not laid in rows.
    """

    centre: Field
    angle: Field
    half: Field
    power: NDArray[np.int32]
    skew: Field
    row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.centre)

    def keep(self, chosen: NDArray[np.bool_]) -> Tesserae:
        """The stones where `chosen` is true."""
        return Tesserae(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True)
class Layout:
    """Stones laid over a canvas: `owner` (Y, X) index or -1, `norm` and `gap` in the stone's own norm.

    `unit` is how many pixels a step of 1 in the norm measures there: more along a brick than across it.
    """

    stones: Tesserae
    owner: NDArray[np.int32]
    norm: Field
    gap: Field
    unit: Field


def join_stones(parts: list[Tesserae]) -> Tesserae:
    """All stones of `parts`; a stone too near to an earlier one is left out."""
    stones = _together(parts)
    if len(stones) < 2:
        return stones
    size = stones.half.min(axis=1)
    pairs = cKDTree(stones.centre).query_pairs(1.4 * float(size.max()), output_type="ndarray")
    distance = np.linalg.norm(stones.centre[pairs[:, 0]] - stones.centre[pairs[:, 1]], axis=1)
    pairs = pairs[distance < 0.58 * (size[pairs[:, 0]] + size[pairs[:, 1]])]
    kept = np.ones(len(stones), bool)
    for i, j in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        if kept[i]:
            kept[j] = False
    return stones.keep(kept)


def fill_gaps(rng: np.random.Generator, stones: Tesserae, shape: tuple[int, int]) -> Tesserae:
    """The stones with small ones set into the gaps between them, as where two fields or two directions meet."""
    if len(stones) == 0:
        return stones
    step = max(2.0, float(np.median(stones.half)) * 0.5)
    spots = np.stack(np.meshgrid(*(np.arange(0, side, step) for side in shape), indexing="ij"), -1).reshape(-1, 2)
    spots = spots + rng.uniform(-0.3, 0.3, spots.shape) * step
    distance, nearest = cKDTree(stones.centre).query(spots)
    size = stones.half.max(axis=1)[nearest]
    room = distance - size
    free = np.flatnonzero((room > np.maximum(0.45 * size, 3.0)) & (room < 2.5 * size))
    free = free[np.argsort(-room[free], kind="stable")]
    small = make_stones(rng, spots[free], rng.uniform(0, np.pi, len(free)), (1.0, 1.0), power=4)
    half = np.minimum(room, size)[free, None] * rng.uniform(0.7, 1.05, (len(free), 2))
    return join_stones([stones, replace(small, half=half.astype(np.float32))])


def _together(parts: list[Tesserae]) -> Tesserae:
    joined = Tesserae(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Tesserae)))
    first = np.cumsum([0, *(int(part.row.max(initial=-1)) + 1 for part in parts)])
    shift = np.repeat(first[:-1], [len(part) for part in parts])
    return replace(joined, row=np.where(joined.row >= 0, joined.row + shift, -1))


def make_stones(
    rng: np.random.Generator, centre: NDArray[np.floating], angle: NDArray[np.floating], half: tuple[float, float],
    power: int = 8,
) -> Tesserae:  # fmt: skip
    """Stones at `centre` with a little disorder of place, direction and size, and sides that are not parallel."""
    n = len(centre)
    disorder = rng.uniform(0.02, 0.12)
    crooked = rng.uniform(0.0, 0.16) * min(half) / max(half)
    size = np.asarray(half) * np.exp(rng.normal(0, disorder, (n, 2)))
    place = np.asarray(centre).reshape(n, 2) + rng.normal(0, disorder * min(half) * 0.8, (n, 2))
    turn = np.asarray(angle) + rng.normal(0, disorder * 0.8, n)
    skew = np.clip(rng.normal(0, crooked, (n, 2)), -0.35, 0.35).astype(np.float32)
    kind = np.full(n, power, np.int32)
    row = np.full(n, -1, np.int64)
    return Tesserae(place.astype(np.float32), turn.astype(np.float32), size.astype(np.float32), kind, skew, row)


def lay_rows(
    rng: np.random.Generator, field: Field, tessera: float, where: NDArray[np.bool_] | None = None
) -> Tesserae:
    """Rows along the level lines of `field`, whose steepness is about 1: flowing, concentric or straight."""
    aspect = rng.uniform(0.85, 1.35) if chance(rng, 0.85) else np.exp(rng.uniform(np.log(0.45), np.log(2.6)))
    along, across = tessera * aspect**0.5, tessera / aspect**0.5
    spread = rng.uniform(0.03, 0.22)
    start = float(field.min()) + across * 0.5
    centres, angles = [np.zeros((0, 2))], [np.zeros(0)]
    for level in np.arange(start, float(field.max()), across):
        for line in find_contours(field, level):
            steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
            length = np.concatenate([[0.0], np.cumsum(steps)])
            if length[-1] < along:
                continue
            widths = along * np.exp(rng.normal(0, spread, int(length[-1] / along * 1.6) + 2))
            places = np.cumsum(widths) - widths / 2 - rng.uniform(0, along)
            places = places[(places > 0) & (places < length[-1])]
            ahead = np.minimum(places + 2, length[-1])
            point, later, before = (
                np.stack([np.interp(at, length, line[:, k]) for k in (0, 1)], axis=1)
                for at in (places, ahead, ahead - 4)
            )
            centres.append(point)
            angles.append(np.arctan2(*(later - before).T))
    stones = make_stones(rng, np.concatenate(centres), np.concatenate(angles), (along / 2, across / 2))
    stones = replace(stones, row=np.repeat(np.arange(len(angles)), [len(angle) for angle in angles]))
    return stones if where is None else _inside(stones, where)


def lay_grid(rng: np.random.Generator, shape: tuple[int, int], tessera: float, bond: bool) -> Tesserae:
    """A turned grid; with `bond` every row is shifted against the one before it."""
    aspect = rng.uniform(0.8, 1.8) if bond else rng.uniform(0.85, 1.2)
    return _lay_courses(rng, shape, (tessera * aspect**0.5, tessera / aspect**0.5), bond)


def lay_bricks(rng: np.random.Generator, shape: tuple[int, int], tessera: float) -> Tesserae:
    """Courses of bricks or slabs two to five times as long as wide; `tessera` is about the short side."""
    across = tessera * rng.uniform(0.65, 1.35)
    return _lay_courses(rng, shape, (across * rng.uniform(1.8, 5.0), across), bond=chance(rng, 0.85))


def _lay_courses(rng: np.random.Generator, shape: tuple[int, int], sides: tuple[float, float], bond: bool) -> Tesserae:
    along, across = sides
    reach = np.hypot(*shape) / 2 + along
    rows = np.arange(-reach, reach, across)
    columns = np.arange(-reach, reach, along)
    v, u = np.meshgrid(rows, columns, indexing="ij")
    if bond:
        step = float(rng.choice([0.5, 0.5, 1 / 3]))
        shift = rng.uniform(0, 1, len(rows)) if chance(rng, 0.5) else np.arange(len(rows)) * step % 1.0
        u = u + (shift * along)[:, None]
    angle = rng.uniform(0, np.pi)
    c, s = np.cos(angle), np.sin(angle)
    centre = np.stack([(s * u + c * v).ravel() + shape[0] / 2, (c * u - s * v).ravel() + shape[1] / 2], axis=1)
    stones = make_stones(rng, centre, np.full(len(centre), angle), (along / 2, across / 2))
    stones = replace(stones, row=np.repeat(np.arange(len(rows)), len(columns)))
    return stones.keep(np.asarray(((centre > -along / 2) & (centre < np.array(shape) + along / 2)).all(axis=1)))


def lay_cells(rng: np.random.Generator, shape: tuple[int, int], tessera: float) -> Tesserae:
    """Irregular cells: random places, relaxed towards even ones by as much as chance says."""
    n = max(4, int(shape[0] * shape[1] / tessera**2))
    centre = rng.uniform((0, 0), shape, (n, 2))
    grid = np.stack(np.meshgrid(*(np.arange(0, s, max(2.0, tessera / 6)) for s in shape), indexing="ij"), -1)
    grid = grid.reshape(-1, 2)
    for _ in range(int(rng.integers(1, 5))):
        _, owner = cKDTree(centre).query(grid)
        count = np.bincount(owner, minlength=n)
        mean = (
            np.stack([np.bincount(owner, grid[:, k], minlength=n) for k in (0, 1)], 1) / np.maximum(count, 1)[:, None]
        )
        centre = np.where(count[:, None] > 0, mean, centre)
    return make_stones(rng, centre, rng.uniform(0, np.pi, n), (tessera / 2, tessera / 2), power=2)


def flow_field(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """A field of steepness about 1 whose level lines are gently bent, waved or circles."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    kind = rng.random()
    if kind < 0.35:
        centre = rng.uniform(-0.4, 1.4, 2) * shape
        return np.asarray(np.hypot(y - centre[0], x - centre[1]), np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    straight = np.cos(angle) * y + np.sin(angle) * x
    scale = rng.uniform(0.35, 1.0) * max(shape)
    return np.asarray(straight + smooth_noise(rng, shape, scale) * scale * rng.uniform(0.0, 0.14), np.float32)


def figure_mask(rng: np.random.Generator, shape: tuple[int, int], tessera: float) -> NDArray[np.bool_]:
    """The place of a figure: a smooth blob or band that covers part of the canvas, or a line a few stones wide."""
    if chance(rng, 0.25):
        field = fractal_noise(rng, shape, max(shape) * rng.uniform(0.25, 0.6), octaves=2, gain=0.3)
        line = signed_distance(np.asarray(field > rng.uniform(-0.5, 0.5)))
        return np.asarray(np.abs(line) < tessera * rng.uniform(0.45, 2.0))
    if chance(rng, 0.4):
        field = flow_field(rng, shape)
        low, high = np.sort(np.quantile(field, rng.uniform(0.15, 0.85, 2)))
        return np.asarray((field > low) & (field < high))
    field = fractal_noise(rng, shape, max(shape) * rng.uniform(0.22, 0.5), octaves=2, gain=0.3)
    return np.asarray(field > np.quantile(field, rng.uniform(0.35, 0.75)))


def signed_distance(mask: NDArray[np.bool_]) -> Field:
    """Pixels to the border of `mask`, positive inside; where there is no border, height and width together."""
    far = float(sum(mask.shape))
    inside, outside = (
        np.minimum(cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5), far) for side in (mask, ~mask)
    )
    return np.asarray(cv2.GaussianBlur(inside - outside, (0, 0), 2.0), np.float32)


def regions(rng: np.random.Generator, figure: NDArray[np.bool_], centre: Field, tessera: float) -> NDArray[np.int64]:
    """One number a stone for its place in the figure: inside or not, or which row from the outline it stands in."""
    place = tuple(np.clip(np.round(centre).astype(int), 0, np.array(figure.shape) - 1).T)
    if chance(rng, 0.35):
        return np.asarray(figure[place], np.int64)
    row = np.floor(signed_distance(figure)[place] / tessera).astype(np.int64)
    rows = int(rng.integers(1, 5))
    return np.asarray(np.clip(row, -rows, rows) + rows, np.int64)


def lay_field(rng: np.random.Generator, shape: tuple[int, int], tessera: float, geometry: str) -> Tesserae:
    """One field of stones over the whole canvas, laid as `geometry` says."""
    if geometry in ("bond", "grid"):
        return lay_grid(rng, shape, tessera, bond=geometry == "bond")
    if geometry == "cells":
        return lay_cells(rng, shape, tessera)
    if geometry == "bricks":
        return lay_bricks(rng, shape, tessera)
    return lay_rows(rng, flow_field(rng, shape), tessera)


def lay_mixed(rng: np.random.Generator, mask: NDArray[np.bool_], tessera: float, inner: float) -> Tesserae:
    """Two fields, inside and outside of `mask`, each laid in its own way; `inner` sizes the stones inside."""
    kinds = ("bond", "grid", "rows", "rows", "cells", "bricks", "rows", "bond")
    parts = []
    for where, size in ((mask, inner), (~mask, tessera)):
        stones = lay_field(rng, mask.shape, size, kinds[int(rng.integers(len(kinds)))])
        parts.append(_inside(stones, where))
    return join_stones(parts)


def lay_figure(rng: np.random.Generator, mask: NDArray[np.bool_], tessera: float, inner: float) -> Tesserae:
    """A figure as Roman workshops laid it: rows along its outline on both sides, fields beyond them."""
    distance = signed_distance(mask)
    parts = []
    for sign, size in ((1.0, inner), (-1.0, tessera)):
        side = np.asarray(distance * sign, np.float32)
        rows = int(rng.integers(1, 4)) if chance(rng, 0.7) else 99
        near = np.asarray((side > 0) & (side < rows * size))
        parts.append(lay_rows(rng, np.where(side > -size, np.maximum(side, 0), 0).astype(np.float32), size, near))
        if rows < 99:
            kind = ("bond", "rows", "rows", "grid")[int(rng.integers(4))]
            parts.append(_inside(lay_field(rng, mask.shape, size, kind), np.asarray(side >= rows * size)))
    return join_stones(parts)


def lay_out(rng: np.random.Generator, stones: Tesserae, shape: tuple[int, int], rough: float) -> Layout:
    """Give every pixel to the nearest stone; `rough` is how far, in pixels, outlines stray."""
    scale = float(np.median(stones.half)) if len(stones) else 8.0
    warp = [
        (fractal_noise(rng, shape, scale * rng.uniform(0.5, 1.1), octaves=3) * rough).astype(np.float32)
        for _ in range(2)
    ]
    norm, second, unit = np.full(shape, 9.0, np.float32), np.full(shape, 9.0, np.float32), np.ones(shape, np.float32)
    owner = np.full(shape, -1, np.int32)
    seeds = (stones.centre, stones.angle, stones.half, stones.power, stones.skew)
    _assign(*seeds, warp[0], warp[1], norm, second, unit, owner)  # type: ignore[no-untyped-call]
    return Layout(stones, owner, norm, np.minimum(second, 3.0) - norm, unit)


def cut_stones(rng: np.random.Generator, layout: Layout, share: float) -> Layout:
    """Cut a `share` of the stones in two with a hammer: into halves, slivers and wedges."""
    stones, n = layout.stones, len(layout.stones)
    struck = np.asarray(rng.random(n) < share)
    chosen = np.flatnonzero(struck)
    if len(chosen) == 0:
        return layout
    ways = rng.choice([0.0, np.pi / 4, np.pi / 2, -np.pi / 4], len(chosen), p=[0.4, 0.1, 0.4, 0.1])
    turn = stones.angle[chosen] + ways + rng.normal(0, 0.15, len(chosen))
    across = np.stack([np.sin(turn), np.cos(turn)], axis=1).astype(np.float32)
    size = stones.half[chosen].min(axis=1)
    place = stones.centre[chosen] + across * (size * rng.uniform(-0.35, 0.35, len(chosen)))[:, None]
    number = np.full(n, -1)
    number[chosen] = np.arange(len(chosen))
    hit = (layout.owner >= 0) & (number[np.maximum(layout.owner, 0)] >= 0)
    one = number[layout.owner[hit]]
    side = ((np.argwhere(hit) - place[one]) * across[one]).sum(axis=1)
    owner, gap = layout.owner.copy(), layout.gap.copy()
    owner[hit] = np.where(side > 0, n + one, owner[hit])
    gap[hit] = np.minimum(gap[hit], 2 * np.abs(side) / layout.unit[hit])
    other = replace(stones.keep(struck), centre=(place + across * size[:, None] / 2).astype(np.float32))
    return replace(layout, stones=_together([stones, other]), owner=owner, gap=gap.astype(np.float32))


def _inside(stones: Tesserae, where: NDArray[np.bool_]) -> Tesserae:
    """The stones whose centres lie on the canvas and in `where`."""
    place = np.round(stones.centre).astype(int)
    ok = np.asarray(((place >= 0) & (place < where.shape)).all(axis=1))
    ok[ok] = where[tuple(place[ok].T)]
    return stones.keep(ok)


@partial(compiled, fastmath=True)
def _assign(centre, angle, half, power, skew, wy, wx, norm, second, unit, owner):  # type: ignore[no-untyped-def]
    height, width = norm.shape
    for i in range(len(centre)):
        c, s = np.cos(angle[i]), np.sin(angle[i])
        reach = REACH * max(half[i, 0], half[i, 1]) + 3
        y0, y1 = max(0, int(centre[i, 0] - reach)), min(height, int(centre[i, 0] + reach) + 1)
        x0, x1 = max(0, int(centre[i, 1] - reach)), min(width, int(centre[i, 1] + reach) + 1)
        for y in range(y0, y1):
            for x in range(x0, x1):
                dy = y + wy[y, x] - centre[i, 0]
                dx = x + wx[y, x] - centre[i, 1]
                p = (c * dx + s * dy) / half[i, 0]
                q = (c * dy - s * dx) / half[i, 1]
                if p * p + q * q > 2 * REACH * REACH:
                    continue
                u = p * (1 + skew[i, 0] * q)
                v = q + skew[i, 1] * p
                u, v = u * u, v * v
                if power[i] > 2:
                    u, v = u * u, v * v
                if power[i] > 4:
                    u, v = u * u, v * v
                d = np.sqrt(u + v)
                if power[i] > 2:
                    d = np.sqrt(d)
                if power[i] > 4:
                    d = np.sqrt(d)
                if d < norm[y, x]:
                    second[y, x] = norm[y, x]
                    norm[y, x] = d
                    unit[y, x] = (u * half[i, 0] + v * half[i, 1] + 1e-9) / (u + v + 1e-9 / half[i, 1])
                    owner[y, x] = i
                elif d < second[y, x]:
                    second[y, x] = d
