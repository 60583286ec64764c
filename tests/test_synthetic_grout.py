"""GROUT's set of drawings: its proportions, its joints, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_mosaic.synthetic import grout_recipe
from napari_mosaic.synthetic.grout_recipe import (
    MONOCHROME,
    NO_JOINT,
    PATTERNS,
    GroutTraits,
    choose_traits,
    count_seeds,
    draw_grout_like,
)
from napari_mosaic.training.synthesis import drawing_seed


def test_the_same_seed_draws_the_same() -> None:
    one, two, other = (draw_grout_like(96, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.labels, two.labels)
    assert not np.array_equal(one.image, other.image)
    assert one.image.dtype == np.uint8
    assert one.image.shape == (96, 96, 3)
    assert one.valid.all()


def test_a_set_has_the_proportions_of_the_recipe() -> None:
    """Over 300 drawings, within three standard deviations of a part that is drawn at random."""
    traits = [choose_traits(drawing_seed(42, number)) for number in range(300)]
    parts = dict(PATTERNS) | {"monochrome": MONOCHROME, "no joint": NO_JOINT}
    assert parts == {"bond": 0.4, "circles": 0.3, "cells": 0.3, "monochrome": 0.15, "no joint": 0.1}
    for name, part in parts.items():
        count = sum(
            {"monochrome": t.monochrome, "no joint": t.joint_px == 0}.get(name, t.pattern == name) for t in traits
        )
        assert abs(count / 300 - part) < 3 * (part * (1 - part) / 300) ** 0.5, name
    assert not any(t.monochrome and t.joint_px == 0 for t in traits)
    assert all(t.joint_px == 0 or 1 <= t.joint_px <= 4 for t in traits)
    assert all(2 <= t.truth_px <= 3 for t in traits)
    assert min(t.tiles for t in traits) >= 400
    assert max(t.tiles for t in traits) <= 1500
    assert len({t.tiles for t in traits}) > 200


@pytest.mark.parametrize("tiles", [400, 1500])
def test_cells_have_the_seeds_of_the_recipe(tiles: int) -> None:
    """All of them where one sees them all, and as dense in a smaller picture."""
    assert count_seeds(512, tiles) == tiles
    drawing = draw_grout_like(512, 5, GroutTraits("cells", tiles, False, 2.0, 2.0))
    seen = len(np.unique(drawing.labels)) - 1
    assert seen == pytest.approx(tiles * (512 / 612) ** 2, rel=0.15)
    assert drawing.tessera_px == pytest.approx(612 / tiles**0.5)


def test_monochrome_is_one_colour_and_no_joint_is_none() -> None:
    colours = grout_recipe._colours(np.random.default_rng(1), 50, one=True)
    assert len(np.unique(colours, axis=0)) == 1
    many = grout_recipe._colours(np.random.default_rng(1), 50, one=False)
    assert len(np.unique(many, axis=0)) == 50
    touching = draw_grout_like(128, 9, GroutTraits("bond", 900, False, 0.0, 2.0))
    parted = draw_grout_like(128, 9, GroutTraits("bond", 900, False, 3.0, 2.0))
    assert np.array_equal(touching.labels, parted.labels)
    joint, plain = touching.labels == 0, touching.image.astype(int)
    assert (
        abs(plain[joint].mean() - plain[~joint].mean())
        < 8
        < abs(parted.image[joint].mean() - parted.image[~joint].mean())
    )


@pytest.mark.parametrize("pattern", list(PATTERNS))
def test_tiles_are_whole_apart_and_as_many_as_they_should_be(pattern: str) -> None:
    drawing = draw_grout_like(256, 1, GroutTraits(pattern, 800, False, 2.0, 2.5))
    labels = drawing.labels
    joint = labels == 0
    pieces, count = ndimage.label(~joint)
    owners = [np.unique(labels[pieces == piece]) for piece in range(1, min(count, 60))]
    assert all(len(owner) == 1 for owner in owners)
    assert 40 < len(np.unique(labels)) < 600
    width = 2 * ndimage.distance_transform_edt(joint)[ndimage.binary_erosion(joint)].mean() if joint.any() else 0
    assert 1 < width < 5
