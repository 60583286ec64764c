"""Several who work on one record: another process reads, a run and edits in one process share it and lose nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bright import bright_stones, brightness_map
from edit_model import RULES, check_whole, first_bytes, rows_of, whole
from napari_mosaic import editing
from napari_mosaic.areas import AreaSet
from napari_mosaic.engine.cluster import run_on
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.mapping import plan_work
from napari_mosaic.engine.planning import Choices, make_plan
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.engine.windows import MapContext
from napari_mosaic.errors import InputError, LockedError, RecordError
from napari_mosaic.image import open_image
from napari_mosaic.record import Record, create_record, open_record, tables
from napari_mosaic.record.journal import Journal
from napari_mosaic.record.label_layer import LabelLayer
from napari_mosaic.record.ledger import Ledger
from napari_mosaic.record.tables import Columns
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box

TALL = (640, 150)

OTHER = """
import sys
from napari_mosaic import editing
from napari_mosaic.errors import LockedError
from napari_mosaic.record import open_record
with open_record(sys.argv[1], writable=True) as record:
    print("open", flush=True)
    for line in sys.stdin:
        editing.delete(record, [int(line)])
        print("done", flush=True)
"""


class Gate:
    """A method that finds bright stones, and waits after `left` windows until somebody lets it go on."""

    left = 10**6

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.open = threading.Event()

    def __call__(self, window: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with self._lock:
            self.left -= 1
            wait = self.left < 0
        if wait:
            assert self.open.wait(120)
        return brightness_map(window)


def begin(path: Path, gate: Gate, *, hold: bool = False) -> tuple[Record, Iterator[Any]]:
    """A record of a tall floor with shards of 64 px, and the run that fills it."""
    image = open_image(bright_stones(TALL, seed=9))
    segmenter = FunctionSegmenter(gate, name="brightness", channels=2, halo=8, tessera_px=24.0)
    choices = Choices(method="brightness", scale=1.0, tesserae=RULES, shard=64)
    plan = make_plan(image, segmenter, Domain(image, AreaSet(), 1.0), choices)
    if hold:
        gate.left = len(plan.lattice) * 8 // 10
    record = create_record(path, image, plan, areas=AreaSet())
    context = MapContext(image, plan, segmenter, Domain(image, AreaSet(), 1.0))
    return record, run_on(None, plan_work(record, 64, context=context), 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tall floor, segmented without anybody else."""
    path = tmp_path_factory.mktemp("finished") / "floor.mosaic.zarr"
    record, run = begin(path, Gate())
    with record:
        for _ in run:
            pass
        record.set_phase(map="done", tesserae="done")
    return path


def edits_while(record: Record, gate: Gate, run: Iterator[Any]) -> list[dict[str, Any]]:
    """Edit what is finished while the run goes on in another thread; the requests that were done."""

    def work() -> None:
        with record.running():
            for _ in run:
                pass

    thread = threading.Thread(target=work)
    thread.start()
    rng, done, refused = np.random.default_rng(0), [], 0
    try:
        while thread.is_alive() or len(done) < 12:
            request = draw(rng, rows_of(record)) if len(done) < 40 else None
            if request is None:
                thread.join(0.02)
                continue
            try:
                if editing.apply_request(record, request) is not None:
                    done.append(request)
            except InputError:
                continue
            except RecordError as error:
                refused += "not segmented yet" in str(error)
            if len(done) == 12 and not gate.open.is_set():
                editing.settle(record)
                gate.open.set()
    finally:
        gate.open.set()
        thread.join()
    assert refused
    return done


def draw(rng: np.random.Generator, rows: dict[int, tuple[Any, ...]]) -> dict[str, Any] | None:
    """A request for a tessera of a table, or None where that is empty."""
    if not rows:
        return None
    id_ = int(rng.choice(sorted(rows)))
    y, _, y0, x0, y1, x1 = rows[id_][:6]
    requests: list[dict[str, Any]] = [
        {"tool": "delete", "ids": [id_]},
        {"tool": "split_line", "line": [[y, x0 - 2.0], [y, x1 + 2.0]]},
        {"tool": "assign", "ids": [id_], "material": "glass"},
        {"tool": "grow", "ids": [id_], "px": 1},
        {"tool": "add_outline", "outline": [[y0, x0], [y0, x1], [y1, x1 + 3]], "over": True},
    ]
    return requests[int(rng.integers(len(requests)))]


def test_edits_during_a_run_and_the_run_lose_nothing(finished: Path, tmp_path: Path) -> None:
    gate = Gate()
    record, run = begin(tmp_path / "floor.mosaic.zarr", gate, hold=True)
    with record, open_record(record.path, writable=True) as editor:
        done = edits_while(editor, gate, run)
        record.set_phase(map="done", tesserae="done")
        assert editor.complete
    assert len(done) >= 12
    copy = Path(shutil.copytree(finished, tmp_path / "copy.mosaic.zarr"))
    with open_record(copy, writable=True) as expected, open_record(record.path) as found:
        for request in done:
            editing.apply_request(expected, request)
        assert first_bytes(found) == first_bytes(expected)
        assert len(found.journal.done) == len(done)
        check_whole(found, connected=False)


def test_a_part_that_is_finished_while_an_edit_reads_it_is_refused_to_that_edit(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit asks what is finished before it reads: what a run writes in between it may have read empty."""
    record, run = begin(tmp_path / "floor.mosaic.zarr", Gate())
    with record, record.running():
        while (3, 0) not in record.ledger.done("tesserae"):
            next(run)
        done = record.ledger.done("tesserae")
        id_ = _one_that_reaches_into(record, done)
        read_rows = LabelLayer.read_rows

        def read_then_run_on(self: LabelLayer, index: tuple[int, int]) -> Columns:
            rows = read_rows(self, index)
            for _ in run:
                pass
            return rows

        with monkeypatch.context() as patched:
            patched.setattr(LabelLayer, "read_rows", read_then_run_on)
            with pytest.raises(RecordError, match="not segmented yet"):
                editing.grow(record, [id_])
        assert record.ledger.done("tesserae") > done
        assert not record.journal.done
        assert editing.grow(record, [id_]) is not None
    copy = Path(shutil.copytree(finished, tmp_path / "copy.mosaic.zarr"))
    with open_record(copy, writable=True) as expected, open_record(record.path) as found:
        editing.grow(expected, [id_])
        assert first_bytes(found) == first_bytes(expected)


def _one_that_reaches_into(record: Record, done: frozenset[tuple[int, int]]) -> int:
    """A tessera of a finished shard whose box ends in one that the run has still to write."""
    shards = record.plan.shards
    for id_, (y, x, y0, x0, y1, x1, *_) in rows_of(record).items():
        if (y // 64, x // 64) in done and not done.issuperset(shards.overlapping(Box(y0, x0, y1, x1))):
            return id_
    raise AssertionError("the floor has no such tessera")


@pytest.mark.parametrize("tool", ["delete", "grow"])
def test_an_edit_that_comes_while_its_shard_is_written_again_is_kept(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """A run writes whole tiles, finished shards among them, and asks the journal under each shard's lock."""
    copy = Path(shutil.copytree(finished, tmp_path / "floor.mosaic.zarr"))
    index = (2, 1)
    with open_record(copy, writable=True) as record, open_record(copy, writable=True) as editor:
        box = record.plan.shards.tile(index).core
        labels, columns = record.read_labels(box), tables.read_rows(record.tables, index)
        y, x = (box.y0 + box.y1) // 2, (box.x0 + box.x1) // 2
        id_ = next(
            i for i, row in rows_of(record).items() if Box(y - 9, x - 9, y + 9, x + 9).intersect(Box(*row[2:6])).area
        )
        entered, touching, append = threading.Event(), Journal.touching, Journal.append
        edit = threading.Thread(target=getattr(editing, tool), args=(editor, [id_]))

        def append_and_say(self: Journal, *arguments: Any) -> int:
            number = append(self, *arguments)
            entered.set()
            return number

        def ask_then_edit(self: Journal, shard: tuple[int, int]) -> list[int]:
            edits = touching(self, shard)
            assert not _is_free(record.shard_lock(0, index))
            edit.start()
            assert entered.wait(60)
            return edits

        monkeypatch.setattr(Journal, "append", append_and_say)
        monkeypatch.setattr(Journal, "touching", ask_then_edit)
        record.write_tesserae(index, labels, columns)
        edit.join()
        assert not np.array_equal(record.read_labels(box), labels)
    other = Path(shutil.copytree(finished, tmp_path / "copy.mosaic.zarr"))
    monkeypatch.undo()
    with open_record(other, writable=True) as expected, open_record(copy) as found:
        getattr(editing, tool)(expected, [id_])
        assert first_bytes(found) == first_bytes(expected)


def _is_free(lock: Any) -> bool:
    """Whether another thread could take a lock now."""
    taken: list[bool] = []

    def take() -> None:
        taken.append(lock.acquire(blocking=False))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken[0]


def test_shards_are_struck_off_while_nobody_edits(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "floor.mosaic.zarr"))
    forget, free = Ledger.forget, []

    def look(self: Ledger, phase: str, indices: Any = None) -> None:
        free.append(_is_free(record.journal.lock))
        forget(self, phase, indices)

    with open_record(copy, writable=True) as record:
        monkeypatch.setattr(Ledger, "forget", look)
        record.forget_tesserae([(2, 1)])
        assert free == [False, False]
        assert (2, 1) not in record.ledger.done("tesserae")


def test_all_threads_get_the_one_lock_of_a_shard(finished: Path) -> None:
    with open_record(finished) as record:
        locks: list[Any] = []
        threads = [threading.Thread(target=lambda: locks.append(record.shard_lock(0, (5, 5)))) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(lock) for lock in locks}) == 1


@pytest.mark.parametrize("below", [True, False])
def test_a_stone_that_reaches_into_an_unfinished_part_is_refused(finished: Path, tmp_path: Path, below: bool) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "floor.mosaic.zarr"))
    with open_record(copy, writable=True) as record:
        labels, rows = whole(record), rows_of(record)
        k, id_ = next(
            (k, id_)
            for k in range(1, TALL[0] // 64)
            for id_, row in rows.items()
            if (row[2] < 64 * k <= row[0] if below else row[0] < 64 * k < row[4])
        )
        window = Box(64 * k - 30, 0, 64 * k, TALL[1])
        painted = np.where(labels[window.slices] == id_, 0, labels[window.slices])
        record.write_labels(0, Box(64 * k, 0, 64 * k + 64, TALL[1]), np.zeros((64, TALL[1]), np.uint32))
        for column in range(3):
            (record.tables / f"{k:06d}_{column:06d}.parquet").unlink()
        record.ledger.forget("tesserae", [(k, 0), (k, 1), (k, 2)])
        before = first_bytes(record)
        for attempt in (
            lambda: editing.delete(record, [id_]),
            lambda: editing.grow(record, [id_]),
            lambda: editing.replace_window(record, window, painted),
        ):
            with pytest.raises(RecordError, match="not segmented yet"):
                attempt()
        assert first_bytes(record) == before


def test_another_process_may_look_but_not_touch(finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "floor.mosaic.zarr"))
    with open_record(copy) as reader:
        first, second = sorted(rows_of(reader))[:2]
        assert not reader.journal.done
        command = [sys.executable, "-c", OTHER, str(copy)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            with pytest.raises(LockedError, match=r"another process \(.* on .*\), so here it can only be read"):
                open_record(copy, writable=True)
            for count, id_ in enumerate((first, second), 1):
                process.stdin.write(f"{id_}\n")
                process.stdin.flush()
                assert process.stdout.readline() == "done\n"
                assert id_ not in rows_of(reader)
                assert id_ not in whole(reader)
                assert len(reader.journal.done) == editing.report(reader).deleted == count
            with pytest.raises(RecordError, match="reading only"):
                editing.undo(reader)
            process.stdin.close()
        assert process.returncode == 0
    with open_record(copy, writable=True) as record:
        assert editing.undo(record) is not None
        assert second in whole(record)


def test_the_lock_is_kept_until_the_last_writer_has_closed(finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "floor.mosaic.zarr"))
    first, second = open_record(copy, writable=True), open_record(copy, writable=True)
    assert first.journal is second.journal
    with pytest.raises(LockedError, match="in this program"):
        open_record(copy, writable=True, exclusive=True)
    threading.Thread(target=first.close).run()
    first.close()
    editing.delete(second, sorted(rows_of(second))[:1])
    with pytest.raises(LockedError, match="in this program"):
        open_record(copy, writable=True, exclusive=True)
    second.close()
    open_record(copy, writable=True, exclusive=True).close()
    assert not (copy / "lock.by").exists()


def test_a_record_that_was_put_in_the_place_of_an_open_one_is_another(finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "floor.mosaic.zarr"))
    with open_record(copy, writable=True) as old:
        editing.delete(old, sorted(rows_of(old))[:1])
        copy.rename(tmp_path / "moved.mosaic.zarr")
        shutil.copytree(finished, copy)
        with open_record(copy, writable=True, exclusive=True) as new:
            assert not new.journal.done
            assert len(old.journal.done) == 1


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path, picture = tmp_path / "a.mosaic.zarr", bright_stones((120, 130))
    params = SegmentParams(method="brightness", scale=1.0)
    segment(picture, path, params=params).close()
    with open_record(path, writable=True) as record:
        with record.running(), pytest.raises(LockedError, match="A run is writing"):
            segment(picture, path, params=params, resume=True)
        segment(picture, path, params=params, resume=True).close()
        with pytest.raises(LockedError, match="close it there first"):
            segment(picture, path, params=params, overwrite=True)
