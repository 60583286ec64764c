"""Clicks on stones: windows, masks, refinement, and what becomes of a mask in the tesserae."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic import editing
from napari_mosaic.engine.cluster import run_on
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.mapping import plan_work
from napari_mosaic.engine.sam.clicks import open_clicks
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.engine.windows import MapContext
from napari_mosaic.errors import InputError
from napari_mosaic.image import open_image
from napari_mosaic.record import Record
from napari_mosaic.sam.clicks import Clicks, ClickSession
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import Answers, Prompts
from napari_mosaic.tiling import Box
from test_sam_masks import BrightNetwork, bordered, start

PARAMS = SamParams(tessera_px=96.0)


class ClickNetwork(BrightNetwork):
    """Answers with the bright stones under the points, less those under points that are not on it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Prompts] = []

    def predict(
        self, embedding: Any, prompts: Prompts, *, batch: int, multimask: bool = True
    ) -> Iterator[tuple[slice, Answers]]:
        stones, _ = embedding
        self.asked.append(prompts)
        self.prompted += 1
        places = np.floor(prompts.points[0] / 4).astype(int).clip(0, 127)
        ids = stones[places[:, 0], places[:, 1]]
        assert prompts.inside is not None
        inside = prompts.inside[0]
        wanted = np.isin(stones, ids[inside]) & ~np.isin(stones, ids[~inside]) & (stones > 0)
        layers = [wanted, ndimage.binary_erosion(wanted), ndimage.binary_dilation(wanted)] if multimask else [wanted]
        logits = np.where(np.stack(layers), 9, -9).astype(np.float32)
        yield slice(0, 1), Answers(logits[None], np.array([[0.9, 0.6, 0.2][: len(layers)]], np.float32))


@pytest.fixture
def stones() -> NDArray[Any]:
    return np.asarray(ndimage.label(bordered(68)[:, :, 0] > 100)[0])


@pytest.fixture
def floor(tmp_path: Path, brightness: FunctionSegmenter) -> Iterator[Record]:
    picture = bordered(68)
    with start(tmp_path / "a.mosaic.zarr", picture, brightness) as record:
        outside = Domain(open_image(picture), record.areas, 1.0)
        context = MapContext(open_image(picture), record.plan, brightness, outside)
        for _ in run_on(None, plan_work(record, 64, context=context), 1):
            pass
        yield record


@pytest.fixture
def clicks(floor: Record) -> ClickSession:
    return open_clicks(floor.plan, open_image(bordered(68)), ClickNetwork(), PARAMS)


def mask_of(session: ClickSession, clicks: Clicks, shape: tuple[int, int]) -> NDArray[np.bool_]:
    found = session.suggest(clicks)
    assert found is not None
    out = np.zeros(shape, bool)
    out[found.piece.box.slices] = found.piece.bits
    return out


def test_a_click_finds_its_stone_wherever_it_lies(clicks: ClickSession, stones: NDArray[Any]) -> None:
    for y, x in ((102, 102), (4, 4), (204, 238), (34, 136)):
        mask = mask_of(clicks, Clicks(inside=((y + 0.5, x + 0.5),)), stones.shape)
        np.testing.assert_array_equal(mask, stones == stones[y, x])
    assert clicks.suggest(Clicks(inside=((17.5, 17.5),))) is None


def test_a_second_click_near_by_finds_its_window_encoded(clicks: ClickSession) -> None:
    network: Any = clicks.network
    first = clicks.suggest(Clicks(inside=((102.5, 102.5),)))
    assert first is not None
    assert len(first.pieces) == 3
    assert first.chosen == 1
    assert first.other(1).piece.area > first.piece.area > first.other(-1).piece.area
    assert first.other(1).other(1) == first.other(1)
    more = Clicks(inside=((102.5, 102.5), (102.5, 112.5)), outside=((118.5, 102.5),))
    second = clicks.suggest(more, first)
    assert second is not None
    assert network.encoded == 1
    assert second.frame == first.frame
    asked = network.asked[-1]
    assert asked.masks.shape == (1, 128, 128)
    points, kinds = asked.network_points()
    assert points.shape == (1, 3, 2)
    assert kinds.tolist() == [[1, 1, 0]]
    assert clicks.is_warm(second.frame)


def test_encoded_windows_are_bounded_and_the_last_used_stay(floor: Record) -> None:
    session = open_clicks(floor.plan, open_image(bordered(68)), ClickNetwork(), PARAMS)
    session._kept = 2
    frames = [session.frame_for(Clicks(inside=((y, x),))) for y, x in ((20.0, 20.0), (200.0, 20.0), (200.0, 220.0))]
    for frame in (frames[0], frames[1], frames[0], frames[2]):
        session.warm(frame)
    assert [session.is_warm(frame) for frame in frames] == [True, False, True]
    assert session.network.encoded == 3


def test_what_does_not_fit_into_a_window_is_seen_smaller(clicks: ClickSession, stones: NDArray[Any]) -> None:
    near = clicks.frame_for(Clicks(inside=((100.0, 100.0),)))
    wide = clicks.frame_for(Clicks(box=(2.0, 2.0, 220.0, 240.0)))
    assert (near.layer, near.zoom) == (0, 4.0)
    assert (wide.layer, wide.zoom) == (2, 1.0)
    everywhere = clicks.frame_for(Clicks(inside=((1.0, 1.0), (229.0, 249.0)), outside=((1.0, 249.0),)), near)
    assert everywhere.layer > 0


def test_a_box_and_an_outline_show_a_stone(clicks: ClickSession, stones: NDArray[Any]) -> None:
    here = stones == stones[102, 102]
    boxed = Clicks(box=(86.0, 86.0, 118.0, 118.0))
    np.testing.assert_array_equal(mask_of(clicks, boxed, stones.shape), here)
    network: Any = clicks.network
    np.testing.assert_allclose(network.asked[-1].boxes[0, 2:] - network.asked[-1].boxes[0, :2], 128)
    half = Clicks(outline=((86.0, 86.0), (86.0, 118.0), (102.0, 118.0), (102.0, 86.0)))
    mask = mask_of(clicks, half, stones.shape)
    expected = here.copy()
    expected[102:] = False
    np.testing.assert_array_equal(mask, expected)
    assert Clicks(outline=((1.0, 1.0), (2.0, 2.0))).empty
    assert Clicks(outside=((1.0, 1.0),)).empty


def labels_of(record: Record) -> NDArray[Any]:
    return record.read_labels(Box(0, 0, *record.shape))


def test_a_mask_is_added_where_it_is_free_and_undone(floor: Record) -> None:
    before = labels_of(floor)
    id_ = int(before[102, 102])
    editing.delete(floor, [id_])
    free = labels_of(floor)
    mask = np.ones((40, 40), bool)
    edit = editing.add_mask(floor, (82, 82, 122, 122), mask)
    assert edit is not None
    after = labels_of(floor)
    assert len(edit.made) == 1
    np.testing.assert_array_equal(after[free > 0], free[free > 0])
    assert after[102, 102] == edit.made[0]
    with pytest.raises(InputError, match="nothing to add"):
        editing.add_mask(floor, (92, 92, 112, 112), np.ones((20, 20)))
    editing.undo(floor)
    np.testing.assert_array_equal(labels_of(floor), free)


def test_a_mask_replaces_what_it_covers_and_trims_the_rest(floor: Record) -> None:
    before = labels_of(floor)
    id_, right = int(before[102, 102]), int(before[102, 136])
    mask = np.zeros((60, 60), bool)
    mask[10:40, 10:50] = True
    edit = editing.add_mask(floor, (80, 80, 140, 140), mask, how="replace")
    assert edit is not None
    after = labels_of(floor)
    np.testing.assert_array_equal(after[90:120, 90:130], id_)
    assert (after == id_).sum() == 30 * 40
    assert 0 < (after == right).sum() < (before == right).sum()
    assert edit.made == ()
    editing.undo(floor)
    np.testing.assert_array_equal(labels_of(floor), before)
    made = editing.add_mask(floor, (97, 97, 107, 107), np.ones((10, 10)), how="replace")
    assert made is not None
    assert len(made.made) == 1
    assert (labels_of(floor) == id_).sum() == (before == id_).sum() - 100


def test_a_mask_parts_the_stone_under_it(floor: Record) -> None:
    before = labels_of(floor)
    id_ = int(before[102, 102])
    mask = np.ones((60, 20), bool)
    edit = editing.add_mask(floor, (70, 88, 130, 108), mask, how="split")
    assert edit is not None
    after = labels_of(floor)
    assert len(edit.made) == 1
    np.testing.assert_array_equal((after == id_) | (after == edit.made[0]), before == id_)
    assert (after == id_).sum() >= (after == edit.made[0]).sum() > 0
    with pytest.raises(InputError, match="replace it"):
        editing.add_mask(floor, (80, 110, 130, 160), before[80:130, 110:160] == int(before[102, 136]), how="split")


def test_masks_that_cannot_be_used_are_told_in_a_sentence(floor: Record) -> None:
    ones = np.ones((10, 10))
    for box, mask, how, words in (
        ((0, 0, 10, 12), ones, "add", "does not cover"),
        ((225, 0, 235, 10), ones, "add", "does not lie inside"),
        ((0, 0, 10, 10), 0 * ones, "add", "holds no stone"),
        ((0, 0, 10, 10), ones, "melt", "choose one of"),
    ):
        with pytest.raises(InputError, match=words):
            editing.add_mask(floor, box, mask, how=how)  # type: ignore[arg-type]
    request = {"tool": "add_mask", "box": [0, 0, 2, 2], "mask": [[1, 1], [1, 1]], "how": "replace"}
    assert editing.check_requests([request])
    assert editing.apply_request(floor, request) is not None
