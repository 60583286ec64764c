"""Opus: in which manner a floor seems to be laid, place by place, and on what grounds.

One decision: it is a suggestion of a few plain rules over figures that are told with it, so whoever disagrees sees with
what; where the rules do not speak clearly, nothing is said.

References
----------
The manners as handbooks part them: *tessellatum*, squares in rows both ways; *regulatum*, rows one way with joints out
of step, as of bricks; *vermiculatum*, rows that bend along what they draw; *palladianum*, irregular pieces of many
sizes; *sectile*, pieces cut to the shape of a pattern, with hardly a joint (Dunbabin, Mosaics of the Greek and Roman
World, 1999, glossary).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.andamento import Directions, Shapes, cross_field, steps_between
from napari_mosaic.measurement.neighbours import Neighbours
from napari_mosaic.measurement.rows import Rows

Floats = NDArray[np.float64]

OPERA = ("tessellatum", "regulatum", "vermiculatum", "palladianum", "sectile", "not determined")

_IN_ROWS, _SCATTERED = 0.6, 0.55
"""In rows more than the first, scattered less than the second. Medians of 12 drawings, 5 % to 95 %: rows 0.64 to
0.997, irregular 0.25 to 0.51 (`benchmarks/opus.py --grounds --seed 100 --drawings 12`, as all below)."""
_IN_STEP = 0.2
"""Grids 0.07 to 0.20, bond 0.31 to 0.60."""
_BENT, _TURNED = 1.0, 3.0
"""Rows out of step bend from the first on, a grid from the second. Bond 0.1 to 0.9 degrees, gently flowing rows 0.7
to 4.4, circles 7.6 to 12; grids, where the sides alone tell, 0.4 to 2.6."""
_LONG = 1.6
"""Squares 1.1 to 1.2, bricks 2.3 to 4.8."""
_CUT, _HAIR = 0.72, 0.12
"""Patterns 0.54 to 0.68 with joints of 0.04 to 0.10; others from 0.75 on."""
_SQUARED, _UNEVEN = 0.84, 0.26
"""Sherds are filled to 0.75 to 0.81 and vary by 0.25 to 0.38; cells by 0.14 to 0.27."""

_REACH = 6
"""Rounds in which a tessera's figures are joined with its neighbours': some hundred tesserae speak together. Not
varied."""
_SMALLEST = 40
"""Tesserae that make a region; fewer are not determined. Not varied."""


@dataclass(frozen=True)
class Grounds:
    """What a suggestion rests on, means of a neighbourhood or of a region, `(n,)` or numbers.

    Attributes
    ----------
    filled
        Area by that of the least rectangle: 1 for rectangles, 0.5 for triangles.
    in_rows
        Part of the tesserae with a neighbour before and behind in their row.
    bend
        Standard deviation of the direction, modulo 90, over the neighbourhood, degrees: 0 where rows run straight.
    out_of_step
        Shift against the next row, by the side that is shown to it: 0 for a grid, up to 0.5 for bricks.
    long
        Longer by shorter side of the rectangles.
    uneven
        Standard deviation of the sides (roots of areas) by their mean.
    joint
        Width of the joints by the side.
    """

    filled: Floats | float
    in_rows: Floats | float
    bend: Floats | float
    out_of_step: Floats | float
    long: Floats | float
    uneven: Floats | float
    joint: Floats | float


@dataclass(frozen=True, kw_only=True)
class OpusRegion:
    """A region that seems to be laid in one manner: its tesserae (rows of the table), how many, and the grounds."""

    opus: str
    tesserae: int
    grounds: Grounds
    centre: tuple[float, float]

    @property
    def words(self) -> str:
        """The grounds in words."""
        own = self.grounds
        return (
            f"rectangles filled to {own.filled:.0%}, {own.in_rows:.0%} in rows, which bend by {own.bend:.1f}°; "
            f"out of step by {own.out_of_step:.2f} of a side; {own.long:.1f} times as long as wide; "
            f"sides vary by {own.uneven:.0%}; joints of {own.joint:.0%} of a side"
        )


def local_grounds(shapes: Shapes, graph: Neighbours, directions: Directions, rows: Rows) -> Grounds:
    """The grounds of each tessera's neighbourhood."""
    count = len(shapes)
    side = np.sqrt(np.maximum(shapes.area, 1.0))
    filled = np.minimum(shapes.area / np.maximum(np.nan_to_num(shapes.sides).prod(1), 1.0), 1.0)
    links = np.bincount(rows.row)[rows.row]
    inner = (rows.row > 0) & (rows.place > 1) & (rows.place < links)
    i, j = graph.pairs.T
    steps = steps_between(shapes, graph, cross_field(shapes, graph))
    axes = directions.axes
    along = np.minimum(np.abs((steps.unit * axes[i]).sum(1)), np.abs((steps.unit * axes[j]).sum(1)))
    across = (along < np.sqrt(0.5)) & (rows.row[i] != rows.row[j])
    shown = graph.matrix(across * graph.facing)
    shift = graph.matrix(across * graph.facing * np.minimum(steps.shift, 1.0)).sum(1)
    joints = graph.matrix(graph.facing * graph.width).sum(1) / np.maximum(graph.matrix(graph.facing).sum(1), 1e-9)
    blur = _Blur(graph)
    mean, square = blur.mean(side), blur.mean(side**2)
    return Grounds(
        filled=blur.mean(filled),
        in_rows=blur.mean(inner.astype(float)),
        bend=_spread_of_directions(blur, directions),
        out_of_step=blur.mean(shift, shown.sum(1)),
        long=blur.mean(np.nan_to_num(shapes.sides[:, 0] / np.maximum(shapes.sides[:, 1], 1.0), nan=1.0)),
        uneven=np.sqrt(np.maximum(square - mean**2, 0.0)) / mean,
        joint=blur.mean(joints / side, (graph.degrees > 0).astype(float)) if count else np.zeros(0),
    )


def _spread_of_directions(blur: _Blur, directions: Directions) -> Floats:
    """Circular standard deviation of the directions round each tessera, degrees."""
    turned = np.radians(4 * directions.angle)
    length = np.hypot(blur.mean(np.cos(turned)), blur.mean(np.sin(turned)))
    return np.asarray(np.degrees(np.sqrt(-2 * np.log(np.clip(length, 1e-9, 1.0)))) / 4)


class _Blur:
    """Means over the neighbourhoods of a graph."""

    def __init__(self, graph: Neighbours) -> None:
        self._links = graph.matrix(np.ones(len(graph.pairs)))
        self._total = self._links.sum(1) + 1

    def spread(self, values: Floats) -> Floats:
        """Values with those of all that lie within reach."""
        for _ in range(_REACH):
            values = (values + self._links @ values) / self._total
        return values

    def mean(self, values: Floats, weight: Floats | None = None) -> Floats:
        """Means of values; of sums, where `weight` is what they are sums over."""
        if weight is None:
            return self.spread(values)
        return np.asarray(self.spread(values) / np.maximum(self.spread(weight), 1e-9))


def propose_opus(grounds: Grounds) -> NDArray[np.int64]:
    """Positions in `OPERA`, by the rules; see the constants for where they part."""
    filled, in_rows = np.asarray(grounds.filled), np.asarray(grounds.in_rows)
    laid = in_rows > _IN_ROWS
    in_step = (np.asarray(grounds.out_of_step) < _IN_STEP) & (np.asarray(grounds.long) < _LONG)
    bent = np.asarray(grounds.bend) > np.where(in_step, _TURNED, _BENT)
    said = {
        "sectile": (filled < _CUT) & (np.asarray(grounds.joint) < _HAIR),
        "vermiculatum": laid & bent,
        "tessellatum": laid & in_step,
        "regulatum": laid,
        "palladianum": (filled < _SQUARED) & (np.asarray(grounds.uneven) > _UNEVEN) & (in_rows < _SCATTERED),
    }
    rest = OPERA.index("not determined")
    return np.asarray(np.select(list(said.values()), [OPERA.index(name) for name in said], rest), np.int64)


def opus_regions(
    shapes: Shapes, graph: Neighbours, directions: Directions, rows: Rows
) -> tuple[NDArray[np.int64], tuple[OpusRegion, ...]]:
    """The opus that each tessera's surroundings suggest, `(n,)` positions in `OPERA`, and the regions of one opus.

    Regions are neighbours with the same suggestion, the largest first; what is too small for one is not determined.
    """
    grounds = local_grounds(shapes, graph, directions, rows)
    opus = propose_opus(grounds)
    i, j = graph.pairs.T
    part = graph.components(opus[i] == opus[j])
    small = np.bincount(part, minlength=1)[part] < _SMALLEST
    opus = np.where(small, OPERA.index("not determined"), opus)
    part = graph.components(opus[i] == opus[j])
    regions = []
    for k in np.flatnonzero(np.bincount(part, minlength=0) >= _SMALLEST):
        mine = part == k
        means = (float(np.mean(np.asarray(getattr(grounds, each.name))[mine])) for each in fields(Grounds))
        x, y = shapes.centres[mine].mean(0)
        regions.append(
            OpusRegion(
                opus=OPERA[int(opus[mine][0])],
                tesserae=int(mine.sum()),
                grounds=Grounds(*means),
                centre=(float(x), float(y)),
            )
        )
    return opus, tuple(sorted(regions, key=lambda region: -region.tesserae))


__all__ = ["OPERA", "Grounds", "OpusRegion", "local_grounds", "opus_regions", "propose_opus"]
