"""Work away from the main thread: the only module of the widgets that begins a thread or makes a timer.

One decision: whatever works speaks by queued Qt signals on the thread of who asked for it, and is of one of four kinds:

- `Worker`: one generator of steps, with progress and cancel; a process of its own (`_process`) is such steps, too;
- `Requests`: short questions, of which the newest alone is answered;
- `Line`: functions in order, none of them left out;
- `when_idle`: a function once nothing has happened for a moment.

Whatever is raised, torch's lack of memory included (a `RuntimeError`), arrives as `failed`; the generator is always
closed in its own thread, so locks and files are freed when a job is cancelled.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from qtpy.QtCore import QCoreApplication, QObject, Qt, QTimer, Signal

from napari_mosaic.errors import MosaicError
from napari_mosaic.memory import is_out_of_memory

logger = logging.getLogger(__name__)
LAST_WAIT_S = 30.0
"""How long the program waits for jobs when it ends; not varied."""

CLOSE_S = 5.0
"""How long a view that closes waits for a thread; not varied."""

_alive: set[Worker] = set()
"""Jobs that are not over: whoever has started one need not keep it."""


class WorkFailure(Exception):
    """What a job failed with, in one sentence for a person; the cause is chained."""


class Worker(QObject):
    """One generator of steps on a thread of its own.

    Signals reach slots on the thread that made the job: `stepped(object)` for each yielded value,
    then exactly one of `returned(object)`, `failed(WorkFailure)` and `cancelled()`, then `ended()`.
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
        self._failure: WorkFailure | None = None
        self.lingers: Callable[[], bool] = lambda: False
        """Whether somebody still shows what the job has done: `wait` waits for that too."""
        self._thread = threading.Thread(target=self._run, name="napari-mosaic job", daemon=True)
        self._sent.connect(self._receive, Qt.ConnectionType.QueuedConnection)

    def start(self) -> Worker:
        """Begin; returns the job."""
        _alive.add(self)
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Stop before the next step; what is finished stays."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> Any:
        """Keep the viewer alive until the job ends; return its result (None when cancelled).

        Raises
        ------
        WorkFailure
            If the operation failed.
        TimeoutError
            If it runs longer than `timeout` seconds.
        """
        start = time.monotonic()
        while not self._over or self.lingers():
            QCoreApplication.processEvents()
            time.sleep(0.005)
            if timeout is not None and time.monotonic() - start > timeout:
                raise TimeoutError(f"The job still runs after {timeout:g} s; wait longer or cancel it.")
        if self._failure is not None:
            raise self._failure
        return self._result

    def abandon(self, timeout: float = CLOSE_S) -> None:
        """Cancel, say nothing more and wait for the thread: for a view that closes."""
        self._stop.set()
        if not self._over:
            self._over = True
            self._sent.disconnect(self._receive)
        if self._thread.is_alive():
            self._thread.join(timeout)
        if not self._thread.is_alive():
            self.let_go()

    def let_go(self) -> None:
        """Keep the job alive no longer, once it is over and nobody lingers."""
        if self._over and not self.lingers():
            _alive.discard(self)

    def _run(self) -> None:
        kind, value = self._work()
        self._emit(kind, value)
        self.let_go()

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
            self._over = True

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
        self.let_go()


class Requests(QObject):
    """Short questions, of which the newest alone is answered: those before it are stale, and dropped.

    `answered(object)` and `failed(WorkFailure)` come for the newest question only.
    """

    answered = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job: Worker | None = None
        self._next: Callable[[], Any] | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._job is not None

    def ask(self, question: Callable[..., Any], *given: Any) -> None:
        """Run `question(*given)` on a thread once the one before has ended; forget those in between."""
        self._next = partial(question, *given)
        if self._job is None:
            self._begin()

    def forget(self, wait_s: float = 0.0) -> None:
        """Drop what is asked, and wait a while for the thread; no answer will come."""
        self._next = None
        job, self._job = self._job, None
        if job is not None:
            job.abandon(wait_s)

    def close(self) -> None:
        """Forget, and wait for the thread."""
        self.forget(CLOSE_S)

    def _begin(self) -> None:
        question, self._next = self._next, None
        if question is not None:
            job = Worker(lambda: _single(question))
            job.returned.connect(lambda answer: self._tell(self.answered, answer))
            job.failed.connect(lambda failure: self._tell(self.failed, failure))
            self._job = job.start()

    def _tell(self, signal: Any, value: Any) -> None:
        self._job = None
        if self._next is None:
            signal.emit(value)
        self._begin()


class Line(QObject):
    """Functions one after the other on one thread, none of them left out.

    The answer to each goes to what it was asked with, on the main thread; `failed(WorkFailure)` where it raised.
    """

    failed = Signal(object)
    _sent = Signal(object, object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, f"napari-mosaic {name}")
        self._sent.connect(self._receive, Qt.ConnectionType.QueuedConnection)

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._waiting > 0

    def ask(self, function: Callable[[], Any], then: Callable[[Any], Any]) -> None:
        """Run a function when those before it have ended; `then` gets what it returns."""
        self._waiting += 1
        self._thread.submit(self._work, function, then)

    def close(self, last: Callable[[], Any] | None = None, *, drop: bool = False) -> None:
        """Answer nothing more, and wait for what was asked, or with `drop` for what has begun; then run `last`."""
        self._sent.disconnect(self._receive)
        if last is not None:
            self._thread.submit(last)
        self._thread.shutdown(wait=True, cancel_futures=drop)

    def _work(self, function: Callable[[], Any], then: Callable[[Any], Any]) -> None:
        try:
            answer = function()
        except Exception as error:  # noqa: BLE001 - a thread must not die in silence
            then, answer = self.failed.emit, failure_of(error)
        self._sent.emit(then, answer)

    def _receive(self, then: Callable[[Any], Any], answer: Any) -> None:
        self._waiting -= 1
        then(answer)


def when_idle(parent: QObject | None, rest_ms: int, function: Callable[[], Any]) -> QTimer:
    """A timer that calls a function once nobody has started it for `rest_ms`."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(rest_ms)
    timer.timeout.connect(function)
    return timer


def _single(question: Callable[[], Any]) -> Generator[Any, None, Any]:
    return question()
    yield  # makes this function a generator


@atexit.register
def _end_all() -> None:
    """Let no thread outlive Python: one that is inside of a C++ library then ends the process with an abort."""
    jobs, end = list(_alive), time.monotonic() + LAST_WAIT_S
    for job in jobs:
        job.cancel()
    for job in jobs:
        job._thread.join(max(0.0, end - time.monotonic()))


def failure_of(error: Exception) -> WorkFailure:
    """One sentence for a person."""
    if isinstance(error, MosaicError):
        failure = WorkFailure(str(error))
    elif is_out_of_memory(error):
        failure = WorkFailure(
            "There is not enough memory for this step; close other programs, or choose a smaller analysis size."
        )
    else:
        logger.error("Something unforeseen stopped a step.", exc_info=error)  # for whoever reports it
        failure = WorkFailure(
            f"Something unforeseen stopped this step ({type(error).__name__}: {error}); "
            "what is finished is kept. Please report it with the steps that led to it."
        )
    failure.__cause__ = error
    return failure
