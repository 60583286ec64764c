"""What the dock *How good is it?* knows and what it therefore shows; see `_state` for the manner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from napari_mosaic.evaluation.floor import RULE, Square
from napari_mosaic.widgets._state import ButtonViewModel, Mark, StepViewModel
from napari_mosaic.words import counted

CHECK_STEPS = ("Squares", "Count", "Result")
_NO_RECORD = "Open a record in the panel “Mosaic” first."


@dataclass(frozen=True, kw_only=True)
class CheckState:
    """All that the dock knows.

    `size` is that of the squares in words, `at` the square that is shown, `missed` and `wrong` the marks that
    lie in each square, `done` the letters of those that were looked at, `sentence` the result.
    """

    record: str = ""
    squares: tuple[Square, ...] = ()
    size: str = ""
    at: int = 0
    missed: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()
    busy: bool = False
    sentence: str = ""
    saved: str = ""
    message: str = ""

    @property
    def square(self) -> Square | None:
        """The square that is shown."""
        return self.squares[self.at] if self.at < len(self.squares) else None

    @property
    def counted(self) -> int:
        """How many squares are counted."""
        return sum(square.counted is not None for square in self.squares)


@dataclass(frozen=True, kw_only=True)
class CheckViewModel:
    """Everything that the widgets show."""

    steps: tuple[StepViewModel, ...]
    propose: ButtonViewModel
    back: ButtonViewModel
    forth: ButtonViewModel
    missed: ButtonViewModel
    wrong: ButtonViewModel
    done: ButtonViewModel
    copy: ButtonViewModel
    editable: bool
    record: str
    place: str
    tally: str
    typed: int | None
    rule: str
    sentence: str
    saved: str
    message: str


def resolve_check(state: CheckState) -> CheckViewModel:
    """What a state shows."""
    some, square = bool(state.squares), state.square
    nothing = "" if some else "Propose squares first."
    reason = "" if state.record else _NO_RECORD
    last = state.counted == len(state.squares) - (square is not None and square.counted is None)
    return CheckViewModel(
        steps=_steps(state),
        propose=ButtonViewModel(
            not reason and not state.busy, "Propose other squares" if some else "Propose squares", reason
        ),
        back=ButtonViewModel(some and state.at > 0, "◀", nothing),
        forth=ButtonViewModel(some and state.at + 1 < len(state.squares), "▶", nothing),
        missed=ButtonViewModel(some, "Mark missed", nothing),
        wrong=ButtonViewModel(some, "Mark wrong", nothing),
        done=ButtonViewModel(some and not state.busy, "Done: tell the error" if last else "Done, next square", nothing),
        copy=ButtonViewModel(
            bool(state.sentence), "Copy the sentence", "" if state.sentence else "Count all squares first."
        ),
        editable=bool(state.record) and not state.busy,
        record=state.record or "none shown in the panel yet",
        place="" if square is None else f"Square {square.name}, {state.at + 1} of {len(state.squares)}",
        tally=_tally(state),
        typed=None if square is None or _is_marked(state) else square.counted,
        rule=f"{RULE[0].upper()}{RULE[1:]}.",
        sentence=state.sentence,
        saved=f"Kept in {state.saved}." if state.saved else "",
        message=state.message,
    )


def with_marks(square: Square, missed: int, wrong: int) -> Square:
    """A square that was looked at, counted by the marks in it."""
    return replace(square, counted=square.found - wrong + missed, missed=missed, wrong=wrong)


def with_count(square: Square, count: int) -> Square:
    """A square whose tesserae somebody counted, without saying which are missed and which wrong."""
    return replace(square, counted=count, missed=None, wrong=None)


def next_open(squares: tuple[Square, ...], at: int) -> int:
    """The next square after `at` that is not counted; `at` where all are."""
    waiting = [k for k, square in enumerate(squares) if square.counted is None]
    return next((k for k in waiting if k > at), waiting[0] if waiting else at)


def _is_marked(state: CheckState) -> bool:
    """Whether the square that is shown is counted by marks."""
    square = state.square
    return square is not None and square.missed is not None


def _tally(state: CheckState) -> str:
    square = state.square
    if square is None:
        return ""
    missed, wrong = (marks[state.at] if state.at < len(marks) else 0 for marks in (state.missed, state.wrong))
    text = f"The record holds {counted(square.found, 'tessera')} here."
    if missed or wrong:
        text += f" You marked {missed} missed and {wrong} wrong: {square.found - wrong + missed:,} there."
    if square.counted is not None and not _is_marked(state):
        text += f" You counted {square.counted:,}."
    return text


def _steps(state: CheckState) -> tuple[StepViewModel, ...]:
    total = len(state.squares)
    done = (total > 0, total > 0 and state.counted == total, bool(state.sentence))
    following = done.index(False) if False in done else -1
    marks: list[Mark] = ["done" if done[i] else ("next" if i == following else "later") for i in range(3)]
    found = f"{total} of {state.size}" if total else Path(state.record).name or "no record yet"
    counted = f"{state.counted} of {total} done" if total else ""
    summaries = (found, counted, "one sentence for the report" if state.sentence else "")
    return tuple(StepViewModel(mark, summary) for mark, summary in zip(marks, summaries, strict=True))
