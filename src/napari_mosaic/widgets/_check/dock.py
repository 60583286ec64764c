"""The dock *How good is it?*: a few random squares, counted in the viewer, and the error in one sentence.

One decision: as in the dock *Train*, events change a frozen state and the view follows from it. What is
counted is kept at every square, so a check can be gone on with another day.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QEvent
from qtpy.QtGui import QGuiApplication

from napari_mosaic.errors import MosaicError
from napari_mosaic.evaluation.floor_files import check_folder
from napari_mosaic.record.label_layer import SAM2, TESSERAE
from napari_mosaic.widgets._check.layers import MISSED, WRONG, CheckLayers
from napari_mosaic.widgets._check.runs import Proposal, held_check, keep_counts, propose
from napari_mosaic.widgets._check.state import CheckState, next_open, resolve_check, with_count, with_marks
from napari_mosaic.widgets._check.view import CheckView
from napari_mosaic.widgets._companion import Panel, PanelDock
from napari_mosaic.widgets._dock import press
from napari_mosaic.widgets._docks import CHECK
from napari_mosaic.widgets._layers import LookValue
from napari_mosaic.widgets._worker import WorkFailure


class CheckDock(PanelDock):
    """The dock *How good is it?* of a viewer.

    Parameters
    ----------
    napari_viewer
        The viewer whose panel shows the record.
    panel
        That panel; the dock looks for it where it is None.
    """

    manifest_id = CHECK
    resolve = staticmethod(resolve_check)
    state: CheckState
    view: CheckView

    def __init__(self, napari_viewer: Viewer, panel: Panel | None = None) -> None:
        super().__init__(napari_viewer, panel)
        self.state = CheckState()
        self.view = CheckView(self)
        self.layers: CheckLayers | None = None
        self._proposer, self._keeper = self._requests(self._proposed), self._requests(self._kept)
        self._fill()
        self._connect()
        self.look()

    # what a person can do -------------------------------------------------------------------------

    def look(self) -> None:
        """Take the record that the panel shows, and the check that was begun for it."""
        panel = self._find_panel()
        record = None if panel is None else panel.state.record
        if record is None or str(record.path) == self.state.record:
            self.tell()
            return
        self.tell(record=str(record.path), squares=(), busy=True, sentence="", message="")
        self._proposer.ask(held_check, record.path)

    def propose(self) -> None:
        """Propose squares; once there are some, others."""
        try:
            params = self.view.form.value()
        except MosaicError as error:
            self.tell(message=str(error))
            return
        if self.state.squares:
            params = replace(params, seed=max(square.seed for square in self.state.squares) + 1)
        self.tell(busy=True, message="")
        self._proposer.ask(propose, Path(self.state.record), params, self._labels())

    def turn_to(self, at: int) -> None:
        """Show another square."""
        self.tell(at=max(0, min(at, len(self.state.squares) - 1)))
        if self.layers is not None:
            self.layers.show(self.state.at)

    def mark(self, kind: str) -> None:
        """Let the next clicks say what is `missed` or `wrong`."""
        if self.layers is not None:
            self.layers.mark(kind)

    def type_count(self, count: int) -> None:
        """Take the number that somebody counted in the square that is shown; below 0 takes it back."""
        square = self.state.square
        if square is not None:
            self._replace(with_count(square, count) if count >= 0 else replace(square, counted=None))

    def done(self) -> None:
        """The square that is shown is looked at: keep its count, and show the next one."""
        state, square = self.state, self.state.square
        if square is None:
            return
        if square.counted is None or square.missed is not None:
            self._replace(with_marks(square, state.missed[state.at], state.wrong[state.at]))
        self.turn_to(next_open(self.state.squares, state.at))
        self.tell(busy=True)
        self._keeper.ask(keep_counts, Path(state.record), self.state.squares, self._labels())

    def copy(self) -> None:
        """Put the sentence into the clipboard."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.state.sentence)

    # answers --------------------------------------------------------------------------------------

    def _proposed(self, proposal: Proposal) -> None:
        if self.layers is not None:
            self.layers.close()
            self.layers = None
        squares, zeros = proposal.squares, (0,) * len(proposal.squares)
        self.tell(squares=squares, size=proposal.size, at=0, missed=zeros, wrong=zeros, busy=False, sentence="")
        panel = self._find_panel()
        if not squares or panel is None or panel.photograph is None:
            return
        self.layers = CheckLayers(self.viewer, panel.photograph, squares, self._count_marks)
        labels = self._labels()
        panel.look(LookValue(outlines=True, tesserae=labels != SAM2, masks=labels != TESSERAE))
        self.turn_to(next_open(squares, -1))
        if all(square.counted is not None for square in squares):
            self._keeper.ask(keep_counts, Path(self.state.record), squares, self._labels())

    def _labels(self) -> str | None:
        """Which labels are counted: those that count in the panel."""
        panel = self._find_panel()
        return None if panel is None else panel.labels

    def _count_marks(self) -> None:
        """Marks have changed: what they say counts once its square is done."""
        if self.layers is not None and not self._closed:
            self.tell(missed=self.layers.count(MISSED), wrong=self.layers.count(WRONG))

    def _kept(self, sentence: str) -> None:
        self.tell(sentence=sentence, saved=str(check_folder(Path(self.state.record))), busy=False)

    def _replace(self, square: Any) -> None:
        squares = list(self.state.squares)
        squares[self.state.at] = square
        self.tell(squares=tuple(squares), sentence="")

    # the frame ------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Look again whenever somebody comes back to the dock."""
        if event.type() in (QEvent.Type.Enter, QEvent.Type.Show) and not self._closed:
            self.look()
        return super().event(event)

    def _end(self) -> None:
        if self.layers is not None:
            self.layers.close()

    def _connect(self) -> None:
        view = self.view
        press(
            (view.propose, self.propose),
            (view.back, lambda: self.turn_to(self.state.at - 1)),
            (view.forth, lambda: self.turn_to(self.state.at + 1)),
            (view.missed, lambda: self.mark(MISSED)),
            (view.wrong, lambda: self.mark(WRONG)),
            (view.done, self.done),
            (view.copy, self.copy),
        )
        view.typed.valueChanged.connect(self.type_count)

    def complain(self, failure: WorkFailure) -> None:
        """Say what went wrong."""
        self.tell(message=str(failure), busy=False)
