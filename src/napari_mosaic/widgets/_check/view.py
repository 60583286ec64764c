"""The widgets of the dock *How good is it?* in their places, and how a view is applied to them; see `_view`."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QLabel, QSpinBox, QToolButton, QWidget

from napari_mosaic.evaluation.floor import SquareParams
from napari_mosaic.widgets._check.state import CHECK_STEPS, CheckViewModel
from napari_mosaic.widgets._forms import ANY, ValueForm
from napari_mosaic.widgets._view import PathLabel, StepsView, add_rows, button_row, note, push_button, side_by_side

_MOST = 1_000_000
"""Most tesserae that a person may type; not varied."""


class CheckView(StepsView):
    """Everything that is seen of the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(CHECK_STEPS, parent)
        for build in (self._squares, self._count, self._result):
            build()
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def _show(self, model: CheckViewModel, old: CheckViewModel | None) -> None:
        for widget in (self.form, self.typed):
            widget.setEnabled(model.editable)
        with QSignalBlocker(self.typed):
            self.typed.setValue(-1 if model.typed is None else model.typed)

    def _squares(self) -> None:
        self.record = PathLabel()
        self.form = ValueForm(SquareParams, ("squares", "size_mm", "stones"))
        self.propose = push_button("Propose squares", primary=True)
        place = side_by_side(QLabel("Record"), self.record, wide=1)
        unit = note("In mm where the size of a pixel is known and confirmed, else in usual stones.")
        add_rows(self.steps[0].rows, place, self.form, unit, self.propose)

    def _count(self) -> None:
        self.back, self.forth = QToolButton(), QToolButton()
        self.place, self.tally, self.rule = QLabel(), note(), note()
        self.place.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.missed = push_button("Mark missed", "Then click on every tessera in the square that has no outline.")
        tip = "Then click on every outline that is no tessera, or only a part of one."
        self.wrong = push_button("Mark wrong", tip)
        self.typed = QSpinBox()
        self.typed.setRange(-1, _MOST)
        self.typed.setSpecialValueText(ANY)
        self.typed.setKeyboardTracking(False)
        self.typed.setToolTip("Instead of marking: how many tesserae you count in the square.")
        self.done = push_button("Done, next square", primary=True)
        add_rows(
            self.steps[1].rows,
            self.rule,
            side_by_side(self.back, self.place, self.forth, wide=1),
            self.tally,
            button_row(self.missed, self.wrong),
            side_by_side(QLabel("or counted"), self.typed, wide=1),
            self.done,
        )

    def _result(self) -> None:
        self.sentence, self.saved, self.copy = QLabel(), note(), push_button("Copy the sentence")
        self.sentence.setWordWrap(True)
        add_rows(self.steps[2].rows, self.sentence, self.saved, self.copy)
