"""The dock *Train*: from pictures, or from what was corrected, to a model that the panel uses.

One decision: the dock is the panel's manner once more: events change a frozen state, the view follows from
it. It speaks to the panel of the same viewer only through three verbs of the panel.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from napari.viewer import Viewer

from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.progress import Progress
from napari_mosaic.sam.params import PRESETS as SAM_PRESETS
from napari_mosaic.sam.params import SamParams
from napari_mosaic.tuning.handed import read_handed
from napari_mosaic.widgets import _dialogs, _knowing, _runs
from napari_mosaic.widgets._companion import Panel, ProcessDock
from napari_mosaic.widgets._dock import press
from napari_mosaic.widgets._docks import TRAIN
from napari_mosaic.widgets._train.request import TrainRequest
from napari_mosaic.widgets._train.runs import Curves, HeldRun, SamplePrediction, TrainEvent, held_run, training_steps
from napari_mosaic.widgets._train.sample import show_sample
from napari_mosaic.widgets._train.state import (
    OFFERED,
    STARTS,
    Data,
    HeldFacts,
    TrainState,
    length_of,
    resolve_training,
)
from napari_mosaic.widgets._train.view import TrainView
from napari_mosaic.widgets._worker import WorkFailure

_DOING = {"steps": "learning", "trials": "searching"}
"""What goes on while a unit is counted."""

MOST_LOSSES = 20_000
"""Most losses that are remembered for the plot. *Not varied.*"""


class TrainDock(ProcessDock):
    """The dock *Train* of a viewer.

    Parameters
    ----------
    napari_viewer
        The viewer whose panel gets the model.
    panel
        That panel; the dock looks for it, or opens one, where it is None.
    """

    needs = ("torch", "timm")
    stopped_words = "Stopped. What was learned is kept; go on whenever you like."
    manifest_id = TRAIN
    resolve = staticmethod(resolve_training)
    state: TrainState
    view: TrainView

    def __init__(self, napari_viewer: Viewer, panel: Panel | None = None) -> None:
        super().__init__(napari_viewer, panel)
        self.state = TrainState()
        self.view = TrainView(self)
        self._learns = False
        self._looker, self._marker = self._requests(self._held), self._requests(self._marked)
        self._fill()
        self._connect()
        self.learn_from("drawn")

    # what a person can do -------------------------------------------------------------------------

    def learn_from(self, data: Data, source: str | Path = "") -> None:
        """Choose what is learned from: `drawn`, a `folder`, or a `record`; by default that of the panel."""
        panel = self._find_panel() if data == "record" and not source else None
        if panel is not None and panel.state.record is not None:
            source = panel.state.record.path
        recipe = self.state.recipe if self.state.recipe in OFFERED[data] else OFFERED[data][0]
        self.view.choose(self.view.data, data)
        self.tell(data=data, source=str(source), finished=None, message="")
        self.set_recipe(recipe)
        self.set_out(_dialogs.default_run(str(source)))
        if data == "record" and source:
            self._marker.ask(_runs.ask(_knowing.finished_windows, Path(source)))

    def set_recipe(self, recipe: str) -> None:
        """Choose a recipe; its parameters replace those in the form."""
        self.tell(recipe=recipe)
        self.view.choose(self.view.recipe, recipe)
        self.view.show_task(self.state.task, masks=self.state.data == "folder")
        start = STARTS[recipe]
        self.view.form(self.state.task).set_value(start)
        if self.state.learns_sam:
            self.view.sam_model.set_value(self._usual_sam().model if recipe != "sam2-small" else "")
        self._note_length()

    def set_out(self, folder: str | Path) -> None:
        """Keep the run there, or go on with the one that is there."""
        self.view.out.show_path(str(folder))
        self.tell(out=str(folder), held=None, model="", rows=(), losses=(), scores=())
        self._looker.ask(_runs.ask(held_run, str(folder)))

    def mark_view(self) -> None:
        """Say that the corrected tesserae in view are right: they may be learned from."""
        seen = self._seen(self.state.source)
        if seen is None:
            self._learns = False
            return
        self._marker.ask(_runs.ask(_knowing.mark_window, *seen))

    def learn_from_view(self) -> None:
        """Say that the corrected tesserae in view are right, and learn from all that is finished at once."""
        self._learns = True
        self.mark_view()

    def start(self) -> None:
        """Begin to learn."""
        try:
            params, sam = self._told()
        except MosaicError as error:
            self.tell(message=str(error))
            return
        about = {"task": self.state.task, "out": self.state.out, "source": self.state.source}
        self._begin(TrainRequest(params=params, sam=sam, **about))  # type: ignore[arg-type]

    def resume(self) -> None:
        """Go on with the run in the folder, as it was begun; a search for thresholds to the trials in the form."""
        held = held_run(self.state.out)
        if held is None:
            return
        request = replace(held.request, resume=True)
        if request.task == "sam2-tune":
            trials = self.view.tune_form.value().trials
            request = replace(request, params=request.params | {"trials": trials})
        self._begin(request)

    def use_model(self) -> None:
        """Let the panel find tesserae with this model, or with the thresholds that were found."""
        panel = self._find_panel(make=True)
        if panel is None or not self.state.model:
            return
        if self.state.task == "sam2-tune":
            tuned = read_handed(self.state.model).sam
            if tuned is not None:
                panel.use_sam(replace(tuned, into=panel.sam.into, device=panel.sam.device))
        elif self.state.learns_sam:
            panel.use_sam(replace(panel.sam, model=self.state.model, config=None))
        else:
            panel.use_model(self.state.model)
        self.tell(used=self.state.model)

    # the run --------------------------------------------------------------------------------------

    def _told(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parameters of the task that is chosen, and how SAM 2 is asked where its thresholds are tuned."""
        params, model = asdict(self.view.form(self.state.task).value()), self.view.sam_model
        if not self.view_model.model_shown:
            return params, {}
        if not model.here:
            raise InputError("Choose the model of SAM 2 to begin with: one that is here, or a file.")
        if self.state.task == "sam2-tune":
            return params, asdict(replace(self._usual_sam(), model=model.value(), config=None))
        return params | {"model": model.value(), "config": None}, {}

    def _usual_sam(self) -> SamParams:
        """How the panel asks SAM 2; as it was published where there is no panel."""
        panel = self._find_panel()
        return SAM_PRESETS["mosaic-sam2"] if panel is None else panel.sam

    def _note_length(self) -> None:
        """Say how long it will be, where what is typed goes together."""
        try:
            task = self.state.task
            self.tell(length=length_of(self.view.form(task).value(), task), message="")
        except MosaicError as error:
            self.tell(length="", message=str(error))

    def _begin(self, request: TrainRequest) -> None:
        if self.job is not None:
            return
        request = replace(request, sample=self.view.sample.isChecked())
        self.run_steps(lambda: training_steps(request), "loading the network", model="", losses=(), scores=())

    def _step(self, event: TrainEvent) -> None:
        if isinstance(event, Progress):
            self._learned(event)
        elif isinstance(event, Curves):
            self.tell(rows=event.rows)
        elif isinstance(event, SamplePrediction):
            show_sample(self.viewer, event)

    def _learned(self, progress: Progress) -> None:
        losses = self.state.losses
        if "loss" in progress.figures:
            last = losses[-1][0] if losses else progress.done - 1
            losses = (*losses[-MOST_LOSSES:], (max(progress.done, last + 1), progress.figures["loss"]))
        scores = self.state.scores
        if self.state.task == "sam2-tune" and "score" in progress.figures:
            scores = (*scores, progress.figures["score"])
        run = self._gone_on(progress)
        if run is not None:
            run = replace(run, title=_DOING.get(progress.unit, "preparing"))
        self.tell(losses=losses, scores=scores, run=run)

    def _returned(self, path: str) -> None:
        self.tell(model=path, message="")

    def _ended(self) -> None:
        super()._ended()
        self._looker.ask(_runs.ask(held_run, self.state.out))

    def _marked(self, finished: int) -> None:
        """So many windows are finished; where they are to be learned from at once, begin, beside earlier runs."""
        self.tell(finished=finished, message="")
        if self._learns:
            self._learns = False
            if self.state.held is not None:
                self.set_out(_dialogs.default_run(self.state.source))
            self.start()

    def _held(self, held: HeldRun | None) -> None:
        if self.job is not None:
            return
        if held is None:
            self.tell(held=None)
            return
        params, task = held.request.parameters(), held.request.task
        if task == self.state.task:
            self.view.form(task).set_value(params)
        self.tell(length=length_of(params, task))
        steps = int(held.rows[-1]["step"]) if held.rows else 0
        self.tell(held=HeldFacts(steps, held.model), rows=held.rows, model=held.model, scores=held.scores)

    # the frame ------------------------------------------------------------------------------------

    def _connect(self) -> None:
        view = self.view
        view.data.activated.connect(lambda index: self.learn_from(view.data.itemData(index)))
        view.recipe.activated.connect(lambda index: self.set_recipe(view.recipe.itemData(index)))
        for form in (view.train_form, view.finetune_form, view.sam_form, view.tune_form):
            form.changed.connect(self._note_length)
        view.sam_model.chosen.connect(lambda _: self.tell(message=""))
        view.sam_model.failed.connect(self.complain)
        view.choose_source.clicked.connect(lambda _: self._ask_source())
        view.choose_out.clicked.connect(lambda _: self._ask_out())
        press(
            (view.mark, self.mark_view),
            (view.learn, self.learn_from_view),
            (view.start, self.start),
            (view.resume, self.resume),
            (view.stop, self.stop),
            (view.use, self.use_model),
        )

    def _ask_source(self) -> None:
        ask = _dialogs.ask_record if self.state.data == "record" else _dialogs.ask_pictures
        path = ask(self.view)
        if path:
            self.learn_from(self.state.data, path)

    def _ask_out(self) -> None:
        path = _dialogs.ask_folder(self.view, self.state.out)
        if path:
            self.set_out(path)

    def _end(self) -> None:
        self.view.sam_model.shut()
        super()._end()

    def complain(self, failure: WorkFailure) -> None:
        """Say what went wrong."""
        self._learns = False
        self.tell(message=str(failure))

    def _show_state(self) -> None:
        self.view.source.show_path(self.state.source or "none chosen yet")
        super()._show_state()
