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
    return np.array([_corners(ring, float(limit)) for ring, limit in zip(rings, slack, strict=True)], np.int64)


def _corners(ring: BaseGeometry, slack: float) -> int:
    """Corners of one ring: straightened (Douglas and Peucker, 1973), then without those that lie between others.

    It begins at the point farthest from the middle, a corner. Where a side is parallel to the line that it is looked at
    from, straightening may stop at a point within the side; that goes.
    """
    points = shapely.get_coordinates(ring)[:-1]
    far = int(np.argmax(((points - points.mean(0)) ** 2).sum(1)))
    points = np.roll(points, -far, 0)
    other = int(np.argmax(((points - points[0]) ** 2).sum(1)))
    first, second = points[: other + 1], np.vstack([points[other:], points[:1]])
    kept = [points[0], *_between(first, slack), points[other], *_between(second, slack)]
    while len(kept) > 3:
        off = [
            float(_distances(np.array([kept[k - 1], kept[k], kept[(k + 1) % len(kept)]]))[0]) for k in range(len(kept))
        ]
        if min(off) > slack:
            break
        kept.pop(int(np.argmin(off)))
    return len(kept)


def _distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the inner points of a line are from that through its ends."""
    along, away = points[-1] - points[0], points[1:-1] - points[0]
    length = float(np.hypot(*along))
    across = along[0] * away[:, 1] - along[1] * away[:, 0]
    return np.hypot(*away.T) if length == 0 else np.asarray(abs(across) / length)


def _between(points: NDArray[np.float64], slack: float) -> list[NDArray[np.float64]]:
    """Points of a line, without its ends, that it needs to stay within `slack`."""
    if len(points) < 3:
        return []
    distances = _distances(points)
    worst = int(np.argmax(distances)) + 1
    if distances[worst - 1] <= slack:
        return []
    return [*_between(points[: worst + 1], slack), points[worst], *_between(points[worst:], slack)]


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
