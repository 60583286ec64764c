"""Opus: in which manner a floor seems to be laid, place by place, and on what grounds.

One decision: it is a suggestion of a few plain rules over figures that are told with it, so whoever disagrees sees with
what; where the rules do not speak clearly, nothing is said.

References
----------
The manners as handbooks part them: *tessellatum*, squarish stones in rows, as laid by hand; *regulatum*, exact rows one
way with joints out of step, as of bricks; *vermiculatum*, rows that bend along what they draw, of small stones;
*palladianum*, irregular pieces of many sizes; *sectile*, pieces cut to the shape of a pattern, with hardly a joint
(Dunbabin, Mosaics of the Greek and Roman World, 1999, glossary).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.andamento import Directions, Shapes
from napari_mosaic.measurement.grounds import Blur, Grounds, local_grounds
from napari_mosaic.measurement.neighbours import Neighbours
from napari_mosaic.measurement.rows import Rows

Positions = NDArray[np.int64]

OPERA = ("tessellatum", "regulatum", "vermiculatum", "palladianum", "sectile", "not determined")
_NONE = OPERA.index("not determined")

_IN_ROWS, _SCATTERED = 0.6, 0.58
"""In rows more than the first, scattered less than the second. Medians of 12 drawings: rows 0.66 to 1, irregular and
cells 0.35 to 0.57 (`benchmarks/opus.py --grounds --seed 100 --drawings 12`, as all below)."""
_IN_STEP = 0.2
"""Grids 0.06 to 0.21, bond 0.31 to 0.60."""
_TURNING, _TURNING_IN_STEP, _STRAYING = 0.17, 0.5, 0.2
"""Rows turn where they do by more degrees a stone than the first (of a grid, where the sides alone tell, the second)
and as much again as the third part of what they stray. Medians of 12 drawings, in neighbourhoods of 6 rounds: bond up
to 0.17 a stone, gently flowing rows from 0.23, grids up to 0.33. 0.11 to 0.17 give the same on 30 others (seeds 330 to
359). The third by looking at eight photographs with 0.2 and 0.3: with 0.3 more of a griffin's wing and haunches, which
are laid in arcs, is taken for straight."""
_EXACT = 1.0
"""Degrees that rows drawn with a line stray: 95 % of 30 drawings of bond up to 0.8. A Roman griffin strays by 1.7 to
5.4 (quartiles, in neighbourhoods of 6 rounds)."""
_MANY_WAYS, _FINE = 9.0, 0.8
"""Fine stones that run in many directions draw something, too, however straight each row is. Chosen by looking at a
lion and an onager of fine stones on coarser ground; not varied."""
_LONG = 1.6
"""Squares 1.1 to 1.2, bricks 2.2 to 5.2."""
_CUT, _HAIR = 0.72, 0.12
"""Patterns 0.54 to 0.68 with joints of 0.04 to 0.10; others from 0.75 on."""
_SQUARED, _UNEVEN, _CROWDED = 0.84, 0.2, 1.25
"""Sherds are filled to 0.75 to 0.81, vary by 0.22 to 0.44, and the number of their neighbours by 1.15 to 2.1; that of
cells by 0.85 to 1.2: of 50 drawings each (seeds 300 to 329 and 400 to 419), 45 sherds and one of cells are beyond."""

_SMALLEST = 40
"""Tesserae that make a region; fewer go with what lies round them. Not varied."""
_VOTES = 4
"""Rounds in which neighbours agree upon one opus, so that no stone stands alone. Not varied."""
_JOINING = 20
"""Rounds in which small regions join larger ones: bounds the work; what is small then is not determined. Not varied."""


@dataclass(frozen=True, kw_only=True)
class OpusRegion:
    """A region that seems to be laid in one manner: its tesserae (rows of the table), how many, and the grounds."""

    opus: str
    tesserae: int
    grounds: Grounds
    centre: tuple[float, float]

    @property
    def words(self) -> str:
        """The reason, and the grounds in words."""
        own = self.grounds
        return (
            f"{self.reason}; rectangles filled to {own.filled:.0%}, {own.in_rows:.0%} in rows, which turn by "
            f"{own.turn:.1f}° from stone to stone and stray by {own.stray:.1f}° beside it; "
            f"out of step by {own.out_of_step:.2f} of a side; {own.long:.1f} times as long as wide; "
            f"sides vary by {own.uneven:.0%}; joints of {own.joint:.0%} of a side"
        )

    @property
    def reason(self) -> str:
        """What speaks for it, in a few words."""
        own = self.grounds
        if self.opus == "vermiculatum":
            return "rows bend along what they draw" if own.size > _FINE else "fine stones whose rows run many ways"
        if self.opus == "regulatum":
            return "long stones in rows out of step" if own.long >= _LONG else "exact rows out of step"
        if self.opus == "not determined":
            return "too few stand in rows to tell" if own.in_rows < _IN_ROWS else "the signs contradict each other"
        return _REASONS[self.opus]


_REASONS = {
    "tessellatum": "squarish stones in rows that hardly turn",
    "palladianum": "irregular stones of many sizes in no rows",
    "sectile": "pieces cut to a shape with hardly a joint",
}


def propose_opus(grounds: Grounds) -> Positions:
    """Positions in `OPERA`, by the rules; see the constants for where they part."""
    filled, in_rows, size = np.asarray(grounds.filled), np.asarray(grounds.in_rows), np.asarray(grounds.size)
    stray = np.asarray(grounds.stray)
    laid = in_rows > _IN_ROWS
    squarish = np.asarray(grounds.long) < _LONG
    in_step = (np.asarray(grounds.out_of_step) < _IN_STEP) & squarish
    least = np.where(in_step, _TURNING_IN_STEP, _TURNING) + _STRAYING * stray
    draws = (size < _FINE) & (np.asarray(grounds.bend) > _MANY_WAYS)
    mixed = (np.asarray(grounds.uneven) > _UNEVEN) & (np.asarray(grounds.crowded) > _CROWDED)
    said = {
        "sectile": (filled < _CUT) & (np.asarray(grounds.joint) < _HAIR),
        "vermiculatum": laid & ((np.asarray(grounds.turn) > least) | draws),
        "tessellatum": laid & (in_step | (squarish & (stray > _EXACT))),
        "regulatum": laid,
        "palladianum": (filled < _SQUARED) & (in_rows < _SCATTERED) & mixed,
    }
    return np.asarray(np.select(list(said.values()), [OPERA.index(name) for name in said], _NONE), np.int64)


def opus_regions(
    shapes: Shapes, graph: Neighbours, directions: Directions, rows: Rows
) -> tuple[Positions, tuple[OpusRegion, ...]]:
    """The opus that each tessera's surroundings suggest, `(n,)` positions in `OPERA`, and the regions of one opus.

    Regions are neighbours with the same suggestion, the largest first; what is too small for one goes with the larger
    region that it borders on most, and is not determined where there is none.
    """
    grounds = local_grounds(shapes, graph, directions, rows)
    opus = suggest_opus(graph, grounds)
    return opus, regions_of(shapes, graph, grounds, opus)


def suggest_opus(graph: Neighbours, grounds: Grounds) -> Positions:
    """The opus that each tessera's surroundings suggest, so that none stands in too small a region of its own."""
    return _join_small(graph, _agree(graph, propose_opus(grounds)))


def regions_of(shapes: Shapes, graph: Neighbours, grounds: Grounds, opus: Positions) -> tuple[OpusRegion, ...]:
    """The regions of one opus, the largest first, of tesserae whose opus is known."""
    part = graph.components(_same(graph, opus))
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
    return tuple(sorted(regions, key=lambda region: -region.tesserae))


def _same(graph: Neighbours, opus: Positions) -> NDArray[np.bool_]:
    i, j = graph.pairs.T
    return np.asarray(opus[i] == opus[j])


def _agree(graph: Neighbours, opus: Positions) -> Positions:
    """What most say round each tessera."""
    blur = Blur(graph, np.ones(len(graph.pairs)))
    votes = [blur.spread((opus == k).astype(float), _VOTES) for k in range(len(OPERA))]
    return np.asarray(np.argmax(votes, axis=0), np.int64)


def _join_small(graph: Neighbours, opus: Positions) -> Positions:
    """Let regions of too few tesserae, the smallest first, go with larger ones; what is left is not determined."""
    one, other = np.concatenate([graph.pairs, graph.pairs[:, ::-1]]).T
    for _ in range(_JOINING):
        part = graph.components(_same(graph, opus))
        size = np.bincount(part, minlength=1)
        rank = np.argsort(np.argsort(size, kind="stable"), kind="stable")
        upwards = (size[part[one]] < _SMALLEST) & (rank[part[other]] > rank[part[one]])
        if not upwards.any():
            break
        votes = np.zeros((len(size), len(OPERA)))
        np.add.at(votes, (part[one[upwards]], opus[other[upwards]]), 1)
        voting = votes.any(1)
        turn = voting & (size <= 2 * size[voting].min())
        opus = np.where(turn[part], votes.argmax(1)[part], opus)
    part = graph.components(_same(graph, opus))
    small = np.bincount(part, minlength=1)[part] < _SMALLEST
    return np.asarray(np.where(small, _NONE, opus), np.int64)


__all__ = [
    "OPERA",
    "Grounds",
    "OpusRegion",
    "local_grounds",
    "opus_regions",
    "propose_opus",
    "regions_of",
    "suggest_opus",
]
