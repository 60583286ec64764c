"""Long operations away from the main thread.

One decision: a job is a plain thread that runs a generator of steps and speaks by queued Qt signals.
Whatever is raised, torch's lack of memory included (a `RuntimeError`), arrives as `failed`; the
generator is always closed in its own thread, so locks and files are freed when a job is cancelled.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable, Generator
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal

from napari_mosaic.errors import MosaicError
from napari_mosaic.memory import is_out_of_memory

LAST_WAIT_S = 30.0
"""How long the program waits for jobs when it ends."""

_started: weakref.WeakSet[Job] = weakref.WeakSet()


class JobFailure(Exception):
    """What a job failed with, in one sentence for a person; the cause is chained."""


class Job(QObject):
    """One generator of steps on a thread of its own.

    Signals reach slots on the thread that made the job: `stepped(object)` for each yielded value,
    then exactly one of `returned(object)`, `failed(JobFailure)` and `cancelled()`, then `ended()`.
    """

    stepped = Signal(object)
    returned = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    ended = Signal()
    _sent = Signal(str, object)

    def __init__(self, make_steps: Callable[[], Generator[Any, None, Any]], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._make_steps = make_steps
        self._stop = threading.Event()
        self._over = False
        self._result: Any = None
        self._failure: JobFailure | None = None
        self.lingers: Callable[[], bool] = lambda: False
        """Whether somebody still shows what the job has done: `wait` waits for that too."""
        self._thread = threading.Thread(target=self._run, name="napari-mosaic job", daemon=True)
        self._sent.connect(self._receive, Qt.ConnectionType.QueuedConnection)

    @property
    def running(self) -> bool:
        """Whether the end has not been told yet."""
        return self._thread.ident is not None and not self._over

    @property
    def stopping(self) -> bool:
        """Whether the job was asked to stop."""
        return self._stop.is_set()

    def start(self) -> Job:
        """Begin; returns the job."""
        _started.add(self)
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Stop before the next step; what is finished stays."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> Any:
        """Keep the viewer alive until the job ends; return its result (None when cancelled).

        Raises
        ------
        JobFailure
            If the operation failed.
        TimeoutError
            If it runs longer than `timeout` seconds.
        """
        from qtpy.QtCore import QCoreApplication

        start = time.monotonic()
        while not self._over or self.lingers():
            QCoreApplication.processEvents()
            time.sleep(0.005)
            if timeout is not None and time.monotonic() - start > timeout:
                raise TimeoutError(f"The job still runs after {timeout:g} s; wait longer or cancel it.")
        if self._failure is not None:
            raise self._failure
        return self._result

    def abandon(self, timeout: float = 5.0) -> None:
        """Cancel, say nothing more and wait for the thread: for a view that closes."""
        self._stop.set()
        self._over = True
        self._sent.disconnect(self._receive)
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        kind, value = self._work()
        self._emit(kind, value)

    def _work(self) -> tuple[str, Any]:
        steps: Generator[Any, None, Any] | None = None
        try:
            steps = self._make_steps()
            while not self._stop.is_set():
                self._emit("stepped", next(steps))
            return "cancelled", None
        except StopIteration as stop:
            return "returned", stop.value
        except Exception as error:  # noqa: BLE001 - a thread must not die in silence
            return "failed", failure_of(error)
        finally:
            if steps is not None:
                steps.close()

    def _emit(self, kind: str, value: Any) -> None:
        try:
            self._sent.emit(kind, value)
        except RuntimeError:  # the view was deleted under the thread
            self._stop.set()

    def _receive(self, kind: str, value: Any) -> None:
        if kind == "stepped":
            self.stepped.emit(value)
            return
        self._over = True
        if kind == "returned":
            self._result = value
            self.returned.emit(value)
        elif kind == "failed":
            self._failure = value
            self.failed.emit(value)
        else:
            self.cancelled.emit()
        self.ended.emit()


class Latest(QObject):
    """Runs the newest of many short requests; answers to older ones are dropped.

    `answered(object)` and `failed(JobFailure)` come for the newest request only.
    """

    answered = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job: Job | None = None
        self._next: Callable[[], Any] | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._job is not None

    def ask(self, question: Callable[[], Any]) -> None:
        """Run `question` on a thread once the one before has ended; forget those in between."""
        self._next = question
        if self._job is None:
            self._begin()

    def forget(self) -> None:
        """Drop what is asked; no answer will come."""
        self._next = None
        if self._job is not None:
            self._job.abandon(timeout=0.0)
            self._job = None

    def close(self) -> None:
        """Forget, and wait for the thread."""
        self._next = None
        if self._job is not None:
            self._job.abandon()
            self._job = None

    def _begin(self) -> None:
        question, self._next = self._next, None
        if question is None:
            return
        job = Job(lambda: _single(question))
        job.returned.connect(self._answer)
        job.failed.connect(self._fail)
        self._job = job.start()

    def _answer(self, value: Any) -> None:
        self._job = None
        if self._next is None:
            self.answered.emit(value)
        self._begin()

    def _fail(self, failure: JobFailure) -> None:
        self._job = None
        if self._next is None:
            self.failed.emit(failure)
        self._begin()


def _single(question: Callable[[], Any]) -> Generator[Any, None, Any]:
    return question()
    yield  # makes this function a generator


@atexit.register
def _end_all() -> None:
    """Let no thread outlive Python: one that is inside of a C++ library then ends the process with an abort."""
    threads = [job._thread for job in _started if job._thread.is_alive()]
    for job in list(_started):
        job.cancel()
    end = time.monotonic() + LAST_WAIT_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def failure_of(error: Exception) -> JobFailure:
    """One sentence for a person."""
    if isinstance(error, MosaicError):
        failure = JobFailure(str(error))
    elif is_out_of_memory(error):
        failure = JobFailure(
            "There is not enough memory for this step; close other programs, or choose a smaller analysis size."
        )
    else:
        failure = JobFailure(
            f"Something unforeseen stopped this step ({type(error).__name__}: {error}); "
            "what is finished is kept. Please report it with the steps that led to it."
        )
    failure.__cause__ = error
    return failure
