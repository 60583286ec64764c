"""The widgets of the dock *Edit tesserae* in their places, and how a view is applied to them; see `_view`."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLineEdit, QSizePolicy, QSpinBox, QToolButton, QWidget

from napari_mosaic.areas import CLASSES
from napari_mosaic.record.tables import MATERIALS, STATES
from napari_mosaic.widgets._areas import FIRST_DRAWN
from napari_mosaic.widgets._edit.icons import icon
from napari_mosaic.widgets._edit.state import EditViewModel
from napari_mosaic.widgets._edit.tools import TOOLS, EditOptions
from napari_mosaic.widgets._view import (
    RecordView,
    add_rows,
    button_row,
    form_layout,
    narrow_combo,
    note,
    progress_bar,
    push_button,
    show_progress,
)

_COLUMNS = 3
"""Of the tool bar; not varied."""
_ICON = 18
"""Side of an icon in pixels of the screen; not varied."""


class EditView(RecordView):
    """Everything that is seen of the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(("Record", "Tesserae", "Areas of the floor", "Paint freely", "Check"), parent)
        for build in (self._record, self._tools, self._areas, self._painting, self._check):
            build()
        self.verbs = {
            "undo": self.undo, "redo": self.redo, "previous": self.previous, "next": self.next,
            "fine": self.fine, "fixed": self.fixed, "ignored": self.ignored, "window": self.paint,
        }  # fmt: skip
        """Buttons of what has a key, by the names of `KEYS`."""
        self._leave_keys()

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
        self.undo, self.redo = _tool_button("Undo"), _tool_button("Redo")
        self.retry = push_button("Try again", "Open the record for editing, if it is free now.")
        add_rows(self.sections["Record"].rows, self.retry, button_row(self.undo, self.redo), self.last)

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
            button.setToolTip(f"{tool.help}  ({tool.key})\n{tool.how}")
            grid.addWidget(button, place // _COLUMNS, place % _COLUMNS)
            self.tools[tool.name] = button
        self.doing = note(lines=2)
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
        add_rows(self.sections["Tesserae"].rows, self.bar, self.doing, self.settings)

    def _areas(self) -> None:
        self.area_class, self.draw_area = narrow_combo(), push_button("Draw")
        for place, one in enumerate(CLASSES):
            self.area_class.addItem(one.name, one.name)
            self.area_class.setItemData(place, one.help, Qt.ItemDataRole.ToolTipRole)
        self.area_class.setCurrentIndex(FIRST_DRAWN)
        self.sections["Areas of the floor"].rows.addLayout(button_row(self.area_class, self.draw_area))

    def _painting(self) -> None:
        self.paint, self.apply_painting, self.leave_painting = push_button(), push_button(), push_button()
        row = button_row(self.paint, self.apply_painting, self.leave_painting)
        row.setStretch(0, 2)
        self.sections["Paint freely"].rows.addLayout(row)

    def _check(self) -> None:
        self.goto = QLineEdit()
        self.goto.setPlaceholderText("Go to tessera: its number or id")
        self.look, self.finish = push_button(), push_button()
        self.looked, self.looked_text, self.suspect, self.share = progress_bar(), note(), note(), progress_bar()
        self.previous, self.next = _tool_button(""), _tool_button("")
        self.previous.setToolTip("Fly to the one before  (,)")
        self.next.setToolTip("Fly to the next one  (.)")
        self.fine = push_button("Fine", "It is right as it is  (8)")
        self.fixed = push_button("Fixed", "I have corrected it; what you edit counts as fixed by itself  (9)")
        self.ignored = push_button("Ignore", "Leave it, and do not show it again  (0)")
        walk = button_row(self.previous, self.next, self.fine, self.fixed, self.ignored)
        for place in (2, 3, 4):
            walk.setStretch(place, 2)
        looked = (self.looked, self.looked_text, self.share, self.suspect)
        add_rows(self.sections["Check"].rows, self.goto, self.look, *looked, walk, self.finish)

    def _show(self, model: EditViewModel, old: EditViewModel | None) -> None:
        super()._show(model, old)
        self.retry.setVisible(bool(model.refusal))
        self.area_class.setToolTip(model.area_note)
        for widget, enabled in (
            *((widget, model.tools) for widget in (self.bar, self.settings)),
            *((widget, model.step) for widget in (self.previous, self.next)),
            *((widget, model.decide) for widget in (self.fine, self.fixed, self.ignored)),
            (self.goto, model.goto),
        ):
            widget.setEnabled(enabled)
        show_progress(self.looked, self.looked_text, model.progress)
        self.share.setVisible(bool(model.checked))
        self.share.setValue(model.share)
        self.sections["Check"].word.setText(model.checked or model.finished)


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


def _words(name: str, words: Sequence[str]) -> QComboBox:
    """A choice of words; its first item, the name, leaves what was said, its last one takes that back."""
    box = narrow_combo()
    box.addItem(name, None)
    for word in words[1:]:
        box.addItem(word, word)
    box.addItem("not known", "")
    box.setToolTip(f"“{name}” leaves the {name} as it is, “not known” takes back what was said.")
    return box
