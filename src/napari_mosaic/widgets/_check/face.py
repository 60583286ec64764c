"""The widgets of the dock *How good is it?* in their places, and how a view is applied to them; see `_face`."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QToolButton, QWidget

from napari_mosaic.evaluation.floor import SquareParams
from napari_mosaic.widgets._check.state import CHECK_STEPS, CheckView
from napari_mosaic.widgets._face import StepsFace, apply_button, button_row
from napari_mosaic.widgets._fields import ANY, ParamsForm
from napari_mosaic.widgets._forms import PathLabel, note

_MOST = 1_000_000


class CheckFace(StepsFace):
    """Everything that is seen of the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(CHECK_STEPS, parent)
        for build in (self._squares, self._count, self._result):
            build()
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._arrange()

    def _show(self, view: CheckView, old: CheckView | None) -> None:
        for name in ("propose", "back", "forth", "missed", "wrong", "done", "copy"):
            apply_button(getattr(self, name), getattr(view, name))
        self.record.show_path(view.record)
        for widget in (self.form, self.typed):
            widget.setEnabled(view.editable)
        with QSignalBlocker(self.typed):
            self.typed.setValue(-1 if view.typed is None else view.typed)
        for label, words in (
            (self.place, view.place),
            (self.tally, view.tally),
            (self.rule, view.rule),
            (self.sentence, view.sentence),
            (self.saved, view.saved),
        ):
            label.setText(words)
            label.setVisible(bool(words))

    def _squares(self) -> None:
        self.record = PathLabel()
        self.form = ParamsForm(SquareParams, ("squares", "size_mm", "stones"))
        self.propose = QPushButton("Propose squares")
        self.propose.setObjectName("primary")
        place = QHBoxLayout()
        place.setSpacing(6)
        place.addWidget(QLabel("Record"))
        place.addWidget(self.record, 1)
        rows = self.steps[0].rows
        rows.addLayout(place)
        rows.addWidget(self.form)
        rows.addWidget(note("In mm where the size of a pixel is known and confirmed, else in usual stones."))
        rows.addWidget(self.propose)

    def _count(self) -> None:
        self.back, self.forth = QToolButton(), QToolButton()
        self.place, self.tally, self.rule = QLabel(), note(), note()
        self.place.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.missed, self.wrong = QPushButton("Mark missed"), QPushButton("Mark wrong")
        self.missed.setToolTip("Then click on every tessera in the square that has no outline.")
        self.wrong.setToolTip("Then click on every outline that is no tessera, or only a part of one.")
        self.typed = QSpinBox()
        self.typed.setRange(-1, _MOST)
        self.typed.setSpecialValueText(ANY)
        self.typed.setKeyboardTracking(False)
        self.typed.setToolTip("Instead of marking: how many tesserae you count in the square.")
        self.done = QPushButton("Done, next square")
        self.done.setObjectName("primary")
        turn, count = QHBoxLayout(), QHBoxLayout()
        turn.addWidget(self.back)
        turn.addWidget(self.place, 1)
        turn.addWidget(self.forth)
        count.addWidget(QLabel("or counted"))
        count.addWidget(self.typed, 1)
        rows = self.steps[1].rows
        rows.addWidget(self.rule)
        rows.addLayout(turn)
        rows.addWidget(self.tally)
        rows.addLayout(button_row(self.missed, self.wrong))
        rows.addLayout(count)
        rows.addWidget(self.done)

    def _result(self) -> None:
        self.sentence, self.saved, self.copy = QLabel(), note(), QPushButton("Copy the sentence")
        self.sentence.setWordWrap(True)
        for widget in (self.sentence, self.saved, self.copy):
            self.steps[2].rows.addWidget(widget)
