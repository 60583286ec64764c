"""What the dock *Measure* asks for on a thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.export import geopackage
from napari_mosaic.export.region import ChosenRecord
from napari_mosaic.files import write_csv
from napari_mosaic.measurement.features import choose_fields
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.measuring import MEASURED, changed_since_measured
from napari_mosaic.output_files import replacing
from napari_mosaic.progress import drain
from napari_mosaic.record import Record, open_record, tables
from napari_mosaic.widgets._measure.local import LocalFigures, local_figures
from napari_mosaic.widgets._measured import MeasuredFloor, open_measured


@dataclass(frozen=True)
class Loaded:
    """A measurement that is ready to be looked at."""

    floor: MeasuredFloor
    local: LocalFigures | None


def load(path: Path) -> Loaded:
    """Read what a record keeps, and what is looked up at each move of the mouse."""
    floor = open_measured(path)
    if not len(floor):
        return Loaded(floor, None)
    floor.classes, floor.numbers  # noqa: B018 - read here, not on the main thread
    return Loaded(floor, local_figures(floor))


def changed(path: Path, labels: str) -> str:
    """What has changed in a record since it was measured."""
    with open_record(path) as record:
        return changed_since_measured(record, labels)


def save_chosen(floor: MeasuredFloor, ids: NDArray[Any], path: Path) -> Path:
    """Write some stones with all that was measured of them, as the record keeps it: `.csv`, or `.gpkg` with outlines.

    Raises
    ------
    InputError
        The name has another ending.
    """
    if path.suffix not in (".csv", ".gpkg"):
        raise InputError(f"{path.name} has another ending than .csv or .gpkg; give it one of them.")
    assert floor.file is not None
    table = tables.read_table(floor.file)
    rows = table.filter(np.isin(table["id"].to_numpy(), ids))
    if path.suffix == ".csv":
        with replacing(path, overwrite=True) as temporary:
            names = rows.column_names
            columns = (rows[name].to_pylist() for name in names)
            write_csv(temporary, [names, *(_blank(row) for row in zip(*columns, strict=True))])
        return path
    with open_record(floor.record) as record, replacing(path, overwrite=True) as temporary:
        _write_outlines(ChosenRecord(record.with_labels(floor.labels), ids), rows, temporary)
    return path


def _write_outlines(record: Record, rows: pa.Table, path: Path) -> None:
    """Write the stones of a part of a record with what `rows` says of them; stones that are gone since are left out."""
    fields = [field for field in choose_fields(record, MEASURED) if field.name in rows.column_names]
    there = read_tesserae(record).columns["id"]
    known = rows["id"].to_numpy()
    order = np.argsort(known)
    place = order[np.searchsorted(known, there, sorter=order)]
    kept = {field.name: rows[field.name].to_numpy()[place] for field in fields if field.column.source != "table"}
    drain(geopackage.write_steps(record, path, [field.name for field in fields], pixels=kept))


def _blank(row: tuple[Any, ...]) -> list[Any]:
    return ["" if value is None else value for value in row]
