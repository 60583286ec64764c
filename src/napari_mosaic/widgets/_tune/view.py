"""The widgets of the dock *Tune* in their places, and how a view is applied to them; see `_view`."""

from __future__ import annotations

from qtpy.QtCore import QRectF, QSignalBlocker
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from napari_mosaic.tuning import TuneParams
from napari_mosaic.widgets._forms import ValueForm
from napari_mosaic.widgets._plot import CurvePlot
from napari_mosaic.widgets._tune.bars import BarPlot
from napari_mosaic.widgets._tune.state import TRUTHS, TUNE_STEPS, TuneViewModel
from napari_mosaic.widgets._view import (
    FigureGrid,
    PathLabel,
    StepsView,
    apply_button,
    button_row,
    dots,
    narrow_combo,
    note,
    show_progress,
)


class TuneView(StepsView):
    """Everything that is seen of the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(TUNE_STEPS, parent)
        for build in (self._compare, self._search, self._outcome, self._use, self._confidence):
            build()

    def _show(self, model: TuneViewModel, old: TuneViewModel | None) -> None:
        for name in ("mark", "start", "resume", "stop", "use", "measure", "adjust"):
            apply_button(getattr(self, name), getattr(model, name))
        self.mark.setVisible(not model.files_shown)
        self.choose_files.setVisible(model.files_shown)
        for widget in (self.truth, self.form, self.choose_files):
            widget.setEnabled(model.editable)
        self.record.show_path(model.record)
        show_progress(self.bar, self.bar_text, model.progress)
        self.history.set_value(model.history)
        self.importance.set_value(model.importance)
        self.rules.set_value(model.rules)
        self.reliability.set_value(model.reliability)
        self.reliability.setVisible(bool(model.reliability))
        self.confidence.setText(model.confidence)
        self.confidence.setVisible(bool(model.confidence))

    def choose(self, truth: str) -> None:
        """Choose what is compared with, without a signal."""
        with QSignalBlocker(self.truth):
            self.truth.setCurrentIndex(max(0, self.truth.findData(truth)))

    def _compare(self) -> None:
        self.record, self.truth = PathLabel(), narrow_combo()
        for name, title in TRUTHS.items():
            self.truth.addItem(title, name)
        self.choose_files = dots("Choose labels or masks of this photograph, or places of crops (NAME.json).")
        self.mark = QPushButton("What I see is finished")
        place, row = QHBoxLayout(), QHBoxLayout()
        place.addWidget(QLabel("Record"))
        place.addWidget(self.record, 1)
        row.addWidget(self.truth, 1)
        row.addWidget(self.choose_files)
        for layout in (place, row):
            layout.setSpacing(6)
            self.steps[0].rows.addLayout(layout)
        self.steps[0].rows.addWidget(self.mark)

    def _search(self) -> None:
        self.form = ValueForm(TuneParams, ("trials", "goal"))
        self.start, self.resume, self.stop = QPushButton("Start"), QPushButton("Go on"), QPushButton("Stop")
        self.start.setObjectName("primary")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar_text = note()
        rows = self.steps[1].rows
        rows.addWidget(self.form)
        rows.addLayout(button_row(self.start, self.resume, self.stop))
        rows.addWidget(self.bar)
        rows.addWidget(self.bar_text)

    def _outcome(self) -> None:
        self.history, self.importance = CurvePlot("Score"), BarPlot("What mattered")
        self.history.setToolTip("The score of every trial, faint, and the best so far; the first trial is today’s.")
        self.importance.setToolTip("The part of what the settings change that each of them changes.")
        for widget in (self.history, self.importance):
            self.steps[2].rows.addWidget(widget)

    def _use(self) -> None:
        self.rules, self.use = FigureGrid("No search yet."), QPushButton()
        self.use.setObjectName("primary")
        for widget in (self.rules, self.use):
            self.steps[3].rows.addWidget(widget)

    def _confidence(self) -> None:
        self.reliability, self.confidence = CurvePlot("True, of 100", bounds=QRectF(0, 0, 100, 100)), note()
        tip = "How often there was a joint, over how sure the model was of it; the straight line is honest."
        self.reliability.setToolTip(tip)
        self.measure, self.adjust = QPushButton("Measure"), QPushButton("Adjust confidence")
        rows = self.steps[4].rows
        rows.addWidget(self.reliability)
        rows.addWidget(self.confidence)
        rows.addLayout(button_row(self.measure, self.adjust))
