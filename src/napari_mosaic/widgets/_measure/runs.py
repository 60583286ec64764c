"""What the dock *Measure* asks for on a thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.export import export_record
from napari_mosaic.files import write_csv
from napari_mosaic.measuring import changed_since_measured
from napari_mosaic.output_files import replacing
from napari_mosaic.record import open_record, tables
from napari_mosaic.widgets._measure.local import LocalFigures, local_figures
from napari_mosaic.widgets._measured import MeasuredFloor, open_measured

SHAPES = ("default", "rectangle_length", "rectangle_width", "rectangle_angle", "joint_width", "lightness")
"""Columns of a GeoPackage of chosen stones: what is told of each without the others."""


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
    """Write some stones: as `.csv` all that was measured of them, as `.gpkg` their outlines.

    Raises
    ------
    InputError
        The name has another ending.
    """
    if path.suffix == ".csv":
        assert floor.file is not None
        table = tables.read_table(floor.file)
        rows = table.filter(np.isin(table["id"].to_numpy(), ids))
        with replacing(path, overwrite=True) as temporary:
            names = rows.column_names
            columns = (rows[name].to_pylist() for name in names)
            write_csv(temporary, [names, *(_blank(row) for row in zip(*columns, strict=True))])
        return path
    if path.suffix == ".gpkg":
        with open_record(floor.record) as record:
            told = [name for name in SHAPES if name != "lightness" or name in floor.schema.names]
            return export_record(record, "geopackage", path, labels=floor.labels, ids=ids, columns=told, overwrite=True)
    raise InputError(f"{path.name} has another ending than .csv or .gpkg; give it one of them.")


def _blank(row: tuple[Any, ...]) -> list[Any]:
    return ["" if value is None else value for value in row]
