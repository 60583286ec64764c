"""What was looked at: the areas of a record, the tesserae in them, and so the density of every face.

One decision: each place of the photograph belongs to exactly one part, in the order of `PARTS`, the first that holds
it; what is left, *preserved*, is the denominator of every figure. A tessera belongs to the part that holds its centre
of gravity. For the density alone, one that the edge of a part cuts counts by the share of it that lies inside, or a
square metre would be good to a row of tesserae only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from napari_mosaic.area_files import AreaSource, Grid, read_geometry
from napari_mosaic.areas import CLASSES, Area, AreaSet, merged, rasterise
from napari_mosaic.errors import InputError
from napari_mosaic.record import tables
from napari_mosaic.record.file_mask import read_file_mask
from napari_mosaic.record.readable import ReadableRecord
from napari_mosaic.tiling import Box, Lattice

_AWAY = tuple(one.name for one in CLASSES if one.left_out)
_LOST = tuple(one.name for one in CLASSES if not one.left_out and not one.counted)
PARTS = ("not computed", "masked", "surround", *_AWAY, "beyond regions", "excluded", *_LOST, "preserved")
"""What a place can be, the first that holds it. *masked* is outside by the file's own word, *surround* the flat border
that was found in the picture, *outside* what a person drew as such."""

Part = Box | AreaSource | None
"""A part of the photograph, in source pixels, or all of it."""

TOTAL = "photograph"
SURROUND = "surround"
"""Name of the area of class "outside" that holds the surround."""

_TILE = 2048
"""Side of the windows in which tesserae at an edge are looked at, px; memory alone depends on it. Not varied."""

_CELL = 512
"""Side of the cells that are sorted before tesserae are, px; time alone depends on it. Not varied."""

_ROWS = 100_000
"""Boxes that are polygons at a time: some 50 MB."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Count, density and areas of what was looked at, in a whole record or within a part of it.

    Attributes
    ----------
    count
        Tesserae whose centres of gravity lie in what is preserved.
    worth
        The same with those that the edge cuts counted by their share: what the density is of.
    median_px
        Area of the median tessera that is counted, in source pixels; None where there is none.
    px
        Areas in source pixels by part: `photograph`, what was asked about, and the `PARTS` that add up to it.
    pixel_mm
        Edge of a source pixel, only where somebody vouches for it: without it there are no square metres.
    """

    count: int
    worth: float
    median_px: float | None
    px: Mapping[str, float]
    pixel_mm: float | None

    @property
    def area_px(self) -> float:
        """The denominator: what is preserved, in source pixels."""
        return self.px["preserved"]

    def area_m2(self, part: str = "preserved") -> float | None:
        """Area of a part in m², where the pixel size is confirmed."""
        return None if self.pixel_mm is None else self.px[part] * (self.pixel_mm / 1000) ** 2

    @property
    def density_dm2(self) -> float | None:
        """Tesserae per dm² of what is preserved, where the pixel size is confirmed and there is any."""
        area = self.area_m2()
        return self.worth / (100 * area) if area else None

    @property
    def density_mpx(self) -> float | None:
        """Tesserae per megapixel of the photograph of what is preserved, where there is any."""
        return self.worth / (self.area_px / 1e6) if self.area_px else None

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values, with their units in their names."""
        values: dict[str, Any] = {"tesserae": self.count, "density_per_megapixel": self.density_mpx}
        areas_px = {name: round(area, 1) for name, area in self.px.items()}
        if self.pixel_mm is None:
            return values | {"areas_px": areas_px}
        areas_m2 = {name: self.area_m2(name) for name in self.px}
        return values | {"density_per_dm2": self.density_dm2, "areas_m2": areas_m2, "areas_px": areas_px}


def measure(record: ReadableRecord, within: Part = None) -> Figures:
    """The figures of a record; see `Record.figures`."""
    asked = _asked(record, within)
    areas = record.areas
    sight = _shapes_of(areas, asked)
    computed = _computed(record)
    mask = read_file_mask(record)
    px = {name: mask.area_within(_within(shape, computed)) for name, shape in sight.items()}
    looked = _within(asked, computed)
    missing = shapely.Polygon() if computed is None else _polygonal(asked.difference(computed))
    px["not computed"] = mask.area_within(missing)
    px["masked"] = float(looked.area) - mask.area_within(looked)
    count, worth, median_area = _count(record, sight["preserved"], _cutting(areas))
    return Figures(
        count=count,
        worth=worth,
        median_px=median_area / record.plan.factor**2 if median_area else None,
        px={TOTAL: float(asked.area), **{name: px[name] for name in PARTS}},
        pixel_mm=record.pixel_mm,
    )


def preserved_part(record: ReadableRecord) -> BaseGeometry:
    """What is preserved and was looked at, in source pixels; what the file masks inside it is not taken off."""
    return _within(_shapes_of(record.areas, _asked(record, None))["preserved"], _computed(record))


def _asked(record: ReadableRecord, within: Part) -> BaseGeometry:
    """What the figures are asked of, within the photograph."""
    height, width = record.plan.source_shape
    frame = shapely.box(0, 0, width, height)
    if within is None:
        return frame
    if isinstance(within, Box):
        y0, x0, y1, x1 = within.clip((height, width))
        if y1 <= y0 or x1 <= x0:
            raise InputError(
                f"The box {tuple(within)} holds no pixel of the photograph, which is {width} x {height} px; "
                "give one that meets it."
            )
        return shapely.box(x0, y0, x1, y1)
    grid = Grid(shape=(height, width), crs=record.metadata.crs, affine=record.metadata.affine)
    source = Path(within) if isinstance(within, str) else within
    return shapely.intersection(read_geometry(source, grid, what="area to measure"), frame)


def _computed(record: ReadableRecord) -> BaseGeometry | None:
    """Where tesserae were looked for, in source pixels; None for everywhere."""
    plan, layer = record.plan, record.tesserae
    layer.ledger.reload()
    done = layer.done
    if len(done) == len(plan.shards):
        return None
    if not done:
        return shapely.Polygon()
    cores = np.array([plan.shards.tile(index).core for index in sorted(done)], float)
    ends = cores[:, 2:] >= plan.shape  # the working grid is a whole number of pixels; its last ones reach the border
    corners = cores / plan.factor
    corners[:, 2:] = np.where(ends, plan.source_shape, corners[:, 2:])
    y0, x0, y1, x1 = corners.T
    return shapely.union_all(shapely.box(x0, y0, x1, y1))


def _is_surround(area: Area) -> bool:
    return area.kind == "outside" and area.name == SURROUND


def _shapes_of(areas: AreaSet, asked: BaseGeometry) -> dict[str, BaseGeometry]:
    """The shape of every part but the first two, as if all were computed, in order of precedence."""
    surround = AreaSet(tuple(area for area in areas if _is_surround(area)))
    drawn = AreaSet(tuple(area for area in areas if not _is_surround(area)))
    takers = {
        "surround": surround.of("outside"),
        **{name: drawn.of(name) for name in _AWAY},
        "beyond regions": asked.difference(areas.of("region")) if _has(areas, "region") else shapely.Polygon(),
        "excluded": areas.of("exclude"),
        **{name: areas.of(name) for name in _LOST},
    }
    rest, found = asked, {}
    for name, taker in takers.items():
        found[name] = _polygonal(rest.intersection(taker))
        rest = _polygonal(rest.difference(taker))
    return found | {"preserved": rest}


def _has(areas: AreaSet, kind: str) -> bool:
    return any(area.kind == kind for area in areas)


def _polygonal(geometry: BaseGeometry) -> BaseGeometry:
    """The part of a geometry that covers an area: touching polygons meet in lines, too."""
    if geometry.geom_type in {"Polygon", "MultiPolygon"}:
        return geometry
    return merged(part for part in shapely.get_parts(geometry) if part.geom_type in {"Polygon", "MultiPolygon"})


def _within(shape: BaseGeometry, computed: BaseGeometry | None) -> BaseGeometry:
    """The part of a shape that was computed; all of it where everything was."""
    return shape if computed is None else _polygonal(shape.intersection(computed))


def _cutting(areas: AreaSet) -> BaseGeometry | None:
    """What the run was kept to, where it was: its edge cuts tesserae, whose other part nobody has seen."""
    if not (_has(areas, "region") or _has(areas, "exclude")):
        return None
    huge = 1e9  # beyond the frame, because its border is no edge that a person drew
    region = areas.of("region") if _has(areas, "region") else shapely.box(-huge, -huge, huge, huge)
    return region.difference(areas.of("exclude"))


def _count(
    record: ReadableRecord, inside: BaseGeometry, cutting: BaseGeometry | None
) -> tuple[int, float, float | None]:
    """The tesserae in `inside` (source pixels), what they are worth, their median area; see the module for the rule."""
    table = record.tesserae.table(["id", "y0", "x0", "y1", "x1", "area"])
    columns = tables.columns_of(table)
    area = columns["area"]
    if len(area) == 0 or inside.is_empty:
        return 0, 0.0, None
    work = shapely.transform(inside, lambda places: places * record.plan.factor)
    kept = None if cutting is None else shapely.transform(cutting, lambda places: places * record.plan.factor)
    whole, crossing = _sort_boxes(columns, work, kept)
    counted, share = whole.astype(bool), whole.astype(float)
    usual = float(area[whole].mean()) if whole.any() else float(area.mean())
    for rows, found in _crossing_windows(record, columns, np.flatnonzero(crossing), work, kept):
        counted[rows] = found.centre_inside
        seen = np.where(found.cut, np.maximum(found.area, usual), found.area)
        share[rows] = found.inside / np.maximum(seen, 1)
    return int(counted.sum()), float(share.sum()), float(np.median(area[counted])) if counted.any() else None


def _sort_boxes(
    columns: Mapping[str, NDArray[Any]], inside: BaseGeometry, kept: BaseGeometry | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which tesserae lie inside with their whole box, and which must be looked at, pixel by pixel.

    Cells of a coarse grid are sorted first: most lie inside, or apart, with all that begins in them.
    """
    y0, x0, y1, x1 = (columns[name] for name in ("y0", "x0", "y1", "x1"))
    largest = int(max((y1 - y0).max(), (x1 - x0).max()))
    key = (y0 // _CELL).astype(np.int64)
    key <<= 32
    key += x0 // _CELL
    cells, cell = np.unique(key, return_inverse=True)
    del key
    corner_y, corner_x = (cells >> 32) * _CELL, (cells & 0xFFFFFFFF) * _CELL
    side = _CELL + largest
    inner, met = _cover(inside, kept, corner_y, corner_x, corner_y + side, corner_x + side)
    whole, crossing = inner[cell], np.zeros(len(y0), bool)
    unsure = np.flatnonzero((met & ~inner)[cell])
    for rows in np.split(unsure, range(_ROWS, len(unsure), _ROWS)):
        whole[rows], meets = _cover(inside, kept, y0[rows], x0[rows], y1[rows], x1[rows])
        crossing[rows] = meets & ~whole[rows]
    return whole, crossing


def _cover(
    inside: BaseGeometry, kept: BaseGeometry | None, *edges: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which boxes lie inside, a pixel from every edge that cuts tesserae, and which meet the inside."""
    y0, x0, y1, x1 = edges
    boxes = shapely.box(x0, y0, x1, y1)
    shapely.prepare(inside)
    covered = np.asarray(shapely.covers(inside, boxes), bool)
    meets = np.asarray(shapely.intersects(inside, boxes), bool)
    if kept is not None:
        shapely.prepare(kept)
        covered &= np.asarray(shapely.covers(kept, shapely.box(x0 - 1, y0 - 1, x1 + 1, y1 + 1)), bool)
    return covered, meets


@dataclass(frozen=True)
class _Crossing:
    """Of some tesserae at an edge: pixels in all and inside, is the centre inside, was it cut when it was found."""

    area: NDArray[np.float64]
    inside: NDArray[np.float64]
    centre_inside: NDArray[np.bool_]
    cut: NDArray[np.bool_]


def _crossing_windows(
    record: ReadableRecord,
    columns: Mapping[str, NDArray[Any]],
    rows: NDArray[np.int64],
    inside: BaseGeometry,
    kept: BaseGeometry | None,
) -> Iterator[tuple[NDArray[np.int64], _Crossing]]:
    """Look at the pixels of the tesserae `rows`, tile by tile of the boxes' first corners."""
    lattice = Lattice(shape=record.plan.shape, core=_TILE)
    tile = (columns["y0"][rows] // _TILE).astype(np.int64) * lattice.counts[1] + columns["x0"][rows] // _TILE
    for key in np.unique(tile):
        mine = rows[tile == key]
        lower = (int(columns[name][mine].min()) for name in ("y0", "x0"))
        upper = (int(columns[name][mine].max()) for name in ("y1", "x1"))
        box = Box(*lower, *upper).grow(1).clip(record.plan.shape)
        yield mine, _look(record.tesserae.read(box), box, columns["id"][mine], inside, kept)


def _look(
    labels: NDArray[Any], box: Box, ids: NDArray[Any], inside: BaseGeometry, kept: BaseGeometry | None
) -> _Crossing:
    order = np.argsort(ids)
    y, x = np.nonzero(labels)
    found = labels[y, x].astype(np.uint64)
    place = np.searchsorted(ids[order], found).clip(max=len(ids) - 1)
    mine = ids[order][place] == found
    y, x, row = y[mine], x[mine], order[place[mine]]
    within = _pixels(inside, box)[y, x]
    area, part, sum_y, sum_x = (
        np.bincount(row, weights, minlength=len(ids)) for weights in (np.ones(len(row)), within, y + 0.5, x + 0.5)
    )
    some = np.maximum(area, 1)
    centre = shapely.contains_xy(inside, sum_x / some + box.x0, sum_y / some + box.y0)
    cut = np.zeros(len(ids), bool)
    if kept is not None:
        beyond = ~_pixels(kept, box.grow(1))
        near = ndimage.binary_dilation(beyond)[1:-1, 1:-1]
        cut[np.unique(row[near[y, x]])] = True
    return _Crossing(area.astype(float), part.astype(float), np.asarray(centre, bool) & (area > 0), cut)


def _pixels(geometry: BaseGeometry, box: Box) -> NDArray[np.bool_]:
    """`rasterise` on the working grid of what a box needs of a geometry that may be large."""
    part = _polygonal(shapely.clip_by_rect(geometry, box.x0 - 2, box.y0 - 2, box.x1 + 2, box.y1 + 2))
    return np.zeros(box.shape, bool) if part.is_empty else rasterise(part, box, 1.0)


__all__ = ["PARTS", "SURROUND", "TOTAL", "Figures", "measure", "preserved_part"]
