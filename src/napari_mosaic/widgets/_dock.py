"""What every dock is: a frozen state, a view that follows from it, and an orderly end.

One decision: a dock is shut down exactly once, before it is deleted, whoever closes it. What it listens to and what
works for it in the background is noted when that begins, so the end forgets nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from napari import Viewer
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QAbstractButton, QVBoxLayout, QWidget

from napari_mosaic.dependencies import missing_of
from napari_mosaic.progress import Progress
from napari_mosaic.widgets._docks import StandIn, come_as_tab, frame_of, standing_dock
from napari_mosaic.widgets._facts import RunFacts
from napari_mosaic.widgets._napari import main_window, real
from napari_mosaic.widgets._style import style_sheet
from napari_mosaic.widgets._view import MissingNote, fill_dock
from napari_mosaic.widgets._worker import CLOSE_S, Requests, Worker, WorkFailure, when_idle

GONE_MS = 100
"""How long a dock is not seen before it counts as out of sight; not varied."""

PROGRESS_MS = 250
"""Least time between two looks at how far a run is; not varied."""


class Dock(QWidget):
    """A dock of a viewer; a subclass gives `state`, `view` and `resolve`, what a state shows, and calls `_fill`."""

    state: Any
    view: Any
    resolve: Any
    manifest_id: ClassVar[str] = ""
    """What the manifest calls it: other docks find it by that."""
    needs: tuple[str, ...] = ()
    """Packages of an extra without which nothing in the dock works."""

    def __new__(cls, napari_viewer: Any = None, *_: Any, **__: Any) -> Any:
        """A dock; where one of its kind is open in the viewer, what stands for that."""
        standing = None if napari_viewer is None else standing_dock(real(napari_viewer), cls)
        return super().__new__(cls) if standing is None else StandIn(standing)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = real(viewer)
        self._closed = self._placed = False
        self.out_of_sight = False
        self._gone = when_idle(self, GONE_MS, lambda: self._set_sight(True))
        self._asked: list[Requests] = []
        self._connections: list[tuple[Any, Callable[..., Any]]] = []
        main_window(self.viewer).destroyed.connect(self.shutdown)  # a window that goes tells its docks no event

    @property
    def closed(self) -> bool:
        """Whether it was shut down."""
        return self._closed

    @property
    def view_model(self) -> Any:
        """What the state shows."""
        return self.resolve(self.state)

    def tell(self, **changes: Any) -> None:
        """Change the state and show it."""
        self.state = replace(self.state, **changes)
        self._update()

    def complain(self, failure: WorkFailure) -> None:
        """Say what went wrong."""
        self.tell(message=str(failure))

    def shutdown(self) -> None:
        """Let go of what is open, end what runs, undo all connections; layers stay in the viewer."""
        if self._closed:
            return
        self._release()
        self._closed = True
        self._gone.stop()
        for worker in self._asked:
            worker.close()
        for emitter, slot in self._connections:
            emitter.disconnect(slot)
        self._end()

    def event(self, event: QEvent) -> bool:
        """Shut down before the widget is deleted, whoever deletes it."""
        if event.type() in (QEvent.Type.DeferredDelete, QEvent.Type.Close):
            self.shutdown()
        return bool(super().event(event))

    def showEvent(self, event: QShowEvent) -> None:
        """Come as a tab the first time, once napari has done with adding this."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            QTimer.singleShot(0, self._come)
        self._seen_or_not(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Somebody hid this; a window that is made small hides nothing."""
        super().hideEvent(event)
        if not event.spontaneous():
            self._seen_or_not(False)

    # for subclasses -------------------------------------------------------------------------------

    def _show_state(self) -> None:
        """Show the state."""
        self.view.apply(self.view_model)

    def _sight_changed(self) -> None:
        """It went out of sight, or came back."""

    def _release(self) -> None:
        """Let go of what is open, while the dock still answers."""

    def _end(self) -> None:
        """End what runs, once nothing is shown any more."""

    def _fill(self) -> None:
        """Put the view into the dock, in the colours of the viewer."""
        fill_dock(self, self.view)
        package = missing_of(*self.needs)
        if package is not None:
            self._offer(package)
            self.view.setEnabled(False)
        self._hear(self.viewer.events.theme, self._restyle)
        self._restyle()

    def _offer(self, package: str) -> None:
        """Show above the view what installs a package: napari's own list of plugins offers no extras."""
        column = self.layout()
        assert isinstance(column, QVBoxLayout)
        column.insertWidget(0, MissingNote(package))

    def _requests(self, answered: Callable[[Any], Any]) -> Requests:
        """Requests whose answers go to `answered`; their failures are told."""
        worker = Requests(self)
        worker.answered.connect(answered)
        worker.failed.connect(self.complain)
        self._asked.append(worker)
        return worker

    def _hear(self, emitter: Any, slot: Callable[..., Any]) -> None:
        """Listen to an emitter of the viewer until the end."""
        emitter.connect(slot)
        self._connections.append((emitter, slot))

    def _come(self) -> None:
        frame = None if self._closed else frame_of(self)
        if frame is not None:
            frame.visibilityChanged.connect(self._seen_or_not)  # a tab that is behind counts as shown otherwise
            come_as_tab(self.viewer, self)

    def _seen_or_not(self, seen: bool) -> None:
        """It is seen at once, and out of sight once it stays so: Qt hides a dock for a moment when tabs are laid."""
        if seen:
            self._gone.stop()
            self._set_sight(False)
        elif not self._closed:
            self._gone.start()

    def _set_sight(self, out_of_sight: bool) -> None:
        if self.out_of_sight != out_of_sight and not self._closed:
            self.out_of_sight = out_of_sight
            self._sight_changed()

    def _restyle(self, _: Any = None) -> None:
        self.view.setStyleSheet(style_sheet(self.viewer.theme))

    def _update(self) -> None:
        if not self._closed:
            self._show_state()


class RunningDock(Dock):
    """A dock that runs one long thing at a time; a subclass says what becomes of its steps, its result and its end.

    While it runs `state.run` tells how far it is; whatever ends it keeps what is finished.
    """

    stopped_words: ClassVar[str] = ""
    close_s: ClassVar[float] = CLOSE_S

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.job: Worker | None = None
        self._started = 0.0
        self._progress_timer = when_idle(self, PROGRESS_MS, self._update)

    def stop(self) -> None:
        """End at the next step; what is finished is kept."""
        if self.job is not None and self.state.run is not None:
            self.job.cancel()
            self.tell(run=replace(self.state.run, stopping=True))

    # for subclasses -------------------------------------------------------------------------------

    def run_steps(self, make: Callable[[], Any], title: str, **changes: Any) -> None:
        """Run the steps that `make` gives, where nothing runs; `changes` are of the state."""
        if self.job is not None:
            return
        self._started = time.monotonic()
        job = Worker(make)
        job.stepped.connect(self._step)
        job.returned.connect(self._returned)
        job.failed.connect(lambda failure: self._stopped(str(failure)))
        job.cancelled.connect(lambda: self._stopped(self.stopped_words))
        job.ended.connect(self._ended)
        self.job = job.start()
        self.tell(**({"message": ""} | changes), run=RunFacts(title=title))

    def _gone_on(self, progress: Progress) -> RunFacts | None:
        """How far the run is after a step."""
        run = self.state.run
        return None if run is None else run.after(progress, time.monotonic() - self._started)

    def _step(self, event: Any) -> None:
        """It has come further, which is shown now and then: each time the whole window is painted."""
        if isinstance(event, Progress):
            self.state = replace(self.state, run=self._gone_on(event))
            if not self._progress_timer.isActive():
                self._progress_timer.start()

    def _returned(self, value: Any) -> None:
        raise NotImplementedError

    def _stopped(self, message: str) -> None:
        """It failed or was stopped."""
        self.tell(message=message)

    def _ended(self) -> None:
        """It is over, however it ended."""
        self.job = None
        self.tell(run=None)

    def _abandon(self) -> None:
        """End what runs, and wait no longer than `close_s`; nothing more is heard of it."""
        if self.job is not None:
            self.job.abandon(timeout=self.close_s)
            self.job = None

    def _end(self) -> None:
        self._progress_timer.stop()
        self._abandon()


def press(*pairs: tuple[QAbstractButton, Callable[[], Any]]) -> None:
    """Let buttons call verbs, without the word `checked` that Qt sends."""
    for button, verb in pairs:
        button.clicked.connect(lambda _=False, verb=verb: verb())
