"""A floor as a whole: what can be said of a tessera only by all others.

One decision: it is worked out from what the tiles have measured, columns and the graph of neighbours, and reads no
pixel itself, so memory holds figures and never a picture, and it is the same whatever the tile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.measurement.andamento import Directions, Shapes, direction_field
from napari_mosaic.measurement.density import RADIUS, local_densities
from napari_mosaic.measurement.grounds import Grounds, local_grounds
from napari_mosaic.measurement.neighbours import Neighbours, join_borders
from napari_mosaic.measurement.opus import OpusRegion, regions_of, suggest_opus
from napari_mosaic.measurement.palette import Palette, find_palette
from napari_mosaic.measurement.rows import Rows, row_turns, trace_rows
from napari_mosaic.measurement.table import TesseraTable
from napari_mosaic.measurement.view import View

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Array = NDArray[Any]

SHAPE = ("centre_y", "centre_x", "rectangle_length", "rectangle_width", "rectangle_angle", "neighbours")
"""Columns that rows are made from; with `neighbours` comes the graph."""
COLOUR = ("lightness", "colour_a", "colour_b")
"""Columns that the palette is made from."""


@dataclass(frozen=True)
class Floor:
    """All tesserae of a floor, and what the tiles have measured of them.

    Attributes
    ----------
    tesserae
        The table.
    measured
        By name of the column, `(n,)` in px of the working grid.
    borders
        What they said of their neighbours; see `join_borders`.
    """

    tesserae: TesseraTable
    measured: Mapping[str, Array]
    borders: list[tuple[Array, Array, Array, Array]] = field(default_factory=list)

    @cached_property
    def graph(self) -> Neighbours:
        """Who faces whom."""
        return join_borders(len(self.tesserae), self.borders)

    @cached_property
    def shapes(self) -> Shapes:
        """What rows are read from."""
        y, x, length, width, angle = (self.measured[name] for name in SHAPE[:5])
        area = self.tesserae.columns["area"].astype(float)
        return Shapes(np.column_stack([x, y]), area, np.column_stack([length, width]), angle)

    @cached_property
    def directions(self) -> Directions:
        """The direction field."""
        return direction_field(self.shapes, self.graph)

    @cached_property
    def rows(self) -> Rows:
        """The rows."""
        return trace_rows(self.shapes, self.graph, self.directions)

    @cached_property
    def turns(self) -> NDArray[np.float64]:
        """How much the row of each turns there."""
        return row_turns(self.rows, self.directions)

    @cached_property
    def grounds(self) -> Grounds:
        """What tells how it was laid round each."""
        return local_grounds(self.shapes, self.graph, self.directions, self.rows)

    @cached_property
    def opus(self) -> NDArray[np.int64]:
        """`(n,)`: the opus that each one's surroundings suggest, positions in `OPERA`."""
        return suggest_opus(self.graph, self.grounds)

    @property
    def opus_regions(self) -> tuple[OpusRegion, ...]:
        """The regions of one opus, the largest first."""
        return regions_of(self.shapes, self.graph, self.grounds, self.opus)

    @cached_property
    def colours(self) -> NDArray[np.float64]:
        """`(n, 3)`: mean colours in CIELAB."""
        return np.column_stack([self.measured[name] for name in COLOUR])

    @cached_property
    def palette(self) -> Palette:
        """The palette."""
        return find_palette(self.colours)

    @cached_property
    def palette_classes(self) -> NDArray[np.int64]:
        """`(n,)`: the colour of the palette of each, from 1."""
        return self.palette.classes_of(self.colours)

    @cached_property
    def _tree(self) -> cKDTree:
        from scipy.spatial import cKDTree  # late: it costs a start a tenth of a second

        return cKDTree(self.centres)

    @property
    def centres(self) -> NDArray[np.float64]:
        """`(n, 2)`: centres of gravity, (x, y) on the working grid."""
        return np.column_stack([self.measured["centre_x"], self.measured["centre_y"]])

    def densities(self, rows: NDArray[np.int64], preserved: BaseGeometry) -> NDArray[np.float64]:
        """Tesserae by area, px of the working grid, round some of them; `preserved` on the working grid."""
        if len(self.tesserae) == 0:
            return np.zeros(0)
        usual = float(np.sqrt(np.median(self.tesserae.columns["area"])))
        return local_densities(self.centres[rows], self._tree, RADIUS * usual, preserved)


@dataclass(frozen=True)
class FloorPart(Floor):
    """Some tesserae of a floor: their rows, directions, palette, opus and densities are those of the whole.

    Attributes
    ----------
    whole
        The floor.
    places
        `(n,)` rows of the tesserae in the table of the whole.
    """

    whole: Floor = field(kw_only=True)
    places: NDArray[np.int64] = field(kw_only=True)

    @cached_property
    def graph(self) -> Neighbours:
        """Who faces whom in the part."""
        whole, mine = self.whole.graph, np.full(len(self.whole.tesserae), -1, np.int64)
        mine[self.places] = np.arange(len(self.places))
        pairs = mine[whole.pairs]
        kept = (pairs >= 0).all(1)
        return Neighbours(len(self.places), np.sort(pairs[kept], 1), whole.facing[kept], whole.width[kept])

    @cached_property
    def directions(self) -> Directions:
        """The direction field of the whole there."""
        return Directions(*(getattr(self.whole.directions, each.name)[self.places] for each in fields(Directions)))

    @cached_property
    def rows(self) -> Rows:
        """The rows of the whole there."""
        return Rows(*(getattr(self.whole.rows, each.name)[self.places] for each in fields(Rows)))

    @cached_property
    def turns(self) -> NDArray[np.float64]:
        """How much the row of each turns there."""
        return self.whole.turns[self.places]

    @cached_property
    def grounds(self) -> Grounds:
        """What tells how the whole was laid round each."""
        return Grounds(*(np.asarray(getattr(self.whole.grounds, each.name))[self.places] for each in fields(Grounds)))

    @cached_property
    def opus(self) -> NDArray[np.int64]:
        """`(n,)`: the opus of the whole there."""
        return self.whole.opus[self.places]

    @cached_property
    def palette(self) -> Palette:
        """The palette of the whole."""
        return self.whole.palette

    def densities(self, rows: NDArray[np.int64], preserved: BaseGeometry) -> NDArray[np.float64]:
        """Tesserae of the whole by area round some of the part; `preserved` of the whole."""
        return self.whole.densities(self.places[rows], preserved)


def part_of(whole: Floor, tesserae: TesseraTable, measured: Mapping[str, Array]) -> FloorPart:
    """Some tesserae of a floor, with what was measured of these alone."""
    places = whole.tesserae.rows_of(tesserae.columns["id"])
    all_measured = {**{name: values[places] for name, values in whole.measured.items()}, **measured}
    return FloorPart(tesserae, all_measured, whole=whole, places=places)


def borders_of(view: View) -> tuple[Array, Array, Array, Array]:
    """What the tesserae of a view say of their neighbours, by rows of the table."""
    _, _, of, to, facing, width = view.borders
    other = view.tesserae.rows_of(to)
    known = other >= 0
    return view.rows[of[known]], other[known], facing[known], width[known]


__all__ = ["COLOUR", "SHAPE", "Floor", "FloorPart", "borders_of", "part_of"]
