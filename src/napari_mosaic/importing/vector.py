"""Outlines from GeoJSON, GeoPackage, Shapefile and what else a GIS writes.

One decision: an id is believed only where the file is one of ours, with whatever a GIS made of it since; any table may
have a column of that name.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from napari_mosaic.area_files import Grid, leaving_nothing, shapes_to_pixels
from napari_mosaic.areas import features_of
from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import InputError, ReadError
from napari_mosaic.importing.outlines import SILENT, Outlines, make_outlines

_LAYER = "tesserae"
_UNSAID = {"id": "", "material": SILENT, "state": SILENT}
Notes = Mapping[str, Any]


def read_geojson(path: Path, grid: Grid, values: Any) -> Outlines:
    """Outlines of GeoJSON, of ours, of QuPath, which may write a bare list of objects, or of a GIS; `.gz` too.

    Raises
    ------
    ReadError, InputError
        It cannot be read, or holds no outline on the photograph.
    """
    features = values if isinstance(values, list) else features_of(values) if isinstance(values, dict) else []
    try:
        shapes = np.array([shape(feature["geometry"]) for feature in features], object)
        rows = [_said(feature.get("properties") or {}) for feature in features]
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise ReadError(f"{path} is no GeoJSON of outlines ({error}); export it again.") from error
    notes = values.get("napari_mosaic", {}) if isinstance(values, dict) else {}
    named = values.get("crs") if isinstance(values, dict) else None
    crs = named.get("properties", {}).get("name") if isinstance(named, dict) else None
    journals = [int(row["journal"]) for row in rows if str(row.get("journal", "")).isdecimal()]
    columns = columns_of(rows)
    placed = shapes_to_pixels(shapes, crs, grid, f"The outlines of {path.name}") if len(shapes) else shapes
    return make_outlines(path.name, placed, columns, grid, **_origin(notes, journals, grid))


def read_json(path: Path) -> Any:
    """The values of a JSON file, which may be compressed; `ReadError` where it is none."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return json.loads(data)
    except (OSError, EOFError, ValueError) as error:
        raise ReadError(f"{path} is no readable JSON ({error}); export it again.") from error


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What is said of each object as columns: no id where there is none, silence where nothing is said."""
    return {name: [row.get(name, other) for row in rows] for name, other in _UNSAID.items()}


def _said(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of one object: in QuPath's metadata, or in the properties where they are a table of ours."""
    metadata = properties.get("metadata")
    if isinstance(metadata, str):  # GDAL writes what is nested as text
        try:
            metadata = json.loads(metadata)
        except ValueError:
            metadata = None
    if isinstance(metadata, Mapping) and "journal" in metadata:
        given = dict(metadata)
    elif "number" in properties and "id" in properties:
        given = dict(properties)
    else:
        return {name: properties[name] for name in ("material", "state") if name in properties}
    # Of a tessera of which nothing is said the words are left out.
    return {"material": "", "state": ""} | given


def read_vector(path: Path, grid: Grid) -> Outlines:
    """Outlines of a GeoPackage, a Shapefile or another file of a GIS.

    Raises
    ------
    DependencyError, ReadError, InputError
        pyogrio is missing; the file cannot be read, or holds no outline on the photograph.
    """
    with needed_for(path.name, instead="or save as GeoJSON"):
        import pyogrio
    try:
        with leaving_nothing():
            layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
            if not layers:
                raise ReadError(f"{path} holds no layer, so nothing can be taken from it; export it again.")
            layer = _LAYER if _LAYER in layers else layers[0]
            info = pyogrio.read_info(path, layer=layer)
            meta, _, wkb, values = pyogrio.raw.read(path, layer=layer)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise ReadError(f"{path} cannot be read ({error}); export it again.") from error
    columns = {str(name).lower(): column for name, column in zip(meta["fields"], values, strict=True)}
    ours = "id" in columns and ("number" in columns or "journal" in columns)
    journals = [int(value) for value in columns["journal"] if value == value] if ours and "journal" in columns else []
    shapes = shapes_to_pixels(shapely.from_wkb(wkb), meta["crs"], grid, f"The outlines of {path.name}")
    names = ("id", "material", "state") if ours else ("material", "state")
    said: dict[str, Any] = {name: columns[name] for name in names if name in columns}
    notes = _unpacked({**(info.get("dataset_metadata") or {}), **(info.get("layer_metadata") or {})})
    others = [name for name in layers if name not in (layer, "layer_styles")] if layer != _LAYER else []
    told = [f"Of the layers of {path.name} {layer} is read, not {', '.join(others)}."] if others else []
    return make_outlines(path.name, shapes, said, grid, notes=told, **_origin(notes, journals, grid))


def _unpacked(notes: Notes) -> dict[str, Any]:
    """The notes of a GeoPackage, whose values are texts."""
    found: dict[str, Any] = dict(notes)
    for name in ("region", "journal"):
        if isinstance(found.get(name), str):
            try:
                found[name] = json.loads(found[name])
            except ValueError:
                del found[name]
    return found


def _origin(notes: Notes, journals: Sequence[int], grid: Grid) -> dict[str, Any]:
    """What a file says of the export that it was: the state of the journal, and the part of the photograph."""
    if not str(notes.get("software", "")).startswith("napari-mosaic"):
        return {"journal": max(journals)} if journals else {}
    journal = notes.get("journal")
    return {"journal": int(journal) if isinstance(journal, int) else None, "cover": cover_of(notes, grid)}


def cover_of(notes: Notes, grid: Grid) -> BaseGeometry:
    """Where an export with these notes is complete: its region, else the whole photograph."""
    region = notes.get("region")
    try:
        return shapely.box(0, 0, grid.shape[1], grid.shape[0]) if region is None else shape(region)
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise InputError(f"The region that the file names cannot be read ({error}); export it again.") from error


def as_array(shapes: Sequence[BaseGeometry]) -> NDArray[Any]:
    """Geometries as an array of objects, also where there are none."""
    found = np.empty(len(shapes), object)
    found[:] = list(shapes)
    return found
