"""Several views of a window: turned there and back, fused, and the same whatever tiles, order and interruptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_mosaic.areas import AreaSet
from napari_mosaic.engine.costs import count_blocks
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.planning import Choices, make_plan
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.engine.views import BEST_SIZES, View, best_views, fuse, turned, turned_back
from napari_mosaic.engine.windows import MapContext, predict_maps, read_for_network
from napari_mosaic.errors import RecordError
from napari_mosaic.estimating import estimate_run
from napari_mosaic.image import open_image
from napari_mosaic.record import Plan, open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import lazy_tesserae, segment, segment_steps
from napari_mosaic.tesserae import TesseraParams, find_tesserae
from napari_mosaic.tiling import Box

Photograph = Callable[..., NDArray[np.uint8]]
BEST = SegmentParams(method="brightness", scale=1.0, tile_size=1024, quality="best")


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_what_is_turned_comes_back(turns: int, mirrored: bool) -> None:
    picture = np.arange(5 * 7 * 3).reshape(5, 7, 3)
    seen = turned(picture, turns, mirrored, (0, 1))
    assert seen.flags.c_contiguous
    np.testing.assert_array_equal(turned_back(seen, turns, mirrored, (0, 1)), picture)


def test_fusing_is_the_mean_of_log_odds() -> None:
    maps = np.random.default_rng(0).integers(0, 256, (3, 2, 40, 40)).astype(np.uint8)
    np.testing.assert_array_equal(fuse([maps[0]]), maps[0])
    p = (maps.astype(float) + 0.5) / 256
    mean = np.log(p / (1 - p)).mean(0)
    assert np.abs(fuse(list(maps)) - 255 / (1 + np.exp(-mean))).max() <= 0.51
    np.testing.assert_array_equal(fuse(list(maps)), fuse([maps[2], maps[0], maps[1]]))
    sure, torn = np.full((1, 1, 1), 255, np.uint8), np.full((1, 1, 1), 64, np.uint8)
    assert fuse([sure, torn])[0, 0, 0] > 220, "who is sure outweighs who is not"


def test_views_have_the_sizes_of_the_accurate_method_and_lie_each_another_way() -> None:
    views = best_views(20.0, 16.0)
    assert [view.scale * 20 for view in views] == pytest.approx(BEST_SIZES)
    assert len({view[1:] for view in views}) == len(views)
    assert best_views(None, 16.0)[0].scale == pytest.approx(BEST_SIZES[0] / 16)


def test_large_stones_are_not_only_shown_smaller_than_they_are() -> None:
    expected = [1.25 * size / max(BEST_SIZES) for size in BEST_SIZES]
    assert [view.scale for view in best_views(40.0, 16.0)] == pytest.approx(expected)
    assert best_views(max(BEST_SIZES), 16.0)[-1].scale == 1


def test_a_plan_remembers_its_views(tmp_path: Path, photograph: Photograph) -> None:
    with segment(photograph((300, 300)), tmp_path / "a.mosaic.zarr", params=BEST) as record:
        plan = record.plan
    assert len(plan.views) == len(BEST_SIZES)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    quick = replace(plan, views=(View(1.0, 0, False),))
    assert "views" not in quick.to_json()
    assert Plan.from_json(quick.to_json()) == quick
    assert "views" in quick.differences(plan)


def test_a_quick_record_is_not_gone_on_with_as_the_best_one(tmp_path: Path, photograph: Photograph) -> None:
    picture, path = photograph((300, 300)), tmp_path / "a.mosaic.zarr"
    segment(picture, path, params=replace(BEST, quality="quick")).close()
    with pytest.raises(RecordError, match="was begun with quality quick, not best"):
        segment(picture, path, params=BEST, resume=True)


def ask(brightness: FunctionSegmenter, picture: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """The map of the whole picture in one view of its own size, turned back."""
    return turned_back(brightness.predict(turned(picture, *view[1:], (0, 1))[None])[0], *view[1:], (1, 2))


def test_each_window_is_the_fused_map_of_the_whole_picture(
    photograph: Photograph, brightness: FunctionSegmenter
) -> None:
    """Of views of one size: whole turns move whole pixels, so the windows of the map are parts of one."""
    picture = photograph((200, 260))
    views = tuple(View(1.0, turns, mirrored) for turns, mirrored in ((0, False), (1, False), (2, True)))
    whole = fuse([ask(brightness, picture, view) for view in views])
    with open_image(picture) as image:
        domain = Domain(image, AreaSet(), 1.0)
        choices = Choices(method="brightness", scale=1.0, tesserae=TesseraParams(), shard=64)
        plan = replace(make_plan(image, brightness, domain, choices), views=views)
        context = MapContext(image, plan, brightness, domain)
        indices = plan.lattice.overlapping(Box(0, 0, *image.shape))
        seen = [read_for_network(context, index) for index in indices]
        for index, map_ in zip(indices, predict_maps(context, indices, seen), strict=True):
            box = plan.lattice.tile(index).core
            np.testing.assert_array_equal(map_, whole[(slice(None), *box.slices)])


def test_the_best_is_the_same_in_one_go_in_two_and_lazily(tmp_path: Path, photograph: Photograph) -> None:
    picture = photograph((1300, 1500))
    lazily = lazy_tesserae(picture, BEST)[0][600:1200, 900:1300].compute()
    with segment(picture, tmp_path / "a.mosaic.zarr", params=replace(BEST, tile_size=4096)) as record:
        labels, map_ = (read(Box(0, 0, *record.shape)) for read in (record.read_labels, record.read_map))
    np.testing.assert_array_equal(labels, find_tesserae(map_, BEST.tesserae))
    np.testing.assert_array_equal(lazily, labels[600:1200, 900:1300])
    steps = segment_steps(picture, tmp_path / "b.mosaic.zarr", params=BEST, focus=(1200.0, 1400.0))
    for progress in steps:
        if progress.phase == "joints" and progress.done:
            break
    steps.close()
    with open_record(tmp_path / "b.mosaic.zarr") as record:
        assert not record.complete
    with segment(picture, tmp_path / "b.mosaic.zarr", params=BEST, resume=True) as record:
        np.testing.assert_array_equal(record.read_labels(Box(0, 0, *record.shape)), labels)


def test_the_price_counts_every_view(photograph: Photograph) -> None:
    picture = photograph((1024, 1024))
    quick, best = (estimate_run(picture, replace(BEST, quality=quality)) for quality in ("quick", "best"))  # type: ignore[arg-type]
    assert quick.costs is not None
    assert best.costs is not None
    sides = [1024 * view.scale + 16 for view in best.costs.site.plan.views]
    least = sum(side**2 for side in sides) / 1e6
    assert count_blocks(best.costs.site).network == pytest.approx(least, rel=0.1)
    assert count_blocks(quick.costs.site).network == pytest.approx(1040**2 / 1e6)
