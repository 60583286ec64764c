"""The widgets of the dock *Evaluate* in their places, and how a view is applied to them; see `_view`."""

from __future__ import annotations

from qtpy.QtCore import QRectF, QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import QAbstractItemView, QSizePolicy, QTableWidget, QTableWidgetItem, QWidget

from napari_mosaic.evaluation import EvaluationParams
from napari_mosaic.widgets._evaluate.bars import ModelBars
from napari_mosaic.widgets._evaluate.state import EVALUATE_STEPS, OF, EvaluateViewModel, Table
from napari_mosaic.widgets._forms import ValueForm
from napari_mosaic.widgets._plot import CurvePlot
from napari_mosaic.widgets._view import (
    PathLabel,
    StepsView,
    add_rows,
    button_row,
    dots,
    narrow_combo,
    note,
    progress_bar,
    push_button,
    show_progress,
    side_by_side,
)

_ROWS = 8
"""Most rows of a table that are seen at once; not varied."""


class EvaluateView(StepsView):
    """Everything that is seen of the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(EVALUATE_STEPS, parent)
        for build in (self._results, self._truth, self._figures, self._picture, self._runs):
            build()

    def _show(self, model: EvaluateViewModel, old: EvaluateViewModel | None) -> None:
        self.choose_folder.setVisible(model.folder_shown)
        self.start_over.setVisible(model.models_shown)
        self.curves.setVisible(not model.models_shown)
        if old is None or old.figures != model.figures:
            with QSignalBlocker(self.figure):
                self.figure.clear()
                self.figure.addItems(list(model.figures))
        self.figure.setCurrentText(model.figure)
        for widget in (self.figure, self.run_curves):
            widget.setVisible(bool(model.figures))
        for widget in (self.of, self.choose_folder, self.choose_truth, self.choose_truths, self.form):
            widget.setEnabled(model.editable)
        self.stop.setVisible(model.progress is not None)
        show_progress(self.bar, self.bar_text, model.progress)

    def choose(self, of: str) -> None:
        """Choose what is compared, without a signal."""
        with QSignalBlocker(self.of):
            self.of.setCurrentIndex(self.of.findData(of))

    def _results(self) -> None:
        self.of, self.source = narrow_combo(), PathLabel()
        for name, title in OF.items():
            self.of.addItem(title, name)
        self.choose_folder = dots("Choose a folder of results: label images, masks or records; of models one by one.")
        self.start_over = push_button()
        source = side_by_side(self.source, self.choose_folder, self.start_over, wide=0)
        add_rows(self.steps[0].rows, self.of, source)

    def _truth(self) -> None:
        self.truth, self.form = PathLabel(), ValueForm(EvaluationParams, ("truth_is",))
        self.choose_truth = push_button("File …", "Labels, a mask, or the place of a crop (NAME.json).")
        self.choose_truths = push_button("Folder or record …", "A folder of truths of the same names, or a record.")
        add_rows(self.steps[1].rows, self.truth, button_row(self.choose_truth, self.choose_truths), self.form)

    def _figures(self) -> None:
        self.start, self.stop, self.save = push_button(primary=True), push_button(), push_button()
        self.bar, self.bar_text, self.table = progress_bar(), note(), TextTable()
        self.bars = ModelBars()
        self.curves = CurvePlot("Found (F1), by overlap in %", bounds=QRectF(50, 0, 40, 1))
        self.curves.setToolTip("F1 of tesserae that overlap with a true one by more than so much (IoU).")
        add_rows(
            self.steps[2].rows,
            button_row(self.start, self.stop),
            self.bar,
            self.bar_text,
            self.table,
            self.bars,
            self.curves,
            self.save,
        )

    def _picture(self) -> None:
        self.show, self.words = push_button(), note()
        add_rows(self.steps[3].rows, self.show, self.words)

    def _runs(self) -> None:
        self.add_run = push_button("Add a run …", "A folder of a training run, with its history.")
        self.forget_runs, self.figure = push_button(), narrow_combo()
        self.run_curves = CurvePlot("")
        add_rows(self.steps[4].rows, button_row(self.add_run, self.forget_runs), self.figure, self.run_curves)


class TextTable(QTableWidget):
    """Rows of words below a row of headings; nothing in it can be typed."""

    def __init__(self) -> None:
        super().__init__()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        for header in (self.verticalHeader(), self.horizontalHeader()):
            header.setMinimumSectionSize(24)
        self.verticalHeader().hide()
        self._shown: Table = ()
        self.set_value(())

    def value(self) -> Table:
        """The headings and rows."""
        return self._shown

    def set_value(self, table: Table) -> None:
        """Show other rows; the first are the headings."""
        self._shown = table
        self.clear()
        self.setVisible(bool(table))
        headings, rows = (table[0], table[1:]) if table else ((), ())
        self.setColumnCount(len(headings))
        self.setRowCount(len(rows))
        self.setHorizontalHeaderLabels(list(headings))
        for y, row in enumerate(rows):
            for x, word in enumerate(row):
                item = QTableWidgetItem(word)
                side = Qt.AlignmentFlag.AlignRight if x else Qt.AlignmentFlag.AlignLeft
                item.setTextAlignment(int((side | Qt.AlignmentFlag.AlignVCenter).value))
                self.setItem(y, x, item)
        self.resizeColumnsToContents()
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Room for some rows and the bar that moves sideways."""
        rows = min(self.rowCount(), _ROWS)
        height = self.horizontalHeader().sizeHint().height() + rows * self.rowHeight(0) if rows else 0
        return QSize(300, height + self.horizontalScrollBar().sizeHint().height() + 4)
