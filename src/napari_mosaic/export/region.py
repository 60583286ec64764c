"""A part of a record, for exports that are clipped to a region.

One decision: a tessera belongs to the region that holds its centre of gravity, as it belongs to the areas of the floor,
and it is handed on whole; numbers count from 1 in the region, ids stay those of the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.area_files import Grid, read_geometry
from napari_mosaic.areas import Area, AreaSet, merged
from napari_mosaic.errors import InputError
from napari_mosaic.measurement.moments import centres
from napari_mosaic.measurement.table import TesseraTable
from napari_mosaic.measurement.windows import tessera_windows
from napari_mosaic.record import Record, looked_at, tables

RegionSource: TypeAlias = str | Path | BaseGeometry | NDArray[Any] | Sequence[float]
"""A file of areas or a mask, polygons or a mask, or a box `y0, x0, y1, x1`; pixels are those of the photograph."""

_PLACES = ["id", "y", "x", "y0", "x0", "y1", "x1"]


def read_region(source: RegionSource, grid: Grid) -> BaseGeometry:
    """The polygons of a region in source pixels.

    Raises
    ------
    MissingError, ReadError, InputError
        As `read_geometry`; or a box that is none.
    """
    if isinstance(source, str):
        words = source.replace(",", " ").split()
        source = source if not _are_numbers(words) else [float(word) for word in words]
    if isinstance(source, str | Path | BaseGeometry | np.ndarray):
        return read_geometry(source, grid, what="region")
    edges = [float(edge) for edge in source]
    if len(edges) != 4 or edges[0] >= edges[2] or edges[1] >= edges[3]:
        shown = " ".join(f"{edge:g}" for edge in edges)
        raise InputError(f"The region {shown} is no box; give y0 x0 y1 x1 in pixels of the photograph, or a file.")
    y0, x0, y1, x1 = edges
    return read_geometry(shapely.box(x0, y0, x1, y1), grid, what="region")


def _are_numbers(words: Sequence[str]) -> bool:
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False


def grid_of(record: Record) -> Grid:
    """The photograph of a record, as areas are placed on it."""
    return Grid(shape=record.plan.source_shape, crs=record.crs, affine=record.affine)


class ChosenRecord(Record):
    """Some tesserae of a record: the same record, with fewer rows in its table.

    It shares all that `record` has open and is closed with it.

    Parameters
    ----------
    record
        Open for reading.
    ids
        `(n,)` of the tesserae.
    """

    def __init__(self, record: Record, ids: NDArray[Any]) -> None:
        self.__dict__.update(record.__dict__)
        self._ids, self._whole_floor = ids, record.whole_floor

    @property
    def whole_floor(self) -> Record:
        """The record of the whole floor, which alone tells rows, palette and density."""
        return self._whole_floor

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """The rows of these tesserae."""
        table = super().table(columns if columns is None or "id" in columns else ["id", *columns])
        rows = table.filter(pa.array(np.isin(table["id"].to_numpy(), self._ids)))
        return rows if columns is None else rows.select(columns)

    @property
    def count(self) -> int:
        """Number of these tesserae."""
        return len(self._ids)


class RegionRecord(ChosenRecord):
    """The part of a record that lies in a region, polygons in source pixels; its areas are cut at the region."""

    def __init__(self, record: Record, region: BaseGeometry) -> None:
        super().__init__(record, _ids_inside(record, region))
        self._region = region

    @property
    def region(self) -> BaseGeometry:
        """The region, in source pixels."""
        return self._region

    @property
    def areas(self) -> AreaSet:
        """The areas, cut at the region."""
        cut = [(area, _cut(area, self.region)) for area in super().areas]
        kept = AreaSet()
        for area, geometry in cut:
            if not geometry.is_empty:
                kept = kept.add(area.kind, geometry, name=area.name, **area.properties)
        return kept

    @areas.setter
    def areas(self, areas: AreaSet) -> None:
        raise InputError("The areas of a part of a record cannot be set; set those of the record.")

    def figures(self, within: looked_at.Part = None) -> looked_at.Figures:
        """The figures of the region."""
        return super().figures(self.region if within is None else within)


def _cut(area: Area, region: BaseGeometry) -> BaseGeometry:
    """An area cut at a region: of what covers something the polygons, so nothing where the two only touch."""
    found = area.geometry.intersection(region)
    return found if area.kind == "mark" else merged(p for p in shapely.get_parts(found) if p.geom_type == "Polygon")


def part_of_record(record: Record, region: RegionSource | None) -> Record:
    """The part of a record that lies in a region; the record where none is asked for."""
    return record if region is None else RegionRecord(record, read_region(region, grid_of(record)))


def _ids_inside(record: Record, region: BaseGeometry) -> NDArray[Any]:
    """Ids of the tesserae whose centres of gravity lie in a region; pixels are read only where its border is."""
    columns = tables.columns_of(record.table(_PLACES))
    factor = record.plan.factor
    boxes = shapely.box(*(columns[name] / factor for name in ("x0", "y0", "x1", "y1")))
    shapely.prepare(region)
    whole = shapely.contains(region, boxes)
    doubtful = np.flatnonzero(shapely.intersects(region, boxes) & ~whole)
    rows = TesseraTable({name: values[doubtful] for name, values in columns.items()})
    for window in tessera_windows(record, rows):
        y, x = centres(window).T / factor
        whole[doubtful[window.rows]] = shapely.contains_xy(region, x, y)
    ids: NDArray[Any] = columns["id"][whole]
    return ids
