"""Outlines in another shape than that of the pixels: straighter, smooth, or with edges that neighbours share.

One decision: a shape follows from the labels around its tessera alone, so it does not depend on the tile, and whoever
reads a drawing back can draw it again to see whether somebody has changed it.

References
----------
Chaikin, An algorithm for high-speed curve generation, Computer Graphics and Image Processing 3 (1974).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.measurement.outlines import trace_outlines
from napari_mosaic.measurement.windows import TesseraWindow
from napari_mosaic.record import Record

_SLACK = 0.75
"""Pixels of the working grid by which a shared edge may leave the pixels: that of plain outlines."""
_ROUNDS = 2
"""Times that corners are cut: each quarters the angle that is left at them. Not varied."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shaping:
    """How outlines are drawn: `slack` px of the working grid that they may leave the pixels by, None for the usual."""

    outlines: Literal["plain", "smooth", "shared"] = "plain"
    slack: float | None = None

    def trace(self, record: Record, window: TesseraWindow) -> list[BaseGeometry]:
        """One outline for each row of a window, `(x, y)` in source pixels."""
        factor = record.plan.factor
        if self.outlines == "shared":
            return _trace_shared(record, window, _SLACK if self.slack is None else self.slack)
        outlines = trace_outlines(window, factor)
        if self.slack is not None and outlines:
            straight = shapely.simplify(np.array(outlines, object), self.slack / factor, preserve_topology=True)
            outlines = list(np.where(shapely.is_valid(straight) & ~shapely.is_empty(straight), straight, outlines))
        return [smoothed(outline) for outline in outlines] if self.outlines == "smooth" else outlines


PLAIN = Shaping()


@dataclass(frozen=True)
class TracedOnce(Shaping):
    """Plain outlines that are traced once for exports that go over the same windows side by side."""

    last: list[tuple[NDArray[np.int64], list[BaseGeometry]]] = field(default_factory=list, compare=False)
    """Rows and outlines of the window that was traced last."""

    def trace(self, record: Record, window: TesseraWindow) -> list[BaseGeometry]:
        """One outline for each row of a window, `(x, y)` in source pixels."""
        if not self.last or not np.array_equal(self.last[0][0], window.rows):
            self.last[:] = [(window.rows, super().trace(record, window))]
        return self.last[0][1]


def smoothed(outline: BaseGeometry) -> BaseGeometry:
    """An outline whose corners are cut (Chaikin); as it is where it would cross itself."""
    parts = [_smooth_polygon(polygon) for polygon in shapely.get_parts(outline)]
    found = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    return found if found.is_valid else outline


def _smooth_polygon(polygon: BaseGeometry) -> BaseGeometry:
    rings = [_cut_corners(shapely.get_coordinates(ring)[:-1]) for ring in shapely.get_rings(polygon)]
    return shapely.Polygon(rings[0], rings[1:])


def _cut_corners(points: Floats) -> Floats:
    for _ in range(_ROUNDS):
        following = np.roll(points, -1, 0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1).reshape(-1, 2)
    return points


def _trace_shared(record: Record, window: TesseraWindow, slack: float) -> list[BaseGeometry]:
    """Outlines as a coverage: an edge between two tesserae is one line, whichever of them is drawn.

    A pixel more than the window is read, so that the ends of all edges are seen.
    """
    from rasterio.features import shapes

    box = window.box.grow(1).clip(record.shape)
    ids, dense = np.unique(record.read_labels(box), return_inverse=True)
    local = np.asarray(dense.reshape(box.shape) + (0 if ids[0] == 0 else 1), np.int32)
    found = [(shapely.geometry.shape(g), int(v)) for g, v in shapes(local, mask=local > 0, connectivity=4)]
    pieces = np.array([piece for piece, _ in found], object)
    edges = shapely.coverage_simplify(shapely.segmentize(pieces, 1.0), slack)
    edges = np.where(shapely.is_valid(edges) & ~shapely.is_empty(edges), edges, pieces)
    own = window.local > 0
    inner = window.box.within(box)
    row_of = dict(zip(local[inner][own].tolist(), (window.local[own] - 1).tolist(), strict=True))
    parts: list[list[BaseGeometry]] = [[] for _ in window.rows]
    for (_, value), edge in zip(found, edges, strict=True):
        if value in row_of:
            parts[row_of[value]].append(edge)
    whole = np.array([p[0] if len(p) == 1 else shapely.MultiPolygon(p) for p in parts], object)
    corner = np.array([box.x0, box.y0])
    return list(shapely.transform(whole, lambda points: (points + corner) / record.plan.factor))
