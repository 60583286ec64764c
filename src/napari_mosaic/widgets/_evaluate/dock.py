"""The dock *Evaluate*: results against drawn truth, with the figures, curves and colours of the field.

One decision: as in the dock *Train*, events change a frozen state and the view follows from it. The record is the
panel's; the figures are those of the command `evaluate`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QEvent

from napari_mosaic.errors import MosaicError
from napari_mosaic.evaluation.models import name_models
from napari_mosaic.widgets import _dialogs
from napari_mosaic.widgets._companion import Panel, PanelDock
from napari_mosaic.widgets._dock import RunningDock, press
from napari_mosaic.widgets._docks import EVALUATE
from napari_mosaic.widgets._evaluate import runs
from napari_mosaic.widgets._evaluate.runs import Compared, CompareRequest, Painted, TrainingRuns
from napari_mosaic.widgets._evaluate.state import EvaluateState, Of, resolve_evaluation
from napari_mosaic.widgets._evaluate.view import EvaluateView
from napari_mosaic.widgets._sources import lying_like, placement_in
from napari_mosaic.widgets._worker import WorkFailure

PICTURE = "comparison"
"""Name of the layer that shows what is right."""


class EvaluateDock(PanelDock, RunningDock):
    """The dock *Evaluate* of a viewer.

    Parameters
    ----------
    napari_viewer
        The viewer whose panel shows the record.
    panel
        That panel; the dock looks for it where it is None.
    """

    stopped_words = "Stopped."
    manifest_id = EVALUATE
    resolve = staticmethod(resolve_evaluation)
    state: EvaluateState
    view: EvaluateView

    def __init__(self, napari_viewer: Viewer, panel: Panel | None = None) -> None:
        super().__init__(napari_viewer, panel)
        self.state = EvaluateState()
        self.view = EvaluateView(self)
        self._painter = self._requests(self._painted)
        self._historian = self._requests(lambda found: self.tell(training=found, message=""))
        self._saver = self._requests(lambda path: self.tell(message=f"Saved {path.name}."))
        self._fill()
        self._connect()
        self.look()

    # what a person can do -------------------------------------------------------------------------

    def look(self) -> None:
        """Take the record that the panel shows, with all label layers that it has now."""
        panel = self._find_panel()
        record = None if panel is None else panel.state.record
        if record is None:
            self.tell()
            return
        layers = tuple(name for name, _ in runs.results_of(record.path))
        changed = str(record.path) != self.state.record
        self.tell(record=str(record.path), layers=layers, **({"compared": None, "words": ""} if changed else {}))

    def compare(self, of: Of, folder: str | Path = "") -> None:
        """Choose what is compared: the `record` of the panel, a `folder` of results, or one more folder of `models`."""
        self.view.choose(of)
        chosen: dict[str, Any] = {"of": of, "compared": None, "words": "", "message": ""}
        if folder and of == "models":
            try:
                name_models([*self.state.models, folder])
                chosen["models"] = (*self.state.models, str(folder))
            except MosaicError as error:
                chosen["message"] = str(error)
        elif folder:
            chosen["folder"] = str(folder)
        self.tell(**chosen)

    def start_over(self) -> None:
        """Take all models out again."""
        self.tell(models=(), compared=None, message="")

    def add_run(self, folder: str | Path) -> None:
        """Show the curves of one more training run."""
        self._historian.ask(runs.read_training, (*self.state.training.folders, str(folder)))

    def forget_runs(self) -> None:
        """Show no training run."""
        self.tell(training=TrainingRuns(), message="")

    def show_figure(self, name: str) -> None:
        """Choose which figure of the training runs is shown."""
        self.tell(figure=name)

    def compare_with(self, truth: str | Path) -> None:
        """Choose the truth: a file, a record, or a folder of them for a folder of results."""
        self.tell(truth=str(truth), compared=None, words="", message="")

    def start(self) -> None:
        """Compare."""
        if not self.view_model.start.enabled:
            return
        state = self.state
        try:
            request = CompareRequest(
                truth=state.truth,
                results=runs.results_of(Path(state.record)) if state.of == "record" else (),
                folder=state.folder if state.of == "folder" else "",
                models=state.models if state.of == "models" else (),
                params=self.view.form.value(),
            )
        except MosaicError as error:
            self.tell(message=str(error))
            return
        self.run_steps(lambda: runs.comparing_steps(request), "comparing", compared=None, words="")

    def show_picture(self) -> None:
        """Add a layer that shows what is right: in five colours of two results, by tesserae of one."""
        if self.state.compared is not None and self.view_model.show.enabled:
            self.tell(painting=True, message="")
            self._painter.ask(runs.paint, self.state.compared.request)

    def save_table(self, path: str | Path) -> None:
        """Write the whole table as CSV or JSON; of models tables and pictures into a folder."""
        compared = self.state.compared
        if compared is not None and compared.models is not None:
            self._saver.ask(runs.save_comparison, compared, self.state.training.folders, str(path))
        elif compared is not None:
            self._saver.ask(runs.save_table, compared, str(path))

    # answers --------------------------------------------------------------------------------------

    def _returned(self, found: Compared) -> None:
        self.tell(compared=found)

    def _painted(self, painted: Painted) -> None:
        panel = self._find_panel()
        photograph = None if panel is None else panel.photograph
        place: dict[str, Any] = {}
        if photograph is not None:
            crop = painted.place
            place = lying_like(photograph) if crop is None else placement_in(photograph, crop.box, crop.zoom)
        if PICTURE in self.viewer.layers:
            self.viewer.layers.remove(PICTURE)
        self.viewer.add_image(painted.picture, name=PICTURE, rgb=True, **place)
        self.tell(painting=False, words=painted.words)

    def complain(self, failure: WorkFailure) -> None:
        """Say what went wrong."""
        self.tell(message=str(failure), painting=False)

    # the frame ------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Look again whenever somebody comes back to the dock."""
        if event.type() in (QEvent.Type.Enter, QEvent.Type.Show) and self.job is None and not self._closed:
            self.look()
        return super().event(event)

    def _connect(self) -> None:
        view = self.view
        view.figure.textActivated.connect(self.show_figure)
        view.of.activated.connect(lambda index: self.compare(view.of.itemData(index)))
        press(
            (view.choose_folder, lambda: self._use(_dialogs.ask_results(view), partial(self.compare, self.state.of))),
            (view.start_over, self.start_over),
            (view.add_run, lambda: self._use(_dialogs.ask_run(view), self.add_run)),
            (view.forget_runs, self.forget_runs),
            (view.choose_truth, lambda: self._use(_dialogs.ask_truth(view), self.compare_with)),
            (view.choose_truths, lambda: self._use(_dialogs.ask_truth_folder(view), self.compare_with)),
            (view.start, self.start),
            (view.stop, self.stop),
            (view.save, self._ask_save),
            (view.show, self.show_picture),
        )

    def _ask_save(self) -> None:
        found = self.state.compared
        of_models = found is not None and found.models is not None
        self._use(_dialogs.ask_folder(self.view, "") if of_models else _dialogs.ask_table(self.view), self.save_table)

    @staticmethod
    def _use(path: str, verb: Any) -> None:
        if path:
            verb(path)
