"""Ground without a stone inside what counts as preserved: plaster round a panel, or a lacuna that nobody has drawn.

One decision: it is found by places alone, in cells of half a tessera, and only proposed. Whether it is lost, outside or
not legible a person says, and until then every figure counts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from napari_mosaic.area_files import outlines
from napari_mosaic.areas import merged, rasterise
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.record import Record
from napari_mosaic.record.file_mask import FileMask, read_file_mask
from napari_mosaic.record.looked_at import preserved_part
from napari_mosaic.tiling import Box

REACH = 3.0
"""Radius, in usual sides of a tessera, of the disc without a stone that makes ground bare: wider than any joint or
socket of a few stones. On eight photographs 2, 3 and 4 find the same pieces, whose shares differ by up to 0.008."""
_SMALLEST = 60.0
"""Area of a piece, in squares of the usual side; twice the disc. Not varied."""
_FEW = 5
"""So many stones together are believed; fewer, alone on bare ground, are mostly crumbs. Not varied."""
_LEAST_SHARE = 0.02
"""Of what is preserved, below which nothing is said. Not varied."""
_MOST_CELLS = 1 << 24
"""Of the grid: 16 million bound memory to 300 MB."""
NAME = "bare ground"
"""What an area is called that was made of it."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class BareGround:
    """Ground of a record that holds no stone and counts as preserved.

    Attributes
    ----------
    geometry
        Its polygons, `(x, y)` in pixels of the photograph; empty where there is none to speak of.
    share
        Its part of what is preserved.
    tesserae
        Single ones that were found on it.
    """

    geometry: BaseGeometry
    share: float = 0.0
    tesserae: int = 0

    @property
    def words(self) -> str:
        """In a sentence; "" where there is none."""
        if self.geometry.is_empty:
            return ""
        return (
            f"{self.share:.0%} of what counts as preserved: a disc {2 * REACH:g} tesserae wide meets no stone there; "
            "where it is lost or outside, mark it so, or the density is too low and the share of joints too high"
        )


NONE = BareGround(shapely.Polygon())


def bare_ground(record: Record) -> BareGround:
    """Find the bare ground of a record, whose areas say what is preserved; none of a part of one."""
    if record.whole_floor is not record:
        return NONE
    tesserae = read_tesserae(record)
    if len(tesserae) == 0:
        return NONE
    columns, factor = tesserae.columns, record.plan.factor
    usual = float(np.sqrt(np.median(columns["area"]))) / factor
    height, width = record.plan.source_shape
    cell = max(usual / 2, float(np.sqrt(height * width / _MOST_CELLS)))
    shape = int(np.ceil(height / cell)), int(np.ceil(width / cell))
    preserved = preserved_part(record)
    inside = np.zeros(shape, bool) if preserved.is_empty else rasterise(preserved, Box(0, 0, *shape), 1 / cell)
    mask = read_file_mask(record)
    inside &= _in_file(mask, shape, cell)
    edges = np.column_stack([columns[name] for name in ("y0", "x0", "y1", "x1")]) / (factor * cell)
    covered = _covered(edges, shape, np.ones(len(edges), bool))
    covered = _covered(edges, shape, _together(covered, edges))
    bare = _rolled(covered, REACH * usual / cell) & inside
    geometry = _polygons(bare, cell, preserved, _SMALLEST * usual**2)
    share = mask.area_within(geometry) / max(mask.area_within(preserved), 1.0)
    if share < _LEAST_SHARE:
        return NONE
    centres = edges.reshape(-1, 2, 2).mean(1) * cell
    shapely.prepare(geometry)
    return BareGround(geometry, share, int(shapely.contains_xy(geometry, centres[:, 1], centres[:, 0]).sum()))


def _in_file(mask: FileMask, shape: tuple[int, int], cell: float) -> Mask:
    """Cells whose centres the photograph's own file calls inside."""
    rows, columns = (
        ((np.arange(count) + 0.5) * cell * own / side).astype(int).clip(max=own - 1)
        for count, own, side in zip(shape, mask.inside.shape, mask.shape, strict=True)
    )
    return mask.inside[np.ix_(rows, columns)]


def _covered(edges: NDArray[np.float64], shape: tuple[int, int], which: Mask) -> Mask:
    """Cells that some boxes, `(n, 4)` in cells, touch."""
    y0, x0 = np.floor(edges[which, :2]).astype(int).clip(0).T
    y1, x1 = np.ceil(edges[which, 2:]).astype(int).clip(max=shape).T
    steps = np.zeros((shape[0] + 1, shape[1] + 1), np.int32)
    for y, x, sign in ((y0, x0, 1), (y1, x1, 1), (y0, x1, -1), (y1, x0, -1)):
        np.add.at(steps, (y, x), sign)
    return np.asarray(steps.cumsum(0).cumsum(1)[:-1, :-1] > 0)


def _together(covered: Mask, edges: NDArray[np.float64]) -> Mask:
    """Which stones stand with others, within two cells of each other."""
    part, _ = ndimage.label(ndimage.binary_dilation(covered, iterations=1), np.ones((3, 3)))
    y, x = (edges[:, :2] + edges[:, 2:]).T / 2
    mine = part[y.astype(int).clip(0, covered.shape[0] - 1), x.astype(int).clip(0, covered.shape[1] - 1)]
    return np.asarray(np.bincount(mine)[mine] >= _FEW)


def _rolled(covered: Mask, radius: float) -> Mask:
    """Where a disc rolls that meets nothing, without a rim of a cell along what it rolls on; it may leave the grid."""
    wide = int(np.ceil(radius)) + 1
    free = np.pad(~covered, wide, constant_values=True)
    if free.all():
        return ~covered
    centres = ndimage.distance_transform_edt(free) > radius
    if not centres.any():
        return np.zeros(covered.shape, bool)
    rolled = ndimage.distance_transform_edt(~centres) < radius - 1
    return np.asarray(rolled[wide:-wide, wide:-wide])


def _polygons(bare: Mask, cell: float, preserved: BaseGeometry, smallest: float) -> BaseGeometry:
    """The pieces of a mask that are large enough, in pixels of the photograph, their steps smoothed."""
    pieces = [piece for piece in outlines(bare) if piece.area * cell**2 >= smallest]
    if not pieces:
        return shapely.Polygon()
    smooth = shapely.transform(merged(pieces), lambda places: places * cell).simplify(cell)
    part = shapely.make_valid(smooth).intersection(preserved)
    return merged(piece for piece in shapely.get_parts(part) if piece.geom_type.endswith("Polygon"))


__all__ = ["NAME", "NONE", "REACH", "BareGround", "bare_ground"]
