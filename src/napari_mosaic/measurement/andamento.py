"""Which way a floor was laid: a smooth field of directions over the tesserae.

One decision: along a row neighbours stand in step, side against side, and across it they are shifted. So each edge of
the graph of neighbours votes for its own direction by how little it is shifted, the votes are joined as doubled angles
(a direction has no sense), and spread from neighbour to neighbour as far as their own sides agree modulo 90 degrees.
Nothing here reads a pixel: a table and a graph are enough, whatever the size of the floor.

References
----------
Kass and Witkin, Analyzing oriented patterns, Computer Vision, Graphics, and Image Processing 37 (1987): directions
averaged as doubled angles, with their coherence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.neighbours import Neighbours

Floats = NDArray[np.float64]

_IN_STEP = 0.25
"""Shift of two neighbours, by the side that they show each other, at which a vote has sunk to 1/e. With 0.15, 0.2 and
0.28 the least F1 of rows on 24 drawings of circles is 0.56, 0.71 and 0.84 (`benchmarks/rows.py --drawings 24`;
tried, as all below, one at a time with 0.2 here and 0.15 for `_OWN`)."""
_ROUNDS = 16
"""Rounds of spreading: each reaches one tessera further. With 30 nothing changes by more than 0.001."""
_OWN = 0.08
"""What a tessera's own votes weigh against the mean of its neighbours in each round. With 0.3, 0.15 and 0.08 the mean
F1 on the same circles is 0.953, 0.968 and 0.974."""
_SMOOTHED = 4
"""Rounds in which the sides' directions are smoothed. With 2 and 8 nothing changes by more than 0.001."""
_SHARPENED = 3
"""How often votes are counted again, those against the field for less. With 1, 3 and 5: 0.952, 0.968, 0.971."""
_STRANGE = 0.02
"""What remains of a neighbour's word where its sides stand at 45 degrees to one's own. Not varied."""


@dataclass(frozen=True)
class Shapes:
    """What rows are read from, of `n` tesserae, in px of the working grid.

    `centres` `(n, 2)` as (x, y); `area` `(n,)`; `sides` `(n, 2)`, the longer and the shorter side of the least
    rectangle; `angle` `(n,)`, direction of the longer one, degrees anticlockwise from the x axis as seen.
    """

    centres: Floats
    area: Floats
    sides: Floats
    angle: Floats

    def __len__(self) -> int:
        return len(self.area)


@dataclass(frozen=True)
class Directions:
    """The direction field over `n` tesserae.

    `angle` `(n,)` of the row through each, degrees anticlockwise as seen, 0 to 180; `coherence` `(n,)`, 0 where votes
    cancel each other and 1 where all agree.
    """

    angle: Floats
    coherence: Floats

    @property
    def axes(self) -> Floats:
        """`(n, 2)` unit vectors (x, y) along the rows; y is downwards."""
        return unit_vectors(self.angle)


@dataclass(frozen=True)
class Steps:
    """Edges as steps from one tessera to the next.

    `unit` `(m, 2)` and `length` `(m,)` of the way between the centres; `shift` `(m,)`, how far the two are out of step
    by the side that they show each other.
    """

    unit: Floats
    length: Floats
    shift: Floats


def unit_vectors(angle: Floats) -> Floats:
    """`(n, 2)` (x, y), y downwards, of directions in degrees anticlockwise as seen."""
    radians = np.radians(angle)
    return np.column_stack([np.cos(radians), -np.sin(radians)])


def cross_field(shapes: Shapes, graph: Neighbours) -> Floats:
    """Direction `(n,)` of the sides of each tessera with those of its neighbours, degrees from 0 to 90.

    One of the two axes along which a row may go through it; the more a tessera fills its rectangle, the more it says.
    """
    filled = shapes.area / np.maximum(shapes.sides.prod(1), 1.0)
    own = np.nan_to_num(np.exp(4j * np.radians(shapes.angle)) * np.minimum(filled, 1.0))
    near = graph.matrix(graph.facing)
    total = np.maximum(near.sum(1), 1e-9)
    field = own
    for _ in range(_SMOOTHED):
        field = (own + (near @ field) / total) / 2
    return np.asarray(np.degrees(np.angle(field)) / 4 % 90)


def steps_between(shapes: Shapes, graph: Neighbours, cross: Floats) -> Steps:
    """The steps that the edges of a graph make, and how far they are out of step in the frames of the cross field."""
    i, j = graph.pairs.T
    way = shapes.centres[j] - shapes.centres[i]
    length = np.maximum(np.hypot(*way.T), 1e-9)
    shift = (_shift(shapes, cross, i, way) + _shift(shapes, cross, j, way)) / 2
    return Steps(way / length[:, None], length, shift)


def _shift(shapes: Shapes, cross: Floats, one: NDArray[np.int64], way: Floats) -> Floats:
    """How far a step is off the nearer axis of the tesserae `one`, by the side that they show across it."""
    along = unit_vectors(cross[one])
    on, off = np.abs((way * along).sum(1)), np.abs((way * (along[:, ::-1] * (1, -1))).sum(1))
    lying = np.abs((cross[one] - shapes.angle[one] + 90) % 180 - 90) < 45
    longer, shorter = np.maximum(np.nan_to_num(shapes.sides[one]), 1.0).T
    first, second = np.where(lying, longer, shorter), np.where(lying, shorter, longer)
    return np.asarray(np.where(on / first >= off / second, off / second, on / first))


def direction_field(shapes: Shapes, graph: Neighbours, *, rounds: int = _ROUNDS) -> Directions:
    """The direction of the row through each tessera; see the module for how.

    Parameters
    ----------
    shapes, graph
        The tesserae and their neighbours.
    rounds
        How many tesserae far a vote is heard.
    """
    cross = cross_field(shapes, graph)
    steps = steps_between(shapes, graph, cross)
    i, j = graph.pairs.T
    doubled = (steps.unit[:, 0] - 1j * steps.unit[:, 1]) ** 2
    spread = graph.matrix(np.maximum(np.cos(4 * np.radians(cross[i] - cross[j])), _STRANGE))
    total = np.maximum(spread.sum(1), 1e-9)
    in_step = np.exp(-((steps.shift / _IN_STEP) ** 2))
    votes = in_step
    for _ in range(_SHARPENED):
        own, weight = graph.matrix(votes * doubled).sum(1), graph.matrix(votes).sum(1)
        field, heard = own, weight
        for _ in range(rounds):
            field = _OWN * own + (1 - _OWN) * (spread @ field) / total
            heard = _OWN * weight + (1 - _OWN) * (spread @ heard) / total
        unit = field / np.maximum(np.abs(field), 1e-9)
        agrees = np.minimum((unit[i] * doubled.conj()).real, (unit[j] * doubled.conj()).real)
        votes = in_step * ((1 + agrees) / 2) ** 2
    angle = np.degrees(np.angle(field)) / 2 % 180
    return Directions(angle, np.minimum(np.abs(field) / np.maximum(heard, 1e-9), 1.0))


__all__ = ["Directions", "Shapes", "Steps", "cross_field", "direction_field", "steps_between", "unit_vectors"]
