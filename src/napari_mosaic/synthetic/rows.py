"""Drawn floors with the rows that they were laid in: truth for whoever follows rows.

One decision: stones are laid, worn and lost as in all drawings; only what is known of them beside their pixels is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.synthetic import layouts
from napari_mosaic.synthetic.drawing import largest_pieces, settle, stone_depth
from napari_mosaic.synthetic.noise import Field, smooth_noise

LAYINGS = ("bond", "concentric", "flowing")
"""Running bond; circles; rows that bend gently."""
_STREAM = 17
"""Second word of the seed, so that these drawings share no chance with others of one seed."""


@dataclass(frozen=True)
class RowDrawing:
    """`labels` (Y, X) int32, 0 = no tessera, and `rows`: the labels of each row that follow each other, in order.

    Where a stone is lost, its row goes on as another one.
    """

    labels: NDArray[np.int32]
    rows: list[NDArray[np.int64]]


def draw_rows(size: int, seed: int, laying: str, *, tessera_px: float = 22.0) -> RowDrawing:
    """Draw a floor that is laid in rows all over, with its rows.

    Parameters
    ----------
    size
        Side in pixels.
    seed
        The same seed and parameters draw the same floor.
    laying
        One of `LAYINGS`.
    tessera_px
        Usual side of a stone.
    """
    if laying not in LAYINGS:
        raise InputError(f"There is no laying {laying!r} in rows to draw; choose one of {', '.join(LAYINGS)}.")
    rng = np.random.default_rng((seed, _STREAM))
    shape = (size, size)
    stones = layouts.join_stones([_lay(rng, shape, laying, tessera_px)])
    layout = layouts.lay_out(rng, stones, shape, rough=tessera_px * rng.uniform(0.0, 0.18) ** 2)
    owner, depth = settle(layout.owner, stone_depth(rng, layout, tessera_px))
    labels = largest_pieces(np.where(depth > 0, owner + 1, 0).astype(np.int32))
    return RowDrawing(labels, _rows_of(layout.stones, np.unique(labels[labels > 0]).astype(np.int64) - 1))


def _lay(rng: np.random.Generator, shape: tuple[int, int], laying: str, tessera: float) -> layouts.Tesserae:
    if laying == "bond":
        return layouts.lay_grid(rng, shape, tessera, bond=True)
    return layouts.lay_rows(rng, _field(rng, shape, laying), tessera)


def _field(rng: np.random.Generator, shape: tuple[int, int], laying: str) -> Field:
    """What rows are the level lines of."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    if laying == "concentric":
        middle = rng.uniform(0.2, 0.8, 2) * shape
        return np.asarray(np.hypot(y - middle[0], x - middle[1]), np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    scale = rng.uniform(0.5, 1.0) * max(shape)
    wave = smooth_noise(rng, shape, scale) * scale * rng.uniform(0.06, 0.14)
    return np.asarray(np.cos(angle) * y + np.sin(angle) * x + wave, np.float32)


def _rows_of(stones: layouts.Tesserae, kept: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Labels of stones that follow each other in a row without a gap; a row that comes back to its start is closed."""
    rows: list[NDArray[np.int64]] = []
    for row in np.unique(stones.row[kept]):
        line = kept[stones.row[kept] == row]
        step = np.linalg.norm(np.diff(stones.centre[line], axis=0), axis=1)
        reach = stones.half[line, 0]
        parts = np.split(line, np.flatnonzero(step > _NEXT * (reach[1:] + reach[:-1])) + 1)
        closed = np.linalg.norm(stones.centre[line[0]] - stones.centre[line[-1]]) < _NEXT * (reach[0] + reach[-1])
        if closed and len(line) > 4:
            parts[-1] = np.append(parts[-1], line[0])
        rows.extend(part + 1 for part in parts)
    return rows


_NEXT = 1.5
"""A step, by the half sides of the two together, beyond which a stone is missing between them: with the widest spread
of widths that is drawn (22 %) two neighbours are within 1.4."""
