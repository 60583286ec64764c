"""What the views of docks are made of: parts below a message, rows of buttons, lines of text, bars.

One decision: a view knows no viewer, no job and no state; it shows a view model and lends its buttons. What that calls
by the name of a widget, that widget shows: a button how it stands, a label its text, a grid or a plot its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mosaic.dependencies import extra_of, install_command
from napari_mosaic.widgets._state import ButtonViewModel, StepViewModel

WIDTH = 360
"""The width that the panel is laid out for, in pixels of the screen; not varied."""

GAP = 6
"""Between widgets side by side, and between the lines of a part; not varied."""

MARGIN = 6
"""Pixels of a label that its text must leave free; not varied."""

Rows = tuple[tuple[str, str], ...]


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


class FigureGrid(QWidget):
    """Rows of a name and a figure; `empty` stands there while there are none."""

    def __init__(self, empty: str = "") -> None:
        super().__init__()
        self._empty = empty
        self._rows: Rows | None = None
        self._cells: list[QWidget] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)
        self._grid.setVerticalSpacing(3)
        self.set_value(())

    def value(self) -> Rows:
        """The rows."""
        return self._rows or ()

    def set_value(self, rows: Rows) -> None:
        """Show other rows."""
        if rows == self._rows:
            return
        self._rows = rows
        for cell in self._cells:
            self._grid.removeWidget(cell)
            cell.hide()  # it is deleted later, and would be seen below the new ones until then
            cell.deleteLater()
        self._cells = []
        for row, (name, figure) in enumerate(rows or (((self._empty, ""),) if self._empty else ())):
            left, right = note(name), QLabel(figure)
            right.setObjectName("figure")
            self._grid.addWidget(left, row, 0)
            self._grid.addWidget(right, row, 1, Qt.AlignmentFlag.AlignRight)
            self._cells += [left, right]


class Section(QFrame):
    """A titled part of a view with a word at its right; `rows` takes what is in it."""

    def __init__(self, title: str, badge: QLabel | None = None) -> None:
        super().__init__()
        self.setObjectName("step")
        self.title, self.word = QLabel(title), ShortLabel()
        self.title.setObjectName("stepTitle")
        self.word.setObjectName("stepSummary")
        self.word.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        header = QHBoxLayout()
        header.setSpacing(8)
        if badge is not None:
            header.addWidget(badge)
        header.addWidget(self.title)
        header.addWidget(self.word, 1)
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(10, 6, 10, 8)
        self.rows.setSpacing(GAP)
        self.rows.addLayout(header)


class StepBox(Section):
    """One step: a header that is always there, and a body that opens and closes."""

    def __init__(self, number: int, title: str) -> None:
        self.badge = QLabel(str(number))
        self.badge.setObjectName("badge")
        self.badge.setAlignment(Qt.AlignmentFlag.AlignCenter)
        super().__init__(title, self.badge)
        self.rows.setContentsMargins(10, 5, 10, 3)
        self.rows.setSpacing(5)
        self.body = QWidget()
        self.rows.addWidget(self.body)
        self.rows = QVBoxLayout(self.body)
        self.rows.setContentsMargins(28, 0, 0, 4)
        self.rows.setSpacing(GAP)
        self._number = number
        self._shown: StepViewModel | None = None

    def apply(self, model: StepViewModel) -> None:
        """Show what changed."""
        if model == self._shown:
            return
        self._shown = model
        self.badge.setText("✓" if model.mark == "done" else str(self._number))
        for label in (self.badge, self.title):
            label.setProperty("mark", model.mark if not (model.mark == "later" and not model.reason) else "open")
            label.style().unpolish(label)
            label.style().polish(label)
        self.word.setText(model.reason or model.summary)
        self.word.setToolTip(model.reason or model.summary)
        self.body.setEnabled(not model.reason)
        self.body.setVisible(not model.reason)
        self.body.setToolTip(model.reason)


class DockView(QWidget):
    """Parts below a message; a subclass builds what is in them."""

    def __init__(self, parts: Sequence[QWidget], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("mosaicPanel")
        self.message = told()
        self.setMinimumWidth(WIDTH - 40)
        arrange_parts(self, self.message, parts)
        self._shown: Any = None

    def apply(self, model: Any) -> None:
        """Show what differs from the view before."""
        old, self._shown = self._shown, model
        if model == old:
            return
        for field in fields(model):
            shown = getattr(model, field.name)
            if old is None or shown != getattr(old, field.name):
                show_value(getattr(self, field.name, None), shown)
        self._show(model, old)

    def _show(self, model: Any, old: Any) -> None:
        """Show of a view that differs from the one before what no widget has the name of."""


class StepsView(DockView):
    """A view of numbered steps."""

    def __init__(self, titles: Sequence[str], parent: QWidget | None = None) -> None:
        self.steps = tuple(StepBox(number, title) for number, title in enumerate(titles, 1))
        super().__init__(self.steps, parent)

    def apply(self, model: Any) -> None:
        """Show what differs from the view before."""
        for box, step in zip(self.steps, model.steps, strict=True):
            box.apply(step)
        super().apply(model)


class RecordView(DockView):
    """A view of titled sections for the record of one tesserae layer; keys stay with the canvas."""

    def __init__(self, titles: Sequence[str], parent: QWidget | None = None) -> None:
        self.sections = {title: Section(title) for title in titles}
        super().__init__(tuple(self.sections.values()), parent)
        self.layer, self.refusal, self.last = narrow_combo(), told(), note()
        self.layer.setPlaceholderText("no record yet")
        add_rows(self.sections["Record"].rows, self.layer, self.refusal)

    def _leave_keys(self) -> None:
        """Let no button take the keys from the canvas."""
        for button in self.findChildren(QAbstractButton):
            if isinstance(button, QToolButton | QPushButton):
                button.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def _show(self, model: Any, old: Any) -> None:
        if old is None or (old.records, old.layer) != (model.records, model.layer):
            with QSignalBlocker(self.layer):
                self.layer.clear()
                self.layer.addItems(list(model.records))
                self.layer.setCurrentIndex(model.records.index(model.layer) if model.layer in model.records else -1)


class MissingNote(QWidget):
    """What installs a package that a dock needs, to be copied; `command` is that line."""

    def __init__(self, package: str) -> None:
        super().__init__()
        self.command = install_command(extra_of(package))
        self.words, self.copy = told(), QPushButton("Copy the command")
        self.words.setText(
            f"This needs the package {package}, which is not installed. Run this in a terminal, then start "
            f"napari again:\n{self.command}"
        )
        self.copy.clicked.connect(lambda _=False: QApplication.clipboard().setText(self.command))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        add_rows(column, self.words, self.copy)


# showing ------------------------------------------------------------------------------------------


def show_value(widget: Any, shown: Any) -> None:
    """Show what a view model says of a widget that has the same name; anything else is left to the view.

    A label without a text goes, unless a height is kept for it.
    """
    if isinstance(shown, ButtonViewModel) and isinstance(widget, QAbstractButton):
        apply_button(widget, shown)
    elif isinstance(widget, PathLabel):
        widget.show_path(shown)
    elif isinstance(widget, QLabel):
        widget.setText(shown)
        widget.setVisible(bool(shown) or widget.minimumHeight() > 0)
    elif isinstance(shown, tuple) and hasattr(widget, "set_value"):
        widget.set_value(shown)


def show_progress(bar: QProgressBar, text: QLabel, progress: tuple[int, str] | None) -> None:
    """Show how far it is, in thousandths (negative: nobody knows), and in words; hide both for None."""
    for widget in (bar, text):
        widget.setVisible(progress is not None)
    if progress is not None:
        share, words = progress
        bar.setRange(0, 0 if share < 0 else 1000)
        bar.setValue(max(0, share))
        text.setText(words)


def apply_button(button: QAbstractButton, shown: ButtonViewModel) -> None:
    """Show a button as a view says; where there is no reason against it, its own tip."""
    button.setEnabled(shown.enabled)
    if button.property("tip") is None:
        button.setProperty("tip", button.toolTip())
    button.setToolTip(shown.reason or button.property("tip"))
    if shown.text and button.text() != shown.text:
        button.setText(shown.text)


# making -------------------------------------------------------------------------------------------


def arrange_parts(view: QWidget, message: QWidget, parts: Sequence[QWidget]) -> None:
    """Lay out a view: the message above, the parts below each other in what scrolls."""
    body = QWidget()
    body.setObjectName("mosaicBody")
    column = QVBoxLayout(body)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    add_rows(column, *parts)
    column.addStretch(1)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(body)
    layout = QVBoxLayout(view)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    layout.addWidget(message)
    layout.addWidget(scroll, 1)


def fill_dock(dock: QWidget, view: QWidget) -> None:
    """Put a view into its dock widget, which takes all the height there is."""
    layout = QVBoxLayout(dock)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(view)
    dock.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
    dock.setMinimumWidth(WIDTH)


def add_rows(column: QVBoxLayout, *rows: QWidget | QLayout) -> None:
    """Put widgets and rows of widgets below each other."""
    for row in rows:
        if isinstance(row, QLayout):
            column.addLayout(row)
        else:
            column.addWidget(row)


def button_row(*widgets: QWidget) -> QHBoxLayout:
    """Widgets side by side, all of one width."""
    for widget in widgets:
        widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    row = side_by_side(*widgets)
    for place in range(len(widgets)):
        row.setStretch(place, 1)
    return row


def side_by_side(*widgets: QWidget, wide: int = -1) -> QHBoxLayout:
    """Widgets side by side; the one at the place `wide` takes the room that is left."""
    row = QHBoxLayout()
    row.setSpacing(GAP)
    for place, widget in enumerate(widgets):
        row.addWidget(widget, int(place == wide))
    return row


def note(text: str = "", *, lines: int = 0) -> QLabel:
    """A line or two of quiet text; the height of `lines` is kept for it."""
    label = QLabel(text)
    label.setObjectName("note")
    label.setWordWrap(True)
    if lines:
        label.setMinimumHeight(lines * label.fontMetrics().lineSpacing() + 2)
        label.setAlignment(Qt.AlignmentFlag.AlignTop)
    return label


def told() -> QLabel:
    """Something that must be read, and can be copied."""
    label = note()
    label.setObjectName("message")
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def progress_bar(most: int = 1000) -> QProgressBar:
    """A thin bar without words; `most` 0 for one that only shows that something goes on."""
    bar = QProgressBar()
    bar.setTextVisible(False)
    bar.setRange(0, most)
    return bar


def push_button(text: str = "", tip: str = "", *, primary: bool = False) -> QPushButton:
    """A button; the primary one is what a person would press next."""
    button = QPushButton(text)
    button.setToolTip(tip)
    if primary:
        button.setObjectName("primary")
    return button


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
    form.setSpacing(GAP)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def narrow_combo() -> QComboBox:
    """A box that is no wider than it must be, whatever its items say."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box
