"""Area classes as napari's shapes, with their holes, and back.

One decision: a polygon with holes is one ring that visits each hole over a bridge and comes back the same way. napari
leaves out every edge that is walked twice, so the holes are open and no bridge is seen; and the shape stays one that
can be moved, turned and mended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from napari.layers import Labels, Shapes
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.areas import AREA_CLASSES, CLASSES, AreaSet
from napari_mosaic.widgets._sources import RECORD, lying_like

if TYPE_CHECKING:
    from napari import Viewer

COLOURS = {one.name: one.colour for one in CLASSES}
FIRST_DRAWN = next(place for place, one in enumerate(CLASSES) if not one.counted)
"""Place of the class that a person draws first: what is not drawn counts as preserved."""

MOST_CORNERS = 2000
"""Outlines with more corners, such as the surround of an orthophoto, are drawn with fewer; not varied."""

MOST_HOLES = 100
"""Of a polygon, the largest; smaller ones are kept in the record and not drawn; not varied."""

STYLE = {"opacity": 0.45, "edge_width": 2}
"""How areas look in the viewer; not varied."""


@dataclass(frozen=True)
class Drawn:
    """One polygon of the layer: the area that it belongs to, its ring there, and what it stands for.

    `shape` is in pixels of the photograph, with all holes and corners: what nobody moves stays as it is. `loops` says
    which corners of the ring are the outline and which each hole; `hidden` are the holes that are not drawn.
    """

    number: int
    ring: NDArray[np.float64]
    shape: BaseGeometry
    loops: tuple[NDArray[np.int64], ...] = ()
    hidden: BaseGeometry = shapely.Polygon()  # noqa: RUF009 - immutable


def drawn_areas(areas: AreaSet, factor: float) -> list[Drawn]:
    """The polygons of the area classes, in order, for a layer at `factor` pixels per pixel of the photograph."""
    return [
        draw_polygon(number, polygon, factor)
        for number, area in enumerate(areas)
        if area.kind in AREA_CLASSES
        for polygon in polygons_of(area.geometry)
    ]


def colours_of(drawn: list[Drawn], areas: AreaSet) -> list[str]:
    """The colour of each polygon."""
    kinds = [area.kind for area in areas]
    return [COLOURS[kinds[one.number]] for one in drawn]


def draw_polygon(number: int, polygon: shapely.Polygon, factor: float) -> Drawn:
    """A polygon in pixels of the photograph as one ring of the layer, its holes over bridges."""
    plain = _plain(polygon, 0.5 / factor)
    holes = sorted(plain.interiors, key=lambda ring: -shapely.Polygon(ring).area)[:MOST_HOLES]
    rings = [shapely.get_coordinates(ring)[:-1, ::-1] * factor - 0.5 for ring in (plain.exterior, *holes)]
    first, loops, walked, start = rings[0][:1], [], [rings[0][:1]], 1
    for ring in rings[1:]:
        walked += [ring, ring[:1], first]
        loops.append(np.arange(start, start + len(ring)))
        start += len(ring) + 2
    walked.append(rings[0][1:])
    outline = np.concatenate([[0], np.arange(start, start + len(rings[0]) - 1)])
    shown = shapely.union_all([shapely.Polygon(ring) for ring in holes])
    return Drawn(number, np.concatenate(walked), polygon, (outline, *loops), holes_of(polygon).difference(shown))


def shape_of(ring: NDArray[Any], factor: float, before: Drawn | None = None) -> BaseGeometry:
    """A ring of the layer as polygons in pixels of the photograph; `before` is what it was drawn from."""
    if before is not None and np.array_equal(ring, before.ring):
        return before.shape
    if len(ring) < 3:
        return shapely.Polygon()
    ring = np.asarray(ring, float)[:, -2:]
    if before is None:
        return _valid(shapely.Polygon(_place(ring, factor)))
    if len(ring) == len(before.ring) and before.loops:
        welded = _place(_weld(before.ring, ring), factor)
        outline, *holes = (_valid(shapely.Polygon(welded[loop])) for loop in before.loops)
        return _valid(outline.difference(shapely.union_all([*holes, before.hidden])))
    return _valid(shapely.Polygon(_place(ring, factor))).difference(before.hidden)


def _place(ring: NDArray[Any], factor: float) -> NDArray[np.float64]:
    """Corners `(y, x)` of the layer as `(x, y)` in pixels of the photograph."""
    return np.asarray((ring + 0.5) / factor)[:, ::-1]


def _weld(before: NDArray[Any], now: NDArray[Any]) -> NDArray[np.float64]:
    """Corners that a bridge visits twice move together, whichever of them was taken."""
    welded = np.array(now, float)
    _, group = np.unique(before, axis=0, return_inverse=True)
    group = group.ravel()
    moved = (before != now).any(1)
    for one in np.unique(group[moved]):
        members = np.flatnonzero(group == one)
        welded[members] = now[members[moved[members]][0]]
    return welded


def _valid(geometry: BaseGeometry) -> BaseGeometry:
    """What a geometry covers, without the lines and points that its repair leaves."""
    parts = shapely.get_parts(shapely.make_valid(geometry))
    return shapely.union_all([part for part in parts if part.geom_type in {"Polygon", "MultiPolygon"}])


def polygons_of(geometry: BaseGeometry) -> list[shapely.Polygon]:
    """The polygons of a geometry."""
    return [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]


def holes_of(geometry: BaseGeometry) -> BaseGeometry:
    """The holes of all polygons of a geometry."""
    return shapely.union_all([shapely.Polygon(ring) for part in polygons_of(geometry) for ring in part.interiors])


def _plain(polygon: shapely.Polygon, tolerance: float) -> shapely.Polygon:
    """A polygon with no more corners than napari draws at once, as near to the whole one as they allow."""
    plain = polygon
    while shapely.count_coordinates(plain) > MOST_CORNERS:
        small = [ring for ring in plain.interiors if shapely.Polygon(ring).area < tolerance**2]
        plain = shapely.Polygon(plain.exterior, [ring for ring in plain.interiors if ring not in small])
        plain, tolerance = shapely.simplify(plain, tolerance), 2 * tolerance
    return plain


def area_data(areas: AreaSet, factor: float, like: dict[str, Any], name: str) -> tuple[Any, dict[str, Any], str] | None:
    """Layer data of the area classes of a record, laid like its tesserae's `like`; None where there are none."""
    drawn = drawn_areas(areas, factor)
    if not drawn:
        return None
    colours = colours_of(drawn, areas)
    kept = ("scale", "translate", "rotate", "shear", "affine", "units", "metadata")
    meta = {
        "name": name,
        "shape_type": "polygon",
        "face_color": colours,
        "edge_color": colours,
        **STYLE,
        **{key: like[key] for key in kept if key in like},
    }
    return [one.ring for one in drawn], meta, "shapes"


def standing_areas(viewer: Viewer, record: Any) -> list[Shapes]:
    """The layers of a viewer that show the areas of the record at a path."""
    path = str(record)
    return [layer for layer in viewer.layers if isinstance(layer, Shapes) and layer.metadata.get(RECORD) == path]


def place_of(tesserae: Labels) -> dict[str, Any]:
    """Where shapes lie that are drawn over a layer of tesserae."""
    return {**lying_like(tesserae), "metadata": {RECORD: tesserae.metadata.get(RECORD)}}
