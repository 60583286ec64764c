"""The widgets of the dock *Edit tesserae* in their places, and how a view is applied to them; see `_face`."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mosaic.areas import CLASSES
from napari_mosaic.record.tables import MATERIALS, STATES
from napari_mosaic.widgets._areas import FIRST_DRAWN
from napari_mosaic.widgets._edit.icons import icon
from napari_mosaic.widgets._edit.state import EditView
from napari_mosaic.widgets._edit.tools import TOOLS, EditOptions
from napari_mosaic.widgets._face import apply_button, arrange_steps, button_row, show_progress
from napari_mosaic.widgets._forms import form_layout, narrow_combo, note

_COLUMNS = 3
_ICON = 18


class Section(QFrame):
    """A titled part of the dock with a word at its right."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setObjectName("step")
        name, self.word = QLabel(title), QLabel()
        name.setObjectName("stepTitle")
        self.word.setObjectName("stepSummary")
        header = QHBoxLayout()
        header.addWidget(name)
        header.addWidget(self.word, 1, Qt.AlignmentFlag.AlignRight)
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(10, 6, 10, 8)
        self.rows.setSpacing(6)
        self.rows.addLayout(header)


class EditFace(QWidget):
    """Everything that is seen of the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("mosaicPanel")
        self.message = note()
        self.message.setObjectName("message")
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._view: EditView | None = None
        titles = ("Record", "Tesserae", "Areas of the floor", "Paint freely", "Check")
        self.sections = {title: Section(title) for title in titles}
        for build in (self._record, self._tools, self._areas, self._painting, self._check):
            build()
        arrange_steps(self, self.message, tuple(self.sections.values()))
        self.verbs = {
            "undo": self.undo, "redo": self.redo, "previous": self.previous, "next": self.next,
            "fine": self.fine, "fixed": self.fixed, "ignored": self.ignored, "window": self.window_,
        }  # fmt: skip
        """Buttons of what has a key, by the names of `KEYS`."""
        for button in self.findChildren(QToolButton) + self.findChildren(QPushButton):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas

    def apply(self, view: EditView) -> None:
        """Show what differs from the view before."""
        old, self._view = self._view, view
        if view == old:
            return
        for button, shown in (
            (self.undo, view.undo),
            (self.redo, view.redo),
            (self.draw_area, view.areas),
            (self.window_, view.window),
            (self.apply_, view.apply),
            (self.leave, view.leave),
            (self.look, view.look),
            (self.finish, view.finish),
        ):
            apply_button(button, shown)
        self._apply_tools(view)
        self._apply_check(view)
        if old is None or (old.records, old.layer) != (view.records, view.layer):
            self._offer(view.records, view.layer)
        self.refusal.setVisible(bool(view.refusal))
        self.retry.setVisible(bool(view.refusal))
        self.refusal.setText(view.refusal)
        self.area_class.setToolTip(view.area_note)
        self.message.setText(view.message)
        self.message.setVisible(bool(view.message))

    def show_tool(self, name: str) -> None:
        """Press the button of a tool, and no other; a click has toggled its own."""
        for other, button in self.tools.items():
            button.setChecked(other == name)

    def options(self) -> EditOptions:
        """What the tools are set to."""
        return EditOptions(
            px=self.px.value(),
            gap=self.gap.value(),
            over=self.over.isChecked(),
            material=self.material.currentData(),
            state=self.state.currentData(),
        )

    def restyle(self, colour: str, faint: str) -> None:
        """Draw the icons in the theme's colours."""
        named = {**self.tools, "undo": self.undo, "redo": self.redo, "next": self.next, "previous": self.previous}
        for name, button in named.items():
            button.setIcon(icon(name, colour, faint))
            button.setIconSize(QSize(_ICON, _ICON))

    def _record(self) -> None:
        self.layer = narrow_combo()
        self.layer.setPlaceholderText("no record yet")
        self.undo, self.redo = _tool_button("Undo"), _tool_button("Redo")
        self.last, self.refusal = note(), note()
        self.refusal.setObjectName("message")
        self.retry = QPushButton("Try again")
        self.retry.setToolTip("Open the record for editing, if it is free now.")
        rows = self.sections["Record"].rows
        rows.addWidget(self.layer)
        rows.addWidget(self.refusal)
        rows.addWidget(self.retry)
        rows.addLayout(button_row(self.undo, self.redo))
        rows.addWidget(self.last)

    def _tools(self) -> None:
        self.tools: dict[str, QToolButton] = {}
        self.bar = QWidget()
        grid = QGridLayout(self.bar)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for column in range(_COLUMNS):
            grid.setColumnStretch(column, 1)
        for place, tool in enumerate(TOOLS):
            button = _tool_button(tool.title)
            button.setCheckable(True)
            button.setToolTip(f"{tool.tip}  ({tool.key})\n{tool.how}")
            grid.addWidget(button, place // _COLUMNS, place % _COLUMNS)
            self.tools[tool.name] = button
        self.doing = note()
        self.doing.setMinimumHeight(2 * self.doing.fontMetrics().lineSpacing() + 2)
        self.doing.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.px = _number(1, 64, " px", "How far Grow and Shrink move an outline, in pixels of the analysis size.")
        self.gap = _number(0, 64, " px", "Width of the joint that Cut leaves; 0 leaves none.")
        self.material, self.state = _words("material", MATERIALS), _words("state", STATES)
        self.over = QCheckBox("Draw over neighbours")
        self.over.setToolTip("What is drawn takes pixels from tesserae that are there; else it keeps off them.")
        self.settings = QWidget()
        form = form_layout(self.settings)
        form.addRow("Grow and shrink by", self.px)
        form.addRow("A cut leaves a joint of", self.gap)
        form.addRow(button_row(self.material, self.state))
        form.addRow(self.over)
        rows = self.sections["Tesserae"].rows
        for widget in (self.bar, self.doing, self.settings):
            rows.addWidget(widget)

    def _areas(self) -> None:
        self.area_class = narrow_combo()
        for place, one in enumerate(CLASSES):
            self.area_class.addItem(one.name, one.name)
            self.area_class.setItemData(place, one.help, Qt.ItemDataRole.ToolTipRole)
        self.area_class.setCurrentIndex(FIRST_DRAWN)
        self.draw_area = QPushButton("Draw")
        self.sections["Areas of the floor"].rows.addLayout(button_row(self.area_class, self.draw_area))

    def _painting(self) -> None:
        self.window_, self.apply_, self.leave = QPushButton(), QPushButton(), QPushButton()
        row = button_row(self.window_, self.apply_, self.leave)
        row.setStretch(0, 2)
        self.sections["Paint freely"].rows.addLayout(row)

    def _check(self) -> None:
        self.goto = QLineEdit()
        self.goto.setPlaceholderText("Go to tessera: its number")
        self.look = QPushButton()
        self.bar_, self.bar_text = QProgressBar(), note()
        self.bar_.setTextVisible(False)
        self.suspect = note()
        self.checked = QProgressBar()
        self.checked.setTextVisible(False)
        self.checked.setRange(0, 1000)
        self.previous, self.next = _tool_button(""), _tool_button("")
        self.fine, self.fixed, self.ignored = QPushButton("Fine"), QPushButton("Fixed"), QPushButton("Ignore")
        for button, tip in (
            (self.previous, "Fly to the one before  (,)"),
            (self.next, "Fly to the next one  (.)"),
            (self.fine, "It is right as it is  (8)"),
            (self.fixed, "I have corrected it; what you edit counts as fixed by itself  (9)"),
            (self.ignored, "Leave it, and do not show it again  (0)"),
        ):
            button.setToolTip(tip)
        self.finish = QPushButton()
        rows = self.sections["Check"].rows
        for widget in (self.goto, self.look, self.bar_, self.bar_text, self.checked, self.suspect):
            rows.addWidget(widget)
        walk = button_row(self.previous, self.next, self.fine, self.fixed, self.ignored)
        for place in (2, 3, 4):
            walk.setStretch(place, 2)
        rows.addLayout(walk)
        rows.addWidget(self.finish)

    def _apply_tools(self, view: EditView) -> None:
        for widget in (self.bar, self.settings):
            widget.setEnabled(view.tools)
        self.doing.setText(view.doing)
        self.last.setText(view.last)
        self.last.setVisible(bool(view.last))

    def _apply_check(self, view: EditView) -> None:
        self.goto.setEnabled(view.goto)
        for button in (self.previous, self.next):
            button.setEnabled(view.step)
        for button in (self.fine, self.fixed, self.ignored):
            button.setEnabled(view.decide)
        show_progress(self.bar_, self.bar_text, view.progress)
        self.suspect.setText(view.suspect)
        self.suspect.setVisible(bool(view.suspect))
        self.checked.setVisible(bool(view.checked))
        self.checked.setValue(view.share)
        self.sections["Check"].word.setText(view.checked or view.finished)
        self.finish.setToolTip(view.finish.reason)

    def _offer(self, records: Sequence[str], layer: str) -> None:
        with QSignalBlocker(self.layer):
            self.layer.clear()
            self.layer.addItems(list(records))
            self.layer.setCurrentIndex(records.index(layer) if layer in records else -1)


def _tool_button(text: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    style = Qt.ToolButtonStyle
    button.setToolButtonStyle(style.ToolButtonTextBesideIcon if text else style.ToolButtonIconOnly)
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return button


def _number(least: int, most: int, suffix: str, tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, most)
    box.setSuffix(suffix)
    box.setToolTip(tip)
    box.setMinimumWidth(88)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return box


def _words(name: str, words: Sequence[str]) -> QWidget:
    """A choice of words; its first item, the name, leaves what was said, its last one takes that back."""
    box = narrow_combo()
    box.addItem(name, None)
    for word in words[1:]:
        box.addItem(word, word)
    box.addItem("not known", "")
    box.setToolTip(f"“{name}” leaves the {name} as it is, “not known” takes back what was said.")
    return box
