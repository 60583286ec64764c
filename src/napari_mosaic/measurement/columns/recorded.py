"""Columns that the record's table tells: they need no pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.registry import column
from napari_mosaic.measurement.view import View
from napari_mosaic.measurement.windows import BOX, reach_far
from napari_mosaic.record.tables import MATERIALS, STATES

Values = NDArray[Any]


@column(unit="1", source="table", dtype=np.int64)
def number(view: View) -> Values:
    """Number from 1 in reading order, as in all exports."""
    return view.rows + 1


@column(unit="1", source="table", dtype=np.int64)
def id(view: View) -> Values:  # noqa: A001 - the word of the record's table
    """Id in the record."""
    return view.table("id")


@column(unit="px2", source="table", forms={"area_px": "px2", "area_mm2": "mm2"})
def area(view: View) -> Values:
    """Area, counted in pixels."""
    return view.table("area")


def _edge(name: str, side: str) -> None:
    def measure(view: View) -> Values:
        return view.table(name)

    measure.__doc__ = f"{side} edge of the box, from the edge of the photograph."
    column(unit="px", source="table", forms={f"{name}_px": "px"}, name=name)(measure)


for _name, _side in zip(BOX, ("Upper", "Left", "Lower", "Right"), strict=True):
    _edge(_name, _side)


@column(unit="px", source="table")
def height(view: View) -> Values:
    """Height of the box."""
    return np.asarray(view.table("y1") - view.table("y0"))


@column(unit="px", source="table")
def width(view: View) -> Values:
    """Width of the box."""
    return np.asarray(view.table("x1") - view.table("x0"))


@column(unit="px", source="table")
def equivalent_side(view: View) -> Values:
    """Side of the square of the same area."""
    return np.asarray(np.sqrt(view.table("area")))


@column(unit="1", source="table", digits=3)
def score(view: View) -> Values:
    """How sure the model is, 0 to 1."""
    return view.table("score")


@column(unit="1", source="table", dtype=np.int32)
def flags(view: View) -> Values:
    """What is special about it, as a sum of bits."""
    return view.table("flags")


@column(unit="text", source="table", dtype=object)
def material(view: View) -> Values:
    """Material that a person gave."""
    return _words(MATERIALS, view.table("material"))


@column(unit="text", source="table", dtype=object)
def state(view: View) -> Values:
    """State that a person gave."""
    return _words(STATES, view.table("state"))


def _words(words: tuple[str, ...], codes: Values) -> Values:
    return np.asarray(np.array(words, object)[codes])


@column(unit="1", source="table", dtype=np.bool_)
def large(view: View) -> Values:
    """Whether it reaches so far from its seed that it was measured in a window of its own."""
    return reach_far({name: view.table(name) for name in ("y", "x", *BOX)})
