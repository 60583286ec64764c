"""Colours and rows: what the mosaicist laid, read from the tesserae.

One decision: a row is followed from stone to stone, by mutual consent: each stone has at most one next one
in each direction of its own two axes, and the two must agree.

References
----------
Benyoussef and Derrode (2008), as in `gradient`: colours by k-means over tesserae instead of pixels, and
guidelines along which tesserae are aligned.

"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
_ALIGNED = np.cos(np.deg2rad(25))
"""Cosine of the largest turn from one tessera to the next in a row. Not varied."""
_FARTHEST = 1.7
"""Longest step to the next tessera, in median distances of nearest neighbours. Not varied."""
_NEIGHBOURS = 9
"""Tesserae asked, the own one among them: the eight round it in a square grid."""
_ROUNDS = 30
"""Most rounds of k-means, which ends when nothing moves. Not varied."""


def group_colours(colours: NDArray[Any], count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Group tesserae by their mean colours `(n, 3)` (best in Lab) with k-means; `(n,)` from 0, darkest first."""
    values = np.asarray(colours, float)
    count = min(count, len(np.unique(values, axis=0)))
    if count <= 1:
        return np.zeros(len(values), np.int64)
    rng = np.random.default_rng(seed)
    centres = values[[int(rng.integers(len(values)))]]
    while len(centres) < count:
        far = ((values[:, None] - centres) ** 2).sum(-1).min(1)
        centres = np.vstack([centres, values[rng.choice(len(values), p=far / far.sum())]])
    groups = np.zeros(len(values), np.int64)
    for _ in range(_ROUNDS):
        groups = ((values[:, None] - centres) ** 2).sum(-1).argmin(1)
        moved = np.array([values[groups == k].mean(0) if (groups == k).any() else centres[k] for k in range(count)])
        if np.allclose(moved, centres):
            break
        centres = moved
    return np.asarray(np.argsort(np.argsort(centres[:, 0]))[groups], np.int64)


def estimate_guidelines(
    quadrangles: Floats, *, groups: NDArray[Any] | None = None, shortest: int = 4
) -> list[NDArray[np.int64]]:
    """Rows of tesserae, as the positions of their stones in order.

    Parameters
    ----------
    quadrangles
        `(n, 4, 2)` corners `(y, x)`, as `fit_quadrangles` gives them.
    groups
        A number a tessera; rows do not cross from one to another.
    shortest
        Stones that make a row.

    Returns
    -------
    list of numpy.ndarray
        Longest first. A stone lies on at most one row along and one across.

    """
    if len(quadrangles) < shortest:
        return []
    centres = quadrangles.mean(1)
    axes = _axes(quadrangles)
    rows: list[NDArray[np.int64]] = []
    following = _links(centres, axes, groups)
    seen: set[tuple[int, int]] = set()
    for start in range(2 * len(centres)):
        stone, axis = divmod(start, 2)
        if (stone, axis) not in seen:
            chain = _follow(stone, axis, following, seen)
            if len(chain) >= shortest:
                rows.append(np.array(chain))
    return sorted(rows, key=len, reverse=True)


def _axes(quadrangles: Floats) -> Floats:
    """Two unit vectors a stone, `(n, 2, 2)`, along its two pairs of sides."""
    sides = np.roll(quadrangles, -1, 1) - quadrangles
    axes = np.stack([sides[:, 0] - sides[:, 2], sides[:, 1] - sides[:, 3]], 1)
    return np.asarray(axes / np.maximum(np.linalg.norm(axes, axis=2, keepdims=True), 1e-9))


Links = dict[tuple[int, int, int], tuple[int, int, int]]


def _links(centres: Floats, axes: Floats, groups: NDArray[Any] | None) -> Links:
    """From stone, axis and side (0 back, 1 on) to the stone that follows, its axis, and its side that faces back."""
    distance, near = cKDTree(centres).query(centres, k=min(_NEIGHBOURS, len(centres)))
    limit = _FARTHEST * float(np.median(distance[:, 1]))
    wish: Links = {}
    for stone in range(len(centres)):
        for axis in (0, 1):
            for side in (0, 1):
                found = _next(stone, axes[stone, axis] * (2 * side - 1), centres, near[stone, 1:], limit, groups)
                if found is not None:
                    wish[stone, axis, side] = _facing(found, centres[stone] - centres[found], axes)
    return {own: other for own, other in wish.items() if wish.get(other) == own}


def _next(
    stone: int, direction: Floats, centres: Floats, near: NDArray[Any], limit: float, groups: NDArray[Any] | None
) -> int | None:
    """The nearest stone in a direction, weighing how straight it lies."""
    if groups is not None:
        near = near[groups[near] == groups[stone]]
    steps = centres[near] - centres[stone]
    length = np.linalg.norm(steps, axis=1)
    straight = (steps @ direction) / np.maximum(length, 1e-9)
    good = (straight > _ALIGNED) & (length < limit)
    if not good.any():
        return None
    return int(near[good][np.argmin(length[good] / straight[good] ** 3)])


def _facing(stone: int, back: Floats, axes: Floats) -> tuple[int, int, int]:
    """The axis and side of a stone that look back along a step."""
    along = axes[stone] @ back
    axis = int(np.argmax(np.abs(along)))
    return stone, axis, int(along[axis] > 0)


def _follow(stone: int, axis: int, links: Links, seen: set[tuple[int, int]]) -> list[int]:
    """The row through a stone along one of its axes, from end to end."""
    chain = [stone]
    seen.add((stone, axis))
    for side in (1, 0):
        here = (stone, axis, side)
        while here in links:
            following, its_axis, facing = links[here]
            if (following, its_axis) in seen:
                break
            seen.add((following, its_axis))
            chain.append(following)
            here = (following, its_axis, 1 - facing)
        chain.reverse()
    return chain
