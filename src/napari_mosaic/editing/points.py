"""Places that people give: points and lines on the working grid.

One decision: a place is `(y, x)` in pixels of the working grid, counted from the corner of the first pixel, so the
middle of pixel 0 is 0.5; places are checked here, once, whatever tool they are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.tiling import Box

_FARTHEST = 2**22
"""Px from 0; a mask over what reaches farther would not fit into memory. Not varied."""

Point = Sequence[float]
Line = Sequence[Point] | NDArray[Any]


def as_points(values: Line, *, least: int, what: str) -> NDArray[np.float64]:
    """Points `(n, 2)`; `InputError` where there are fewer than `least` or they are no pairs of finite numbers."""
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.zeros((0, 0))
    if (
        points.ndim != 2
        or points.shape[1] != 2
        or not np.isfinite(points).all()
        or np.abs(points).max(initial=0) > _FARTHEST
    ):
        raise InputError(f"The {what} {str(values)[:60]} is no list of points; give pairs (y, x) of pixels.")
    if len(points) < least:
        raise InputError(f"A {what} of {len(points)} points has no place; give {least} or more.")
    return points


def plain_points(points: NDArray[np.float64]) -> list[list[float]]:
    """Points as the journal keeps them."""
    return [[round(y, 3), round(x, 3)] for y, x in points.tolist()]


def box_around(points: NDArray[np.float64], margin: int = 0) -> Box:
    """The pixels under and between some points, and `margin` more on every side."""
    low, high = np.floor(points.min(axis=0)).astype(int), np.floor(points.max(axis=0)).astype(int) + 1
    return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1])).grow(margin)


def require_inside(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """The points; `InputError` where one lies outside of a working grid of `shape`."""
    out = (points < 0).any(axis=1) | (points >= np.array(shape)).any(axis=1)
    if out.any():
        y, x = points[out][0]
        raise InputError(
            f"The point y {y:g}, x {x:g} lies outside of the working grid of {shape[1]} x {shape[0]} px; "
            "give places in pixels of the analysis size."
        )
    return points


def require_covered(box: Box, values: NDArray[Any], shape: tuple[int, int], what: str) -> None:
    """Raise `InputError` where a box does not lie on a working grid of `shape`, or values do not cover it."""
    if box.area == 0 or box.clip(shape) != box:
        raise InputError(
            f"The {what}'s box {tuple(box)} does not lie inside of the working grid of {shape[1]} x {shape[0]} px; "
            "give (y0, x0, y1, x1) in pixels of the analysis size."
        )
    if values.shape != box.shape:
        raise InputError(
            f"A {what} of shape {values.shape} does not cover the box {tuple(box)}; give one number a pixel."
        )


def seeds_in(points: NDArray[np.float64], box: Box) -> NDArray[np.uint32]:
    """Labels over `box` with the numbers of the points, from 1, at their pixels."""
    seeds = np.zeros(box.shape, np.uint32)
    for number, (y, x) in enumerate(np.floor(points).astype(int), 1):
        seeds[y - box.y0, x - box.x0] = number
    return seeds
