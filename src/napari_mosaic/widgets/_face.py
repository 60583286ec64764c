"""What the faces of docks are made of: steps below a message, rows of buttons, bars.

One decision: a face knows no viewer, no job and no state; it shows a view and lends its buttons.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_mosaic.dependencies import extra_of, install_command
from napari_mosaic.widgets._forms import (
    StepBox,
    note,
)
from napari_mosaic.widgets._state import ButtonView

WIDTH = 360
"""The width that the panel is laid out for."""


class StepsFace(QWidget):
    """A face of numbered steps below a message; a subclass builds what is in them, then calls `_arrange`."""

    def __init__(self, titles: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("mosaicPanel")
        self.steps = tuple(StepBox(number, title) for number, title in enumerate(titles, 1))
        self.message = note()
        self.message.setObjectName("message")
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._view: Any = None

    def apply(self, view: Any) -> None:
        """Show what differs from the view before."""
        old, self._view = self._view, view
        if view == old:
            return
        for box, step in zip(self.steps, view.steps, strict=True):
            box.apply(step)
        self._show(view, old)
        self.message.setText(view.message)
        self.message.setVisible(bool(view.message))

    def _show(self, view: Any, old: Any) -> None:
        """Show a view that differs from the one before, steps and message apart."""
        raise NotImplementedError

    def _arrange(self) -> None:
        arrange_steps(self, self.message, self.steps)


class MissingNote(QWidget):
    """What installs a package that a dock needs, to be copied; `command` is that line."""

    def __init__(self, package: str) -> None:
        super().__init__()
        self.command = install_command(extra_of(package))
        self.words, self.copy = note(), QPushButton("Copy the command")
        self.words.setObjectName("message")
        self.words.setText(
            f"This needs the package {package}, which is not installed. Run this in a terminal, then start "
            f"napari again:\n{self.command}"
        )
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy.clicked.connect(lambda _=False: QApplication.clipboard().setText(self.command))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        column.addWidget(self.copy)


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
