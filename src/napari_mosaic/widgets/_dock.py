"""What every dock is: a frozen state, a face that follows from it, and an orderly end.

One decision: a dock is shut down exactly once, before it is deleted, whoever closes it. What it listens to and what
works for it in the background is noted when that begins, so the end forgets nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from napari import Viewer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QAbstractButton, QVBoxLayout, QWidget

from napari_mosaic.dependencies import missing_of
from napari_mosaic.widgets._face import MissingNote, fill_dock
from napari_mosaic.widgets._jobs import JobFailure, Latest
from napari_mosaic.widgets._napari import real
from napari_mosaic.widgets._once import StandIn, standing_dock
from napari_mosaic.widgets._style import style_sheet


class Dock(QWidget):
    """A dock of a viewer; a subclass gives `state` and `face`, calls `_fill`, and shows the one in the other."""

    state: Any
    face: Any
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
        self._closed = False
        self._workers: list[Latest] = []
        self._connections: list[tuple[Any, Callable[..., Any]]] = []

    @property
    def closed(self) -> bool:
        """Whether it was shut down."""
        return self._closed

    def tell(self, **changes: Any) -> None:
        """Change the state and show it."""
        self.state = replace(self.state, **changes)
        self._update()

    def complain(self, failure: JobFailure) -> None:
        """Say what went wrong."""
        self.tell(message=str(failure))

    def shutdown(self) -> None:
        """Let go of what is open, end what runs, undo all connections; layers stay in the viewer."""
        if self._closed:
            return
        self._release()
        self._closed = True
        for worker in self._workers:
            worker.close()
        for emitter, slot in self._connections:
            emitter.disconnect(slot)
        self._end()

    def event(self, event: QEvent) -> bool:
        """Shut down before the widget is deleted, whoever deletes it."""
        if event.type() in (QEvent.Type.DeferredDelete, QEvent.Type.Close):
            self.shutdown()
        return bool(super().event(event))

    # for subclasses -------------------------------------------------------------------------------

    def _show_state(self) -> None:
        """Show the state."""
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of what is open, while the dock still answers."""

    def _end(self) -> None:
        """End what runs, once nothing is shown any more."""

    def _fill(self) -> None:
        """Put the face into the dock, in the colours of the viewer."""
        fill_dock(self, self.face)
        package = missing_of(*self.needs)
        if package is not None:
            self._offer(package)
            self.face.setEnabled(False)
        self._hear(self.viewer.events.theme, self._restyle)
        self._restyle()

    def _offer(self, package: str) -> None:
        """Show above the face what installs a package: napari's own list of plugins offers no extras."""
        column = self.layout()
        assert isinstance(column, QVBoxLayout)
        column.insertWidget(0, MissingNote(package))

    def _worker(self, answered: Callable[[Any], Any]) -> Latest:
        """A worker whose answers go to `answered`; its failures are told."""
        worker = Latest(self)
        worker.answered.connect(answered)
        worker.failed.connect(self.complain)
        self._workers.append(worker)
        return worker

    def _hear(self, emitter: Any, slot: Callable[..., Any]) -> None:
        """Listen to an emitter of the viewer until the end."""
        emitter.connect(slot)
        self._connections.append((emitter, slot))

    def _restyle(self, _: Any = None) -> None:
        self.face.setStyleSheet(style_sheet(self.viewer.theme))

    def _update(self) -> None:
        if not self._closed:
            self._show_state()


def press(*pairs: tuple[QAbstractButton, Callable[[], Any]]) -> None:
    """Let buttons call verbs, without the word `checked` that Qt sends."""
    for button, verb in pairs:
        button.clicked.connect(lambda _=False, verb=verb: verb())
