"""Drawn mosaics: the same for the same seed, and true to what they show."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label

from napari_mosaic.errors import InputError
from napari_mosaic.synthetic import GEOMETRIES, draw_mosaic, drawing, layouts


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
        assert 10 < drawing.labels.max() < (200 if geometry in ("mixed", "figure") else 90)


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


@pytest.mark.parametrize("geometry", ["bond", "bricks"])
def test_courses_cover_the_whole_canvas(geometry: str) -> None:
    for seed in range(10):
        shape = (300, 400)
        rng = np.random.default_rng(seed)
        stones = layouts.lay_field(rng, shape, 24.0, geometry)
        owner = layouts.lay_out(rng, stones, shape, rough=0.0).owner
        assert (owner < 0).mean() < 0.01


def test_bricks_are_long_and_their_joints_as_wide_at_the_ends_as_along_the_sides() -> None:
    stones = layouts.Tesserae(
        centre=np.array([[60, 60], [60, 160], [84, 110]], np.float32),
        angle=np.zeros(3, np.float32),
        half=np.stack([50 * np.ones(3), 12 * np.ones(3)], axis=1).astype(np.float32),
        power=np.full(3, 8, np.int32),
        skew=np.zeros((3, 2), np.float32),
        row=np.full(3, -1),
    )
    layout = layouts.lay_out(np.random.default_rng(0), stones, (120, 220), rough=0.0)
    depth = layout.gap / 2 * layout.unit
    end, side = depth[56, 105], depth[67, 80]
    assert end == pytest.approx(5, abs=1.2)
    assert side == pytest.approx(5, abs=1.2)


def test_cut_stones_are_parts_of_the_stones_they_were_cut_from() -> None:
    rng = np.random.default_rng(4)
    shape = (200, 200)
    whole = layouts.lay_out(rng, layouts.lay_grid(rng, shape, 30.0, bond=False), shape, rough=0.0)
    cut = layouts.cut_stones(rng, whole, share=0.5)
    n = len(whole.stones)
    assert n < len(cut.stones) < 2 * n
    for new in np.unique(cut.owner[cut.owner >= n]):
        assert len(np.unique(whole.owner[cut.owner == new])) == 1
    assert (cut.gap <= whole.gap).all()
    assert layouts.cut_stones(rng, whole, share=0.0) is whole


def test_gaps_are_filled_with_smaller_stones_and_what_was_laid_stays() -> None:
    rng = np.random.default_rng(5)
    stones = layouts.lay_grid(rng, (200, 200), 24.0, bond=False)
    y, x = stones.centre.T
    left = stones.keep((np.abs(y - 100) > 18) | (np.abs(x - 100) > 60))
    filled = layouts.fill_gaps(rng, left, (200, 200))
    new = filled.centre[len(left) :]
    np.testing.assert_array_equal(filled.centre[: len(left)], left.centre)
    assert len(new) > 3
    assert filled.half[len(left) :].max() < 1.6 * left.half.max()


def test_a_lost_stone_leaves_no_outline_of_its_own() -> None:
    depth = np.full((40, 61), 6.0, np.float32)
    depth[:, 19:22] = depth[:, 39:42] = -1.0
    lost = np.zeros(depth.shape, bool)
    lost[:, 20:41] = True
    middle = drawing.take_out(depth, lost)[20, 19:42]
    assert (middle <= -1).all()
    assert (np.diff(middle[1:11]) <= 0).all()
    np.testing.assert_array_equal(drawing.take_out(depth, np.zeros_like(lost)), depth)


def test_a_figure_that_fills_the_canvas_has_a_finite_distance() -> None:
    np.testing.assert_allclose(layouts.signed_distance(np.ones((40, 50), bool)), 90, rtol=1e-5)
    np.testing.assert_allclose(layouts.signed_distance(np.zeros((40, 50), bool)), -90, rtol=1e-5)


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
