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
    pieces: list[list[BaseGeometry]] = [[] for _ in window.rows]
    for geometry, value in shapes(window.local, mask=window.local > 0, connectivity=4):
        pieces[int(value) - 1].append(shapely.geometry.shape(geometry))
    joined = [shapely.MultiPolygon(p) if len(p) != 1 else p[0] for p in pieces]
    smooth = shapely.simplify(np.array(joined, object), _SLACK, preserve_topology=True)
    smooth = np.where(shapely.is_valid(smooth) & ~shapely.is_empty(smooth), smooth, joined)
    shift = np.array([window.box.x0, window.box.y0])
    return list(shapely.transform(smooth, lambda points: (points + shift) / factor))


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
