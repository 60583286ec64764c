"""Work away from the main thread: what comes back, in which order, and what is left behind."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from napari_mosaic.progress import Progress
from napari_mosaic.widgets import _worker
from napari_mosaic.widgets._worker import Line, Requests, Worker, WorkFailure, when_idle


def test_a_failure_of_any_kind_arrives_as_one_sentence(qtbot: Any) -> None:
    def steps() -> Any:
        yield Progress(phase="x", done=0, total=1)
        raise RuntimeError("CUDA out of memory")

    job = Worker(steps).start()
    with pytest.raises(WorkFailure, match="not enough memory"):
        job.wait(10)


def test_cancelling_closes_the_generator_in_its_own_thread(qtbot: Any) -> None:
    closed = []

    def steps() -> Any:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    job = Worker(steps)
    job.stepped.connect(lambda _: job.cancel())
    with qtbot.waitSignals([job.cancelled, job.ended]):
        job.start()
    assert closed
    assert job.wait(1) is None


def test_the_program_waits_for_threads_when_it_ends(qtbot: Any) -> None:
    def steps() -> Any:
        time.sleep(0.3)
        yield 1

    job = Worker(steps).start()
    job.abandon(timeout=0.0)
    assert job._thread.is_alive()
    _worker._end_all()
    assert not job._thread.is_alive()


def test_only_the_newest_question_is_answered(qtbot: Any) -> None:
    latest, answers = Requests(), []
    latest.answered.connect(answers.append)
    for number in range(20):
        latest.ask(lambda number=number: number)
    qtbot.waitUntil(lambda: not latest.busy)
    assert answers == [19]


def test_a_worker_that_nobody_keeps_lives_until_it_has_told_its_end(qtbot: Any) -> None:
    told: list[int] = []

    def begin() -> None:
        job = Worker(lambda: (step for step in (1, 2)))
        job.stepped.connect(told.append)
        job.start()

    begin()
    qtbot.waitUntil(lambda: not _worker._alive)
    assert told == [1, 2]


def test_a_line_answers_everything_in_order_and_goes_on_after_a_failure(qtbot: Any) -> None:
    line, answers, failures, threads = Line("test"), [], [], set()
    line.failed.connect(failures.append)

    def work(number: int) -> int:
        threads.add(threading.get_ident())
        return 60 // number

    for number in (3, 0, 2):
        line.ask(lambda number=number: work(number), answers.append)
    qtbot.waitUntil(lambda: not line.busy)
    assert answers == [20, 30]
    assert [str(failure).split(" (")[0] for failure in failures] == ["Something unforeseen stopped this step"]
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    line.close()


@pytest.mark.parametrize(("drop", "done"), [(False, ["first", "second", "last"]), (True, ["first"])])
def test_a_line_that_closes_ends_what_was_asked_and_answers_no_more(qtbot: Any, drop: bool, done: list[str]) -> None:
    line, begun, go_on = Line("test"), threading.Event(), threading.Event()
    found: list[str] = []

    def first() -> None:
        begun.set()
        go_on.wait(60)
        found.append("first")

    line.ask(first, lambda _: found.append("answered"))
    line.ask(lambda: found.append("second"), lambda _: found.append("answered"))
    begun.wait(60)
    threading.Timer(0.05, go_on.set).start()
    line.close(None if drop else lambda: found.append("last"), drop=drop)
    qtbot.wait(20)
    assert found == done


def test_what_waits_for_rest_is_called_once(qtbot: Any) -> None:
    calls: list[int] = []
    timer = when_idle(None, 20, lambda: calls.append(1))
    for _ in range(5):
        timer.start()
    qtbot.waitUntil(lambda: bool(calls))
    qtbot.wait(50)
    assert calls == [1]
