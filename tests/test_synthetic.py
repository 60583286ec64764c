"""Drawn mosaics: the same for the same seed, and true to what they show."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label

from napari_mosaic.errors import InputError
from napari_mosaic.synthetic import GEOMETRIES, draw_mosaic


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_geometry_is_drawn_with_its_truth(geometry: str) -> None:
    drawing = draw_mosaic(128, seed=3, geometry=geometry, tessera_px=20, damaged=False)
    assert drawing.image.shape == (128, 128, 3)
    assert drawing.image.dtype == np.uint8
    assert drawing.labels.shape == drawing.valid.shape == (128, 128)
    assert drawing.labels.dtype == np.int32
    assert drawing.valid.dtype == bool
    if geometry == "none":
        assert drawing.labels.max() == 0
    else:
        assert 10 < drawing.labels.max() < 90


def test_the_same_seed_draws_the_same_mosaic_and_another_seed_another() -> None:
    first, again, other = draw_mosaic(96, seed=7), draw_mosaic(96, seed=7), draw_mosaic(96, seed=8)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", range(8))
def test_every_stone_is_one_piece_and_numbers_run_without_gaps(seed: int) -> None:
    labels = draw_mosaic(128, seed=seed).labels
    _, pieces = label(labels, connectivity=1, background=0, return_num=True)
    assert pieces == labels.max() == np.unique(labels[labels > 0]).size


def test_stones_measure_what_was_asked_for() -> None:
    for side in (12.0, 24.0, 40.0):
        labels = draw_mosaic(256, seed=2, geometry="grid", tessera_px=side, damaged=False).labels
        area = np.bincount(labels.ravel())[1:]
        assert 0.55 * side < np.median(np.sqrt(area)) < 1.2 * side


def test_joints_of_a_clean_drawing_look_unlike_the_stones() -> None:
    drawing = draw_mosaic(160, seed=11, geometry="grid", tessera_px=24, damaged=False, effects=False)
    stone, joint = (drawing.image[drawing.labels.astype(bool) == side].mean() for side in (True, False))
    assert abs(float(stone) - float(joint)) > 5


def test_damage_takes_stones_away() -> None:
    def stones(damaged: bool) -> int:
        return sum(int((draw_mosaic(128, seed=s, geometry="rows", damaged=damaged).labels > 0).sum()) for s in range(6))

    assert stones(True) < 0.9 * stones(False)


def test_drawings_need_not_be_square() -> None:
    drawing = draw_mosaic((64, 100), seed=1)
    assert drawing.image.shape == (64, 100, 3)
    assert drawing.labels.shape == (64, 100)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 16, "seed": 0}, "32 px"),
        ({"size": 64, "seed": 0, "geometry": "herringbone"}, "herringbone"),
        ({"size": 64, "seed": 0, "tessera_px": 2.0}, "6 to 200"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        draw_mosaic(**arguments)
