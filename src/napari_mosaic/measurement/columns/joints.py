"""Columns of the joint round a tessera.

One decision: these look beyond the tessera, at whatever tesserae lie round it, so they read a margin that holds the
widest joint round the window.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_mosaic.measurement.registry import column
from napari_mosaic.measurement.view import View

Array = NDArray[Any]


@column(unit="px", source="labels")
def joint_width(view: View) -> Array:
    """Width of the joint round it, the mean of the middle half along its border; none where little faces it."""
    return view.joints[0][:, 0]


@column(unit="px", source="labels")
def joint_width_spread(view: View) -> Array:
    """How much the width of the joint differs along its border: the interquartile range."""
    return view.joints[0][:, 1]


@column(unit="1", source="labels", digits=None)
def neighbours(view: View) -> Array:
    """How many tesserae lie across the joint."""
    return view.joints[1]
