"""Columns that say where a tessera is: its centre of gravity, counted from its pixels and not the middle of its box."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_mosaic.areas import PRECEDENCE, AreaSet
from napari_mosaic.measurement.outlines import to_map
from napari_mosaic.measurement.registry import column
from napari_mosaic.measurement.view import View

Values = NDArray[Any]


@column(unit="px", source="labels", forms={"centre_y_px": "px"})
def centre_y(view: View) -> Values:
    """Centre of gravity, from the upper edge of the photograph."""
    return view.centres[:, 0]


@column(unit="px", source="labels", forms={"centre_x_px": "px"})
def centre_x(view: View) -> Values:
    """Centre of gravity, from the left edge of the photograph."""
    return view.centres[:, 1]


@column(unit="text", source="labels", dtype=object)
def area_class(view: View) -> Values:
    """Class of the area that holds the centre of gravity."""
    return class_at(view.tesserae.areas, *view.places)


def class_at(areas: AreaSet, x: NDArray[np.float64], y: NDArray[np.float64]) -> Values:
    """The class of the area that each place (source pixels) lies in, as text; "" where in none."""
    found = np.full(len(x), "", object)
    for kind in reversed(PRECEDENCE):  # the last one holds, as in the record's figures
        area = areas.of(kind)
        if not area.is_empty:
            shapely.prepare(area)
            found[shapely.contains_xy(area, x, y)] = kind
    return found


@column(unit="map", source="labels", digits=None)
def map_x(view: View) -> Values:
    """Centre of gravity on the map, eastwards."""
    return to_map(view.record, *view.places)[0]


@column(unit="map", source="labels", digits=None)
def map_y(view: View) -> Values:
    """Centre of gravity on the map, northwards."""
    return to_map(view.record, *view.places)[1]
