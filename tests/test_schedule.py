"""The one order of all work, by pieces that compute nothing: what waits, how much is in hand, what is noted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from napari_mosaic.engine.cluster import run_on
from napari_mosaic.engine.schedule import Work, nearest_first
from napari_mosaic.errors import ReadError, WriteError
from napari_mosaic.progress import Progress
from napari_mosaic.tiling import Box, Lattice

TILES = Lattice(shape=(10, 40), core=10)
WINDOWS = Lattice(shape=(10, 40), core=5)


class CountingMaker:
    """Notes what it is asked; fails where it is told to."""

    def __init__(self, unreadable: Sequence[Any] = (), broken: Box | None = None) -> None:
        self.spent: Counter[str] = Counter()
        self.unreadable, self.broken = unreadable, broken
        self.read_windows: list[Any] = []
        self.kept: list[Any] = []
        self.wrote: list[Box] = []
        self._lock = threading.Lock()

    def read(self, window: Any) -> Any:
        with self._lock:
            self.read_windows.append(window)
        if window in self.unreadable:
            raise ReadError("the disk is gone")
        return window

    def predict(self, windows: Sequence[Any], inputs: Sequence[Any]) -> Sequence[Any]:
        self.spent["windows"] += len(windows)
        return inputs

    def keep(self, window: Any, answer: Any) -> None:
        assert window == answer
        self.kept.append(window)

    def write(self, core: Box) -> list[Any]:
        if core == self.broken:
            raise ReadError("it reaches too far")
        with self._lock:
            self.wrote.append(core)
        return [(core.y0 // 10, core.x0 // 10)]


def make_work(maker: CountingMaker, notes: list[Any], **more: Any) -> Work:
    def update_pyramid(last: bool) -> Iterator[Progress]:
        notes.append("last" if last else "now")
        yield from ()

    return Work(
        names=("windows", "tiles"),
        windows=[tile.index for tile in WINDOWS],
        tiles=list(TILES),
        missing=lambda tile: set(WINDOWS.overlapping(tile.core)),
        place=lambda window: WINDOWS.tile(window).core,
        maker=maker,
        send_maker=lambda: partial(CountingMaker, maker.unreadable, maker.broken),
        note=notes.append,
        note_tile=notes.extend,
        update_pyramid=update_pyramid,
        unit="windows",
        **more,
    )


@pytest.fixture(params=["threads", "cluster"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "threads":
        yield None
        return
    distributed = pytest.importorskip("distributed")
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0") as client:
        yield client


def test_everything_is_made_noted_and_counted_up(client: Any) -> None:
    maker, notes = CountingMaker(), []  # type: ignore[var-annotated]
    steps = list(run_on(client, make_work(maker, notes, batch=3), 2))
    assert len(steps) == len(WINDOWS) + len(TILES)
    assert {step.phase: (step.done, step.total) for step in steps} == {"windows": (16, 16), "tiles": (0.0004, 0.0004)}
    assert sorted(note for note in notes if note not in ("now", "last"))[-1] == (1, 7)
    assert notes[-1] == "last"
    assert notes.count("now") == len(TILES)
    assert maker.spent["windows"] == 16  # those that the workers spent, too
    if client is None:
        assert sorted(maker.kept) == [tile.index for tile in WINDOWS]


def test_a_tile_without_its_windows_is_left_out_and_the_place_is_told(client: Any) -> None:
    maker, notes = CountingMaker(unreadable=[(0, 0)]), []  # type: ignore[var-annotated]
    with pytest.raises(ReadError, match=r"1 block could not .* y 0-5, x 0-5 .*the disk is gone.*--resume"):
        list(run_on(client, make_work(maker, notes), 1))
    assert {note for note in notes if isinstance(note, tuple)} == {tile.index for tile in WINDOWS} - {(0, 0)}


def test_a_tile_that_only_may_need_its_windows_is_tried_without_them(client: Any) -> None:
    maker, notes = CountingMaker(unreadable=[(0, 0)], broken=Box(0, 10, 10, 20)), []  # type: ignore[var-annotated]
    with pytest.raises(ReadError, match=r"1 block could not .* x 10-20 .*it reaches too far"):
        list(run_on(client, make_work(maker, notes, needs_all=False), 1))
    assert notes.count("now") == 3


def test_no_more_is_read_ahead_than_fits() -> None:
    maker, notes = CountingMaker(), []  # type: ignore[var-annotated]
    work = make_work(maker, notes, batch=2)
    steps = run_on(None, work, 1)
    next(steps)
    assert len(maker.read_windows) <= 2 * (1 + 2)  # of 16
    steps.close()


def test_stopping_keeps_tiles_that_are_being_made() -> None:
    maker, notes = CountingMaker(), []  # type: ignore[var-annotated]
    begun, go_on = threading.Event(), threading.Event()
    write: Callable[[Box], list[Any]] = maker.write

    def slowly(core: Box) -> list[Any]:
        begun.set()
        assert go_on.wait(60)
        return write(core)

    maker.write = slowly  # type: ignore[method-assign]
    work = make_work(maker, notes)
    work.windows = work.windows[:4] + work.windows[8:12] + work.windows[4:8] + work.windows[12:]
    for step in (steps := run_on(None, work, 1)):
        if begun.is_set() or step.done == 16:
            break
    assert begun.wait(60)
    go_on.set()
    steps.close()  # type: ignore[attr-defined]
    assert len(maker.wrote) >= 1
    assert {(core.y0 // 10, core.x0 // 10) for core in maker.wrote} <= set(notes)


def test_what_cannot_be_written_ends_the_run_and_keeps_the_rest() -> None:
    maker, notes = CountingMaker(), []  # type: ignore[var-annotated]

    def full(window: Any, answer: Any) -> None:
        if len(maker.kept) == 4:
            raise WriteError("the disk is full")
        maker.kept.append(window)

    maker.keep = full  # type: ignore[method-assign]
    with pytest.raises(WriteError, match="full"):
        list(run_on(None, make_work(maker, notes), 1))
    assert maker.kept == [note for note in notes if note in maker.kept]
    assert "last" not in notes


def test_the_nearest_comes_first() -> None:
    tiles = list(TILES)
    ordered = nearest_first(tiles, lambda tile: tile.core, (5.0, 26.0))
    assert [tile.index[1] for tile in ordered] == [2, 3, 1, 0]
    assert nearest_first(tiles, lambda tile: tile.core, None) is tiles


def test_nothing_is_written_before_the_windows_that_somebody_waits_for() -> None:
    maker, notes = CountingMaker(), []
    steps = run_on(None, make_work(maker, notes, urgent=4), 1)
    told = [progress.region for progress in steps if progress.region is not None and not maker.kept]
    first = [WINDOWS.tile((0, k)).core for k in range(4)]
    assert set(first) <= set(told)
    assert sorted(maker.kept) == [tile.index for tile in WINDOWS]
    assert sorted(map(tuple, maker.wrote)) == [tuple(tile.core) for tile in TILES]


def test_windows_that_were_waited_for_are_written_when_the_run_is_stopped() -> None:
    maker, notes = CountingMaker(), []
    steps = run_on(None, make_work(maker, notes, urgent=6), 1)
    while next(steps).region is None:
        pass
    assert not maker.kept
    steps.close()
    assert maker.kept
    assert set(maker.kept) <= set(notes)


def test_a_window_that_cannot_be_read_keeps_nobody_waiting() -> None:
    maker, notes = CountingMaker(unreadable=[(0, 1)]), []
    with pytest.raises(ReadError, match="the disk is gone"):
        list(run_on(None, make_work(maker, notes, urgent=3), 1))
    assert len(maker.kept) == len(WINDOWS) - 1
