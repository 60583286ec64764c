"""What tells in which manner a floor was laid: figures of each tessera's neighbourhood.

One decision: a neighbourhood ends where the direction of the rows breaks. So a figure and the ground that it stands on,
which meet at a break, are measured apart, and where two straight parts meet nothing seems to bend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.andamento import Directions, Shapes, cross_field, steps_between
from napari_mosaic.measurement.neighbours import Neighbours
from napari_mosaic.measurement.rows import Rows

Floats = NDArray[np.float64]

_REACH = 10
"""Rounds in which a tessera's figures are joined with its neighbours': some hundred tesserae speak together. With 6 a
griffin falls into 44 regions, with 10 into 33."""
_BREAK = 15.0
"""Degrees, modulo 90, between two neighbours at which one hears 1/e of the other. Not varied."""
_FLOWING = 2.9
"""Spread of the direction over a neighbourhood by the turn from stone to stone, where rows flow and nothing else moves
them: median 2.95 of 12 flowing drawings, 2.6 to 3.3 (seeds 100 to 111 of `synthetic.manners`)."""
_COARSE = 0.9
"""Quantile of the local sides that stands for the coarse parts of a floor. Not varied."""


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
        Standard deviation of the direction, modulo 90, over all around, across breaks as well, degrees.
    turn
        How much rows turn from one tessera to the next, the same way all over the neighbourhood, degrees.
    stray
        What is left of the spread of directions without that turn, degrees: 0 where rows were drawn with a line.
    out_of_step
        Shift against the next row, by the side that is shown to it: 0 for a grid, up to 0.5 for bricks.
    long
        Longer by shorter side of the rectangles.
    uneven
        Standard deviation of the sides (roots of areas) by their mean.
    crowded
        Standard deviation of how many neighbours each has: large pieces among small ones have many.
    joint
        Width of the joints by the side.
    size
        Side by that in the coarse parts of the same floor.
    """

    filled: Floats | float
    in_rows: Floats | float
    bend: Floats | float
    turn: Floats | float
    stray: Floats | float
    out_of_step: Floats | float
    long: Floats | float
    uneven: Floats | float
    crowded: Floats | float
    joint: Floats | float
    size: Floats | float


def local_grounds(shapes: Shapes, graph: Neighbours, directions: Directions, rows: Rows) -> Grounds:
    """The grounds of each tessera's neighbourhood."""
    i, j = graph.pairs.T
    heard = np.exp(-((_between(directions.angle[i], directions.angle[j]) / _BREAK) ** 2))
    part, around = Blur(graph, heard), Blur(graph, np.ones(len(graph.pairs)))
    side = np.sqrt(np.maximum(shapes.area, 1.0))
    filled = np.minimum(shapes.area / np.maximum(np.nan_to_num(shapes.sides).prod(1), 1.0), 1.0)
    inner = (rows.row > 0) & (rows.place > 1) & (rows.place < np.bincount(rows.row)[rows.row])
    across, shift = _shifts(shapes, graph, directions, rows, heard)
    joints = graph.matrix(graph.facing * graph.width).sum(1) / np.maximum(graph.matrix(graph.facing).sum(1), 1e-9)
    near = around.mean(side)
    mean = part.mean(side)
    along, turn = _turns(shapes, graph, directions, heard, part)
    spread = _spread_of_directions(part, directions)
    return Grounds(
        filled=part.mean(filled),
        in_rows=part.mean(inner.astype(float)),
        bend=_spread_of_directions(around, directions),
        turn=along * mean,
        stray=np.sqrt(np.maximum(spread**2 - (_FLOWING * turn * mean) ** 2, 0.0)),
        out_of_step=part.mean(shift, across),
        long=part.mean(np.nan_to_num(shapes.sides[:, 0] / np.maximum(shapes.sides[:, 1], 1.0), nan=1.0)),
        uneven=part.deviation(side) / mean,
        crowded=around.deviation(graph.degrees.astype(float)),
        joint=part.mean(joints / side, (graph.degrees > 0).astype(float)),
        size=near / np.quantile(near, _COARSE) if len(near) else near,
    )


def _between(one: Floats, other: Floats) -> Floats:
    """From one direction to another, modulo 90, degrees from -45 to 45."""
    return np.asarray((other - one + 45) % 90 - 45)


def _shifts(
    shapes: Shapes, graph: Neighbours, directions: Directions, rows: Rows, heard: Floats
) -> tuple[Floats, Floats]:
    """What each tessera shows to other rows, `(n,)`, and the same times how far it is out of step with them."""
    i, j = graph.pairs.T
    steps = steps_between(shapes, graph, cross_field(shapes, graph))
    axes = directions.axes
    along = np.minimum(np.abs((steps.unit * axes[i]).sum(1)), np.abs((steps.unit * axes[j]).sum(1)))
    shown = heard * ((along < np.sqrt(0.5)) & (rows.row[i] != rows.row[j])) * graph.facing
    return graph.matrix(shown).sum(1), graph.matrix(shown * np.minimum(steps.shift, 1.0)).sum(1)


def _turns(
    shapes: Shapes, graph: Neighbours, directions: Directions, heard: Floats, part: Blur
) -> tuple[Floats, Floats]:
    """How much the direction turns a px, `(n,)` degrees: along the rows, and the way in which it turns the most.

    The plane that fits best, by least squares, what the edges of a neighbourhood turn.
    """
    i, j = graph.pairs.T
    x, y = (shapes.centres[j] - shapes.centres[i]).T
    turned = _between(directions.angle[i], directions.angle[j])
    products = (x * x, x * y, y * y, x * turned, y * turned)
    xx, xy, yy, x_turned, y_turned = (part.spread(graph.matrix(heard * each).sum(1)) for each in products)
    area = np.maximum(xx * yy - xy**2, 1e-9)
    slope = np.column_stack([(yy * x_turned - xy * y_turned) / area, (xx * y_turned - xy * x_turned) / area])
    return np.abs((slope * directions.axes).sum(1)), np.hypot(*slope.T)


def _spread_of_directions(blur: Blur, directions: Directions) -> Floats:
    """Circular standard deviation of the directions round each tessera, degrees."""
    turned = np.radians(4 * directions.angle)
    length = np.hypot(blur.mean(np.cos(turned)), blur.mean(np.sin(turned)))
    return np.asarray(np.degrees(np.sqrt(-2 * np.log(np.clip(length, 1e-9, 1.0)))) / 4)


class Blur:
    """Means over the neighbourhoods of a graph, whose edges are heard as much as they weigh."""

    def __init__(self, graph: Neighbours, weights: Floats) -> None:
        self._links = graph.matrix(weights)
        self._total = self._links.sum(1) + 1

    def spread(self, values: Floats, rounds: int = _REACH) -> Floats:
        """Values with those of all that lie within reach."""
        for _ in range(rounds):
            values = (values + self._links @ values) / self._total
        return values

    def mean(self, values: Floats, weight: Floats | None = None) -> Floats:
        """Means of values; of sums, where `weight` is what they are sums over."""
        if weight is None:
            return self.spread(values)
        return np.asarray(self.spread(values) / np.maximum(self.spread(weight), 1e-9))

    def deviation(self, values: Floats) -> Floats:
        """Standard deviations of values."""
        return np.asarray(np.sqrt(np.maximum(self.mean(values**2) - self.mean(values) ** 2, 0.0)))


__all__ = ["Blur", "Grounds", "local_grounds"]
