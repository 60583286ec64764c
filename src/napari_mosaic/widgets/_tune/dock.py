"""The dock *Tune*: better settings for a mosaic from the windows that somebody corrected, and honest confidence.

One decision: as in the dock *Train*, events change a frozen state and the view follows from it. A search
changes nothing; the panel of the same viewer does, when it is asked to use what was found.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QEvent

from napari_mosaic.dependencies import missing_of
from napari_mosaic.errors import MosaicError
from napari_mosaic.probability import Calibration
from napari_mosaic.progress import Progress
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tuning import TuneResult
from napari_mosaic.widgets import _dialogs, _knowing, _runs
from napari_mosaic.widgets._companion import Panel, ProcessDock
from napari_mosaic.widgets._dock import press
from napari_mosaic.widgets._docks import TUNE
from napari_mosaic.widgets._tune.runs import (
    RecordLook,
    TuneRequest,
    fresh_folder,
    look_at_record,
    measure_confidence,
    searching_steps,
)
from napari_mosaic.widgets._tune.state import TruthChoice, TuneState, resolve_tuning
from napari_mosaic.widgets._tune.view import TuneView
from napari_mosaic.widgets._worker import WorkFailure


class TuneDock(ProcessDock):
    """The dock *Tune* of a viewer.

    Parameters
    ----------
    napari_viewer
        The viewer whose panel shows the record.
    panel
        That panel; the dock looks for it where it is None.
    """

    stopped_words = "Stopped. What was found is kept; go on whenever you like."
    manifest_id = TUNE
    state: TuneState
    view: TuneView

    def __init__(self, napari_viewer: Viewer, panel: Panel | None = None) -> None:
        super().__init__(napari_viewer, panel)
        lacks = missing_of("optuna")
        self.state = TuneState(lacks=lacks or "")
        self.view = TuneView(self)
        self._looker, self._measurer = self._requests(self._looked), self._requests(self._measured)
        self._marker = self._requests(lambda count: self.tell(finished=count, calibration=None, message=""))
        self._fill()
        if lacks is not None:  # confidence is measured without it, so the dock stays usable
            self._offer(lacks)
        self._connect()
        self.look()

    # what a person can do -------------------------------------------------------------------------

    def look(self) -> None:
        """Take the record that the panel shows, and what was searched for it before."""
        panel = self._find_panel()
        record = None if panel is None else panel.state.record
        if record is not None and str(record.path) != self.state.record:
            self.tell(record=str(record.path), finished=None, scores=(), best=None, calibration=None, message="")
        if self.state.record:
            self._looker.ask(_runs.ask(look_at_record, Path(self.state.record)))
        else:
            self.tell()

    def compare_with(self, truth: TruthChoice, files: tuple[str, ...] = ()) -> None:
        """Choose the truth: the windows that are `finished`, or `files`."""
        self.view.choose(truth)
        self.tell(truth=truth, files=files or self.state.files, calibration=None, message="")

    def mark_view(self) -> None:
        """Say that the tesserae in view are right: settings may be judged by them."""
        seen = self._seen(self.state.record)
        if seen is not None:
            self._marker.ask(_runs.ask(_knowing.mark_window, *seen))

    def start(self) -> None:
        """Begin a new search."""
        self._begin(str(fresh_folder(Path(self.state.record))), ())

    def resume(self) -> None:
        """Go on with the last search, up to the number of trials in the form."""
        self._begin(self.state.folder, self.state.scores)

    def use(self) -> None:
        """Let the panel cut the record, and those to come, by what was found."""
        best = self.state.best
        if best is not None:
            rules = replace(best.tesserae, temperature=self.state.rules.temperature)
            self._hand_over(rules, **best.segment)

    def measure(self) -> None:
        """Find out how honest the model's confidence is."""
        self.tell(measuring=True, message="")
        files = self.state.files if self.state.truth == "files" else ()
        self._measurer.ask(_runs.ask(measure_confidence, Path(self.state.record), files))

    def adjust(self) -> None:
        """Let the record tell its confidences by what was measured."""
        found = self.state.calibration
        if found is not None:
            rules = replace(self.state.rules, temperature=found.temperature)
            self._hand_over(rules, temperature=found.temperature)

    # the search -----------------------------------------------------------------------------------

    def _begin(self, folder: str, scores: tuple[float, ...]) -> None:
        if self.job is not None:
            return
        try:
            params = asdict(self.view.form.value())
        except MosaicError as error:
            self.tell(message=str(error))
            return
        truths = self.state.files if self.state.truth == "files" else ()
        request = TuneRequest(record=self.state.record, folder=folder, truths=truths, params=params)
        changes = {"folder": folder, "scores": scores, "before": len(scores), "best": None}
        self.run_steps(lambda: searching_steps(request), "reading the windows", **changes)

    def _step(self, progress: Progress | None) -> None:
        run = None if progress is None else self._gone_on(progress)
        if progress is not None and run is not None:
            self.tell(run=replace(run, title="searching"), scores=(*self.state.scores, progress.figures["score"]))

    def _returned(self, best: TuneResult) -> None:
        self.tell(best=best, scores=best.history)

    def _ended(self) -> None:
        super()._ended()
        self._looker.ask(_runs.ask(look_at_record, Path(self.state.record)))

    def _hand_over(self, rules: TesseraParams, **later: Any) -> None:
        panel = self._find_panel()
        shown = None if panel is None else panel.seen()
        if panel is None or shown is None or str(shown[0]) != self.state.record:
            self.tell(message="Show this record in the panel “Mosaic” first, and let its run end.")
            return
        panel.use_rules(rules, **later)
        if panel.job is not None:
            panel.job.ended.connect(self.look)
        self.tell(rules=rules, message="")

    # answers --------------------------------------------------------------------------------------

    def _looked(self, found: RecordLook) -> None:
        if self.job is not None:
            self.tell(finished=found.finished)
            return
        best = found.best
        scores = self.state.scores if best is None else best.history
        self.tell(finished=found.finished, rules=found.rules, folder=found.folder, best=best, scores=scores)

    def _measured(self, found: Calibration) -> None:
        self.tell(calibration=found, measuring=False)

    # the frame ------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Look again whenever somebody comes back to the dock."""
        if event.type() in (QEvent.Type.Enter, QEvent.Type.Show) and self.job is None and not self._closed:
            self.look()
        return super().event(event)

    def _connect(self) -> None:
        view = self.view
        view.truth.activated.connect(lambda index: self.compare_with(view.truth.itemData(index)))
        view.choose_files.clicked.connect(lambda _: self._ask_files())
        press(
            (view.mark, self.mark_view),
            (view.start, self.start),
            (view.resume, self.resume),
            (view.stop, self.stop),
            (view.use, self.use),
            (view.measure, self.measure),
            (view.adjust, self.adjust),
        )

    def _ask_files(self) -> None:
        files = _dialogs.ask_truths(self.view)
        if files:
            self.compare_with("files", files)

    def complain(self, failure: WorkFailure) -> None:
        """Say what went wrong."""
        self.tell(message=str(failure), measuring=False)

    def _show_state(self) -> None:
        self.view.apply(resolve_tuning(self.state))
