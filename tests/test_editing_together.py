"""Edits while something else works on the same record: a run of another part, or the smaller levels."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bright import bright_stones
from edit_model import check_whole, largest, make_floor, whole
from napari_mosaic import editing
from napari_mosaic.errors import RecordError
from napari_mosaic.record import Record, open_record
from napari_mosaic.record.journaled import JournaledEdits
from napari_mosaic.record.label_layer import LabelLayer
from napari_mosaic.record.patches import Patch
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment, segment_steps

PARAMS = SegmentParams(method="brightness", scale=1.0, workers=1)
WAIT = 600
"""Seconds; only what hangs takes so long, on however busy a machine."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_floor(tmp_path_factory.mktemp("template") / "floor.mosaic.zarr")


@pytest.fixture
def record(template: Path, tmp_path: Path) -> Iterator[Record]:
    with open_record(shutil.copytree(template, tmp_path / "floor.mosaic.zarr"), writable=True) as opened:
        yield opened


@pytest.fixture
def start() -> Iterator[Callable[[Callable[[], Any]], threading.Thread]]:
    """Starts functions on threads of their own; all must have ended, and well, at the end of the test."""
    threads: list[threading.Thread] = []
    failures: list[BaseException] = []

    def begin(function: Callable[[], Any]) -> threading.Thread:
        def guarded() -> None:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - told below
                failures.append(error)

        threads.append(threading.Thread(target=guarded))
        threads[-1].start()
        return threads[-1]

    yield begin
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert failures == []


def test_what_is_edited_during_a_run_of_another_part_stays(tmp_path: Path, start: Any) -> None:
    picture, path = bright_stones((1100, 3200), pitch=40), tmp_path / "floor.mosaic.zarr"
    with segment(picture, tmp_path / "alone.mosaic.zarr", params=PARAMS) as alone:
        expected = whole(alone)
    some_done, edited = threading.Event(), threading.Event()

    def run() -> None:
        steps = segment_steps(picture, path, params=PARAMS)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                end.value.close()
                return
            if step.phase == "tesserae" and step.done and not some_done.is_set():
                some_done.set()
                assert edited.wait(WAIT)

    running = start(run)
    assert some_done.wait(WAIT)
    gone = []
    with open_record(path, writable=True) as record:
        assert not record.complete
        with pytest.raises(RecordError, match="not segmented yet"):
            editing.delete(record, [one_not_done(record, expected)])
        for id_ in np.unique(expected)[1::7].tolist():
            with contextlib.suppress(RecordError):  # it lies where the run has not come to yet
                editing.delete(record, [id_])
                gone.append(id_)
                edited.set()
        assert gone
        running.join(WAIT)
        expected[np.isin(expected, gone)] = 0
        np.testing.assert_array_equal(whole(record), expected)
        editing.settle(record)
        assert record.complete
        assert len(record.journal.done) == len(gone)
    with open_record(path) as record:
        check_levels(record)
        assert record.count == len(np.unique(expected)) - 1


def test_what_a_run_makes_just_now_is_refused_though_its_row_is_there(record: Record) -> None:
    shard = record.plan.shards.tile((0, 0)).core
    (id_,) = (row["id"] for row in record.table().to_pylist()[:1])
    record.edits.forget_shards([(0, 0)])
    with pytest.raises(RecordError, match="not segmented yet"):
        editing.delete(record, [id_])
    with pytest.raises(RecordError, match="not segmented yet"):
        editing.assign(record, [id_], material="glass")
    assert record.read_labels(shard).any()


def one_not_done(record: Record, labels: np.ndarray) -> int:
    """A tessera in a part that the run has still to write."""
    shards, done = record.plan.shards, record.ledger.done("tesserae")
    part = [tile.core for tile in shards if tile.index not in done][-1]
    return int(labels[part.grow(-20).slices].max())


def check_levels(record: Record) -> None:
    labels = whole(record)
    for level, array in enumerate(record.tessera_levels):
        np.testing.assert_array_equal(array[:], labels[:: 2**level, :: 2**level])


def test_a_second_programme_can_only_read(record: Record) -> None:
    script = (
        "import sys\nfrom napari_mosaic import editing, open_record\nfrom napari_mosaic.errors import LockedError\n"
        "try:\n    open_record(sys.argv[1], writable=True)\n"
        "except LockedError as error:\n    print(error)\n"
        "with open_record(sys.argv[1]) as record:\n    print(record.count)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(record.path)], capture_output=True, text=True, check=True)
    said, count = done.stdout.splitlines()
    assert "is being written by another process" in said
    assert "so here it can only be read" in said
    assert int(count) == record.count


def test_the_smaller_levels_wait_for_an_edit_that_is_half_way(
    record: Record, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on, really = threading.Event(), threading.Event(), JournaledEdits.apply_patch

    def apply_late(mine: JournaledEdits, patch: Patch) -> None:
        entered.set()
        assert go_on.wait(WAIT)
        really(mine, patch)

    monkeypatch.setattr(JournaledEdits, "apply_patch", apply_late)
    editor = start(lambda: editing.delete(record, largest(record)))
    assert entered.wait(WAIT)
    settler = start(lambda: editing.settle(record))
    settler.join(0.2)  # time enough to count the entry as settled, were it not kept from it
    assert record.journal.in_pyramid == 0
    go_on.set()
    for thread in (editor, settler):
        thread.join(WAIT)
    assert record.journal.in_pyramid == 1
    check_whole(record)


def test_an_edit_that_is_made_while_the_levels_are_is_left_for_the_next_time(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = largest(record, 2)
    really = LabelLayer.halve

    def halve_and_edit(*arguments: Any) -> None:
        really(*arguments)
        if len(record.journal) == 1:
            editing.delete(record, [second])

    monkeypatch.setattr(LabelLayer, "halve", halve_and_edit)
    editing.delete(record, [first])
    editing.settle(record)
    assert (record.journal.in_pyramid, len(record.journal)) == (1, 2)
    editing.settle(record)
    assert record.journal.in_pyramid == 2
    check_whole(record)


def test_what_an_edit_does_is_told_when_it_cannot_be_lost_and_before_the_shards_hold_it(record: Record) -> None:
    (id_,) = largest(record)
    before = whole(record)
    told: list[Patch] = []

    def hear(patch: Patch) -> None:
        told.append(patch)
        assert len(Path(record.journal.path).read_bytes()) > 0
        np.testing.assert_array_equal(whole(record), before)

    with record.journal.listening(hear):
        editing.delete(record, [id_])
    box = told[0].box
    np.testing.assert_array_equal(told[0].over(before[box.slices], box), whole(record)[box.slices])
    editing.undo(record)
    assert len(told) == 1
