"""The dock *Edit tesserae*: correct what was found, on the tesserae layer itself.

One decision: the dock is the panel's manner once more: events change a frozen state and the view follows. It edits
only by asking the core through its session, and everything that it shows of an edit comes back from there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari.layers import Labels
from napari.viewer import Viewer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

from napari_mosaic.tiling import Box
from napari_mosaic.widgets._edit.areas import AreaLayer
from napari_mosaic.widgets._edit.check import Check
from napari_mosaic.widgets._edit.face import EditFace
from napari_mosaic.widgets._edit.mouse import Gestures, Half, chosen_words
from napari_mosaic.widgets._edit.painting import Painting
from napari_mosaic.widgets._edit.queue import fly_to
from napari_mosaic.widgets._edit.session import EditSession, JournalFacts, OpenFacts, Outcome
from napari_mosaic.widgets._edit.shared import borrow_session, give_back
from napari_mosaic.widgets._edit.state import EditState, resolve_edit
from napari_mosaic.widgets._edit.tools import BY_NAME, CHOOSE, Drawn, Tool, describe, request
from napari_mosaic.widgets._edited import record_of, tessera_layers
from napari_mosaic.widgets._face import fill_dock
from napari_mosaic.widgets._jobs import JobFailure
from napari_mosaic.widgets._panel.dock import MosaicPanel
from napari_mosaic.widgets._places import panel_of
from napari_mosaic.widgets._style import ink_of, style_sheet


class EditDock(QWidget):
    """The dock *Edit tesserae* of a viewer; it edits the record of one tesserae layer at a time."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.state = EditState()
        self.face = EditFace(self)
        self.layer: Labels | None = None
        self.session: EditSession | None = None
        self.gestures: Gestures | None = None
        self.areas: AreaLayer | None = None
        self.painting, self.check = Painting(self), Check(self)
        self._closed = False
        fill_dock(self, self.face)
        self._connect()
        self._restyle()
        self._list_layers()

    # what a person can do -------------------------------------------------------------------------

    def bind(self, layer: Labels | None) -> None:
        """Edit the record of a tesserae layer; None for none."""
        if layer is self.layer:
            return
        self._release()
        self.layer = layer
        self.tell(layer="" if layer is None else layer.name, ready=False, refusal="", walk=None, finished=None, last="")
        if layer is None:
            return
        self.session = borrow_session(self.viewer, record_of(layer))
        for signal, slot in self._heard(self.session):
            signal.connect(slot)
        self.gestures = Gestures(self.viewer, layer, self)
        self.gestures.enabled = False
        self.gestures.drawn.connect(self._drawn)
        self.gestures.changed.connect(self._half_drawn)
        self.gestures.picked.connect(self.use)
        self.gestures.pressed.connect(lambda name: self._verbs[name]())
        self.gestures.said.connect(lambda words: self.tell(doing=words))

    def use(self, tool: Tool) -> None:
        """Take a tool; a tool of stones works at once on those that are chosen."""
        gestures = self.gestures
        if gestures is None or not resolve_edit(self.state).tools:
            self._update()
            return
        chosen = gestures.half.ids if gestures.tool is CHOOSE else ()
        self.viewer.layers.selection.active = self.layer
        self.viewer.window._qt_viewer.canvas.native.setFocus()
        if tool.gesture in ("touch", "gather") and len(chosen) >= tool.least:
            gestures.choose(())
            self._drawn(tool, Drawn(ids=chosen))
        else:
            gestures.use(tool)
        self.tell(tool=gestures.tool, doing=chosen_words(gestures.tool, gestures.half), message="")

    def undo(self) -> None:
        """Take back the last edit."""
        if self.session is not None and resolve_edit(self.state).undo.enabled:
            self.session.undo()

    def redo(self) -> None:
        """Make the edit again that was undone last."""
        if self.session is not None and resolve_edit(self.state).redo.enabled:
            self.session.redo()

    def delete_chosen(self) -> None:
        """Take away what is chosen."""
        if self.gestures is not None and self.gestures.half.ids and resolve_edit(self.state).tools:
            ids = self.gestures.half.ids
            self.gestures.choose(())
            self._drawn(BY_NAME["delete"], Drawn(ids=ids))

    def draw_areas(self, kind: str) -> None:
        """Draw areas of a class, in a layer bound to those of the record."""
        session = self.session
        if self.layer is None or session is None or session.record is None:
            return
        if not resolve_edit(self.state).areas.enabled:
            return
        if self.areas is None or not self.areas.present:
            self._forget_areas()
            self.areas = AreaLayer(self.viewer, self.layer, session.record.plan.factor, self)
            self.areas.asked.connect(session.change)
            self.areas.layer.bind_key("Control-Z", lambda _: self.undo(), overwrite=True)
            self.areas.layer.bind_key("Control-Shift-Z", lambda _: self.redo(), overwrite=True)
            self.areas.fill(session.record.areas)
        self.areas.draw(kind)
        self.tell(areas=True, message="")

    def choose_class(self, kind: str) -> None:
        """Give selected shapes this class, or draw the next ones in it."""
        if self.areas is not None and self.areas.present and not self.areas.reclass(kind):
            self.areas.draw(kind)

    def show_stone(self, id_: int, box: Box) -> None:
        """Fly to a tessera and choose it."""
        if self.layer is not None and self.gestures is not None:
            fly_to(self.viewer, self.layer, box)
            self.viewer.layers.selection.active = self.layer
            self.gestures.use(CHOOSE)
            self.gestures.choose([id_])
            self.tell(tool=CHOOSE, doing=chosen_words(CHOOSE, self.gestures.half), message="")

    def shutdown(self) -> None:
        """Write what waits, undo connections; the layers stay in the viewer."""
        if self._closed:
            return
        self._release()
        self._closed, self.layer = True, None
        for emitter, slot in self._pairs:
            emitter.disconnect(slot)

    # what the parts of the dock tell it -----------------------------------------------------------

    def tell(self, **changes: Any) -> None:
        """Change the state and show it."""
        self.state = replace(self.state, **changes)
        self._update()

    def complain(self, failure: JobFailure) -> None:
        """Say what went wrong."""
        self.tell(message=str(failure))

    def _opened(self, facts: OpenFacts, journal: JournalFacts) -> None:
        self.tell(ready=True, refusal=facts.refusal, journal=journal, message="")
        self.check.begin()

    def _drawn(self, tool: Tool, drawn: Drawn) -> None:
        if self.session is not None:
            self.session.edit(request(tool, drawn, self.face.options()))

    def _half_drawn(self, half: Half) -> None:
        self.tell(doing=chosen_words(self.state.tool if self.gestures is None else self.gestures.tool, half))

    def _edited(self, outcome: Outcome) -> None:
        edit, words = outcome.edit, describe(outcome.edit)
        if outcome.name in ("undo", "redo"):
            word = "Undone" if outcome.name == "undo" else "Made again"
            words = f"{word}: {words[0].lower()}{words[1:]}" if edit is not None else "There is nothing left."
        self.tell(journal=outcome.journal, last=words, message="")
        if edit is None or self.gestures is None or self.session is None:
            return
        there = edit.made if outcome.name == "undo" else edit.gone
        self.gestures.choose([id_ for id_ in self.gestures.half.ids if id_ not in there])
        if outcome.name in ("undo", "redo"):
            self.check.reread()
        else:
            self.check.edited({*edit.made, *edit.gone, *edit.kept})
        if edit.tool.endswith("_area") and self.areas is not None:
            self.session.ask(lambda record: record.areas, self.areas.fill)

    def _rested(self) -> None:
        panel = panel_of(self.viewer, MosaicPanel)
        if panel is not None and self.session is not None:
            panel.recount(self.session.path)

    # the frame ------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Shut down before the widget is deleted, whoever deletes it."""
        if event.type() in (QEvent.Type.DeferredDelete, QEvent.Type.Close):
            self.shutdown()
        return bool(super().event(event))

    def _release(self) -> None:
        """Let go of the record: everything that waits is written first."""
        self.painting.leave(stay=False)
        self.check.end()
        self._forget_areas()
        if self.gestures is not None:
            self.gestures.close()
            self.gestures.deleteLater()
            self.gestures = None
        if self.session is not None:
            for signal, slot in self._heard(self.session):
                signal.disconnect(slot)
            give_back(self.session, self.viewer)
            self.session = None
        self.tell(looking=None, tool=CHOOSE, doing=CHOOSE.how, journal=JournalFacts())

    def _heard(self, session: EditSession) -> tuple[tuple[Any, Any], ...]:
        return (
            (session.opened, self._opened),
            (session.edited, self._edited),
            (session.failed, self.complain),
            (session.rested, self._rested),
        )

    def _forget_areas(self) -> None:
        if self.areas is not None:
            self.areas.close()
            self.areas.deleteLater()
            self.areas = None
            self.tell(areas=False)

    def _list_layers(self, _: Any = None) -> None:
        """Find what can be edited; take the first where nothing is edited yet."""
        layers = tessera_layers(self.viewer)
        if self.layer is not None and self.layer not in layers:
            self.bind(None)
        self.painting.check_present()
        self.tell(records=tuple(layer.name for layer in layers))
        active = self.viewer.layers.selection.active
        if self.layer is None and layers:
            self.bind(active if active in layers else layers[0])

    def _choose_layer(self, index: int) -> None:
        layers = tessera_layers(self.viewer)
        if 0 <= index < len(layers) and self.painting.leave():
            self.bind(layers[index])
        self._update()

    def _gesture(self, verb: str) -> None:
        if self.gestures is not None:
            getattr(self.gestures, verb)()

    def _try_again(self) -> None:
        if self.session is not None:
            self.session.reopen()

    def _connect(self) -> None:
        face, layers, check = self.face, self.viewer.layers.events, self.check
        self._pairs = (
            (layers.inserted, self._list_layers),
            (layers.removed, self._list_layers),
            (layers.reordered, self._list_layers),
            (self.viewer.events.theme, self._restyle),
        )
        for emitter, slot in self._pairs:
            emitter.connect(slot)
        self._verbs: dict[str, Any] = {
            "confirm": lambda: self._gesture("confirm"),
            "leave": lambda: self._gesture("leave"),
            "delete": self.delete_chosen,
            "undo": self.undo,
            "redo": self.redo,
            "next": lambda: check.step(1),
            "previous": lambda: check.step(-1),
            "window": self.painting.open,
            **{word: lambda word=word: check.decide(word) for word in ("fine", "fixed", "ignored")},
        }
        for tool in BY_NAME.values():
            face.tools[tool.name].clicked.connect(lambda _, tool=tool: self.use(tool))
        for name, button in face.verbs.items():
            button.clicked.connect(lambda _, name=name: self._verbs[name]())
        for button, verb in (
            (face.retry, self._try_again),
            (face.draw_area, lambda: self.draw_areas(face.area_class.currentData())),
            (face.apply_, self.painting.apply),
            (face.leave, self.painting.leave),
            (face.look, check.look),
            (face.finish, check.mark_finished),
        ):
            button.clicked.connect(lambda _, verb=verb: verb())
        face.goto.returnPressed.connect(lambda: check.go_to(face.goto.text()))
        face.layer.activated.connect(self._choose_layer)
        face.area_class.activated.connect(lambda _: self.choose_class(face.area_class.currentData()))

    def _restyle(self, _: Any = None) -> None:
        self.face.setStyleSheet(style_sheet(self.viewer.theme))
        self.face.restyle(*ink_of(self.viewer.theme))

    def _update(self) -> None:
        if self._closed:
            return
        view = resolve_edit(self.state)
        self.face.apply(view)
        self.face.show_tool(view.tool)
        if self.gestures is not None and self.gestures.enabled != view.tools:
            self.gestures.enabled = view.tools
            self.gestures.refresh()
