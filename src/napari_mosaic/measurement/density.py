"""How densely tesserae lie round each of them.

One decision: the denominator is what is preserved. A circle that reaches beyond the photograph, into a lacuna or into
what was not looked at counts only with its part that is preserved, so density does not sink at an edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Floats = NDArray[np.float64]

RADIUS = 5.0
"""Radius of the circle in usual sides (root of the median area): about 78 tesserae, of which one more or less is 1.3 %.
Not varied."""
_BATCH = 20_000
"""Circles at a time: bounds memory, changes nothing."""


def local_densities(centres: Floats, tree: cKDTree, radius: float, preserved: BaseGeometry) -> Floats:
    """Tesserae per unit of area within a circle round some places.

    Parameters
    ----------
    centres
        `(n, 2)` as (x, y).
    tree
        Of the places of all tesserae that are counted, in the same unit.
    radius
        Of the circle.
    preserved
        What is preserved, in the same unit.

    Returns
    -------
    ndarray
        `(n,)`; NaN where nothing is preserved within the circle.
    """
    found = np.full(len(centres), np.nan)
    shapely.prepare(preserved)
    for start in range(0, len(centres), _BATCH):
        part = slice(start, start + _BATCH)
        places = centres[part]
        count = tree.query_ball_point(places, radius, return_length=True)
        found[part] = count / _areas(places, radius, preserved)
    return found


def _areas(places: Floats, radius: float, preserved: BaseGeometry) -> Floats:
    """Area of the part of each circle that is preserved; NaN for none."""
    circles = shapely.buffer(shapely.points(places), radius)
    areas = np.full(len(places), float(shapely.area(circles[0])) if len(circles) else 0.0)
    edge = np.flatnonzero(~shapely.covers(preserved, circles))
    areas[edge] = shapely.area(shapely.intersection(circles[edge], preserved))
    return np.where(areas > 0, areas, np.nan)
