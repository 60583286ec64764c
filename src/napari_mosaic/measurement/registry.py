"""What a column is, and the one table in which all are found.

One decision: a column is one function with its name, unit, type and source, in the manner of scikit-image's
`regionprops_table`; whoever writes columns knows none of them by name, so a new one touches the file of its function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.measurement.units import FORMS, Scale, Unit, missing_unit, scale_to
from napari_mosaic.measurement.view import View
from napari_mosaic.record import Record

Source = Literal["table", "labels", "photograph", "floor"]
"""What a function reads: the record's table alone, the pixels of tesserae, those of the photograph, or what was
measured of all tesserae of the floor."""

Measure = Callable[[View], NDArray[Any]]

COLUMNS: dict[str, Column] = {}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: what it is called and how it is measured.

    Attributes
    ----------
    name
        Without a unit.
    unit
        That in which `measure` gives values; pixels are those of the working grid there.
    source
        What `measure` reads: a column of the table needs no pixel.
    dtype
        Of the values; object for text.
    digits
        Decimals that are handed on; None for all.
    forms
        The names under which it is handed on, each with its unit.
    needs
        Columns that must be measured of all tesserae before, where the source is the floor.
    measure
        From a `View` of `n` tesserae to `n` values, NaN where there is none. Its docstring is the column's help.
    """

    name: str
    unit: Unit
    source: Source
    dtype: Any
    digits: int | None
    forms: dict[str, Unit]
    measure: Measure
    needs: tuple[str, ...] = ()

    @property
    def help(self) -> str:
        """What it says, in one sentence."""
        return (self.measure.__doc__ or "").strip().split("\n")[0].rstrip(".")


@dataclass(frozen=True)
class Field:
    """A column in one unit, under the name that it is handed on by."""

    name: str
    column: Column
    unit: Unit
    scale: Scale

    def values(self, measured: NDArray[Any]) -> NDArray[Any]:
        """What was measured, in the unit of the field and with its decimals."""
        scaled = self.scale.apply(measured)
        return scaled if self.column.digits is None else np.round(scaled, self.column.digits)


def column(
    *,
    unit: Unit,
    source: Source,
    dtype: Any = np.float64,
    digits: int | None = 2,
    forms: dict[str, Unit] | None = None,
    name: str | None = None,
    needs: tuple[str, ...] = (),
) -> Callable[[Measure], Measure]:
    """Enter a function in `COLUMNS`, under its own name; see `Column`.

    Without `forms`, lengths and areas are handed on in pixels and in millimetres (`width_px`, `width_mm`), angles as
    `..._deg`, all else under the column's name.
    """

    def enter(measure: Measure) -> Measure:
        called = name or measure.__name__
        usual: dict[str, Unit] = {f"{called}_{form}": form for form in FORMS.get(unit, ())}
        if unit == "deg":
            usual = {f"{called}_deg": unit}
        COLUMNS[called] = Column(
            name=called,
            unit=unit,
            source=source,
            dtype=dtype,
            digits=digits if dtype is np.float64 else None,
            forms=forms or usual or {called: unit},
            measure=measure,
            needs=needs,
        )
        return measure

    return enter


def find_fields(record: Record, names: Sequence[str]) -> list[Field]:
    """The fields of some names, in that order, each once.

    Parameters
    ----------
    record
        The record that is to be measured: it says which units can be told.
    names
        Of fields, such as "perimeter_mm", or of columns, which stand for all their fields that can be told.

    Raises
    ------
    InputError
        There is no such name, or its unit cannot be told of this record.
    """
    found: dict[str, Field] = {}
    for name in names:
        for field in _fields_named(record, name):
            found.setdefault(field.name, field)
    return list(found.values())


def _fields_named(record: Record, name: str) -> list[Field]:
    of_name = [each for each in COLUMNS.values() if name == each.name or name in each.forms]
    if not of_name:
        raise InputError(f"There is no column {name!r}; choose among {', '.join(COLUMNS)}.")
    fields, untold = [], ""
    for form, unit in of_name[0].forms.items():
        if name not in (form, of_name[0].name):
            continue
        scale = scale_to(unit, record)
        if scale is None:
            untold = missing_unit(unit)
        else:
            fields.append(Field(form, of_name[0], unit, scale))
    if not fields:
        raise InputError(f"The column {name!r} cannot be told of {record.path.name}: {untold}.")
    return fields


__all__ = ["COLUMNS", "Column", "Field", "Source", "column", "find_fields"]
