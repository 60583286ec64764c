"""Outlines of tesserae as polygons, in the coordinates of the photograph or of its map.

One decision: an outline follows the pixels of the analysis to within three quarters of one, which
takes the stairs off and leaves the stone; areas are counted in pixels, not measured on outlines.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.measurement.windows import TesseraWindow
from napari_mosaic.record import Record

_SLACK = 0.75
"""Pixels of the working grid that an outline may leave the pixels by; a stair of one needs 0.71."""


def trace_outlines(window: TesseraWindow, factor: float) -> list[BaseGeometry]:
    """One valid `Polygon` or `MultiPolygon` for each row of a window, `(x, y)` in source pixels."""
    from rasterio.features import shapes

    if window.local.size == 0:
        return []
    found = list(shapes(window.local, mask=window.local > 0, connectivity=4))
    joined = _joined([geometry["coordinates"] for geometry, _ in found], np.array([v for _, v in found], np.int64) - 1)
    smooth = shapely.simplify(np.array(joined, object), _SLACK, preserve_topology=True)
    smooth = np.where(shapely.is_valid(smooth) & ~shapely.is_empty(smooth), smooth, joined)
    shift = np.array([window.box.x0, window.box.y0])
    return list(shapely.transform(smooth, lambda points: (points + shift) / factor))


def _joined(polygons: list[list[list[tuple[float, float]]]], rows: NDArray[np.int64]) -> NDArray[np.object_]:
    """One geometry a row, `(n,)`, of polygons given by their rings and the row of each; made at once, which is fast."""
    rings = [ring for polygon in polygons for ring in polygon]
    points = np.array([point for ring in rings for point in ring], float)
    ends = [np.concatenate([[0], np.cumsum([len(part) for part in parts])]) for parts in (rings, polygons)]
    made = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, ends)
    order = np.argsort(rows, kind="stable")
    first, count = np.unique(rows[order], return_index=True, return_counts=True)[1:]
    joined: NDArray[np.object_] = made[order][first]
    for k in np.flatnonzero(count > 1):
        joined[k] = shapely.multipolygons(made[order[first[k] : first[k] + count[k]]])
    return joined


def to_map(record: Record, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Map coordinates of source pixels; the pixels themselves where the photograph is not placed."""
    if record.affine is None:
        return x, y
    a, b, c, d, e, f = record.affine
    return a * x + b * y + c, d * x + e * y + f


def place_outlines(record: Record, outlines: list[BaseGeometry]) -> list[BaseGeometry]:
    """Outlines brought from source pixels to map coordinates, where there are any."""
    if record.affine is None:
        return outlines
    return list(shapely.transform(np.array(outlines, object), lambda p: np.column_stack(to_map(record, *p.T))))
