"""Frames of panels: what is quiet and straight all round is background, and no stone of a mosaic is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.image import background_mask, open_image
from napari_mosaic.image.background import framed_panel
from napari_mosaic.synthetic import draw_mosaic


def framed(seed: int, frame: int = 90) -> NDArray[np.uint8]:
    """A drawn panel within a frame of veined marble that has a moulding."""
    rng = np.random.default_rng(seed)
    panel = draw_mosaic((500, 640), seed, geometry="bond", tessera_px=20, damaged=False).image
    height, width = panel.shape[0] + 2 * frame, panel.shape[1] + 2 * frame
    field = [ndimage.gaussian_filter(rng.normal(0, 1, (height, width)), sigma) for sigma in (30, 40)]
    cloud, vein = (values / values.std() for values in field)
    shade = (1 + 0.05 * cloud) * (1 - 0.25 * np.exp(-((vein / 0.1) ** 2)))
    y, x = np.mgrid[:height, :width]
    depth = np.minimum.reduce([y, x, height - 1 - y, width - 1 - x])
    for edge in (0.3, 0.7, 1.0):
        shade *= 1 - 0.35 * np.exp(-(((depth - edge * frame) / 4) ** 2))
    marble = np.array([205, 198, 185]) * shade[..., None] + rng.normal(0, 3, (height, width, 1))
    picture = np.clip(marble, 0, 255).astype(np.uint8)
    picture[frame:-frame, frame:-frame] = panel
    return picture


@pytest.mark.parametrize("seed", [2, 4])
def test_the_frame_of_a_panel_is_background_and_no_stone_of_it_is_lost(seed: int) -> None:
    picture = framed(seed)
    found = framed_panel(picture)
    assert found is not None
    height, width = picture.shape[:2]
    for edge in (found.y0, found.x0, height - found.y1, width - found.x1):
        assert 75 <= edge <= 90
    with open_image(picture) as image:
        mask, _ = background_mask(image)
    assert mask[:70].all()
    assert not mask[90:-90, 90:-90].any()


def test_what_is_framed_on_three_sides_or_by_stones_is_no_frame() -> None:
    picture = framed(2)
    assert framed_panel(picture[:-90]) is None
    assert framed_panel(draw_mosaic((500, 640), 2, geometry="bond", tessera_px=20).image) is None
    border = draw_mosaic((680, 820), 3, geometry="grid", tessera_px=30, damaged=False).image
    border[90:-90, 90:-90] = picture[90:-90, 90:-90]
    assert framed_panel(border) is None


def test_a_frame_of_wood_is_one_though_its_fibres_are_lively() -> None:
    rng = np.random.default_rng(4)
    panel = draw_mosaic((500, 640), 15, geometry="bond", tessera_px=20, damaged=False).image

    def board(height: int, width: int) -> NDArray[np.float64]:
        grains = (ndimage.gaussian_filter(rng.normal(0, 1, (height, width)), sigma) for sigma in ((1.2, 60), (4, 120)))
        return np.sum([grain / grain.std() for grain in grains], axis=0)

    y, x = np.mgrid[:680, :820]
    lying = np.minimum(y, 679 - y) < np.minimum(x, 819 - x)
    fibres = np.where(lying, board(680, 820), board(820, 680).T)
    wood = np.array([120, 78, 45]) * (1 + 0.12 * fibres[..., None]) + rng.normal(0, 3, (680, 820, 1))
    picture = np.clip(wood, 0, 255).astype(np.uint8)
    picture[90:-90, 90:-90] = panel
    found = framed_panel(picture)
    assert found is not None
    assert all(75 <= edge <= 90 for edge in (found.y0, found.x0, 680 - found.y1, 820 - found.x1))


def test_a_border_of_larger_stones_is_no_frame() -> None:
    border = draw_mosaic((680, 820), 21, geometry="grid", tessera_px=40, damaged=False).image.copy()
    border[90:-90, 90:-90] = draw_mosaic((500, 640), 221, geometry="bond", tessera_px=12, damaged=False).image
    assert framed_panel(border) is None
