"""What the panel shows follows from what it knows; no window is needed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")

from napari_mosaic.engine.sam.costs import MaskAmount
from napari_mosaic.progress import Progress, duration
from napari_mosaic.record.looked_at import PARTS, Figures
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._facts import EstimateFacts, RecordFacts, RunFacts, SizeFacts, SourceFacts, Tuning
from napari_mosaic.widgets._levels import CachedLevel, LivePyramid
from napari_mosaic.widgets._state import (
    CHECK,
    DELIVER,
    FIND,
    MEASURE,
    OPEN,
    SIZE,
    PanelState,
    next_step,
    resolve,
)

SOURCE = SourceFacts(name="floor", shape=(6144, 8192), location="/data/floor.tif")
ESTIMATE = EstimateFacts(seconds=300, disk=150_000_000, tessera_px=31.0, factor=24 / 31)
PX = dict.fromkeys(PARTS, 0.0) | {"photograph": 20e6, "surround": 3e6, "lacuna": 1e6, "preserved": 16e6}
FIGURES = Figures(count=5000, worth=4900.0, median_px=576.0, px=PX, pixel_mm=None)
RECORD = RecordFacts(
    path=Path("floor.mosaic.zarr"), count=5000, complete=True, factor=0.5, figures=FIGURES, covered_px=4e6
)
OPENED = PanelState(source=SOURCE, place=Path("/data/floor.mosaic.zarr"), estimate=ESTIMATE)


def test_an_empty_panel_asks_for_a_photograph_and_says_why_the_rest_is_off() -> None:
    view = resolve(PanelState())
    assert view.steps[OPEN].mark == "next"
    assert view.steps[FIND].reason == "Open a photograph first."
    assert view.steps[CHECK].reason == "Find tesserae first."
    assert not view.find_view.enabled
    assert view.find_view.reason


def test_a_folder_is_handed_in_of_a_confirmed_size_alone() -> None:
    measured = SizeFacts(pixel_mm=0.5, confirmed=True)
    view = resolve(replace(OPENED, record=RECORD, size=replace(measured, confirmed=False)))
    assert view.save.enabled
    assert not view.hand_in.enabled
    assert "confirm" in view.hand_in.reason
    view = resolve(replace(OPENED, record=RECORD, size=measured))
    assert view.hand_in.enabled
    assert not view.hand_in.reason
    assert resolve(replace(OPENED, size=measured)).hand_in.reason == "Find tesserae first."


def test_before_a_run_time_disk_and_place_are_shown() -> None:
    view = resolve(replace(OPENED, view_share=0.1))
    assert view.find_view.enabled
    assert "Whole about 5 min · 150 MB" in view.cost
    assert "View about 30 s · 15 MB" in view.cost
    assert view.place == str(Path("/data/floor.mosaic.zarr"))
    assert "31 px" in view.size_note
    assert "24 px" in view.size_note


def test_of_a_record_what_is_left_is_promised() -> None:
    begun = replace(OPENED, record=replace(RECORD, complete=False), view_cost=(2.0, 3_000_000))
    assert resolve(begun).cost == "View about 2 s · 3.0 MB\nRest about 5 min · 150 MB"
    whole = replace(OPENED, record=RECORD, estimate=replace(ESTIMATE, seconds=0.1, disk=0))
    assert "nothing is left" in resolve(whole).cost


def test_what_sam_2_adds_is_told() -> None:
    asked = replace(ESTIMATE, masks=MaskAmount(1_200, 90_000))
    view = resolve(replace(OPENED, method="sam2", estimate=asked))
    assert "SAM 2 on top: 1,200 windows with about 90,000 prompts; how long" in view.cost
    known = resolve(replace(OPENED, method="sam2", estimate=replace(asked, mask_seconds=600.0)))
    assert known.cost.endswith("90,000 prompts, about 10 min")
    assert "SAM" not in resolve(replace(OPENED, estimate=asked)).cost


def test_a_run_can_be_cancelled_once_and_nothing_else_started() -> None:
    run = RunFacts(title="Finding in view")
    view = resolve(replace(OPENED, run=run))
    assert view.cancel.enabled
    assert not view.find_all.enabled
    assert view.progress is not None
    stopping = resolve(replace(OPENED, run=replace(run, stopping=True)))
    assert not stopping.cancel.enabled


def test_progress_tells_how_long_it_still_takes() -> None:
    run = RunFacts(title="").after(Progress(phase="joints", done=5, total=10), elapsed=60)
    progress = resolve(replace(OPENED, run=run)).progress
    assert progress == (500, "Joints 5.0 of 10.0 MP · 60 s left")


def test_an_unconfirmed_pixel_size_waits_for_a_person() -> None:
    unsure = SizeFacts(pixel_mm=0.353, origin="dpi tag")
    view = resolve(replace(OPENED, size=unsure))
    assert view.confirm.enabled
    assert "not confirmed" in view.steps[SIZE].summary
    sure = resolve(replace(OPENED, size=replace(unsure, confirmed=True)))
    assert sure.steps[SIZE].mark == "done"
    assert not sure.confirm.enabled
    assert "0.353 mm (from dpi, not confirmed)" in view.floor_note
    assert "would be 2.89 x 2.17 m" in view.floor_note
    assert "is 2.89 x 2.17 m" in sure.floor_note
    for shown in (view, resolve(replace(OPENED, size=unsure, record=RECORD))):
        assert "mm" not in shown.size_note  # the stones' size
        assert not any(figure.split()[-1] in ("mm", "cm²", "dm²", "m²") for _, figure in shown.measures)


def test_measures_are_in_mm_only_where_the_size_is_known() -> None:
    state = replace(OPENED, record=RECORD)
    measures = dict(resolve(state).measures)
    assert measures["Tessera, median"] == "24.0 px"
    assert measures["Density"] == "306.2 per megapixel"
    assert (measures["Area looked at"], measures["Lacuna"]) == ("16 MP", "1 MP")
    unsure = resolve(replace(state, size=SizeFacts(pixel_mm=0.5, origin="dpi tag")))
    assert dict(unsure.measures) == measures
    state = replace(state, size=SizeFacts(pixel_mm=0.5, confirmed=True))
    measures = dict(resolve(state).measures)
    assert measures["Tessera, median"] == "12.0 mm"
    assert measures["Area looked at"] == "4 m²"
    assert measures["Density"] == "12.25 per dm²"
    assert (measures["Lacuna"], measures["Surround"]) == ("0.25 m²", "0.75 m²")
    assert "Repair" not in measures
    assert resolve(state).steps[MEASURE].summary == "12.0 mm"


def test_sliders_that_were_moved_can_be_applied_with_the_time_it_takes() -> None:
    state = replace(OPENED, record=RECORD, tuning=Tuning(threshold=0.3))
    view = resolve(state)
    assert view.apply_all.enabled
    assert view.apply_all.text == "Apply to all (about 1 s)"
    assert next_step(state) == CHECK
    assert next_step(replace(state, tuning=state.applied)) == DELIVER


def test_a_record_in_part_can_be_gone_on_with() -> None:
    view = resolve(replace(OPENED, record=replace(RECORD, complete=False)))
    assert view.find_all.text == "Go on with the whole"
    assert "in part" in view.steps[FIND].summary


def test_a_record_without_a_stone_says_what_may_help() -> None:
    view = resolve(replace(OPENED, record=replace(RECORD, count=0)))
    assert "analysis size" in view.steps[FIND].summary


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (42, "42 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def counted(array: np.ndarray) -> tuple[CachedLevel, list[Box]]:
    reads: list[Box] = []

    def read(box: Box) -> np.ndarray:
        reads.append(box)
        return array[box.slices]

    return CachedLevel(read, array.shape, array.dtype), reads


@pytest.mark.parametrize(
    "key",
    [
        np.s_[:, :],
        np.s_[3:700:1, 500:530:1],
        np.s_[5, :],
        np.s_[7, 9],
        np.s_[::4, 1::3],
        np.s_[-40:],
        np.s_[0:0, :],
    ],
)
def test_a_cached_level_reads_as_its_array(key: object) -> None:
    array = np.arange(1100 * 700, dtype=np.uint32).reshape(1100, 700)
    level, _ = counted(array)
    np.testing.assert_array_equal(level[key], array[key])


def test_a_cached_level_reads_a_block_once_until_it_is_forgotten() -> None:
    array = np.zeros((1024, 1024), np.uint8)
    level, reads = counted(array)
    level[0:600:1, 0:100:1]
    level[10:500:1, 0:50:1]
    assert len(reads) == 2
    level.forget(Box(0, 0, 10, 10))
    level[0:600:1, 0:100:1]
    assert len(reads) == 3


def test_colour_is_kept_whole() -> None:
    array = np.random.default_rng(0).integers(0, 255, (600, 600, 3), np.uint8)
    level, _ = counted(array)
    np.testing.assert_array_equal(level[100:550:1, 3:9:1], array[100:550, 3:9])


def test_finished_parts_reach_all_levels_before_the_record_makes_them() -> None:
    full = np.zeros((2048, 1500), np.uint32)
    small = [full, np.zeros((1024, 750), np.uint32), np.zeros((512, 375), np.uint32)]
    pyramid = LivePyramid(small)
    for level in pyramid.levels:
        np.asarray(level[:, :])
    full[1024:, 1024:] = np.arange(1024 * 476).reshape(1024, 476)
    pyramid.update([Box(1024, 1024, 2048, 1500)])
    for k, level in enumerate(pyramid.levels):
        np.testing.assert_array_equal(np.asarray(level[:, :]), full[:: 2**k, :: 2**k])


class Torn:
    """A level whose every second reading meets a shard that is being replaced."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype, self.readings = values, values.shape, values.dtype, 0

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        self.readings += 1
        if self.readings % 2:
            raise RuntimeError("error during blosc decompression: -1")
        return self.values[key]


def test_a_shard_that_is_replaced_while_it_is_looked_at_is_read_again() -> None:
    full = np.arange(600 * 700, dtype=np.uint32).reshape(600, 700)
    pyramid = LivePyramid([Torn(full), Torn(full[::2, ::2])])
    np.testing.assert_array_equal(pyramid.levels[0][100:580, 5:600], full[100:580, 5:600])
    np.testing.assert_array_equal(pyramid.levels[1], full[::2, ::2])
    pyramid.update([Box(0, 0, 600, 700)])
    pyramid.renew()
    np.testing.assert_array_equal(pyramid.levels[0][:, :], full)


def test_a_small_record_has_two_levels_for_napari() -> None:
    full = np.zeros((301, 200), np.uint32)
    pyramid = LivePyramid([full])
    full[:, 100:] = 7
    pyramid.renew()
    np.testing.assert_array_equal(np.asarray(pyramid.levels[1]), full[::2, ::2])


def test_triton_is_declared_absent_only_beside_mesas_llvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_mosaic.widgets._guard import keep_out_triton

    monkeypatch.delitem(sys.modules, "triton", raising=False)
    maps = tmp_path / "maps"
    maps.write_text("7f00-7f01 r-xp /usr/lib/libGL.so\n")
    assert not keep_out_triton(maps)
    maps.write_text("7f00-7f01 r-xp /usr/lib/libLLVM-15.so.1\n")
    assert keep_out_triton(maps)
    monkeypatch.delitem(sys.modules, "triton")


def test_what_is_on_no_disk_yet_is_held_in_memory_once_it_is_put() -> None:
    level, reads = counted(np.zeros((1200, 1200), np.uint32))
    assert level.put(Box(0, 0, 1024, 1024), np.full((1024, 1024), 5, np.uint32), load=True)
    assert not reads  # whole blocks: there is nothing to read
    assert (level[:1024, :1024] == 5).all()
    assert level.put(Box(1100, 1100, 1200, 1200), np.full((100, 100), 6, np.uint32), load=True)
    assert len(reads) == 1
    assert (level[1100:, 1100:] == 6).all()
    assert not level[1024:1100, 1024:1100].any()
    assert not level.put(Box(0, 1024, 10, 1100), np.ones((10, 76), np.uint32))
    assert not level[:10, 1024:1100].any()
