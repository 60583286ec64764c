"""Outlines of tesserae as a GeoPackage, for GIS.

One decision: written tile by tile as they are traced, so memory holds the outlines of one tile; the
number, not the order in the file, tells the reading order.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_mosaic.errors import DependencyError, WriteError
from napari_mosaic.export.figures import figures_of
from napari_mosaic.export.outlines import place_outlines, trace_outlines
from napari_mosaic.export.stones import centres, read_stones, stone_windows
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

_LAYER = "tesserae"


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write one polygon a tessera, with number, id, area and centre, to `path`."""
    stones = read_stones(record)
    done = 0
    for window in stone_windows(record, stones):
        outlines = place_outlines(record, trace_outlines(window, record.plan.factor))
        _append(path, record, outlines, figures_of(record, stones, window.rows, centres(window)))
        done += len(window.rows)
        yield Progress(phase="export", done=done, total=len(stones), unit="tesserae", region=window.tile)
    if not len(stones):
        _append(path, record, [], figures_of(record, stones, np.zeros(0, np.int64), np.zeros((0, 2))))


def _append(path: Path, record: Record, outlines: list[Any], figures: dict[str, NDArray[Any]]) -> None:
    try:
        import pyogrio
    except ImportError as error:
        raise DependencyError(
            "A GeoPackage needs the package pyogrio, which is not installed; install it, or export as csv."
        ) from error
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
                layer=_LAYER,
                append=path.exists(),
            )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.GeometryError, pyogrio.errors.FieldError) as error:
        raise WriteError(f"The GeoPackage cannot be written ({error}); give another place.") from error
