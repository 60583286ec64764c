"""The dock *Tune*: better settings for a mosaic from the windows that somebody corrected, and honest confidence.

One decision: as in the dock *Train*, events change a frozen state and the view follows from it. A search
changes nothing; the panel of the same viewer does, when it is asked to use what was found.
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
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tuning import TuneResult
from napari_mosaic.widgets import _places, _runs
from napari_mosaic.widgets._face import fill_dock
from napari_mosaic.widgets._guard import keep_out_triton
from napari_mosaic.widgets._jobs import Job, JobFailure, Latest
from napari_mosaic.widgets._panel.dock import MosaicPanel
from napari_mosaic.widgets._state import RunFacts
from napari_mosaic.widgets._style import style_sheet
from napari_mosaic.widgets._tune.face import TuneFace
from napari_mosaic.widgets._tune.runs import (
    RecordLook,
    Tried,
    TuneRequest,
    fresh_folder,
    look_at_record,
    measure_confidence,
    searching_steps,
)
from napari_mosaic.widgets._tune.state import TuneState, resolve_tuning

CLOSE_S = 1.0
"""How long a dock that closes waits for a search, which ends by itself."""


class TuneDock(QWidget):
    """The dock *Tune* of a viewer.

    Parameters
    ----------
    napari_viewer
        The viewer whose panel shows the record.
    panel
        That panel; the dock looks for it where it is None.
    """

    def __init__(self, napari_viewer: Viewer, panel: MosaicPanel | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.state = TuneState()
        self.face = TuneFace(self)
        self.job: Job | None = None
        self._panel = panel
        self._closed = False
        self._started = 0.0
        self._looker, self._marker, self._measurer = (Latest(self) for _ in range(3))
        fill_dock(self, self.face)
        keep_out_triton()
        self._connect()
        self._restyle()
        self.look()

    # what a person can do -------------------------------------------------------------------------

    def look(self) -> None:
        """Take the record that the panel shows, and what was searched for it before."""
        panel = self._find_panel()
        record = None if panel is None else panel.state.record
        if record is not None and str(record.path) != self.state.record:
            self._set(record=str(record.path), finished=None, scores=(), best=None, calibration=None, message="")
        if self.state.record:
            self._looker.ask(_runs.ask(look_at_record, Path(self.state.record)))
        else:
            self._set()

    def compare_with(self, truth: Any, files: tuple[str, ...] = ()) -> None:
        """Choose the truth: the windows that are `finished`, or `files`."""
        self.face.choose(truth)
        self._set(truth=truth, files=files or self.state.files, calibration=None, message="")

    def mark_view(self) -> None:
        """Say that the tesserae in view are right: settings may be judged by them."""
        panel = self._find_panel()
        seen = None if panel is None else panel.seen()
        if seen is None or str(seen[0]) != self.state.record:
            self._set(message="Show this record in the panel “Mosaic” first, then look at what is finished.")
            return
        self._marker.ask(_runs.ask(_runs.mark_window, *seen))

    def start(self) -> None:
        """Begin a new search."""
        self._begin(str(fresh_folder(Path(self.state.record))), ())

    def resume(self) -> None:
        """Go on with the last search, up to the number of trials in the form."""
        self._begin(self.state.folder, self.state.scores)

    def stop(self) -> None:
        """End after the trial that is going on; what was found is kept."""
        if self.job is not None and self.state.run is not None:
            self.job.cancel()
            self._set(run=replace(self.state.run, stopping=True))

    def use(self) -> None:
        """Let the panel cut the record, and those to come, by what was found."""
        best = self.state.best
        if best is not None:
            rules = replace(best.tesserae, temperature=self.state.rules.temperature)
            self._hand_over(rules, **best.segment)

    def measure(self) -> None:
        """Find out how honest the model's confidence is."""
        self._set(measuring=True, message="")
        files = self.state.files if self.state.truth == "files" else ()
        self._measurer.ask(_runs.ask(measure_confidence, Path(self.state.record), files))

    def adjust(self) -> None:
        """Let the record tell its confidences by what was measured."""
        found = self.state.calibration
        if found is not None:
            rules = replace(self.state.rules, temperature=found.temperature)
            self._hand_over(rules, temperature=found.temperature)

    def shutdown(self) -> None:
        """Stop the search and undo connections."""
        if self._closed:
            return
        self._closed = True
        for latest in (self._looker, self._marker, self._measurer):
            latest.close()
        if self.job is not None:
            self.job.abandon(timeout=CLOSE_S)
            self.job = None
        self.viewer.events.theme.disconnect(self._restyle)

    # the search -----------------------------------------------------------------------------------

    def _begin(self, folder: str, scores: tuple[float, ...]) -> None:
        if self.job is not None:
            return
        try:
            params = asdict(self.face.form.value())
        except MosaicError as error:
            self._set(message=str(error))
            return
        truths = self.state.files if self.state.truth == "files" else ()
        request = TuneRequest(record=self.state.record, folder=folder, truths=truths, params=params)
        self._started = time.monotonic()
        run = RunFacts(title="reading the windows")
        self._set(run=run, folder=folder, scores=scores, before=len(scores), best=None, message="")
        job = Job(lambda: searching_steps(request))
        job.stepped.connect(self._step)
        job.returned.connect(self._found)
        job.failed.connect(self._complain)
        job.cancelled.connect(lambda: self._set(message="Stopped. What was found is kept; go on whenever you like."))
        job.ended.connect(self._ended)
        self.job = job.start()

    def _step(self, event: Any) -> None:
        if isinstance(event, Tried) and self.state.run is not None:
            run = self.state.run.after(event.progress, time.monotonic() - self._started)
            self._set(run=replace(run, title="searching"), scores=(*self.state.scores, event.score))

    def _found(self, best: TuneResult) -> None:
        self._set(best=best, scores=best.history)

    def _ended(self) -> None:
        self.job = None
        self._set(run=None)
        self._looker.ask(_runs.ask(look_at_record, Path(self.state.record)))

    def _hand_over(self, rules: TesseraParams, **later: Any) -> None:
        panel = self._find_panel()
        shown = None if panel is None else panel.seen()
        if panel is None or shown is None or str(shown[0]) != self.state.record:
            self._set(message="Show this record in the panel “Mosaic” first, and let its run end.")
            return
        panel.use_rules(rules, **later)
        if panel.job is not None:
            panel.job.ended.connect(self.look)
        self._set(rules=rules, message="")

    # answers --------------------------------------------------------------------------------------

    def _looked(self, found: RecordLook) -> None:
        if self.job is not None:
            self._set(finished=found.finished)
            return
        best = found.best
        scores = self.state.scores if best is None else best.history
        self._set(finished=found.finished, rules=found.rules, folder=found.folder, best=best, scores=scores)

    def _measured(self, found: Any) -> None:
        self._set(calibration=found, measuring=False)

    # the frame ------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Shut down before the widget is deleted, whoever deletes it."""
        if event.type() in (QEvent.Type.DeferredDelete, QEvent.Type.Close):
            self.shutdown()
        elif event.type() in (QEvent.Type.Enter, QEvent.Type.Show) and self.job is None and not self._closed:
            self.look()
        return bool(super().event(event))

    def _find_panel(self) -> MosaicPanel | None:
        """The panel of the viewer."""
        if self._panel is None or self._panel.closed:
            self._panel = _places.panel_of(self.viewer, MosaicPanel)
        return self._panel

    def _connect(self) -> None:
        face = self.face
        face.truth.activated.connect(lambda index: self.compare_with(face.truth.itemData(index)))
        face.choose_files.clicked.connect(lambda _: self._ask_files())
        for button, verb in (
            (face.mark, self.mark_view),
            (face.start, self.start),
            (face.resume, self.resume),
            (face.stop, self.stop),
            (face.use, self.use),
            (face.measure, self.measure),
            (face.adjust, self.adjust),
        ):
            button.clicked.connect(lambda _, verb=verb: verb())
        self._looker.answered.connect(self._looked)
        self._marker.answered.connect(lambda count: self._set(finished=count, calibration=None, message=""))
        self._measurer.answered.connect(self._measured)
        for latest in (self._looker, self._marker, self._measurer):
            latest.failed.connect(self._complain)
        self.viewer.events.theme.connect(self._restyle)

    def _ask_files(self) -> None:
        files = _places.ask_truths(self.face)
        if files:
            self.compare_with("files", files)

    def _complain(self, failure: JobFailure) -> None:
        self._set(message=str(failure), measuring=False)

    def _restyle(self, _: Any = None) -> None:
        self.face.setStyleSheet(style_sheet(self.viewer.theme))

    def _set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        if not self._closed:
            self.face.apply(resolve_tuning(self.state))
