"""Areas with holes as single rings that napari draws, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

pytest.importorskip("napari")

from napari.layers import Shapes

from napari_mosaic.areas import AreaSet
from napari_mosaic.widgets._areas import MOST_CORNERS, draw_polygon, drawn_areas, shape_of

FLOOR = shapely.box(10, 20, 110, 90).difference(shapely.box(30, 30, 50, 50)).difference(shapely.box(70, 40, 90, 80))


def filled(ring: NDArray[Any]) -> NDArray[np.bool_]:
    """What napari fills of a ring, by its own triangles."""
    shape = Shapes([ring], shape_type="polygon")._data_view.shapes[0]
    places, triangles = shape._face_vertices, shape._face_triangles
    cover = shapely.union_all([shapely.Polygon(places[corners]) for corners in triangles])
    y, x = np.mgrid[:130, :130] + 0.25
    return np.asarray(shapely.contains_xy(cover, y, x))


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_napari_leaves_holes_open(factor: float) -> None:
    ring = draw_polygon(0, FLOOR, factor).ring
    y, x = np.mgrid[:130, :130] + 0.25
    wanted = shapely.contains_xy(FLOOR, (x + 0.5) / factor, (y + 0.5) / factor)
    assert np.array_equal(filled(ring), wanted)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_what_nobody_moves_stays_and_what_moves_takes_its_holes_along(factor: float) -> None:
    drawn = draw_polygon(0, FLOOR, factor)
    assert shape_of(drawn.ring, factor, drawn) is drawn.shape
    moved = shape_of(drawn.ring + np.array([7, -4]) * factor, factor, drawn)
    assert moved.symmetric_difference(shapely.affinity.translate(FLOOR, -4, 7)).area < 1e-6


@pytest.mark.parametrize("corner", range(16))
def test_one_corner_taken_at_a_bridge_opens_nothing(corner: int) -> None:
    drawn = draw_polygon(0, FLOOR, 1.0)
    ring = drawn.ring.copy()
    ring[corner] += (3, 2)
    shape = shape_of(ring, 1.0, drawn)
    assert shape.geom_type == "Polygon"
    assert len(shape.interiors) == 2
    assert shape.area == pytest.approx(FLOOR.area, rel=0.06)


def test_an_area_of_many_holes_and_corners_is_drawn_with_fewer() -> None:
    turn = np.linspace(0, 2 * np.pi, 5001)[:-1]
    disc = shapely.Polygon(np.stack([500 + 400 * np.cos(turn), 500 + 400 * np.sin(turn)], 1))
    specks = shapely.union_all(
        [shapely.box(x, y, x + 4, y + 4) for x in range(300, 700, 20) for y in range(300, 700, 20)]
    )
    floor = disc.difference(specks).difference(shapely.box(700, 480, 780, 560))
    drawn = draw_polygon(0, floor, 1.0)
    assert len(drawn.ring) < 2 * MOST_CORNERS
    moved = shape_of(drawn.ring + np.array([5, 5]), 1.0, drawn)
    assert moved.area == pytest.approx(floor.area, rel=0.02), "holes too small to be drawn are not filled by moving"


def test_only_area_classes_are_drawn() -> None:
    areas = AreaSet().add("region", FLOOR).add("lacuna", FLOOR).add("mark", shapely.Point(1, 1))
    assert [one.number for one in drawn_areas(areas, 1.0)] == [1]
