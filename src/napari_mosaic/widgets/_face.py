"""The panel's widgets in their places, and how a view is applied to them.

One decision: this knows no viewer, no job and no state; it shows a `PanelView` and lends its buttons.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mosaic.widgets._figures import FigureGrid
from napari_mosaic.widgets._forms import (
    AreaForm,
    LookForm,
    PathLabel,
    SizeForm,
    StepBox,
    TuningForm,
    dots,
    narrow_combo,
    note,
)
from napari_mosaic.widgets._state import STEPS, ButtonView, PanelView

WIDTH = 360
"""The width that the panel is laid out for."""


class PanelFace(QWidget):
    """Everything that is seen of the panel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("mosaicPanel")
        self.steps = tuple(StepBox(number, title) for number, title in enumerate(STEPS, 1))
        self.message = note()
        self.message.setObjectName("message")
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.size_form, self.area_form = SizeForm(), AreaForm()
        self.look_form, self.tuning_form = LookForm(), TuningForm()
        self._view: PanelView | None = None
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
        arrange_steps(self, self.message, self.steps)

    def apply(self, view: PanelView) -> None:
        """Show what differs from the view before."""
        old, self._view = self._view, view
        if view == old:
            return
        for box, step in zip(self.steps, view.steps, strict=True):
            box.apply(step)
        for button, shown in (
            (self.find_view, view.find_view),
            (self.find_all, view.find_all),
            (self.cancel, view.cancel),
            (self.apply_all, view.apply),
            (self.size_form.confirm, view.confirm),
            (self.save, view.deliver),
        ):
            apply_button(button, shown)
        self.reset.setEnabled(view.apply.enabled)
        self.cost.setText(view.cost)
        self.place.show_path(view.place)
        self.size_note.setText(view.size_note)
        self._apply_progress(view.progress)
        self.measures.set_value(view.measures)
        self.message.setText(view.message)
        self.message.setVisible(bool(view.message))

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
        self.size_note = note()
        self.steps[1].rows.addWidget(self.size_form)
        self.steps[1].rows.addWidget(self.size_note)

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


def arrange_steps(face: QWidget, message: QWidget, steps: Sequence[QWidget]) -> None:
    """Lay out a face: the message above, the steps below each other in what scrolls."""
    body = QWidget()
    body.setObjectName("mosaicBody")
    column = QVBoxLayout(body)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    for step in steps:
        column.addWidget(step)
    column.addStretch(1)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(body)
    layout = QVBoxLayout(face)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    layout.addWidget(message)
    layout.addWidget(scroll, 1)
    face.setMinimumWidth(WIDTH - 40)


def fill_dock(dock: QWidget, face: QWidget) -> None:
    """Put a face into its dock widget, which takes all the height there is."""
    layout = QVBoxLayout(dock)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(face)
    dock.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
    dock.setMinimumWidth(WIDTH)


def show_progress(bar: QProgressBar, text: QLabel, progress: tuple[int, str] | None) -> None:
    """Show how far it is, in thousandths (negative: nobody knows), and in words; hide both for None."""
    for widget in (bar, text):
        widget.setVisible(progress is not None)
    if progress is not None:
        share, words = progress
        bar.setRange(0, 0 if share < 0 else 1000)
        bar.setValue(max(0, share))
        text.setText(words)


def apply_button(button: Any, shown: ButtonView) -> None:
    """Show a button as a view says; where there is no reason against it, its own tip."""
    button.setEnabled(shown.enabled)
    if button.property("tip") is None:
        button.setProperty("tip", button.toolTip())
    button.setToolTip(shown.reason or button.property("tip"))
    if shown.text and button.text() != shown.text:
        button.setText(shown.text)


def button_row(*widgets: QWidget) -> QHBoxLayout:
    """Widgets side by side, all of one width."""
    row = QHBoxLayout()
    row.setSpacing(6)
    for widget in widgets:
        widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        row.addWidget(widget, 1)
    return row
