"""The feature table: columns of all tesserae of a record, tile by tile.

One decision: memory holds the pixels of one window at a time; only what is measured is kept, and only where it is asked
for as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.columns import NAMES, USUAL
from napari_mosaic.measurement.floor import Floor
from napari_mosaic.measurement.registry import COLUMNS, Field, find_fields
from napari_mosaic.measurement.table import TesseraTable, read_tesserae
from napari_mosaic.measurement.tiles import measure_column, measure_tiles
from napari_mosaic.measurement.units import scale_to
from napari_mosaic.measurement.view import View
from napari_mosaic.measurement.windows import tessera_windows
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Record

if TYPE_CHECKING:
    from distributed import Client

Features = dict[str, NDArray[Any]]
"""Values by name of the field, `(n,)` each."""

BLOCK = 50_000
"""Rows that are handed on at once: bounds memory, changes nothing."""

DEFAULT = "default"
"""The name that stands for the usual fields."""


def choose_fields(record: Record, names: Sequence[str] | None = None) -> list[Field]:
    """The fields to hand on: number and id, then those of `names`; the usual ones without names.

    Parameters
    ----------
    record
        The record that is to be measured.
    names
        As for `find_fields`; "default" stands for the usual ones.

    Raises
    ------
    InputError
        There is no such column, or its unit cannot be told of this record.
    """
    if names is None:
        return find_fields(record, usual_names(record))
    parts = [usual_names(record) if name == DEFAULT else [name] for name in names]
    return find_fields(record, [*NAMES, *(name for part in parts for name in part)])


def usual_names(record: Record) -> list[str]:
    """Names of the usual fields whose units can be told of this record."""
    units = {form: unit for column in COLUMNS.values() for form, unit in column.forms.items()}
    return [name for name in USUAL if scale_to(units[name], record) is not None]


def measure_fields(view: View, fields: Sequence[Field]) -> Features:
    """Values of some tesserae; a column that stands in several fields is measured once."""
    measured = {name: measure_column(view, name) for name in {field.column.name: None for field in fields}}
    return {field.name: field.values(measured[field.column.name]) for field in fields}


def views(record: Record, tesserae: TesseraTable, fields: Sequence[Field]) -> Iterator[View]:
    """All tesserae of a record window by window, with the photograph open where a field needs it.

    Where the whole floor must tell one, all tesserae are measured for it before.

    Raises
    ------
    MosaicError
        The photograph is needed and cannot be opened.
    """
    needed = needed_columns(fields)
    floor = drain(_measure_whole_steps(record, tesserae, needed)) if needed else None
    with ExitStack() as stack:
        needs_photograph = any(field.column.source == "photograph" for field in fields)
        image = stack.enter_context(record.open_source()) if needs_photograph else None
        for window in tessera_windows(record, tesserae):
            yield View(record, tesserae, window.rows, window, image, floor)


def needed_columns(fields: Sequence[Field]) -> list[str]:
    """Columns that must be measured of all tesserae before some fields can be told."""
    return list(dict.fromkeys(name for field in fields for name in field.column.needs))


def measure_floor_steps(
    record: Record,
    tesserae: TesseraTable,
    columns: Sequence[str],
    *,
    phase: str = "measure",
    client: Client | None = None,
) -> Steps[Floor]:
    """Measure some columns of all tesserae, in px of the working grid, and their neighbours where that is one of them.

    One look at each tile, whatever the columns; on the workers of a `dask.distributed.Client` where one is given.
    """
    measured = {name: np.zeros(len(tesserae), COLUMNS[name].dtype) for name in columns}
    borders, done = [], 0
    for part in measure_tiles(record, tesserae, columns, client) if measured else ():
        for name, values in measured.items():
            values[part.rows] = part.measured[name]
        if part.borders is not None:
            borders.append(part.borders)
        done += len(part.rows)
        yield Progress(phase=phase, done=done, total=len(tesserae), unit="tesserae", region=part.tile)
    return Floor(tesserae, measured, borders)


def measure_pixels_steps(
    record: Record, tesserae: TesseraTable, fields: Sequence[Field], *, phase: str = "measure"
) -> Steps[Features]:
    """Measure, of all tesserae, those of the fields that need pixels.

    The others come from the table, for any rows at any time, and need no memory until then.
    """
    fields = [field for field in fields if field.column.source != "table"]
    columns = [field.column.name for field in fields if field.column.source != "floor"]
    needed, whole = needed_columns(fields), None
    if needed and record.whole_floor is not record:
        whole = yield from _measure_whole_steps(record, tesserae, needed, phase=phase)
    elif needed:
        columns = list(dict.fromkeys([*columns, *needed]))
    floor = yield from measure_floor_steps(record, tesserae, columns, phase=phase)
    return fields_of_floor(record, floor, fields, whole=whole)


def _measure_whole_steps(
    record: Record, tesserae: TesseraTable, columns: Sequence[str], *, phase: str = "measure"
) -> Steps[Floor]:
    """As `measure_floor_steps`, of the whole floor where the record is a part of one; `tesserae` are the record's."""
    whole = record.whole_floor
    return (
        yield from measure_floor_steps(
            whole, tesserae if whole is record else read_tesserae(whole), columns, phase=phase
        )
    )


def fields_of_floor(record: Record, floor: Floor, fields: Sequence[Field], *, whole: Floor | None = None) -> Features:
    """Values of some fields of all tesserae whose columns, or what they need, were measured.

    `whole` is the whole floor, where `floor` is a part of it.
    """
    view = View(record, floor.tesserae, np.arange(len(floor.tesserae)), floor=whole or floor)
    rest = {field.column.name for field in fields} - floor.measured.keys()
    measured = {**floor.measured, **{name: measure_column(view, name) for name in rest}}
    return {field.name: field.values(measured[field.column.name]) for field in fields}


def rows_of(
    record: Record, tesserae: TesseraTable, rows: NDArray[np.int64], fields: Sequence[Field], pixels: Features
) -> Features:
    """All fields of some rows, in order: those that are measured from pixels are taken from `pixels`."""
    rest = [field for field in fields if field.name not in pixels]
    found = measure_fields(View(record, tesserae, rows), rest)
    return {field.name: pixels[field.name][rows] if field.name in pixels else found[field.name] for field in fields}


def row_blocks(record: Record, tesserae: TesseraTable, fields: Sequence[Field], pixels: Features) -> Iterator[Features]:
    """All fields of all rows, `BLOCK` rows at a time, in order; see `rows_of`."""
    for start in range(0, len(tesserae), BLOCK):
        yield rows_of(record, tesserae, np.arange(start, min(start + BLOCK, len(tesserae))), fields, pixels)


def table_blocks_steps(
    record: Record, names: Sequence[str] | None = None, *, phase: str = "export"
) -> Steps[tuple[list[Field], Iterator[Features]]]:
    """Measure all tesserae of a record and return their fields, and their values some rows at a time, in reading order.

    What is measured from pixels is kept until it is handed on, all else is worked out block by block.
    """
    fields, tesserae = choose_fields(record, names), read_tesserae(record)
    pixels = yield from measure_pixels_steps(record, tesserae, fields, phase=phase)

    return fields, row_blocks(record, tesserae, fields, pixels)


def feature_table_steps(
    record: Record, names: Sequence[str] | None = None, *, labels: str | None = None
) -> Steps[Features]:
    """Measure all tesserae of a record; see `feature_table`."""
    record = record.with_labels(labels)
    fields, tesserae = choose_fields(record, names), read_tesserae(record)
    pixels = yield from measure_pixels_steps(record, tesserae, fields)
    return rows_of(record, tesserae, np.arange(len(tesserae)), fields, pixels)


def feature_table(record: Record, names: Sequence[str] | None = None, *, labels: str | None = None) -> Features:
    """Measure all tesserae of a record, in the manner of scikit-image's `regionprops_table`.

    Parameters
    ----------
    record
        Open for reading; of an incomplete one, what is there.
    names
        Columns ("perimeter", in every unit that can be told), or columns in a unit ("perimeter_mm"); "default" stands
        for the usual ones, which come without names, too. Number and id always lead.
    labels
        Of which of its label layers, such as "sam2"; by default of what its method was asked for: see
        `Record.with_labels`.

    Returns
    -------
    dict of ndarray
        `(n,)` values by name, in reading order; NaN where a tessera has no such value. Lengths are in pixels of the
        photograph (`_px`) or in mm, areas in their squares, as the names say.

    Raises
    ------
    InputError
        There is no such column, or its unit cannot be told of this record.
    MissingError
        There are no labels of that name.
    MosaicError
        Colours are asked for, and the photograph cannot be opened or read.

    Examples
    --------
    >>> from napari_mosaic import open_record
    >>> with open_record("floor.mosaic.zarr") as record:  # doctest: +SKIP
    ...     table = feature_table(record, ["perimeter_mm", "orientation"])
    """
    return drain(feature_table_steps(record, names, labels=labels))


__all__ = [
    "BLOCK",
    "DEFAULT",
    "Features",
    "choose_fields",
    "feature_table",
    "feature_table_steps",
    "fields_of_floor",
    "measure_column",
    "measure_fields",
    "measure_floor_steps",
    "measure_pixels_steps",
    "needed_columns",
    "row_blocks",
    "rows_of",
    "table_blocks_steps",
    "views",
]
