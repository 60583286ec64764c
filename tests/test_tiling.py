from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_mosaic.errors import InputError
from napari_mosaic.tiling import Box, Lattice

sides = st.integers(1, 90)


@given(sides, sides, st.integers(1, 40), st.integers(0, 30))
def test_cores_partition_the_image(height: int, width: int, core: int, halo: int) -> None:
    lattice = Lattice(shape=(height, width), core=core, halo=halo)
    hits = np.zeros((height, width), int)
    for tile in lattice:
        hits[tile.core.slices] += 1
        assert tile.read == tile.core.grow(halo)
    assert (hits == 1).all()
    assert len(lattice) == len(list(lattice))


@given(sides, sides, st.integers(1, 40), st.tuples(*[st.integers(-20, 100)] * 4))
def test_overlapping_finds_exactly_the_tiles_that_meet_a_box(
    height: int, width: int, core: int, edges: tuple[int, int, int, int]
) -> None:
    box = Box(min(edges[0], edges[2]), min(edges[1], edges[3]), max(edges[0], edges[2]), max(edges[1], edges[3]))
    lattice = Lattice(shape=(height, width), core=core)
    assert lattice.overlapping(box) == [tile.index for tile in lattice if tile.core.intersect(box).area]


def test_no_example_is_judged_by_a_clock() -> None:
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check


def test_box_within_another() -> None:
    outer = Box(10, 20, 30, 60)
    assert Box(12, 25, 14, 30).within(outer) == (slice(2, 4), slice(5, 10))
    assert Box(0, 0, 5, 5).intersect(Box(5, 0, 9, 9)).area == 0


def test_empty_lattice_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        Lattice(shape=(10, 10), core=0)


def test_a_box_on_another_grid_is_rounded_outwards() -> None:
    assert Box(3, 5, 9, 10).scale(0.75) == (2, 3, 7, 8)
    assert Box(-3, 5, 9, 10).scale(0.75) == (-3, 3, 7, 8)
    assert Box(3, 5, 9, 10).scale(2) == (6, 10, 18, 20)
    assert all(type(edge) is int for edge in Box(3, 5, 9, 10).scale(np.float64(0.3)))
