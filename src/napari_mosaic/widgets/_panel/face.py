"""The panel's widgets in their places, and how a view is applied to them.

One decision: this knows no viewer, no job and no state; it shows a `PanelView` and lends its buttons.
"""

from __future__ import annotations

from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_mosaic.widgets._face import StepsFace, apply_button, button_row, show_progress
from napari_mosaic.widgets._figures import FigureGrid
from napari_mosaic.widgets._forms import (
    AreaForm,
    LookForm,
    PathLabel,
    SizeForm,
    TuningForm,
    dots,
    narrow_combo,
    note,
)
from napari_mosaic.widgets._panel.line import LineForm
from napari_mosaic.widgets._state import STEPS, PanelView


class PanelFace(StepsFace):
    """Everything that is seen of the panel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(STEPS, parent)
        self.size_form, self.area_form, self.line_form = SizeForm(), AreaForm(), LineForm()
        self.look_form, self.tuning_form = LookForm(), TuningForm()
        for build in (
            self._open,
            self._size,
            self._area,
            self._find,
            self._check,
            self._measure,
            self._deliver,
        ):
            build()
        self._arrange()

    def _show(self, view: PanelView, old: PanelView | None) -> None:
        for button, shown in (
            (self.find_view, view.find_view),
            (self.find_all, view.find_all),
            (self.cancel, view.cancel),
            (self.apply_all, view.apply),
            (self.size_form.confirm, view.confirm),
            (self.line_form.use, view.use_line),
            (self.save, view.deliver),
        ):
            apply_button(button, shown)
        self.size_form.confirm.setVisible(view.size_confirmable)
        self.reset.setEnabled(view.apply.enabled)
        self.cost.setText(view.cost)
        self.place.show_path(view.place)
        self.size_note.setText(view.size_note)
        self.floor_note.setText(view.floor_note)
        self.floor_note.setVisible(bool(view.floor_note))
        self._apply_progress(view.progress)
        self.measures.set_value(view.measures)

    def _open(self) -> None:
        self.photograph = narrow_combo()
        self.open_image = QPushButton("Photo …")
        self.open_record = QPushButton("Record …")
        self.samples = QToolButton()
        self.samples.setText("Sample")
        self.samples.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.samples.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.sample_menu = QMenu(self.samples)
        self.samples.setMenu(self.sample_menu)
        rows = self.steps[0].rows
        rows.addWidget(self.photograph)
        rows.addLayout(button_row(self.open_image, self.open_record, self.samples))

    def _size(self) -> None:
        self.size_note, self.floor_note = note(), note()
        for widget in (self.size_form, self.line_form, self.floor_note, self.size_note):
            self.steps[1].rows.addWidget(widget)

    def _area(self) -> None:
        self.steps[2].rows.addWidget(self.area_form)

    def _find(self) -> None:
        self.place = PathLabel()
        self.change_place = dots("Keep the record in another place.")
        self.cost = note()
        self.find_view, self.find_all = QPushButton("Find in view"), QPushButton("Whole mosaic")
        self.find_view.setObjectName("primary")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar_text = note()
        self.cancel = QPushButton("Cancel")
        place = QHBoxLayout()
        place.setSpacing(6)
        place.addWidget(QLabel("Record"))
        place.addWidget(self.place, 1)
        place.addWidget(self.change_place)
        rows = self.steps[3].rows
        rows.addLayout(place)
        rows.addWidget(self.cost)
        rows.addLayout(button_row(self.find_view, self.find_all))
        rows.addWidget(self.bar)
        below = QHBoxLayout()
        below.addWidget(self.bar_text, 1)
        below.addWidget(self.cancel)
        rows.addLayout(below)

    def _check(self) -> None:
        self.apply_all, self.reset = QPushButton("Apply to all"), QPushButton("Reset")
        rows = self.steps[4].rows
        rows.addWidget(self.look_form)
        rows.addWidget(self.tuning_form)
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.apply_all, 1)
        row.addWidget(self.reset)
        rows.addLayout(row)

    def _measure(self) -> None:
        self.measures = FigureGrid("No tesserae yet.")
        self.how_good = QPushButton("How good is it? …")
        self.how_good.setToolTip("Count a few random squares, and get the error with its interval in one sentence.")
        for widget in (self.measures, self.how_good):
            self.steps[5].rows.addWidget(widget)

    def _deliver(self) -> None:
        self.format = narrow_combo()
        self.save = QPushButton("Save …")
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.format, 1)
        row.addWidget(self.save)
        self.steps[6].rows.addLayout(row)

    def _apply_progress(self, progress: tuple[int, str] | None) -> None:
        self.cancel.setVisible(progress is not None)
        show_progress(self.bar, self.bar_text, progress)
