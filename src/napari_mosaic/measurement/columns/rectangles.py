"""Columns of the least rectangle round a tessera.

One decision: a rectangle is looked for once a window, whatever columns ask for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.registry import column
from napari_mosaic.measurement.view import View

Array = NDArray[Any]


@column(unit="px", source="labels")
def rectangle_length(view: View) -> Array:
    """Longer side of the least rectangle round it."""
    return view.rectangles[:, 0]


@column(unit="px", source="labels")
def rectangle_width(view: View) -> Array:
    """Shorter side of the least rectangle round it."""
    return view.rectangles[:, 1]


@column(unit="deg", source="labels")
def rectangle_angle(view: View) -> Array:
    """Direction of the longer side (of a square, of one), anticlockwise from the photograph's x axis, 0 to 180."""
    return view.rectangles[:, 2]


@column(unit="1", source="labels", digits=4)
def rectangularity(view: View) -> Array:
    """Area by that of the least rectangle, 0 to 1."""
    length, width, _ = view.rectangles.T
    return np.asarray(np.minimum(view.moments[:, 0] / np.maximum(length * width, 1e-9), 1.0))
