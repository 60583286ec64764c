"""Columns that only the whole floor can tell: colour of the palette, row, direction, density.

One decision: what the tiles measure comes first, and these are made from it, so they read no pixel of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_mosaic.measurement.floor import COLOUR, SHAPE
from napari_mosaic.measurement.registry import column
from napari_mosaic.measurement.view import View
from napari_mosaic.record.looked_at import preserved_part

Array = NDArray[Any]


@column(unit="1", source="floor", needs=COLOUR, dtype=np.int64)
def palette_class(view: View) -> Array:
    """Colour of the floor's palette that it is nearest to, from 1, the darkest; 0 without a colour."""
    return np.asarray(view.whole.palette_classes[view.rows_of_whole])


@column(unit="1", source="floor", needs=SHAPE, dtype=np.int64)
def row(view: View) -> Array:
    """Row that it stands in, from 1; 0 in none."""
    return np.asarray(view.whole.rows.row[view.rows_of_whole])


@column(unit="1", source="floor", needs=SHAPE, dtype=np.int64)
def row_place(view: View) -> Array:
    """Its place in its row, from 1; 0 in none."""
    return np.asarray(view.whole.rows.place[view.rows_of_whole])


@column(unit="deg", source="floor", needs=SHAPE)
def row_direction(view: View) -> Array:
    """Direction of the rows there, anticlockwise from the photograph's x axis, 0 to 180."""
    return np.asarray(view.whole.directions.angle[view.rows_of_whole])


@column(unit="1", source="floor", needs=SHAPE, digits=3)
def row_coherence(view: View) -> Array:
    """How far its neighbourhood agrees on that direction, 0 to 1."""
    return np.asarray(view.whole.directions.coherence[view.rows_of_whole])


@column(unit="per_px2", source="floor", needs=("centre_y", "centre_x"))
def local_density(view: View) -> Array:
    """Tesserae by area within five usual sides of it, over what is preserved there."""
    preserved = shapely.transform(
        preserved_part(view.record.whole_floor), lambda places: places * view.record.plan.factor
    )
    return view.whole.densities(view.rows_of_whole, preserved)
