"""GROUT's set of drawings: its proportions, its joints, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import ndimage

from napari_mosaic.synthetic import grout_recipe
from napari_mosaic.synthetic.grout_recipe import MONOCHROME, NO_JOINT, PATTERNS, draw_grout_like


def test_the_same_seed_draws_the_same() -> None:
    one, two, other = (draw_grout_like(96, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.labels, two.labels)
    assert not np.array_equal(one.image, other.image)
    assert one.image.dtype == np.uint8
    assert one.image.shape == (96, 96, 3)
    assert one.valid.all()


def test_patterns_come_in_their_proportions() -> None:
    drawn = Counter(draw_grout_like(32, seed).geometry for seed in range(300))
    assert {name: round(count / 300, 1) for name, count in drawn.items()} == PATTERNS
    assert (MONOCHROME, NO_JOINT) == (0.15, 0.1)


@pytest.mark.parametrize("pattern", list(PATTERNS))
def test_tiles_are_whole_apart_and_as_many_as_they_should_be(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grout_recipe, "PATTERNS", {pattern: 1.0})
    drawing = draw_grout_like(256, 1)
    labels = drawing.labels
    joint = labels == 0
    pieces, count = ndimage.label(~joint)
    owners = [np.unique(labels[pieces == piece]) for piece in range(1, min(count, 60))]
    assert all(len(owner) == 1 for owner in owners)
    assert 40 < len(np.unique(labels)) < 600
    width = 2 * ndimage.distance_transform_edt(joint)[ndimage.binary_erosion(joint)].mean() if joint.any() else 0
    assert 1 < width < 5
