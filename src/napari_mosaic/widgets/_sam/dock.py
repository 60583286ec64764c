"""The dock *SAM 2*: show it a stone, look at its mask, accept it into the tesserae.

One decision: the dock is the panel's manner once more: events change a frozen state and the view follows. Masks come
from a worker's thread, one question at a time, and edits go through the session that all docks of a viewer share.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari.layers import Labels
from napari.viewer import Viewer

from napari_mosaic.sam.clicks import Clicks, ClickSession
from napari_mosaic.widgets._dock import press
from napari_mosaic.widgets._docks import SAM2
from napari_mosaic.widgets._guard import keep_out_triton
from napari_mosaic.widgets._napari import camera_of, focus_canvas
from napari_mosaic.widgets._record_dock import RecordDock
from napari_mosaic.widgets._sam import work
from napari_mosaic.widgets._sam.mouse import Prompting
from napari_mosaic.widgets._sam.preview import PreviewLayer
from napari_mosaic.widgets._sam.state import SamState, SeenFacts, resolve_sam
from napari_mosaic.widgets._sam.tools import Gesture, Step, drawn_around, with_point
from napari_mosaic.widgets._sam.view import SamView
from napari_mosaic.widgets._sam.work import Answered, Ground
from napari_mosaic.widgets._session import EditSession, Outcome
from napari_mosaic.widgets._sources import middle, view_box
from napari_mosaic.widgets._viewer import CAMERA_MS
from napari_mosaic.widgets._worker import WorkFailure, when_idle


class SamDock(RecordDock):
    """The dock *SAM 2* of a viewer; it works on the record of one tesserae layer at a time."""

    needs = ("sam2", "torch")
    manifest_id = SAM2
    resolve = staticmethod(resolve_sam)
    state: SamState
    view: SamView

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.state = SamState()
        self.view = SamView(self)
        self.clicks: ClickSession | None = None
        self.steps: list[Step] = []
        self.preview: PreviewLayer | None = None
        self.prompting: Prompting | None = None
        self._ground: Ground | None = None
        self._network: Any = None
        self._loader, self._asker = self._requests(self._loaded), self._requests(self._answered)
        self._warmer = self._requests(lambda _: None)
        self._rest = when_idle(self, CAMERA_MS, self._warm_view)
        self._fill()
        keep_out_triton()
        self._connect()
        self._follow_layers()

    # what a person can do -------------------------------------------------------------------------

    def use_model(self, name: str) -> None:
        """Load a model, by name or file."""
        self._network = self.clicks = None
        self._forget_tessera()
        self.view.models.set_value(name)
        if not self.view.models.here:
            self.tell(model="", loading=False, loaded=False, tool=None, message="")
            return
        self.tell(model=name, loading=True, loaded=False, tool=None, message="")
        self._loader.ask(work.load_model, name)

    def use(self, tool: Gesture) -> None:
        """Take a tool, or leave it where it is in hand."""
        if not self.view_model.tools or self.layer is None:
            self._update()
            return
        chosen = None if tool == self.state.tool else tool
        if self.prompting is None or self.preview is None or not self.preview.present:
            self._make_preview(self.layer)
        assert self.prompting is not None
        assert self.preview is not None
        self.prompting.use(chosen)
        self.viewer.layers.selection.active = self.layer if chosen is None else self.preview.layer
        focus_canvas(self.viewer)
        if chosen is None:
            self._forget_tessera()
        self.tell(tool=chosen, message="")
        self._rest.start()

    def accept(self) -> None:
        """Write the mask into the tesserae."""
        if self.session is None or not self.steps or not self.view_model.accept.enabled:
            return
        suggestion = self.steps[-1].suggestion
        if suggestion is not None:
            piece = suggestion.piece
            how = self.view.how.currentData()
            self.session.edit({"tool": "add_mask", "box": list(piece.box), "mask": piece.bits, "how": how})

    def reject(self) -> None:
        """Drop the mask and what was shown; where there is none, put the tool away."""
        if self.steps:
            self._forget_tessera()
        elif self.state.tool is not None:
            self.use(self.state.tool)

    def undo(self) -> None:
        """Take back the last click; where there is none, the last edit."""
        if self.steps:
            self.steps.pop()
            self._show_tessera()
            self._ask()
        else:
            super().undo()

    def choose_other(self, step: int) -> None:
        """Take the next larger mask of the same click, or the next smaller one for -1."""
        suggestion = self.steps[-1].suggestion if self.steps else None
        if suggestion is not None:
            self.steps[-1] = replace(self.steps[-1], suggestion=suggestion.other(step))
            self._show_tessera()

    # a stone --------------------------------------------------------------------------------------

    def _clicked(self, place: tuple[float, float], inside: bool) -> None:
        before = self.steps[-1].clicks if self.steps else Clicks()
        self._add(with_point(before, place, inside=inside))

    def _drawn(self, tool: Gesture, track: tuple[tuple[float, float], ...]) -> None:
        self._forget_tessera()
        self._add(drawn_around(tool, track))

    def _add(self, clicks: Clicks) -> None:
        self.steps.append(Step(clicks))
        self._show_tessera()
        self._ask()

    def _ask(self) -> None:
        """Ask for the mask of the last step, where it is not known."""
        if not self.steps or self.clicks is None:
            return
        last = self.steps[-1]
        if last.answered or last.clicks.empty:
            return
        before = next((step.suggestion for step in reversed(self.steps[:-1]) if step.suggestion is not None), None)
        frame = self.clicks.frame_for(last.clicks, None if before is None else before.frame)
        self.tell(thinking="Looking …" if self.clicks.is_warm(frame) else "Looking at this part for the first time …")
        self._asker.ask(work.ask, self.clicks, last.clicks, before)

    def _answered(self, answer: Answered) -> None:
        for place, step in enumerate(self.steps):
            if step.clicks is answer.clicks:
                self.steps[place] = Step(step.clicks, answer.suggestion, answered=True)
        self._show_tessera()

    def _show_tessera(self) -> None:
        """Show the last step: its points, and its mask where there is one."""
        last = self.steps[-1] if self.steps else Step(Clicks(), answered=True)
        suggestion, seen = last.suggestion, None
        if suggestion is not None:
            seen = SeenFacts(
                score=suggestion.score,
                area=suggestion.piece.area,
                place=suggestion.chosen,
                count=len(suggestion.pieces),
            )
        if self.prompting is not None:
            self.prompting.show(last.clicks)
        if self.preview is not None and self.preview.present and (suggestion is not None or last.answered):
            self.preview.show(None if suggestion is None else suggestion.piece)
        waiting = self.state.thinking if not last.answered and self._asker.busy else ""
        nothing = bool(self.steps) and last.answered and suggestion is None
        self.tell(clicks=len(self.steps), seen=seen, nothing=nothing, thinking=waiting, message="")

    def _forget_tessera(self) -> None:
        self._asker.forget()
        if self.steps:
            self.steps = []
            self._show_tessera()

    # what comes back ------------------------------------------------------------------------------

    def _bound(self, layer: Labels, session: EditSession) -> None:
        session.ask(work.open_ground, lambda ground: self._opened(session, ground))

    def _opened(self, session: EditSession, ground: Ground) -> None:
        if session is not self.session:
            ground.image.close()
            return
        self._ground = ground
        self.tell(ready=True, refusal=ground.refusal, journal=ground.journal, message="")
        self._begin()

    def _loaded(self, network: Any) -> None:
        self._network = network
        self.tell(loading=False, loaded=True)
        self._begin()

    def _begin(self) -> None:
        if self._ground is not None and self._network is not None:
            self.clicks = work.begin(self._ground, self._network)
            self._rest.start()

    def _edited(self, outcome: Outcome) -> None:
        if outcome.name == "add_mask":
            self._forget_tessera()
        super()._edited(outcome)

    def complain(self, failure: WorkFailure) -> None:
        """Say what went wrong."""
        self.tell(loading=False, thinking="", message=str(failure))

    def _warm_view(self) -> None:
        """Encode the middle of the view ahead, while a tool is in hand and the view is near enough to click."""
        clicks, layer = self.clicks, self.layer
        if clicks is None or layer is None or self.state.tool is None or self._asker.busy:
            return
        box = view_box(self.viewer, layer)
        frame = clicks.frame_for(Clicks(inside=(middle(box),)))
        if max(box.shape) <= 2 * frame.read.shape[0] and not clicks.is_warm(frame):
            self._warmer.ask(clicks.warm, frame)

    # the frame ------------------------------------------------------------------------------------

    def _end(self) -> None:
        self.view.models.shut()
        self._network = self.clicks = None

    def _make_preview(self, base: Labels) -> None:
        self._drop_preview()
        self.preview = PreviewLayer(self.viewer, base)
        self.prompting = Prompting(self.viewer, self.preview.layer, base, self)
        self.prompting.clicked.connect(self._clicked)
        self.prompting.drawn.connect(self._drawn)
        self.prompting.picked.connect(self.use)
        self.prompting.pressed.connect(lambda name: self._verbs[name]())

    def _drop_preview(self) -> None:
        if self.prompting is not None:
            self.prompting.close()
            self.prompting.deleteLater()
            self.prompting = None
        preview, self.preview = self.preview, None
        if preview is not None:
            preview.close()

    def _release(self) -> None:
        """Let go of the record."""
        self._forget_tessera()
        self._warmer.forget()
        self._drop_preview()
        self.clicks = None
        super()._release()
        if self._ground is not None:
            self._ground.image.close()
            self._ground = None
        self.tell(tool=None)

    def _check_present(self) -> None:
        if self.preview is not None and not self.preview.present:
            self._forget_tessera()
            self._drop_preview()
            self.tell(tool=None)

    def _connect(self) -> None:
        view, camera = self.view, camera_of(self.viewer).events
        self._hear(camera.center, self._moved)
        self._hear(camera.zoom, self._moved)
        self._verbs: dict[str, Any] = {
            "accept": self.accept,
            "leave": self.reject,
            "undo": self.undo,
            "redo": self.redo,
            "smaller": lambda: self.choose_other(-1),
            "larger": lambda: self.choose_other(1),
        }
        for name, button in view.tools.items():
            button.clicked.connect(lambda _, name=name: self.use(name))
        press(
            (view.accept, self.accept),
            (view.reject, self.reject),
            (view.undo, self.undo),
            (view.redo, self.redo),
            (view.smaller, self._verbs["smaller"]),
            (view.larger, self._verbs["larger"]),
        )
        view.models.chosen.connect(self.use_model)
        view.models.failed.connect(self.complain)

    def _moved(self, _: Any = None) -> None:
        self._rest.start()
