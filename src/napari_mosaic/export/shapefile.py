"""Outlines of tesserae as a Shapefile, for GIS programs that know nothing newer.

One decision: names of columns have ten characters there; they are shortened by one table, and what each stands for lies
beside, with its unit.

References
----------
ESRI Shapefile Technical Description (1998); dBase III for the names.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import WriteError
from napari_mosaic.export.geopackage import Target, as_multipolygons, refusals
from napari_mosaic.export.options import GeopackageOptions
from napari_mosaic.export.outlined import outlined_tiles
from napari_mosaic.measurement.features import Features, choose_fields
from napari_mosaic.measurement.registry import Field
from napari_mosaic.output_files import refusal
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

LONGEST = 10
JOURNAL = "journal"
"""The column that says how many entries the journal of edits had: a Shapefile has no other place for it."""
_MOST_BYTES = 2 * 10**9
"""The format counts in words of 16 bits, and GDAL stops at 2 GB: about 6 million stones of 20 corners."""


def write_steps(
    record: Record,
    path: Path,
    columns: Sequence[str] | None = None,
    options: GeopackageOptions = GeopackageOptions(),  # noqa: B008 - frozen
) -> Iterator[Progress]:
    """Write one polygon a tessera to `path`, its columns to `.dbf`, the coordinate system to `.prj`.

    Raises
    ------
    InputError, WriteError
        Another coordinate system is asked for and cannot be told; the file would be larger than the format can be.
    """
    target, fields = Target(record, options.crs), choose_fields(record, columns)
    names, journal = short_names(field.name for field in fields), len(record.journal)
    written = 0
    for tile in outlined_tiles(record, [field.name for field in fields]):
        _append(path, target, target.place(tile.outlines), _renamed(tile.columns, names, journal), first=not written)
        written += len(tile.outlines)
        yield tile.progress
    if not written:
        nothing = {field.name: np.zeros(0, field.column.dtype) for field in fields}
        _append(path, target, [], _renamed(nothing, names, journal), first=True)
        yield Progress(phase="export", done=1, total=1, unit="tesserae")
    _write_names(path.with_suffix(".columns.csv"), fields, names)


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Names of at most ten characters, each once: vowels go from the end, then the tail, then a number tells apart."""
    found: dict[str, str] = {}
    taken = {JOURNAL}
    for name in names:
        short = name
        for place in range(len(name) - 1, 0, -1):
            if len(short) > LONGEST and name[place] in "aeiou":
                short = short[:place] + short[place + 1 :]
        short = short[:LONGEST]
        count = 1
        while short in taken:
            count += 1
            short = f"{short[: LONGEST - len(str(count))]}{count}"
        taken.add(short)
        found[name] = short
    return found


def _renamed(columns: Features, names: dict[str, str], journal: int) -> Features:
    """Columns under their short names; ids as text, since numbers there are rounded from 18 digits on."""
    values = {names[name]: column for name, column in columns.items()}
    values[names["id"]] = np.array([str(id_) for id_ in columns["id"].tolist()], object)
    return values | {JOURNAL: np.full(len(columns["id"]), journal, np.int32)}


def _append(path: Path, target: Target, outlines: list[Any], figures: Features, *, first: bool) -> None:
    with needed_for("A Shapefile", instead="or export as csv"):
        import pyogrio
    if path.exists() and path.stat().st_size > _MOST_BYTES:
        raise WriteError("A Shapefile cannot be larger than 2 GB; export a GeoPackage, or a region.")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")  # pixels, where it is not placed
            pyogrio.raw.write(
                path,
                geometry=shapely.to_wkb(as_multipolygons(outlines)),
                field_data=list(figures.values()),
                fields=list(figures),
                geometry_type="MultiPolygon",
                crs=target.crs,
                driver="ESRI Shapefile",
                encoding="UTF-8",
                append=not first,
            )
    except refusals() as error:
        raise refusal("The Shapefile", path, error) from error


def _write_names(path: Path, fields: Sequence[Field], names: dict[str, str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "column", "unit", "meaning"])
        for field in fields:
            unit = "" if field.unit in ("1", "text") else field.unit
            writer.writerow([names[field.name], field.name, unit, field.column.help])
        writer.writerow([JOURNAL, JOURNAL, "", "Entries of the journal of edits when this was written"])
