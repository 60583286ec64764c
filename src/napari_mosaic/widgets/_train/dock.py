"""The dock *Train*: from pictures, or from what was corrected, to a model that the panel uses.

One decision: the dock is the panel's manner once more: events change a frozen state, the view follows from
it. It speaks to the panel of the same viewer only through three verbs of the panel.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

from napari_mosaic.errors import MosaicError
from napari_mosaic.training import PRESETS, FinetuneParams
from napari_mosaic.widgets import _places, _runs
from napari_mosaic.widgets._face import fill_dock
from napari_mosaic.widgets._guard import keep_out_triton
from napari_mosaic.widgets._jobs import Job, JobFailure, Latest
from napari_mosaic.widgets._panel.dock import MosaicPanel
from napari_mosaic.widgets._state import RunFacts
from napari_mosaic.widgets._style import style_sheet
from napari_mosaic.widgets._train.face import TrainFace
from napari_mosaic.widgets._train.request import TrainRequest
from napari_mosaic.widgets._train.runs import Curves, HeldRun, Learned, Sample, held_run, training_steps
from napari_mosaic.widgets._train.sample import show_sample
from napari_mosaic.widgets._train.state import FINETUNE, OFFERED, HeldFacts, TrainState, length_of, resolve_training

MOST_LOSSES = 20_000
CLOSE_S = 1.0
"""How long a dock that closes waits for a run; the process saves and ends by itself."""


class TrainDock(QWidget):
    """The dock *Train* of a viewer.

    Parameters
    ----------
    napari_viewer
        The viewer whose panel gets the model.
    panel
        That panel; the dock looks for it, or opens one, where it is None.
    """

    def __init__(self, napari_viewer: Viewer, panel: MosaicPanel | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.state = TrainState()
        self.face = TrainFace(self)
        self.job: Job | None = None
        self._panel = panel
        self._closed = False
        self._learns = False
        self._started = 0.0
        self._looker, self._marker = Latest(self), Latest(self)
        fill_dock(self, self.face)
        keep_out_triton()
        self._connect()
        self._restyle()
        self.learn_from("drawn")

    # what a person can do -------------------------------------------------------------------------

    def learn_from(self, data: Any, source: str | Path = "") -> None:
        """Choose what is learned from: `drawn`, a `folder`, or a `record`; by default that of the panel."""
        panel = self._find_panel() if data == "record" and not source else None
        if panel is not None and panel.state.record is not None:
            source = panel.state.record.path
        recipe = self.state.recipe if self.state.recipe in OFFERED[data] else OFFERED[data][0]
        self.face.choose(self.face.data, data)
        self._set(data=data, source=str(source), finished=None, message="")
        self.set_recipe(recipe)
        self.set_out(_places.default_run(str(source)))
        if data == "record" and source:
            self._marker.ask(_runs.ask(_runs.finished_windows, Path(source)))

    def set_recipe(self, recipe: str) -> None:
        """Choose a recipe; its parameters replace those in the form."""
        self._set(recipe=recipe)
        self.face.choose(self.face.recipe, recipe)
        self.face.show_task(self.state.task, masks=self.state.data == "folder")
        start = FinetuneParams() if recipe == FINETUNE else PRESETS[recipe]
        self.face.form(self.state.task).set_value(start)
        self._note_length()

    def set_out(self, folder: str | Path) -> None:
        """Keep the run there, or go on with the one that is there."""
        self.face.out.show_path(str(folder))
        self._set(out=str(folder), held=None, model="", rows=(), losses=())
        self._looker.ask(_runs.ask(held_run, str(folder)))

    def mark_view(self) -> None:
        """Say that the corrected tesserae in view are right: they may be learned from."""
        panel = self._find_panel()
        seen = None if panel is None else panel.seen()
        if seen is None or str(seen[0]) != self.state.source:
            self._set(message="Show this record in the panel “Mosaic” first, then look at what is finished.")
            self._learns = False
            return
        self._marker.ask(_runs.ask(_runs.mark_window, *seen))

    def learn_from_view(self) -> None:
        """Say that the corrected tesserae in view are right, and learn from all that is finished at once."""
        self._learns = True
        self.mark_view()

    def start(self) -> None:
        """Begin to learn."""
        try:
            params = asdict(self.face.form(self.state.task).value())
        except MosaicError as error:
            self._set(message=str(error))
            return
        request = TrainRequest(task=self.state.task, out=self.state.out, params=params, source=self.state.source)
        self._begin(request)

    def resume(self) -> None:
        """Go on with the run in the folder, as it was begun."""
        held = held_run(self.state.out)
        if held is not None:
            self._begin(replace(held.request, resume=True))

    def stop(self) -> None:
        """End at the next step; everything up to it is kept."""
        if self.job is not None and self.state.run is not None:
            self.job.cancel()
            self._set(run=replace(self.state.run, stopping=True))

    def use_model(self) -> None:
        """Let the panel find tesserae with this model."""
        panel = self._find_panel(make=True)
        if panel is not None and self.state.model:
            panel.use_model(self.state.model)
            self._set(used=self.state.model)

    def shutdown(self) -> None:
        """Stop the run, which saves where it is, and undo connections."""
        if self._closed:
            return
        self._closed = True
        for latest in (self._looker, self._marker):
            latest.close()
        if self.job is not None:
            self.job.abandon(timeout=CLOSE_S)
            self.job = None
        self.viewer.events.theme.disconnect(self._restyle)

    # the run --------------------------------------------------------------------------------------

    def _note_length(self) -> None:
        """Say how long it will be, where what is typed goes together."""
        try:
            self._set(length=length_of(self.face.form(self.state.task).value()), message="")
        except MosaicError as error:
            self._set(length="", message=str(error))

    def _begin(self, request: TrainRequest) -> None:
        if self.job is not None:
            return
        request = replace(request, sample=self.face.sample.isChecked())
        self._started = time.monotonic()
        self._set(run=RunFacts(title="loading the network"), message="", model="", losses=())
        job = Job(lambda: training_steps(request))
        job.stepped.connect(self._step)
        job.returned.connect(lambda path: self._set(model=path, message=""))
        job.failed.connect(self._complain)
        job.cancelled.connect(lambda: self._set(message="Stopped. What was learned is kept; go on whenever you like."))
        job.ended.connect(self._ended)
        self.job = job.start()

    def _step(self, event: Any) -> None:
        if isinstance(event, Learned):
            self._learned(event)
        elif isinstance(event, Curves):
            self._set(rows=event.rows)
        elif isinstance(event, Sample):
            show_sample(self.viewer, event)

    def _learned(self, event: Learned) -> None:
        losses = self.state.losses
        if event.loss is not None:
            last = losses[-1][0] if losses else event.progress.done - 1
            losses = (*losses[-MOST_LOSSES:], (max(event.progress.done, last + 1), event.loss))
        run = self.state.run
        if run is not None:
            title = "learning" if event.progress.unit == "steps" else "preparing"
            run = replace(run.after(event.progress, time.monotonic() - self._started), title=title)
        self._set(losses=losses, run=run)

    def _ended(self) -> None:
        self.job = None
        self._set(run=None)
        self._looker.ask(_runs.ask(held_run, self.state.out))

    def _marked(self, finished: int) -> None:
        """So many windows are finished; where they are to be learned from at once, begin, beside earlier runs."""
        self._set(finished=finished, message="")
        if self._learns:
            self._learns = False
            if self.state.held is not None:
                self.set_out(_places.default_run(self.state.source))
            self.start()

    def _held(self, held: HeldRun | None) -> None:
        if self.job is not None:
            return
        if held is None:
            self._set(held=None)
            return
        params = held.request.parameters()
        if held.request.task == self.state.task:
            self.face.form(held.request.task).set_value(params)
        self._set(length=length_of(params))
        steps = int(held.rows[-1]["step"]) if held.rows else 0
        self._set(held=HeldFacts(steps, held.model), rows=held.rows, model=held.model)

    # the frame ------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Shut down before the widget is deleted, whoever deletes it."""
        if event.type() in (QEvent.Type.DeferredDelete, QEvent.Type.Close):
            self.shutdown()
        return bool(super().event(event))

    def _find_panel(self, *, make: bool = False) -> MosaicPanel | None:
        """The panel of the viewer."""
        if self._panel is None or self._panel.closed:
            self._panel = _places.panel_of(self.viewer, MosaicPanel, make=make)
        return self._panel

    def _connect(self) -> None:
        face = self.face
        face.data.activated.connect(lambda index: self.learn_from(face.data.itemData(index)))
        face.recipe.activated.connect(lambda index: self.set_recipe(face.recipe.itemData(index)))
        for form in (face.train_form, face.finetune_form):
            form.changed.connect(self._note_length)
        face.choose_source.clicked.connect(lambda _: self._ask_source())
        face.choose_out.clicked.connect(lambda _: self._ask_out())
        for button, verb in (
            (face.mark, self.mark_view),
            (face.learn, self.learn_from_view),
            (face.start, self.start),
            (face.resume, self.resume),
            (face.stop, self.stop),
            (face.use, self.use_model),
        ):
            button.clicked.connect(lambda _, verb=verb: verb())
        self._looker.answered.connect(self._held)
        self._marker.answered.connect(self._marked)
        for latest in (self._looker, self._marker):
            latest.failed.connect(self._complain)
        self.viewer.events.theme.connect(self._restyle)

    def _ask_source(self) -> None:
        ask = _places.ask_record if self.state.data == "record" else _places.ask_pictures
        path = ask(self.face)
        if path:
            self.learn_from(self.state.data, path)

    def _ask_out(self) -> None:
        path = _places.ask_folder(self.face, self.state.out)
        if path:
            self.set_out(path)

    def _complain(self, failure: JobFailure) -> None:
        self._learns = False
        self._set(message=str(failure))

    def _restyle(self, _: Any = None) -> None:
        self.face.setStyleSheet(style_sheet(self.viewer.theme))

    def _set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        if not self._closed:
            self.face.source.show_path(self.state.source or "none chosen yet")
            self.face.apply(resolve_training(self.state))
