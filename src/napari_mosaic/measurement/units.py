"""Units of what is measured, and the way from the working grid to them.

One decision: functions measure in pixels of the working grid, and the unit stands in the name of what is handed on;
millimetres only where somebody vouches for the pixel size, map coordinates only where the photograph is placed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.record import Record

Unit = Literal["px", "mm", "px2", "mm2", "per_px2", "per_mpx", "per_dm2", "deg", "map", "1", "text"]
"""Pixels are those of the photograph, `map` the unit of its coordinate system, "1" a plain number; `per_mpx` and
`per_dm2` are numbers by area, a million pixels or a square decimetre."""

FORMS: dict[str, tuple[Unit, ...]] = {
    "px": ("px", "mm"),
    "px2": ("px2", "mm2"),
    "per_px2": ("per_mpx", "per_dm2"),
}
"""Units in which what is measured in pixels is handed on."""

_POWERS = {"px": 1, "mm": 1, "px2": 2, "mm2": 2}
_MPX, _DM2 = 1e6, 1e4
"""A million pixels, and a square decimetre in mm2."""


@dataclass(frozen=True)
class Scale:
    """From the working grid to a unit, as it was when it was asked for."""

    times: float = 1.0
    over: float = 1.0

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values in the unit; what is no length or area as it is."""
        return values if self.times == self.over == 1.0 else np.asarray(values * self.times / self.over)


def scale_to(unit: Unit, record: Record) -> Scale | None:
    """The way to a unit; None where nobody can tell it of this record."""
    factor, power = record.plan.factor, _POWERS.get(unit, 0)
    if unit in ("px", "px2"):
        return Scale(over=factor**power)
    if unit in ("mm", "mm2"):
        mm = record.pixel_mm
        return None if mm is None else Scale(times=(mm / factor) ** power)
    if unit == "per_mpx":
        return Scale(times=factor**2 * _MPX)
    if unit == "per_dm2":
        mm = record.pixel_mm
        return None if mm is None else Scale(times=(factor / mm) ** 2 * _DM2)
    if unit == "map":
        return None if record.affine is None else Scale()
    return Scale()


def missing_unit(unit: Unit) -> str:
    """What is to be done so that a unit can be told."""
    if unit == "map":
        return "the photograph is not placed on a map"
    return "nobody vouches for the pixel size; confirm it first"


__all__ = ["FORMS", "Scale", "Unit", "missing_unit", "scale_to"]
