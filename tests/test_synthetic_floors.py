"""Drawn worn floors: the same for the same seed, true to what they show, and shadows that fall one way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.measure import label

from napari_mosaic.synthetic import draw_floor, draw_mosaic, floors, surface
from napari_mosaic.synthetic.legibility import legible, outlined
from napari_mosaic.synthetic.lying import lying_thing
from napari_mosaic.training.pool import draw_one


@pytest.mark.parametrize("kind", floors.KINDS)
@pytest.mark.parametrize("shape", [(128, 128), (96, 160)])
def test_every_kind_of_floor_is_drawn_with_its_truth(kind: str, shape: tuple[int, int]) -> None:
    for seed in range(3):
        drawing = draw_floor(shape, seed, kind)
        assert drawing.image.shape == (*shape, 3)
        assert drawing.image.dtype == np.uint8
        assert drawing.labels.shape == drawing.valid.shape == shape
        _, pieces = label(drawing.labels, connectivity=1, background=0, return_num=True)
        assert pieces == drawing.labels.max() == np.unique(drawing.labels[drawing.labels > 0]).size
        assert (drawing.labels.max() == 0) == (kind == "none") or seed > 0


def test_the_same_seed_draws_the_same_floor_and_no_mosaic_of_that_seed() -> None:
    first, again = draw_floor(96, 7), draw_floor(96, 7)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    np.testing.assert_array_equal(first.valid, again.valid)
    assert not np.array_equal(first.image, draw_mosaic(96, 7).image)
    assert not np.array_equal(first.image, draw_floor(96, 8).image)


def test_of_both_sets_even_seeds_are_floors_and_odd_ones_mosaics() -> None:
    np.testing.assert_array_equal(draw_one(64, 4, "both").image, draw_floor(64, 4).image)
    np.testing.assert_array_equal(draw_one(64, 5, "both").image, draw_mosaic(64, 5).image)
    np.testing.assert_array_equal(draw_one(64, 5, "floors").image, draw_floor(64, 5).image)


def _two_by_two(line: int, colours: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Four stones of 20 px that touch, with a line of a grey level between them."""
    labels = np.kron(np.array([[1, 2], [3, 4]], np.int32), np.ones((20, 20), np.int32))
    image = np.kron(np.array(colours).reshape(2, 2), np.ones((20, 20))).astype(np.uint8)
    image[19:21] = image[:, 19:21] = line
    return np.stack([image] * 3, axis=-1), labels


def test_stones_that_touch_without_a_line_are_unknown_and_with_one_they_are_known() -> None:
    image, labels = _two_by_two(120, (120, 120, 120, 120))
    assert legible(image, labels).all()
    assert not outlined(image, labels).any()
    image, labels = _two_by_two(90, (120, 120, 120, 120))
    assert outlined(image, labels).all()


def test_a_stone_of_another_colour_is_known_where_its_neighbours_run_together() -> None:
    image, labels = _two_by_two(120, (120, 120, 120, 120))
    image[labels == 4] = 180
    known = outlined(image, labels)
    assert known[labels == 4].all()
    assert not known[labels == 1].any()


def test_shadows_fall_away_from_the_light() -> None:
    height = np.zeros((40, 40), np.float32)
    height[15:25, 15:25] = 3.0
    picture = np.full((40, 40, 3), 100, np.float32)
    out = surface.lit(picture, height, surface.Light(angle=0.0, fall=0.8, shadow=0.8, slope=0.0))[..., 0]
    assert out[20, 26] < 40
    assert out[20, 13] > 95
    assert out[13, 20] > 95


def test_dirt_and_crumbs_are_no_stones() -> None:
    rng = np.random.default_rng(3)
    cover, height = surface.crumbs(rng, np.pad(np.ones((40, 40), np.float32), 20), 16.0)
    assert cover[20:60, 20:60].max() > 0.5
    assert cover[:19].max() == 0
    assert height[cover == 0].max() == 0


def test_what_lies_on_a_floor_covers_a_part_and_has_a_colour_everywhere() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(25):
        thing, where = lying_thing(rng, (90, 120), 12.0)
        assert thing.shape == (90, 120, 3)
        assert where.shape == (90, 120)
        assert np.isfinite(thing).all()
        covered.append(float(where.mean()))
    assert 0.02 < np.mean(covered) < 0.7


def test_floors_are_sharper_than_other_drawings_as_photographs_are() -> None:
    def fine(images: list[np.ndarray]) -> float:
        grey = [image.mean(axis=2) for image in images]
        return float(np.mean([(g - cv2.GaussianBlur(g, (0, 0), 1.0)).std() / (g.std() + 1) for g in grey]))

    floor = fine([draw_floor(160, seed, "rows", tessera_px=16).image for seed in range(10)])
    other = fine([draw_mosaic(160, seed, "rows", tessera_px=16).image for seed in range(10)])
    assert floor > 1.1 * other


def test_a_fifth_of_the_floors_are_flat_even_stones_of_which_every_one_shows() -> None:
    kinds = [draw_floor(48, seed).geometry for seed in range(100)]
    assert 10 <= kinds.count("flat") <= 30
    for seed in range(20):
        drawing = draw_floor((96, 128), seed, "flat")
        stones = [drawing.image[drawing.labels == number] for number in range(1, int(drawing.labels.max()) + 1)]
        assert len(stones) > 3
        assert drawing.valid[drawing.labels > 0].mean() > 0.9
    np.testing.assert_array_equal(draw_floor(96, 7, "flat").image, draw_floor(96, 7, "flat").image)
