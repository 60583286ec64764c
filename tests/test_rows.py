"""Rows and directions, against drawn floors that know their rows and crops whose rows were marked by eye."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.errors import InputError
from napari_mosaic.measurement.andamento import direction_field
from napari_mosaic.measurement.label_images import measure_labels
from napari_mosaic.measurement.neighbours import join_borders
from napari_mosaic.measurement.opus import OPERA, Grounds, OpusRegion, opus_regions, propose_opus
from napari_mosaic.measurement.rows import pair_score, pairs_of, trace_rows
from napari_mosaic.synthetic.manners import EXPECTED, draw_manner
from napari_mosaic.synthetic.rows import LAYINGS, draw_rows

MARKED = sorted((Path(__file__).parent / "data" / "rows").glob("*.json"))


def found_pairs(labels: NDArray[np.int32]) -> set[tuple[int, int]]:
    ids, shapes, graph = measure_labels(labels)
    rows = trace_rows(shapes, graph, direction_field(shapes, graph), shortest=2)
    return pairs_of([ids[chain] for chain in rows.chains()])


def bricks(turn: float, side: tuple[int, int] = (30, 14)) -> NDArray[np.int32]:
    """Courses of bricks, each half a brick out of step with the one before, turned by degrees anticlockwise as seen."""
    y, x = np.mgrid[:300, :300] - 150.0
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    u, v = c * x - s * y + 1000, s * x + c * y + 1000
    course = np.floor(v / side[1]).astype(int)
    u = u + course % 2 * side[0] / 2
    joint = (u % side[0] < 2) | (v % side[1] < 2)
    number = course * 200 + np.floor(u / side[0]).astype(int)
    _, labels = np.unique(number, return_inverse=True)
    return np.where(joint, 0, labels.reshape(y.shape) + 1).astype(np.int32)


@pytest.mark.parametrize("laying", LAYINGS)
def test_rows_of_drawn_floors_are_followed(laying: str) -> None:
    scores = []
    for seed in (700, 701, 702):
        drawing = draw_rows(400, seed, laying)
        scores.append(pair_score(found_pairs(drawing.labels), pairs_of(drawing.rows)))
    assert np.mean(scores) >= 0.95


@pytest.mark.parametrize("path", MARKED, ids=lambda path: path.stem)
def test_rows_of_real_crops_are_those_that_eyes_see(shared_data: Path, path: Path) -> None:
    marked = json.loads(path.read_text(encoding="utf-8"))
    labels = np.array(Image.open(shared_data / marked["truth"]))[1::3, 1::3].astype(np.int32)
    assert pair_score(found_pairs(labels), pairs_of(marked["rows"])) >= 0.85


@pytest.mark.parametrize("turn", [0, 20, 65, 110, 160])
def test_the_direction_of_courses_is_theirs_at_any_angle(turn: int) -> None:
    _, shapes, graph = measure_labels(bricks(turn))
    directions = direction_field(shapes, graph)
    inner = np.hypot(*(shapes.centres - 150).T) < 100
    off = (directions.angle[inner] - turn + 90) % 180 - 90
    assert abs(off).max() < 2
    assert directions.coherence[inner].min() > 0.8
    rows = trace_rows(shapes, graph, directions)
    assert len(rows.chains()) == rows.count > 10
    for chain in rows.chains():
        assert rows.place[chain].tolist() == list(range(1, len(chain) + 1))


def test_a_ring_is_one_row_and_no_tessera_stands_in_two() -> None:
    drawing = draw_rows(300, 5, "concentric")
    _, shapes, graph = measure_labels(drawing.labels)
    rows = trace_rows(shapes, graph, direction_field(shapes, graph))
    chains = rows.chains()
    together = np.concatenate(chains)
    assert len(together) == len(np.unique(together)) == (rows.row > 0).sum()


def test_a_floor_of_one_tessera_or_none_has_no_row() -> None:
    for labels in (np.zeros((40, 40), np.int32), np.pad(np.ones((10, 10), np.int32), 15)):
        _, shapes, graph = measure_labels(labels)
        directions = direction_field(shapes, graph)
        rows = trace_rows(shapes, graph, directions)
        assert rows.count == 0
        assert rows.chains() == []
        assert opus_regions(shapes, graph, directions, rows)[1] == ()


def test_an_edge_is_what_both_sides_say() -> None:
    said = [
        (np.array([0]), np.array([1]), np.array([8]), np.array([2.0])),
        (np.array([1, 1]), np.array([0, 2]), np.array([6, 4]), np.array([3.0, 1.0])),
    ]
    graph = join_borders(3, said)
    assert graph.pairs.tolist() == [[0, 1], [1, 2]]
    assert graph.facing.tolist() == [7, 4]
    assert graph.width.tolist() == [2.5, 1.0]
    assert graph.degrees.tolist() == [1, 2, 1]


@pytest.mark.parametrize("manner", ["grid", "bond", "concentric", "palladian", "pattern", "cells", "pebbles"])
def test_an_opus_is_proposed_for_what_is_laid_so(manner: str) -> None:
    """One drawing each that the rules get right; `benchmarks/opus.py` says how many of 30 they do."""
    _, shapes, graph = measure_labels(draw_manner(512, 104, manner))
    directions = direction_field(shapes, graph)
    opus, regions = opus_regions(shapes, graph, directions, trace_rows(shapes, graph, directions))
    assert OPERA[int(np.bincount(opus).argmax())] == EXPECTED[manner]
    assert regions[0].opus == EXPECTED[manner]
    assert "in rows" in regions[0].words


def test_a_figure_is_parted_from_the_ground_that_it_stands_on() -> None:
    """A disc of circles, twenty tesserae wide, on straight rows."""
    y, x = np.ogrid[:512, :512]
    figure = (y - 256) ** 2 + (x - 256) ** 2 < 150**2
    drawn, ground = draw_manner(512, 104, "concentric"), draw_manner(512, 104, "bond")
    labels = np.where(figure, np.where(drawn > 0, drawn + int(ground.max()), 0), ground)
    ids, shapes, graph = measure_labels(labels)
    directions = direction_field(shapes, graph)
    opus, regions = opus_regions(shapes, graph, directions, trace_rows(shapes, graph, directions))
    bent = opus == OPERA.index("vermiculatum")
    inside = ids > ground.max()
    assert bent[inside].mean() > 0.8
    assert bent[~inside].mean() < 0.3
    assert {region.opus for region in regions} == {"vermiculatum", "tessellatum"}


STRAIGHT = Grounds(
    filled=0.86, in_rows=0.75, bend=9.0, turn=0.6, stray=5.0, out_of_step=0.35, long=1.3, uneven=0.16, crowded=1.1,
    joint=0.28, size=0.95,
)  # fmt: skip
"""Rows as hands lay them: they stray by some degrees and turn by few."""


@pytest.mark.parametrize(
    ("change", "opus"),
    [
        ({}, "tessellatum"),
        ({"turn": 2.0}, "vermiculatum"),
        ({"size": 0.7, "bend": 14.0}, "vermiculatum"),
        ({"stray": 0.3, "turn": 0.1}, "regulatum"),
        ({"stray": 0.3, "turn": 0.1, "out_of_step": 0.1}, "tessellatum"),
        ({"long": 2.5, "turn": 0.1}, "regulatum"),
        ({"in_rows": 0.5}, "not determined"),
        ({"in_rows": 0.4, "filled": 0.77, "uneven": 0.3, "crowded": 1.5}, "palladianum"),
        ({"in_rows": 0.4, "filled": 0.79, "uneven": 0.3, "crowded": 1.0}, "not determined"),
    ],
)
def test_what_speaks_for_an_opus_is_told_with_it(change: dict[str, float], opus: str) -> None:
    grounds = replace(STRAIGHT, **change)
    assert OPERA[int(propose_opus(grounds))] == opus
    region = OpusRegion(opus=opus, tesserae=100, grounds=grounds, centre=(0.0, 0.0))
    assert region.words.startswith(f"{region.reason}; ")
    reasons = {replace(region, opus=name).reason for name in OPERA if name not in ("regulatum", "vermiculatum", opus)}
    assert region.reason not in reasons


def test_what_cannot_be_drawn_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="no laying 'heaps'"):
        draw_rows(64, 0, "heaps")
    with pytest.raises(InputError, match="no manner 'heaps'"):
        draw_manner(64, 0, "heaps")
