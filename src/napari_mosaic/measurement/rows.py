"""Rows of tesserae, followed on any curvature.

One decision: a row is a chain of neighbours that agree with the direction field, each with one place before and one
behind it. All steps stand in one list, the best first, and a step is taken where both its places are still free: no
start is chosen, and no order of the tesserae matters.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.compiled import compiled
from napari_mosaic.measurement.andamento import Directions, Shapes, cross_field, steps_between
from napari_mosaic.measurement.neighbours import Neighbours

Array = NDArray[Any]

_TURN = 25.0
"""Degrees between a step and the field that cost 1."""
_SHIFT = 0.5
"""Shift of two neighbours, by the side that they show each other, that costs 1."""
_DEAREST = 2.0
"""The cost from which a step is not taken."""


@dataclass(frozen=True)
class Rows:
    """The rows of `n` tesserae: `row` `(n,)` from 1, 0 where it stands in none; `place` `(n,)` in its row from 1."""

    row: NDArray[np.int64]
    place: NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.row.max(initial=0))

    def chains(self) -> list[NDArray[np.int64]]:
        """The tesserae of each row, in order."""
        order = np.lexsort((self.place, self.row))
        order = order[self.row[order] > 0]
        return np.split(order, np.flatnonzero(np.diff(self.row[order])) + 1) if len(order) else []


def trace_rows(shapes: Shapes, graph: Neighbours, directions: Directions, *, shortest: int = 3) -> Rows:
    """Follow the rows of a floor.

    Parameters
    ----------
    shapes, graph, directions
        The tesserae, their neighbours, and the direction field over them.
    shortest
        Tesserae that make a row.
    """
    links = _links(shapes, graph, directions)
    chains = [chain for chain in _chains(len(shapes), links) if len(chain) >= shortest]
    row, place = np.zeros(len(shapes), np.int64), np.zeros(len(shapes), np.int64)
    for k, chain in enumerate(chains, start=1):
        row[chain], place[chain] = k, np.arange(1, len(chain) + 1)
    return Rows(row, place)


def _links(shapes: Shapes, graph: Neighbours, directions: Directions) -> Array:
    """`(k, 2)` tesserae that follow each other."""
    steps = steps_between(shapes, graph, cross_field(shapes, graph))
    i, j = graph.pairs.T
    axes = directions.axes
    turn = np.zeros(len(i))
    sides = np.zeros((len(i), 2), np.int64)
    for k, one in enumerate((i, j)):
        along = (steps.unit * axes[one]).sum(1)
        turn = np.maximum(turn, np.degrees(np.arccos(np.minimum(np.abs(along), 1.0))))
        sides[:, k] = (along > 0) ^ bool(k)
    cost = (turn / _TURN) ** 2 + (steps.shift / _SHIFT) ** 2
    order = np.argsort(cost, kind="stable")
    order = order[cost[order] < _DEAREST]
    taken = _take(graph.pairs[order], sides[order], len(shapes))
    return graph.pairs[order][taken]


@compiled
def _take(pairs: Array, sides: Array, count: int) -> Array:
    """Which steps, in order, find the places at both their ends free."""
    free = np.ones((count, 2), np.bool_)
    taken = np.zeros(len(pairs), np.bool_)
    for k in range(len(pairs)):
        i, j = pairs[k, 0], pairs[k, 1]
        if free[i, sides[k, 0]] and free[j, sides[k, 1]]:
            taken[k] = True
            free[i, sides[k, 0]] = False
            free[j, sides[k, 1]] = False
    return taken


def _chains(count: int, links: Array) -> list[NDArray[np.int64]]:
    """The chains that links make, by their first tessera in reading order; of a ring, from its first one on."""
    order, ends = _walk(count, links)
    return [order[start:stop] for start, stop in itertools.pairwise(ends)]


@compiled
def _walk(count: int, links: Array) -> tuple[Array, Array]:
    """All tesserae chain by chain, and where each chain begins and the last one ends."""
    beside = np.full((count, 2), -1, np.int64)
    for k in range(len(links)):
        for a in range(2):
            one, other = links[k, a], links[k, 1 - a]
            beside[one, 1 if beside[one, 0] >= 0 else 0] = other
    seen = np.zeros(count, np.bool_)
    order, ends = np.zeros(count, np.int64), np.zeros(count + 1, np.int64)
    done, chains = 0, 0
    for rings in range(2):
        for start in range(count):
            if seen[start] or (rings == 0 and beside[start, 1] >= 0):
                continue
            here, before = start, -1
            while here >= 0 and not seen[here]:
                seen[here] = True
                order[done] = here
                done += 1
                following = beside[here, 0] if beside[here, 0] != before else beside[here, 1]
                before, here = here, following
            chains += 1
            ends[chains] = done
    return order, ends[: chains + 1]


def row_turns(rows: Rows, directions: Directions) -> NDArray[np.float64]:
    """How much a row turns from one tessera to the next, `(n,)` degrees, by the direction field; NaN at its ends."""
    turns = np.full(len(rows.row), np.nan)
    for chain in rows.chains():
        if len(chain) > 2:
            angle = directions.angle[chain]
            turns[chain[1:-1]] = np.abs((angle[2:] - angle[:-2] + 90) % 180 - 90) / 2
    return turns


def pairs_of(chains: Sequence[Sequence[int]]) -> set[tuple[int, int]]:
    """The pairs of tesserae that stand beside each other in rows, the lower one first."""
    return {(min(a, b), max(a, b)) for chain in chains for a, b in itertools.pairwise(chain)}


def pair_score(found: set[tuple[int, int]], truth: set[tuple[int, int]]) -> float:
    """F1 of pairs of neighbours in a row; 1 where both are empty."""
    both = len(found & truth)
    return 2 * both / (len(found) + len(truth)) if found or truth else 1.0


__all__ = ["Rows", "pair_score", "pairs_of", "row_turns", "trace_rows"]
