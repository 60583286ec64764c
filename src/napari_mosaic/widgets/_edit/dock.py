"""The dock *Edit tesserae*: correct what was found, on the tesserae layer itself.

One decision: the dock is the panel's manner once more: events change a frozen state and the view follows. It edits
only by asking the core through its session, and everything that it shows of an edit comes back from there.
"""

from __future__ import annotations

from typing import Any

from napari.layers import Labels
from napari.viewer import Viewer

from napari_mosaic.editing.tools import EditTool
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._dock import RunningDock, press
from napari_mosaic.widgets._docks import EDIT, PANEL, find_dock
from napari_mosaic.widgets._edit.areas import AreaLayer
from napari_mosaic.widgets._edit.mouse import Gestures, Half, chosen_words
from napari_mosaic.widgets._edit.painting import Painting
from napari_mosaic.widgets._edit.state import EditState, resolve_edit
from napari_mosaic.widgets._edit.tools import BY_NAME, CHOOSE, Drawn, request
from napari_mosaic.widgets._edit.view import EditView
from napari_mosaic.widgets._edit.walk import Check, Walk, fly_to
from napari_mosaic.widgets._napari import focus_canvas
from napari_mosaic.widgets._record_dock import RecordDock
from napari_mosaic.widgets._session import EditSession, JournalFacts, OpenFacts, Outcome
from napari_mosaic.widgets._sources import view_box
from napari_mosaic.widgets._style import ink_of


class EditDock(RecordDock, RunningDock):
    """The dock *Edit tesserae* of a viewer; it edits the record of one tesserae layer at a time."""

    close_s = 60.0
    """What is being looked through is written down at its end; not varied."""
    manifest_id = EDIT
    resolve = staticmethod(resolve_edit)
    state: EditState
    view: EditView

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.state = EditState()
        self.view = EditView(self)
        self.gestures: Gestures | None = None
        self.areas: AreaLayer | None = None
        self.painting, self.check = Painting(self), Check(self)
        self._fill()
        self._connect()
        self._follow_layers()

    # what a person can do -------------------------------------------------------------------------

    def use(self, tool: EditTool) -> None:
        """Take a tool; a tool of stones works at once on those that are chosen."""
        gestures = self.gestures
        if gestures is None or not self.view_model.tools:
            self._update()
            return
        chosen = gestures.half.ids if gestures.tool is CHOOSE else ()
        if tool.gesture in ("touch", "gather") and len(chosen) >= tool.least and self._unseen():
            return
        self.viewer.layers.selection.active = self.layer
        focus_canvas(self.viewer)
        if tool.gesture in ("touch", "gather") and len(chosen) >= tool.least:
            gestures.choose(())
            self._drawn(tool, Drawn(ids=chosen))
        else:
            gestures.use(tool)
        self.tell(tool=gestures.tool, doing=chosen_words(gestures.tool, gestures.half), message="")

    def delete_chosen(self) -> None:
        """Take away what is chosen."""
        if self.gestures is not None and self.gestures.half.ids and self.view_model.tools and not self._unseen():
            ids = self.gestures.half.ids
            self.gestures.choose(())
            self._drawn(BY_NAME["delete"], Drawn(ids=ids))

    def _unseen(self) -> bool:
        """Whether some of what is chosen is out of sight, which is then told: nothing is done to what nobody sees."""
        gestures = self.gestures
        count = 0 if gestures is None else gestures.unseen()
        if gestures is not None and count:
            chosen = len(gestures.half.ids)
            these = "The chosen tessera is" if chosen == 1 else f"{count:,} of the {chosen:,} chosen tesserae are"
            self.tell(message=f"{these} out of sight, so nothing was done: move the view there, or press Esc.")
        return count > 0

    def draw_areas(self, kind: str) -> None:
        """Draw areas of a class, in a layer bound to those of the record."""
        session = self.session
        if self.layer is None or session is None or session.record is None:
            return
        if not self.view_model.draw_area.enabled:
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

    def show_tessera(self, id_: int, box: Box) -> None:
        """Fly to a tessera and choose it."""
        if self.layer is not None and self.gestures is not None:
            fly_to(self.viewer, self.layer, box)
            self.viewer.layers.selection.active = self.layer
            self.gestures.use(CHOOSE)
            self.gestures.choose([id_])
            self.tell(tool=CHOOSE, doing=chosen_words(CHOOSE, self.gestures.half), message="")

    # what the parts of the dock tell it -----------------------------------------------------------

    def _bound(self, layer: Labels, session: EditSession) -> None:
        self.tell(walk=None, finished=None)
        self.gestures = gestures = Gestures(self.viewer, layer, self)
        gestures.enabled = False
        if self.out_of_sight:
            gestures.sleep()
        gestures.drawn.connect(self._drawn)
        gestures.changed.connect(self._half_drawn)
        gestures.picked.connect(self.use)
        gestures.pressed.connect(lambda name: self._verbs[name]())
        gestures.said.connect(lambda words: self.tell(doing=words))

    def _opened(self, facts: OpenFacts, journal: JournalFacts) -> None:
        self.tell(ready=True, refusal=facts.refusal, journal=journal, message="")
        self.check.begin()

    def _drawn(self, tool: EditTool, drawn: Drawn) -> None:
        if self.session is not None:
            self.session.edit(request(tool, drawn, self.view.options()))

    def _half_drawn(self, half: Half) -> None:
        self.tell(doing=chosen_words(self.state.tool if self.gestures is None else self.gestures.tool, half))

    def _edited(self, outcome: Outcome) -> None:
        super()._edited(outcome)
        edit = outcome.edit
        if edit is None or self.gestures is None or self.session is None:
            return
        there = edit.made if outcome.name == "undo" else edit.gone
        self.gestures.choose([id_ for id_ in self.gestures.half.ids if id_ not in there])
        if outcome.name in ("undo", "redo"):
            self._look_at(edit.box)
            self.check.reread()
        else:
            self.check.edited({*edit.made, *edit.gone, *edit.kept})
        if edit.tool.endswith("_area") and self.areas is not None:
            self.session.ask(lambda record: record.areas, self.areas.fill)

    def _look_at(self, box: Box) -> None:
        """Fly to a box of the working grid that is out of sight: an undo that nobody sees is a riddle."""
        if self.layer is not None and view_box(self.viewer, self.layer).intersect(box).area == 0:
            fly_to(self.viewer, self.layer, box)

    def _returned(self, walk: Walk) -> None:
        self.tell(walk=walk)

    def _rested(self) -> None:
        panel = find_dock(self.viewer, PANEL)
        if panel is not None and self.session is not None:
            panel.recount(self.session.path)

    # the frame ------------------------------------------------------------------------------------

    def _release(self) -> None:
        """Let go of the record: everything that waits is written first."""
        self.painting.leave(stay=False)
        self._abandon()
        self._forget_areas()
        if self.gestures is not None:
            self.gestures.close()
            self.gestures.deleteLater()
            self.gestures = None
        super()._release()
        self.tell(run=None, tool=CHOOSE, doing=CHOOSE.how, journal=JournalFacts())

    def _heard(self, session: EditSession) -> tuple[tuple[Any, Any], ...]:
        return *super()._heard(session), (session.opened, self._opened), (session.rested, self._rested)

    def _forget_areas(self) -> None:
        if self.areas is not None:
            self.areas.close()
            self.areas.deleteLater()
            self.areas = None
            self.tell(areas=False)

    def _end(self) -> None:
        super()._end()
        self.layer = None

    def _sight_changed(self) -> None:
        if self.gestures is not None:
            (self.gestures.sleep if self.out_of_sight else self.gestures.wake)()
        self._update()

    def _may_leave(self) -> bool:
        return self.painting.leave()

    def _check_present(self) -> None:
        self.painting.check_present()

    def _gesture(self, verb: str) -> None:
        if self.gestures is not None:
            getattr(self.gestures, verb)()

    def _try_again(self) -> None:
        if self.session is not None:
            self.session.reopen()

    def _connect(self) -> None:
        view, check = self.view, self.check
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
            view.tools[tool.name].clicked.connect(lambda _, tool=tool: self.use(tool))
        for name, button in view.verbs.items():
            button.clicked.connect(lambda _, name=name: self._verbs[name]())
        press(
            (view.retry, self._try_again),
            (view.draw_area, lambda: self.draw_areas(view.area_class.currentData())),
            (view.apply_painting, self.painting.apply),
            (view.leave_painting, self.painting.leave),
            (view.look, check.look),
            (view.finish, check.mark_finished),
        )
        view.goto.returnPressed.connect(lambda: check.go_to(view.goto.text()))
        view.area_class.activated.connect(lambda _: self.choose_class(view.area_class.currentData()))

    def _restyle(self, _: Any = None) -> None:
        super()._restyle()
        self.view.restyle(*ink_of(self.viewer.theme))

    def _show_state(self) -> None:
        model = self.view_model
        self.view.apply(model)
        self.view.show_tool(model.tool)
        working = model.tools and not self.out_of_sight
        if self.gestures is not None and self.gestures.enabled != working:
            self.gestures.enabled = working
            self.gestures.refresh()
