"""The areas of a floor, preserved, lost, repaired, as polygons with their classes.

One decision: areas go where outlines go: into map coordinates where the photograph is placed, else its pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from napari_mosaic.areas import Area
from napari_mosaic.export.geojson import open_text
from napari_mosaic.export.geopackage import write_areas
from napari_mosaic.export.quadrangles import feature, opening
from napari_mosaic.measurement.outlines import place_outlines
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record


def placed_areas(record: Record) -> Iterator[tuple[Area, BaseGeometry]]:
    """Every area, marks among them, and its geometry where exports have it."""
    areas = list(record.areas)
    yield from zip(areas, place_outlines(record, [area.geometry for area in areas]) if areas else [], strict=True)


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write the areas to `path` in their order: a GeoPackage where its name ends so, else GeoJSON, packed for `.gz`."""
    total = max(1, len(record.areas))
    yield Progress(phase="export", done=0, total=total, unit="areas")
    if path.name.lower().endswith(".gpkg"):
        write_areas(record, path)
    else:
        _write_geojson(record, path)
    yield Progress(phase="export", done=total, total=total, unit="areas")


def _write_geojson(record: Record, path: Path) -> None:
    with open_text(path) as file:
        file.write(opening(record))
        for k, (area, geometry) in enumerate(placed_areas(record)):
            shape = mapping(geometry)
            properties = {**area.properties, "number": k + 1, "class": area.kind, "name": area.name}
            file.write(",\n" if k else "\n")
            file.write(feature(shape["type"], shape["coordinates"], properties))
        file.write("\n]}\n")
