"""The widgets of the dock *SAM 2* in their places, and how a view is applied to them; see `_face`."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QToolButton, QWidget

from napari_mosaic.widgets._edit.face import Section
from napari_mosaic.widgets._face import apply_button, arrange_steps, button_row
from napari_mosaic.widgets._forms import narrow_combo, note
from napari_mosaic.widgets._sam.state import SamView
from napari_mosaic.widgets._sam.tools import HOWS, TOOLS

FILE = "A file …"


class SamFace(QWidget):
    """Everything that is seen of the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("mosaicPanel")
        self.message = note()
        self.message.setObjectName("message")
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._view: SamView | None = None
        self.sections = {title: Section(title) for title in ("Record", "Model", "Show a stone", "The mask")}
        for build in (self._record, self._model, self._show, self._mask):
            build()
        arrange_steps(self, self.message, tuple(self.sections.values()))
        for button in self.findChildren(QToolButton) + self.findChildren(QPushButton):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas

    def apply(self, view: SamView) -> None:
        """Show what differs from the view before."""
        old, self._view = self._view, view
        for name, button in self.tools.items():
            button.setChecked(view.tool == name)
        if view == old:
            return
        for button, shown in (
            (self.accept, view.accept),
            (self.reject, view.reject),
            (self.smaller, view.smaller),
            (self.larger, view.larger),
            (self.undo, view.undo),
            (self.redo, view.redo),
        ):
            apply_button(button, shown)
        for button in self.tools.values():
            button.setEnabled(view.tools)
        if old is None or (old.records, old.layer) != (view.records, view.layer):
            self._offer(view.records, view.layer)
        self.doing.setText(view.doing)
        self.seen.setText(view.seen)
        self.bar.setVisible(view.busy)
        self.sections["Model"].word.setText(view.model_note)
        self.refusal.setText(view.refusal)
        self.refusal.setVisible(bool(view.refusal))
        self.last.setText(view.last)
        self.last.setVisible(bool(view.last))
        self.message.setText(view.message)
        self.message.setVisible(bool(view.message))

    def offer_models(self, names: Sequence[str], chosen: str = "") -> None:
        """Offer models by name, and a file."""
        with QSignalBlocker(self.model):
            self.model.clear()
            for name in names:
                self.model.addItem(name if "/" not in name else name.rsplit("/", 1)[1], name)
                self.model.setItemData(self.model.count() - 1, name, Qt.ItemDataRole.ToolTipRole)
            self.model.addItem(FILE, "")
            self.model.setCurrentIndex(self.model.findData(chosen) if chosen else -1)

    def _record(self) -> None:
        self.layer = narrow_combo()
        self.layer.setPlaceholderText("no record yet")
        self.refusal = note()
        self.refusal.setObjectName("message")
        rows = self.sections["Record"].rows
        rows.addWidget(self.layer)
        rows.addWidget(self.refusal)

    def _model(self) -> None:
        self.model = narrow_combo()
        self.model.setPlaceholderText("none chosen yet")
        self.model.setToolTip("Models that are here already; napari-mosaic models download fetches others.")
        self.sections["Model"].rows.addWidget(self.model)

    def _show(self) -> None:
        self.tools: dict[str, QToolButton] = {}
        row = QHBoxLayout()
        row.setSpacing(4)
        for tool in TOOLS:
            button = QToolButton()
            button.setText(tool.title)
            button.setCheckable(True)
            button.setToolTip(f"{tool.how}  ({tool.key})")
            self.tools[tool.name] = button
        self.doing = note()
        self.doing.setMinimumHeight(2 * self.doing.fontMetrics().lineSpacing() + 2)
        self.doing.setAlignment(Qt.AlignmentFlag.AlignTop)
        rows = self.sections["Show a stone"].rows
        rows.addLayout(button_row(*self.tools.values()))
        rows.addWidget(self.doing)

    def _mask(self) -> None:
        self.how = narrow_combo()
        for name, title in HOWS.items():
            self.how.addItem(title, name)
        self.seen, self.last = note(), note()
        self.seen.setMinimumHeight(2 * self.seen.fontMetrics().lineSpacing() + 2)
        self.seen.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 0)
        self.accept, self.reject = QPushButton(), QPushButton()
        self.accept.setObjectName("primary")
        self.smaller, self.larger, self.undo, self.redo = (QPushButton() for _ in range(4))
        rows = self.sections["The mask"].rows
        rows.addWidget(self.seen)
        rows.addWidget(self.bar)
        rows.addLayout(button_row(self.smaller, self.larger))
        rows.addWidget(self.how)
        rows.addLayout(button_row(self.accept, self.reject))
        rows.addLayout(button_row(self.undo, self.redo))
        rows.addWidget(self.last)

    def _offer(self, records: tuple[str, ...], chosen: str) -> None:
        with QSignalBlocker(self.layer):
            self.layer.clear()
            self.layer.addItems(records)
            self.layer.setCurrentIndex(records.index(chosen) if chosen in records else -1)
