"""Outlines of tesserae as a GeoPackage, for GIS.

One decision: written tile by tile as they are traced, so memory holds the outlines of one tile; the
number, not the order in the file, tells the reading order. A GIS has y upwards and shows a picture without a place from
y = 0 downwards: outlines of one that is not placed lie so, on the picture, row r at y = -r.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.area_files import to_upwards
from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import InputError
from napari_mosaic.export.notes import notes_of
from napari_mosaic.export.options import GeopackageOptions
from napari_mosaic.export.shaping import PLAIN, Shaping
from napari_mosaic.export.styles import add_styles, area_style, outline_style
from napari_mosaic.measurement.features import Features, choose_fields, measure_fields, rows_of, views
from napari_mosaic.measurement.outlines import place_outlines
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.measurement.view import View
from napari_mosaic.measurement.windows import no_window
from napari_mosaic.output_files import refusal
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import Record

_LAYER, _AREAS = "tesserae", "areas"


def write_steps(
    record: Record,
    path: Path,
    columns: Sequence[str] | None = None,
    options: GeopackageOptions = GeopackageOptions(),  # noqa: B008 - frozen
    *,
    pixels: Features | None = None,
    shaping: Shaping = PLAIN,
) -> Steps[None]:
    """Write one polygon a tessera with its columns, and the areas as a second layer, to `path`; styled for QGIS.

    `pixels` is what `measure_pixels_steps` has measured for the columns already; `shaping` traces the outlines.
    """
    target = Target(record, options.crs)
    fields, tesserae = choose_fields(record, columns), read_tesserae(record)
    done = 0
    for view in views(record, tesserae, fields if pixels is None else []):
        window = view.pixels_of
        outlines = target.place(shaping.trace(record, window))
        measured = (
            measure_fields(view, fields) if pixels is None else rows_of(record, tesserae, view.rows, fields, pixels)
        )
        _append(path, target, outlines, measured)
        done += len(view.rows)
        yield Progress(phase="export", done=done, total=len(tesserae), unit="tesserae", region=window.tile)
    if not len(tesserae):
        nothing = no_window()
        _append(path, target, [], measure_fields(View(record, tesserae, nothing.rows, nothing), fields))
    areas = _append_areas(path, target)
    add_styles(path, {_LAYER: outline_style()} | ({_AREAS: area_style()} if areas else {}))


def write_areas(record: Record, path: Path) -> None:
    """Write the areas alone; see `write_steps`.

    Raises
    ------
    InputError
        There is none: a GeoPackage cannot be empty.
    """
    if not _append_areas(path, Target(record, None)):
        raise InputError(f"{record.path.name} has no areas to write; draw them in the dock Edit tesserae first.")
    add_styles(path, {_AREAS: area_style()})


def check_crs(record: Record, crs: str | None) -> None:
    """Raise `InputError` where coordinates of a record cannot be told in a system."""
    if crs is None:
        return
    if record.affine is None or record.crs is None:
        raise InputError(
            f"The photograph of {record.path.name} is not placed on a map, so nothing of it can be told in {crs}; "
            "give it a world file and a .prj, or leave the coordinate system out."
        )
    try:
        pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise InputError(f"There is no coordinate system {crs!r}; give a code such as EPSG:4326.") from error


class Target:
    """Where outlines go: the coordinate system of a file, and the way there from source pixels."""

    def __init__(self, record: Record, crs: str | None) -> None:
        check_crs(record, crs)
        self.record = record
        own = record.crs if record.affine is not None else None
        self.crs = crs or own
        self._way = None if crs is None else pyproj.Transformer.from_crs(own, crs, always_xy=True)

    @property
    def coordinates(self) -> str:
        """What the coordinates are, in words."""
        if self.record.affine is None:
            return "pixels of the photograph, y upwards: row r lies at y = -r, as QGIS shows a picture without a place"
        return self.crs or "those of the map on which the photograph is placed"

    def place(self, outlines: list[BaseGeometry]) -> list[BaseGeometry]:
        """Outlines in source pixels brought there."""
        if self.record.affine is None:
            return list(to_upwards(np.array(outlines, object))) if outlines else []
        placed = place_outlines(self.record, outlines)
        way = self._way
        if way is None or not placed:
            return placed
        return list(shapely.transform(np.array(placed, object), lambda p: np.column_stack(way.transform(*p.T))))


def _append_areas(path: Path, target: Target) -> bool:
    """The areas of the floor with their classes, if any; marks, which need not cover anything, stay out."""
    areas = [area for area in target.record.areas if area.kind != "mark"]
    if not areas:
        return False
    fields = {
        "number": np.arange(1, len(areas) + 1),
        "class": np.array([area.kind for area in areas], object),
        "name": np.array([area.name for area in areas], object),
    }
    shapes = target.place([area.geometry for area in areas])
    _append(path, target, [polygonal(shape) for shape in shapes], fields, layer=_AREAS)
    return True


def polygonal(shape: BaseGeometry) -> shapely.MultiPolygon:
    """The polygons of any geometry."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])


def as_multipolygons(outlines: list[Any]) -> NDArray[Any]:
    """Outlines as one kind of geometry, which a layer wants."""
    return np.array([g if g.geom_type == "MultiPolygon" else shapely.MultiPolygon([g]) for g in outlines], object)


def refusals() -> tuple[type[Exception], ...]:
    """What pyogrio raises where GDAL cannot write: a full disk may be told of the file, a layer or a single shape."""
    from pyogrio import errors

    return errors.DataSourceError, errors.DataLayerError, errors.FeatureError, errors.GeometryError, errors.FieldError


def _append(
    path: Path, target: Target, outlines: list[Any], figures: dict[str, NDArray[Any]], *, layer: str = _LAYER
) -> None:
    with needed_for("A GeoPackage", instead="or export as csv"):
        import pyogrio
    many = shapely.to_wkb(as_multipolygons(outlines))
    try:
        with warnings.catch_warnings():
            # Without a CRS the coordinates are pixels of the photograph, which is meant so.
            warnings.filterwarnings("ignore", message="'crs' was not provided")
            pyogrio.raw.write(
                path,
                geometry=many,
                field_data=list(figures.values()),
                fields=list(figures),
                geometry_type="MultiPolygon",
                crs=target.crs,
                driver="GPKG",
                layer=layer,
                append=layer == _LAYER and path.exists(),
                dataset_metadata=None if path.exists() else _metadata(target),
            )
    except refusals() as error:
        raise refusal("The GeoPackage", path, error, sum(map(len, many))) from error


def _metadata(target: Target) -> dict[str, str]:
    notes = notes_of(target.record)
    said = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in notes.items()}
    return said | {"coordinates": target.coordinates}
