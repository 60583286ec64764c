"""Drawn floors in the manners of laying that handbooks name, as labels: truth for whoever tells them apart.

One decision: each is laid by the same hand as all drawings, with its joints and losses; *sectile* alone is cut to a
pattern of triangles, lozenges or squares with hair joints, which no other drawing has.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.synthetic.drawing import draw_mosaic, largest_pieces
from napari_mosaic.synthetic.floors import draw_floor
from napari_mosaic.synthetic.rows import draw_rows

Labels = NDArray[np.int32]

EXPECTED = {
    "grid": "tessellatum",
    "bond": "regulatum",
    "bricks": "regulatum",
    "concentric": "vermiculatum",
    "flowing": "vermiculatum",
    "palladian": "palladianum",
    "pattern": "sectile",
    "cells": "not determined",
    "pebbles": "not determined",
}
"""The manners that are drawn, and the opus that each is."""


def draw_manner(size: int, seed: int, manner: str) -> Labels:
    """The labels `(size, size)` of a floor in one of the manners of `EXPECTED`; the same for the same seed."""
    if manner not in EXPECTED:
        raise InputError(f"There is no manner {manner!r} to draw; choose one of {', '.join(EXPECTED)}.")
    return _DRAWN[manner](size, seed)


def _mosaic(geometry: str) -> Callable[[int, int], Labels]:
    return lambda size, seed: draw_mosaic(size, seed, geometry, damaged=False, effects=False).labels


def _floor(kind: str) -> Callable[[int, int], Labels]:
    return lambda size, seed: draw_floor(size, seed, kind).labels


def _rows(laying: str) -> Callable[[int, int], Labels]:
    return lambda size, seed: draw_rows(size, seed, laying).labels


def _pattern(size: int, seed: int) -> Labels:
    """Pieces cut to a lattice: squares cut along their diagonals, lozenges, or squares set on edge between others."""
    from rasterio.features import rasterize

    rng = np.random.default_rng((seed, 18))
    side, joint, kind = rng.uniform(28, 56), rng.uniform(0.6, 1.6), int(rng.integers(3))
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    middle = np.array([0.5, 0.5])
    ways = {
        0: [np.array([corners[k], corners[(k + 1) % 4], middle]) for k in range(4)],
        1: [np.array([corners[0], corners[1], corners[2]]), np.array([corners[0], corners[2], corners[3]])],
        2: [np.array([corners[k], (corners[k] + corners[(k + 1) % 4]) / 2, (corners[k] + corners[k - 1]) / 2])
            for k in range(4)] + [np.array([(corners[k] + corners[(k + 1) % 4]) / 2 for k in range(4)])],
    }  # fmt: skip
    lean, turn = rng.uniform(-0.4, 0.4), rng.uniform(0, np.pi)
    frame = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[1, lean], [0, 1]])
    reach = int(np.hypot(size, size) / side) + 2
    pieces = []
    for v in range(-reach, reach):
        for u in range(-reach, reach):
            for piece in ways[kind]:
                outline = shapely.Polygon(((piece + np.array([u, v])) * side) @ frame.T + size / 2)
                pieces.append(outline.buffer(-joint / 2, join_style="mitre"))
    frame_box = shapely.box(0, 0, size, size)
    shown = [(piece, k + 1) for k, piece in enumerate(pieces) if piece.area > 12 and piece.intersects(frame_box)]
    return largest_pieces(rasterize(shown, (size, size), dtype="int32"))


_DRAWN: dict[str, Callable[[int, int], Labels]] = {
    "grid": _mosaic("grid"),
    "bond": _mosaic("bond"),
    "bricks": _mosaic("bricks"),
    **{laying: _rows(laying) for laying in ("concentric", "flowing")},
    "palladian": _floor("palladian"),
    "pattern": _pattern,
    "cells": _mosaic("cells"),
    "pebbles": _floor("pebbles"),
}
