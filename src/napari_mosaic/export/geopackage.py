"""Outlines of tesserae as a GeoPackage, for GIS.

One decision: written tile by tile as they are traced, so memory holds the outlines of one tile; the
number, not the order in the file, tells the reading order.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import WriteError
from napari_mosaic.export.areas import placed_areas
from napari_mosaic.export.notes import notes_of
from napari_mosaic.measurement.features import choose_fields, measure_fields, views
from napari_mosaic.measurement.outlines import place_outlines, trace_outlines
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.measurement.view import View
from napari_mosaic.measurement.windows import no_window
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

_LAYER, _AREAS = "tesserae", "areas"


def write_steps(record: Record, path: Path, columns: Sequence[str] | None = None) -> Iterator[Progress]:
    """Write one polygon a tessera with its columns, and the areas as a second layer, to `path`."""
    fields, tesserae = choose_fields(record, columns), read_tesserae(record)
    done = 0
    for view in views(record, tesserae, fields):
        window = view.pixels_of
        outlines = place_outlines(record, trace_outlines(window, record.plan.factor))
        _append(path, record, outlines, measure_fields(view, fields))
        done += len(view.rows)
        yield Progress(phase="export", done=done, total=len(tesserae), unit="tesserae", region=window.tile)
    if not len(tesserae):
        nothing = no_window()
        _append(path, record, [], measure_fields(View(record, tesserae, nothing.rows, nothing), fields))
    _append_areas(path, record)


def _append_areas(path: Path, record: Record) -> None:
    """The areas of the floor with their classes; marks, which need not cover anything, stay out."""
    areas = [(area, shape) for area, shape in placed_areas(record) if area.kind != "mark"]
    if not areas:
        return
    fields = {
        "number": np.arange(1, len(areas) + 1),
        "class": np.array([area.kind for area, _ in areas], object),
        "name": np.array([area.name for area, _ in areas], object),
    }
    _append(path, record, [polygonal(shape) for _, shape in areas], fields, layer=_AREAS)


def polygonal(shape: BaseGeometry) -> shapely.MultiPolygon:
    """The polygons of any geometry."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])


def _append(
    path: Path, record: Record, outlines: list[Any], figures: dict[str, NDArray[Any]], *, layer: str = _LAYER
) -> None:
    with needed_for("A GeoPackage", instead="or export as csv"):
        import pyogrio
    many = [g if g.geom_type == "MultiPolygon" else shapely.MultiPolygon([g]) for g in outlines]
    try:
        with warnings.catch_warnings():
            # Without a CRS the coordinates are pixels of the photograph, which is meant so.
            warnings.filterwarnings("ignore", message="'crs' was not provided")
            pyogrio.raw.write(
                path,
                geometry=shapely.to_wkb(np.array(many, object)),
                field_data=list(figures.values()),
                fields=list(figures),
                geometry_type="MultiPolygon",
                crs=record.crs if record.affine is not None else None,
                driver="GPKG",
                layer=layer,
                append=layer == _LAYER and path.exists(),
                dataset_metadata=None if path.exists() else _metadata(record),
            )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.GeometryError, pyogrio.errors.FieldError) as error:
        raise WriteError(f"The GeoPackage cannot be written ({error}); give another place.") from error


def _metadata(record: Record) -> dict[str, str]:
    notes = notes_of(record)
    return {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in notes.items()}
