"""The widgets of the dock *SAM 2* in their places, and how a view is applied to them; see `_view`."""

from __future__ import annotations

from qtpy.QtWidgets import QToolButton, QWidget

from napari_mosaic.widgets._models import ModelChoice
from napari_mosaic.widgets._sam.state import SamViewModel
from napari_mosaic.widgets._sam.tools import HOWS, TOOLS
from napari_mosaic.widgets._view import RecordView, add_rows, button_row, narrow_combo, note, progress_bar, push_button


class SamView(RecordView):
    """Everything that is seen of the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(("Record", "Model", "Show a stone", "The mask"), parent)
        for build in (self._model, self._stone, self._mask):
            build()
        self._leave_keys()

    def apply(self, model: SamViewModel) -> None:
        """Show what differs from the view before; a click has toggled its own button."""
        super().apply(model)
        for name, button in self.tools.items():
            button.setChecked(model.tool == name)

    def _model(self) -> None:
        self.models = ModelChoice("sam2")
        self.model = self.models.box
        self.model_note = self.sections["Model"].word
        self.sections["Model"].rows.addWidget(self.models)

    def _stone(self) -> None:
        self.tools: dict[str, QToolButton] = {}
        for tool in TOOLS:
            button = QToolButton()
            button.setText(tool.title)
            button.setCheckable(True)
            button.setToolTip(f"{tool.how}  ({tool.key})")
            self.tools[tool.name] = button
        self.doing = note(lines=2)
        add_rows(self.sections["Show a stone"].rows, button_row(*self.tools.values()), self.doing)

    def _mask(self) -> None:
        self.how, self.seen, self.bar = narrow_combo(), note(lines=2), progress_bar(0)
        for name, title in HOWS.items():
            self.how.addItem(title, name)
        self.accept, self.reject = push_button(primary=True), push_button()
        self.smaller, self.larger, self.undo, self.redo = (push_button() for _ in range(4))
        add_rows(
            self.sections["The mask"].rows,
            self.seen,
            self.bar,
            button_row(self.smaller, self.larger),
            self.how,
            button_row(self.accept, self.reject),
            button_row(self.undo, self.redo),
            self.last,
        )

    def _show(self, model: SamViewModel, old: SamViewModel | None) -> None:
        super()._show(model, old)
        for button in self.tools.values():
            button.setEnabled(model.tools)
        self.bar.setVisible(model.busy)
