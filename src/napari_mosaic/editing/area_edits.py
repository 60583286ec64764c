"""Edits of areas: preserved, lacuna, repair, not legible, outside, and the limits of the work.

One decision: areas are edited as polygons in pixels of the photograph, never as tesserae; an edit keeps all areas
before and after, so undo gives them back whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from napari_mosaic.areas import Area, AreaSet, check_polygonal, merged, read_shape
from napari_mosaic.editing.entries import Edit, enter
from napari_mosaic.editing.transaction import editing
from napari_mosaic.errors import InputError
from napari_mosaic.record import Record
from napari_mosaic.record.patches import Patch

Geometry: TypeAlias = BaseGeometry | Mapping[str, Any]


def add_area(record: Record, kind: str, geometry: Geometry, *, name: str = "") -> Edit | None:
    """Add an area: its class, and its polygon `(x, y)` in pixels of the photograph (shapely or GeoJSON)."""
    shape = _geometry(geometry)
    params = {"kind": kind, "geometry": mapping(shape), "name": name}
    with editing(record):
        return _write(record, "add_area", params, record.areas.add(kind, shape, name=name))


def change_area(
    record: Record, number: int, *, kind: str | None = None, geometry: Geometry | None = None, name: str | None = None
) -> Edit | None:
    """Give an area another class, outline or name; `number` is its place in `record.areas`, from 0."""
    shape = None if geometry is None else _geometry(geometry)
    given: dict[str, Any] = {"kind": kind, "geometry": shape, "name": name}
    params = {"number": number, "kind": kind, "geometry": None if shape is None else mapping(shape), "name": name}
    with editing(record):
        areas = list(record.areas)
        old = _find(areas, number)
        areas[number] = replace(old, **{key: value for key, value in given.items() if value is not None})
        return _write(record, "change_area", params, AreaSet(tuple(areas)))


def remove_area(record: Record, number: int) -> Edit | None:
    """Remove an area; `number` is its place in `record.areas`, from 0."""
    with editing(record):
        areas = list(record.areas)
        areas.remove(_find(areas, number))
        return _write(record, "remove_area", {"number": number}, AreaSet(tuple(areas)))


def _write(record: Record, tool: str, params: Mapping[str, Any], areas: AreaSet) -> Edit | None:
    before, after = (json.dumps(value.to_geojson()) for value in (record.areas, areas))
    return None if before == after else enter(record, tool, params, Patch(areas=(before, after)))


def _geometry(given: Geometry) -> BaseGeometry:
    shape = given if isinstance(given, BaseGeometry) else read_shape({"geometry": given})
    check_polygonal(shape, "The area")
    return merged([shape])


def _find(areas: list[Area], number: int) -> Area:
    if not 0 <= number < len(areas):
        raise InputError(f"There is no area {number}; the record has {len(areas)}, counted from 0.")
    return areas[number]
