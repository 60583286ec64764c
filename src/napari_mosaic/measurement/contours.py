"""Shape of outlines: corners and Fourier descriptors.

One decision: an outline's shape is that of its longest ring, at a number of points equally far from each other, so it
depends neither on where tracing begins nor on the size.

References
----------
Zahn and Roskies, Fourier Descriptors for Plane Closed Curves, IEEE Transactions on Computers C-21 (1972); here of the
points as complex numbers (Granlund, 1972), each harmonic by the size of both of its turns.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.compiled import compiled

Floats = NDArray[np.float64]

POINTS = 64
"""Points along an outline: eight to each turn of the highest harmonic. Not varied."""
HARMONICS = (2, 3, 4, 5, 6)
"""Harmonics that are told: 2 for bends, 3 for triangles, 4 for squares, and so on."""
_CORNER = 0.12
"""How far an outline may leave its corners' polygon, as a part of the side of the square of its area. Not varied."""


def longest_rings(outlines: list[BaseGeometry]) -> NDArray[np.object_]:
    """The outer ring of the largest part of each outline."""
    parts, owner = shapely.get_parts(np.array(outlines, object), return_index=True)
    order = np.lexsort((-shapely.area(parts), owner))
    _, first = np.unique(owner[order], return_index=True)
    rings: NDArray[np.object_] = shapely.get_exterior_ring(parts[order][first])
    return rings


def count_corners(rings: NDArray[np.object_]) -> NDArray[np.int64]:
    """Corners `(n,)` of closed outlines: those left when what is small against their size is straightened."""
    slack = _CORNER * np.sqrt(shapely.area(shapely.polygons(rings)))
    points, owner = shapely.get_coordinates(rings, return_index=True)
    ends = np.searchsorted(owner, np.arange(len(rings) + 1))
    counted: NDArray[np.int64] = _count_corners(points, ends, slack)
    return counted


@compiled
def _count_corners(points: Floats, ends: NDArray[np.int64], slack: Floats) -> NDArray[np.int64]:
    """Corners `(n,)` of rings that lie in `points` one after another, each closed by its first point."""
    counts = np.zeros(len(slack), np.int64)
    for k in range(len(slack)):
        counts[k] = _corners(points[ends[k] : ends[k + 1] - 1], slack[k])
    return counts


@compiled
def _corners(ring: Floats, slack: float) -> int:
    """Corners of one ring: straightened (Douglas and Peucker, 1973), then without those that lie between others.

    It begins at the point farthest from the middle, a corner. Where a side is parallel to the line that it is looked at
    from, straightening may stop at a point within the side; that goes.
    """
    count = len(ring)
    begin = _farthest(ring, ring[:, 0].mean(), ring[:, 1].mean())
    points = np.empty((count + 1, 2))
    for k in range(count + 1):
        points[k] = ring[(begin + k) % count]
    kept = _straightened(points, _farthest(points[:count], points[0, 0], points[0, 1]), slack)
    while len(kept) > 3:
        least, flattest = np.inf, 0
        for k in range(len(kept)):
            off = _distance(points[kept[k]], points[kept[k - 1]], points[kept[(k + 1) % len(kept)]])
            if off < least:
                least, flattest = off, k
        if least > slack:
            break
        kept = np.concatenate((kept[:flattest], kept[flattest + 1 :]))
    return len(kept)


@compiled
def _farthest(points: Floats, x: float, y: float) -> int:
    """Position of the point farthest from a place, the first of several."""
    return int(np.argmax((points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2))


@compiled
def _straightened(points: Floats, other: int, slack: float) -> NDArray[np.int64]:
    """Positions of the points that a closed line needs to stay within `slack`: its first, `other`, and between them."""
    last = len(points) - 1
    kept = np.zeros(len(points), np.bool_)
    kept[0] = kept[other] = True
    waiting = [(0, other), (other, last)]
    while len(waiting) > 0:
        start, end = waiting.pop()
        most, worst = slack, -1
        for k in range(start + 1, end):
            off = _distance(points[k], points[start], points[end])
            if off > most:
                most, worst = off, k
        if worst >= 0:
            kept[worst] = True
            waiting.append((start, worst))
            waiting.append((worst, end))
    return np.flatnonzero(kept[:last])


@compiled
def _distance(point: Floats, start: Floats, end: Floats) -> float:
    """How far a point is from the line through two others; from the first where they are one."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    away_x, away_y = point[0] - start[0], point[1] - start[1]
    length = np.hypot(along_x, along_y)
    if length == 0:
        return float(np.hypot(away_x, away_y))
    return float(abs(along_x * away_y - along_y * away_x) / length)


def fourier_descriptors(rings: NDArray[np.object_]) -> NDArray[np.float64]:
    """Sizes of `HARMONICS` by that of the first, `(n, harmonics)`: 0 for a circle; no turn or size changes them."""
    if len(rings) == 0:
        return np.zeros((0, len(HARMONICS)))
    steps = np.arange(POINTS) / POINTS
    places = shapely.line_interpolate_point(rings[:, None], steps[None], normalized=True)
    points = shapely.get_coordinates(places.ravel()).reshape(len(rings), POINTS, 2)
    power = np.abs(np.fft.fft(points[..., 0] + 1j * points[..., 1], axis=1))
    backwards = power[:, 1] < power[:, -1]
    power[backwards] = power[backwards][:, -np.arange(POINTS)]
    first = power[:, 1]
    # A harmonic of a shape with `k` equal sides is that of `1 - k` and `1 + k` turns of the point.
    sizes = [np.hypot(power[:, (1 - k) % POINTS], power[:, (1 + k) % POINTS]) for k in HARMONICS]
    return np.asarray(np.column_stack(sizes) / np.maximum(first, 1e-9)[:, None])
