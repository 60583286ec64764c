"""The small forms of the panel.

One decision: a form shows one frozen value: `value()`, `set_value()` and the signal `changed`, which
comes for what a person does and not for what the program sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mosaic.widgets._jobs import when_idle
from napari_mosaic.widgets._state import SizeFacts, StepView, Tuning

SETTLE_MS = 150
"""How long a slider rests before it is said to have changed."""

SPIN_BUTTONS = 58
"""Pixels that napari's two buttons and margins take of a spin box: a figure that is cut reads as another one."""

MARGIN = 6
"""Pixels of a label that its text must leave free."""


class ShortLabel(QLabel):
    """A text in one line; where there is no room its end is left out, which three dots say."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def shown_text(self) -> str:
        """What of the text is seen."""
        room = self.contentsRect().width()
        return str(self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint what there is room for."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(self.contentsRect(), int(self.alignment()), self.shown_text())


class StepBox(QFrame):
    """One step: a header that is always there, and a body that opens and closes."""

    opened = Signal(bool)

    def __init__(self, number: int, title: str) -> None:
        super().__init__()
        self.setObjectName("step")
        self._badge = QLabel(str(number))
        self._badge.setObjectName("badge")
        self._badge.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._title = QLabel(title)
        self._title.setObjectName("stepTitle")
        self._summary = ShortLabel()
        self._summary.setObjectName("stepSummary")
        self._summary.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.body = QWidget()
        self.rows = QVBoxLayout(self.body)
        self.rows.setContentsMargins(28, 0, 0, 4)
        self.rows.setSpacing(6)
        header = QHBoxLayout()
        header.setSpacing(8)
        header.addWidget(self._badge)
        header.addWidget(self._title)
        header.addWidget(self._summary, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 5, 10, 3)
        layout.setSpacing(5)
        layout.addLayout(header)
        layout.addWidget(self.body)
        self._number = number
        self._view: StepView | None = None

    def apply(self, view: StepView) -> None:
        """Show what changed."""
        if view == self._view:
            return
        self._view = view
        self._badge.setText("✓" if view.mark == "done" else str(self._number))
        for label in (self._badge, self._title):
            label.setProperty("mark", view.mark if not (view.mark == "later" and not view.reason) else "open")
            label.style().unpolish(label)
            label.style().polish(label)
        self._summary.setText(view.reason or view.summary)
        self._summary.setToolTip(view.reason or view.summary)
        self.body.setEnabled(not view.reason)
        self.body.setVisible(not view.reason)
        self.body.setToolTip(view.reason)


class SizeForm(QWidget):
    """Pixel size in mm, confirmed by a person, and analysis size in px per tessera (0 = measured)."""

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._value = SizeFacts()
        self._pixel = _spin(0.0, 1000.0, 4, "unknown", "")
        self._pixel.setToolTip("Edge of one pixel of the photograph on the floor.")
        self._pixel.setMinimumWidth(self._pixel.fontMetrics().horizontalAdvance("0.0000") + SPIN_BUTTONS)
        self.confirm = QPushButton("Confirm")
        self.confirm.setToolTip("Say that this size is right; files often carry figures that mean nothing.")
        self._analysis = _spin(0.0, 64.0, 0, "measured", " px per tessera")
        self._analysis.setToolTip("Side of a tessera when it is analysed; larger sees finer joints and takes longer.")
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self._pixel, 1)
        row.addWidget(self.confirm)
        form = form_layout(self)
        form.addRow("Pixel size (mm)", row)
        form.addRow("Analysis size", self._analysis)
        self._pixel.valueChanged.connect(self._type_pixel)
        self._analysis.valueChanged.connect(self._type_analysis)
        self.confirm.clicked.connect(self._confirm)

    def value(self) -> SizeFacts:
        """What is set."""
        return self._value

    def set_value(self, value: SizeFacts) -> None:
        """Show a value without a signal."""
        self._value = value
        with QSignalBlocker(self._pixel), QSignalBlocker(self._analysis):
            if abs((value.pixel_mm or 0.0) - self._pixel.value()) > 1e-9:
                self._pixel.setValue(value.pixel_mm or 0.0)
            self._analysis.setValue(value.analysis_px or 0.0)

    def _type_pixel(self, mm: float) -> None:
        typed = mm > 0
        self._tell(pixel_mm=mm if typed else None, confirmed=typed, origin="user" if typed else "")

    def _type_analysis(self, pixels: float) -> None:
        self._tell(analysis_px=pixels if pixels >= 8 else None)

    def _confirm(self) -> None:
        if self._value.pixel_mm is not None:
            self._tell(confirmed=True)

    def _tell(self, **changes: Any) -> None:
        self._value = replace(self._value, **changes)
        self.changed.emit(self._value)


@dataclass(frozen=True)
class AreaValue:
    """Names of the layers to stay within and to leave out; empty for none."""

    include: str = ""
    exclude: str = ""


class AreaForm(QWidget):
    """Which part of the photograph is worked on."""

    changed = Signal(object)
    drawn = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._include, self._exclude = narrow_combo(), narrow_combo()
        self._draw = QPushButton("Draw …")
        self._draw.setToolTip("Add a layer to draw an area in.")
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self._include, 1)
        row.addWidget(self._draw)
        form = form_layout(self)
        form.addRow("Within", row)
        form.addRow("Leave out", self._exclude)
        self.set_choices(())
        self._include.activated.connect(self._tell)
        self._exclude.activated.connect(self._tell)
        self._draw.clicked.connect(self.drawn)

    def set_choices(self, names: Sequence[str]) -> None:
        """Offer these layers, keeping what is chosen where it is still there."""
        value = self.value()
        for box, none in ((self._include, "all of it"), (self._exclude, "nothing")):
            with QSignalBlocker(box):
                box.clear()
                box.addItem(none, "")
                for name in names:
                    box.addItem(name, name)
        self.set_value(value)

    def value(self) -> AreaValue:
        """What is chosen."""
        return AreaValue(self._include.currentData() or "", self._exclude.currentData() or "")

    def set_value(self, value: AreaValue) -> None:
        """Choose without a signal."""
        for box, name in ((self._include, value.include), (self._exclude, value.exclude)):
            with QSignalBlocker(box):
                box.setCurrentIndex(max(0, box.findData(name)))

    def _tell(self, *_: Any) -> None:
        self.changed.emit(self.value())


class TuningForm(QWidget):
    """The two sliders: sensitivity to joints and the smallest tessera."""

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._value = Tuning()
        self._sensitivity = _slider(5, 95, "More finds fainter joints; less leaves only the clear ones.")
        self._smallest = _slider(0, 400, "Smaller pieces are not taken for tesserae (px of the analysis size).")
        self._figures = (QLabel(), QLabel())
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        for row, (name, slider, figure) in enumerate(
            zip(("Sensitivity", "Smallest"), (self._sensitivity, self._smallest), self._figures, strict=True)
        ):
            figure.setMinimumWidth(44)
            figure.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            grid.addWidget(QLabel(name), row, 0)
            grid.addWidget(slider, row, 1)
            grid.addWidget(figure, row, 2)
            slider.valueChanged.connect(self._moved)
        self._rest = when_idle(self, SETTLE_MS, self._tell)
        self.set_value(Tuning())

    def value(self) -> Tuning:
        """What the sliders say; finer figures that were set are kept until their slider moves."""
        if self._sensitivity.value() == _percent(self._value):
            return replace(self._value, min_area=self._smallest.value())
        return Tuning(threshold=round(1 - self._sensitivity.value() / 100, 2), min_area=self._smallest.value())

    def set_value(self, value: Tuning) -> None:
        """Move the sliders without a signal."""
        self._value = value
        with QSignalBlocker(self._sensitivity), QSignalBlocker(self._smallest):
            self._sensitivity.setValue(_percent(value))
            self._smallest.setValue(value.min_area)
        self._show()

    def _moved(self, _: int) -> None:
        self._show()
        self._rest.start()

    def _tell(self) -> None:
        self.changed.emit(self.value())

    def _show(self) -> None:
        self._figures[0].setText(f"{self._sensitivity.value()} %")
        self._figures[1].setText(f"{self._smallest.value()} px")


@dataclass(frozen=True)
class LookValue:
    """What of a record is seen."""

    joints: bool = False
    tesserae: bool = True
    outlines: bool = False


class LookForm(QWidget):
    """Ways to look at a result."""

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._boxes = tuple(QCheckBox(text) for text in ("Joints", "Tesserae", "As outlines"))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        for box in self._boxes:
            row.addWidget(box)
            box.toggled.connect(self._tell)
        row.addStretch(1)
        self.set_value(LookValue())

    def value(self) -> LookValue:
        """What is ticked."""
        return LookValue(*(box.isChecked() for box in self._boxes))

    def set_value(self, value: LookValue) -> None:
        """Tick without a signal."""
        for box, on in zip(self._boxes, (value.joints, value.tesserae, value.outlines), strict=True):
            with QSignalBlocker(box):
                box.setChecked(on)

    def _tell(self, _: bool) -> None:
        self.changed.emit(self.value())


class PathLabel(QLabel):
    """A path in one line; where there is no room its beginning goes, and the whole stands in the tooltip."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("note")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._path = ""

    def show_path(self, path: str) -> None:
        """Show another path."""
        self._path = path
        self.setToolTip(path)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the path to the new width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setText(self.fontMetrics().elidedText(self._path, Qt.TextElideMode.ElideLeft, self.width() - MARGIN))


def note(text: str = "") -> QLabel:
    """A line or two of quiet text."""
    label = QLabel(text)
    label.setObjectName("note")
    label.setWordWrap(True)
    return label


def dots(tip: str) -> QToolButton:
    """A small button that opens a dialog."""
    button = QToolButton()
    button.setText("…")
    button.setToolTip(tip)
    return button


def form_layout(parent: QWidget) -> QFormLayout:
    """Rows of names and fields that use the whole width."""
    form = QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setSpacing(6)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def narrow_combo() -> QComboBox:
    """A box that is no wider than it must be, whatever its items say."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def _percent(value: Tuning) -> int:
    return round(100 * (1 - value.threshold))


def _spin(low: float, high: float, decimals: int, none: str, suffix: str) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setRange(low, high)
    spin.setDecimals(decimals)
    spin.setSpecialValueText(none)
    spin.setSuffix(suffix)
    spin.setKeyboardTracking(False)
    spin.setSingleStep(0.01 if decimals else 2)
    return spin


def _slider(low: int, high: int, tip: str) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(low, high)
    slider.setToolTip(tip)
    return slider
