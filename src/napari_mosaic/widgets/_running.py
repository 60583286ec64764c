"""Docks that run one long thing at a time.

One decision: while it runs `state.run` tells how far it is, whatever ends it keeps what is finished, and a dock that
closes waits no longer than `close_s`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from napari import Viewer

from napari_mosaic.progress import Progress
from napari_mosaic.widgets._dock import Dock
from napari_mosaic.widgets._jobs import Job
from napari_mosaic.widgets._state import RunFacts


class RunningDock(Dock):
    """A dock with one job; a subclass says what becomes of its steps, its result and its end."""

    stopped_words: ClassVar[str]
    close_s: ClassVar[float] = 5.0

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.job: Job | None = None
        self._started = 0.0

    def stop(self) -> None:
        """End at the next step; what is finished is kept."""
        if self.job is not None and self.state.run is not None:
            self.job.cancel()
            self.tell(run=replace(self.state.run, stopping=True))

    # for subclasses -------------------------------------------------------------------------------

    def _run(self, make: Callable[[], Any], title: str, **changes: Any) -> None:
        """Run the steps that `make` gives, where nothing runs; `changes` are of the state."""
        if self.job is not None:
            return
        self._started = time.monotonic()
        self.tell(**({"message": ""} | changes), run=RunFacts(title=title))
        job = Job(make)
        job.stepped.connect(self._step)
        job.returned.connect(self._returned)
        job.failed.connect(lambda failure: self._stopped(str(failure)))
        job.cancelled.connect(lambda: self._stopped(self.stopped_words))
        job.ended.connect(self._ended)
        self.job = job.start()

    def _gone_on(self, progress: Progress) -> RunFacts | None:
        """How far the run is after a step."""
        run = self.state.run
        return None if run is None else run.after(progress, time.monotonic() - self._started)

    def _step(self, event: Any) -> None:
        raise NotImplementedError

    def _returned(self, value: Any) -> None:
        raise NotImplementedError

    def _stopped(self, message: str) -> None:
        """It failed or was stopped."""
        self.tell(message=message)

    def _ended(self) -> None:
        """It is over, however it ended."""
        self.job = None
        self.tell(run=None)

    def _end(self) -> None:
        if self.job is not None:
            self.job.abandon(timeout=self.close_s)
            self.job = None
