"""Tesserae with their outlines and columns, tile by tile, for formats that draw them.

One decision: a format sees rings in coordinates of its own and writes them; memory holds the outlines of one tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.export.shaping import PLAIN, Shaping
from napari_mosaic.measurement.features import Features, choose_fields, measure_fields, views
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outlined:
    """The tesserae of a tile: rows of the table, outlines `(x, y)` in source pixels, columns, and how far it is."""

    rows: NDArray[np.int64]
    outlines: list[BaseGeometry]
    columns: Features
    progress: Progress


def outlined_tiles(record: Record, columns: Sequence[str] | None, shaping: Shaping = PLAIN) -> Iterator[Outlined]:
    """All tesserae of a record with the columns asked for, as `choose_fields` names them."""
    fields, tesserae = choose_fields(record, columns), read_tesserae(record)
    done = 0
    for view in views(record, tesserae, fields):
        outlines = shaping.trace(record, view.pixels_of)
        done += len(view.rows)
        region = view.pixels_of.tile
        progress = Progress(phase="export", done=done, total=len(tesserae), unit="tesserae", region=region)
        yield Outlined(view.rows, outlines, measure_fields(view, fields), progress)


def rings_of(outline: BaseGeometry) -> list[Floats]:
    """All rings of an outline, holes too, `(n, 2)` without the closing point."""
    polygons = shapely.get_parts(outline)
    rings = [ring for polygon in polygons for ring in shapely.get_rings(polygon)]
    return [shapely.get_coordinates(ring)[:-1] for ring in rings]
