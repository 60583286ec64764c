"""Docks that work on the record of one tesserae layer at a time.

One decision: such a dock takes the first such layer by itself, lets go of one that is removed, and borrows the
viewer's one editing session of the record, so the undo of one dock is that of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari import Viewer
from napari.layers import Labels

from napari_mosaic.record import Record
from napari_mosaic.widgets._dock import Dock
from napari_mosaic.widgets._edited import record_of, tessera_layers
from napari_mosaic.widgets._napari import real
from napari_mosaic.widgets._session import EditSession, Outcome, borrow_session, give_back


class RecordDock(Dock):
    """A dock that works on the record of one tesserae layer; a subclass takes it up in `_bound`."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.layer: Labels | None = None
        self.session: EditSession | None = None

    def bind(self, layer: Labels | None) -> None:
        """Work on the record of a tesserae layer; None for none."""
        layer = real(layer)
        if layer is self.layer:
            return
        self._release()
        self.layer = layer
        self.tell(layer="" if layer is None else layer.name, ready=False, refusal="", last="")
        if layer is not None:
            self.session = borrow_session(self.viewer, record_of(layer))
            for signal, slot in self._heard(self.session):
                signal.connect(slot)
            self._bound(layer, self.session)

    def undo(self) -> None:
        """Take back the last edit."""
        if self.session is not None and self.view_model.undo.enabled:
            self.session.undo()

    def redo(self) -> None:
        """Make the edit again that was undone last."""
        if self.session is not None and self.view_model.redo.enabled:
            self.session.redo()

    def ask(self, function: Callable[[Record], Any], then: Callable[[Any], None]) -> None:
        """Run a function on the record, where there is one, in line with its edits; see `EditSession.ask`."""
        if self.session is not None:
            self.session.ask(function, then)

    # for subclasses -------------------------------------------------------------------------------

    def _bound(self, layer: Labels, session: EditSession) -> None:
        """A layer was taken, and its session borrowed."""
        raise NotImplementedError

    def _heard(self, session: EditSession) -> tuple[tuple[Any, Callable[..., Any]], ...]:
        """The session's signals and what hears them."""
        return (session.edited, self._edited), (session.failed, self.complain)

    def _edited(self, outcome: Outcome) -> None:
        """The record was edited, by whichever dock."""
        self.tell(journal=outcome.journal, last=outcome.words, message="")

    def _release(self) -> None:
        if self.session is not None:
            for signal, slot in self._heard(self.session):
                signal.disconnect(slot)
            give_back(self.session, self.viewer)
            self.session = None

    def _may_leave(self) -> bool:
        """Whether another layer may be taken; asks where something would be lost."""
        return True

    def _check_present(self) -> None:
        """Let go of own layers that somebody removed."""

    def _follow_layers(self) -> None:
        layers = self.viewer.layers.events
        for emitter in (layers.inserted, layers.removed, layers.reordered):
            self._hear(emitter, self._list_layers)
        self.view.layer.activated.connect(self._choose_layer)
        self._list_layers()

    def _list_layers(self, _: Any = None) -> None:
        """Find what can be worked on; take the first where nothing is yet."""
        layers = tessera_layers(self.viewer)
        if self.layer is not None and self.layer not in layers:
            self.bind(None)
        self._check_present()
        self.tell(records=tuple(layer.name for layer in layers))
        active = self.viewer.layers.selection.active
        if self.layer is None and layers:
            self.bind(active if active in layers else layers[0])

    def _choose_layer(self, index: int) -> None:
        layers = tessera_layers(self.viewer)
        if 0 <= index < len(layers) and self._may_leave():
            self.bind(layers[index])
        self._update()
