"""Areas of a mosaic: what is computed, what is left out, and in which state the floor is.

One decision: an area is a polygon in source pixels, `(x, y)` with y downwards, whatever it was drawn
in; it becomes pixels only where and when a box asks for them, by a rule that knows nothing of the box.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from napari_mosaic.errors import InputError, MissingError, ReadError, WriteError
from napari_mosaic.files import write_whole
from napari_mosaic.objects import as_place
from napari_mosaic.tiling import Box


@dataclass(frozen=True, kw_only=True)
class AreaClass:
    """One state that a floor can be in.

    Attributes
    ----------
    name
        What it is called in files (`kind`), in code and in the interface.
    title
        What its area is called among the figures of a record.
    help
        What it means, in a sentence of the interface.
    colour
        Its colour in the viewer.
    counted
        Whether what it covers counts as preserved: it is part of the denominator of every figure.
    left_out
        Whether nothing is computed there.
    bare
        Whether a tessera that is found there is suspicious.
    """

    name: str
    title: str
    help: str
    colour: str
    counted: bool = False
    left_out: bool = False
    bare: bool = False


CLASSES = (
    AreaClass(name="preserved", title="Area looked at", counted=True, colour="#66bb6a",
              help="The floor is there, and its tesserae can be told apart."),
    AreaClass(name="lacuna", title="Lacuna", bare=True, colour="#ef5350", help="The tesserae are lost."),
    AreaClass(name="repair", title="Repair", colour="#42a5f5", help="Laid or filled in later."),
    AreaClass(name="not legible", title="Not legible", colour="#ab47bc",
              help="The floor may be there, and cannot be told: dirt, shadow, a worn surface."),
    AreaClass(name="outside", title="Outside", left_out=True, bare=True, colour="#90a4ae",
              help="No part of the mosaic; nothing is computed there."),
)  # fmt: skip
"""The area classes, in the order in which they are offered and told. Whatever needs one takes it from here. The colours
were not varied."""

AREA_CLASSES = tuple(one.name for one in CLASSES)
LEFT_OUT = ("exclude", *(one.name for one in CLASSES if one.left_out))
"""Kinds of areas in which nothing is computed."""
PRECEDENCE = tuple(one.name for one in sorted(CLASSES, key=lambda one: (one.counted, not one.left_out)))
"""Of classes that lie over each other the first holds: what is left out, then what is lost, then what is counted."""
KINDS = (*AREA_CLASSES, "region", "exclude", "mark")
"""What an area can be: a state of the floor, a limit of the work, or a condition mark (of any geometry)."""

_Mask = NDArray[np.bool_]
_FARTHEST = 1e12
"""What no coordinate of an area reaches, in any unit; the geometry of far larger ones overflows."""


@dataclass(frozen=True, kw_only=True)
class Area:
    """One area: what it is, where it is (source pixels, `(x, y)`) and what was noted of it."""

    kind: str
    geometry: BaseGeometry
    name: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"An area cannot be of the kind {self.kind!r}, which says nothing of the floor; "
                f"choose one of {', '.join(KINDS)}."
            )
        if self.kind != "mark":
            check_polygonal(self.geometry, f"The area {self.name or self.kind!r}")


@dataclass(frozen=True)
class AreaSet:
    """All areas of a mosaic, in order; a value, so changing it makes another.

    Examples
    --------
    >>> from shapely.geometry import box
    >>> areas = AreaSet().add("lacuna", box(10, 10, 40, 30))
    >>> int(areas.mask("lacuna", Box(0, 0, 50, 50), factor=1.0).sum())
    600

    """

    areas: tuple[Area, ...] = ()

    def __iter__(self) -> Iterator[Area]:
        return iter(self.areas)

    def __len__(self) -> int:
        return len(self.areas)

    def add(self, kind: str, geometry: BaseGeometry, *, name: str = "", **properties: Any) -> AreaSet:
        """The set with one more area."""
        return AreaSet((*self.areas, Area(kind=kind, geometry=geometry, name=name, properties=properties)))

    def without(self, *kinds: str) -> AreaSet:
        """The set without the areas of some kinds."""
        return AreaSet(tuple(area for area in self.areas if area.kind not in kinds))

    def of(self, *kinds: str) -> BaseGeometry:
        """Everything that the areas of some kinds cover together; empty where there are none."""
        return shapely.union_all([self._unions[kind] for kind in kinds if kind in self._unions])

    def mask(self, kind: str, box: Box, factor: float) -> _Mask:
        """`(h, w)` True where a box of the working grid lies in areas of a kind."""
        geometry = self._unions.get(kind)
        return np.zeros(box.shape, bool) if geometry is None else rasterise(geometry, box, factor)

    def outside_mask(self, box: Box, factor: float) -> _Mask | None:
        """`(h, w)` True where nothing is to be computed, or None where all of `box` is.

        That is everywhere but in the regions, where there are any, and in all that is excluded or
        said to be outside of the mosaic.
        """
        outside: _Mask | None = None
        if "region" in self._unions:
            outside = ~self.mask("region", box, factor)
        if not self._left_out.is_empty:
            left_out = rasterise(self._left_out, box, factor)
            outside = left_out if outside is None else outside | left_out
        return outside if outside is not None and outside.any() else None

    def to_geojson(self) -> dict[str, Any]:
        """A GeoJSON feature collection in source pixels."""
        return {
            "type": "FeatureCollection",
            "coordinates": "source pixels (x, y), y downwards",
            "features": [
                {
                    "type": "Feature",
                    "properties": {**area.properties, "kind": area.kind, "name": area.name},
                    "geometry": mapping(area.geometry),
                }
                for area in self.areas
            ],
        }

    @classmethod
    def from_geojson(cls, values: Mapping[str, Any], *, default: str = "region") -> AreaSet:
        """The areas of a feature collection, a feature or a bare geometry in source pixels.

        The kind is the property `kind` or `class`, or QuPath's `classification`; `default` without one.
        """
        rows = ((read_shape(feature), properties_of(feature)) for feature in features_of(values))
        return cls.from_rows(rows, default=default)

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[BaseGeometry, Mapping[str, Any]]], *, default: str) -> AreaSet:
        """The areas of geometries with their properties, as `from_geojson` reads them."""
        return cls(tuple(_make_area(geometry, properties, default) for geometry, properties in rows))

    @cached_property
    def _unions(self) -> dict[str, BaseGeometry]:
        kinds = {area.kind for area in self.areas if area.kind != "mark"}
        return {kind: merged(area.geometry for area in self.areas if area.kind == kind) for kind in kinds}

    @cached_property
    def _left_out(self) -> BaseGeometry:
        return self.of(*LEFT_OUT)


def rasterise(geometry: BaseGeometry, box: Box, factor: float) -> _Mask:
    """Pixels of a box of the working grid whose centres lie in `geometry`.

    Parameters
    ----------
    geometry
        Valid polygons in source pixels, `(x, y)`.
    box
        Half-open, in pixels of the working grid; may reach beyond the image.
    factor
        Working pixels per source pixel.

    Returns
    -------
    mask
        `(h, w)` bool. A pixel's answer depends on its place only: any two boxes agree where they meet.

    """
    height, width = box.shape
    edges = _edges(geometry) * factor
    lower, upper = edges[:, 1], edges[:, 3]
    first = np.clip(np.ceil(lower - 0.5), box.y0, box.y1).astype(np.int64)
    count = np.clip(np.ceil(upper - 0.5), box.y0, box.y1).astype(np.int64) - first
    crossed = count > 0
    edges, first, count = edges[crossed], first[crossed], count[crossed]
    of = np.repeat(np.arange(len(edges)), count)
    rows = first[of] + np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    xa, ya, xb, yb = edges[of].T
    crossing = xa + (rows + 0.5 - ya) * ((xb - xa) / (yb - ya))
    columns = np.clip(np.floor(crossing - 0.5) + 1, box.x0, box.x1).astype(np.int64) - box.x0
    flips = np.bincount((rows - box.y0) * (width + 1) + columns, minlength=height * (width + 1))
    inside: _Mask = np.cumsum(flips.reshape(height, width + 1), axis=1)[:, :width] % 2 == 1
    return inside


def _edges(geometry: BaseGeometry) -> NDArray[np.float64]:
    """Edges of all rings, `(n, 4)` as x, y, x, y, the end with the smaller y first."""
    rings = shapely.get_rings(shapely.get_parts(geometry))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    edges = np.hstack([points[:-1], points[1:]])[ring[:-1] == ring[1:]]
    downwards = edges[:, 1] <= edges[:, 3]
    ordered: NDArray[np.float64] = np.where(downwards[:, None], edges, edges[:, [2, 3, 0, 1]])
    return ordered


def merged(geometries: Iterable[BaseGeometry]) -> BaseGeometry:
    """The valid union of polygons."""
    return shapely.union_all([g if g.is_valid else shapely.make_valid(g) for g in geometries])


def check_polygonal(geometry: BaseGeometry, what: str) -> None:
    """Raise `InputError` where a geometry covers no area."""
    if geometry.is_empty or geometry.geom_type not in {"Polygon", "MultiPolygon", "GeometryCollection"}:
        kind = f"an empty {geometry.geom_type}" if geometry.is_empty else f"a {geometry.geom_type}"
        raise InputError(f"{what} is {kind}, which covers nothing; draw it as a closed polygon.")


def features_of(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The features of any GeoJSON object; a row without a geometry, as tables of a GIS have it, is none."""
    kind = str(values.get("type"))
    if kind == "FeatureCollection":
        rows = values.get("features") or []
        if not isinstance(rows, list):
            raise InputError("A GeoJSON FeatureCollection without a list of features holds no areas; export it again.")
        return [row for row in rows if not isinstance(row, Mapping) or row.get("geometry", "missing") is not None]
    if kind == "Feature":
        return [values]
    if kind in {"Polygon", "MultiPolygon", "GeometryCollection"}:
        return [{"type": "Feature", "properties": {}, "geometry": values}]
    raise InputError(
        f"A GeoJSON object of the type {kind!r} holds no areas; give a FeatureCollection, a Feature or a Polygon."
    )


def properties_of(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of a GeoJSON feature; what is no object holds none."""
    found = feature.get("properties")
    return found if isinstance(found, Mapping) else {}


def read_shape(feature: Mapping[str, Any]) -> BaseGeometry:
    """The geometry of a GeoJSON feature."""
    try:
        geometry = shape(feature["geometry"])
        if not (np.abs(shapely.get_coordinates(geometry)) < _FARTHEST).all():
            raise ValueError("a coordinate is no number, or lies nowhere")
        return geometry
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise InputError(
            f"The geometry of an area cannot be read ({error}), so it has no place; export the file again."
        ) from error


def _make_area(geometry: BaseGeometry, given: Mapping[str, Any], default: str) -> Area:
    properties = dict(given)
    classification = properties.pop("classification", None) or {}
    label = classification.get("name") if isinstance(classification, Mapping) else classification
    kind = properties.pop("kind", None) or properties.pop("class", None) or label or default
    name = str(properties.pop("name", None) or "")
    return Area(kind=_known_kind(str(kind)), geometry=geometry, name=name, properties=properties)


def _known_kind(kind: str) -> str:
    """A kind as it is written here, whatever its capitals and joins."""
    return kind.strip().lower().replace("_", " ").replace("-", " ")


def read_areas(path: str | Path) -> AreaSet:
    """Read a GeoJSON file of areas in source pixels."""
    return AreaSet.from_geojson(read_json(path))


def write_areas(path: str | Path, areas: AreaSet) -> None:
    """Write areas as GeoJSON in source pixels, whole or not at all."""
    path = as_place(path)
    try:
        write_whole(path, json.dumps(areas.to_geojson(), indent=1), sync=True)
    except OSError as error:
        raise WriteError(
            f"The areas cannot be written to {path} ({error.strerror}); give a place that you may write to."
        ) from error


def read_json(path: str | Path) -> Any:
    """Values of a JSON file, with one clear sentence where it is missing or broken."""
    path = as_place(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingError(f"There is no file {path}; check the path.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ReadError(f"{path} is no readable JSON ({error}); export it again.") from error
