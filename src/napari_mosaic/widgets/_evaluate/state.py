"""What the dock *Evaluate* knows and what it therefore shows, without any widget; see `_state` for the manner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_mosaic.evaluation.folders import ImageRow
from napari_mosaic.widgets._evaluate.runs import Compared
from napari_mosaic.widgets._facts import RunFacts
from napari_mosaic.widgets._plot import Curve
from napari_mosaic.widgets._state import ButtonViewModel, Mark, StepViewModel

Of = Literal["record", "folder"]
OF: dict[Of, str] = {"record": "The record in the panel", "folder": "A folder of results"}
EVALUATE_STEPS = ("Results", "Truth", "Figures", "Picture")
COLUMNS = {
    "image": "", "true": "true", "found": "found", "f1_50": "F1", "fm": "Fm", "dice": "Dice", "pixel_iou": "IoU",
    "precision": "precision", "recall": "recall", "accuracy": "accuracy", "pq_50": "PQ", "best_iou": "best IoU",
    "joint_f": "joints F",
}  # fmt: skip
"""What of a row is shown, and its heading; the saved table has all."""
Table = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class EvaluateState:
    """All that the dock knows; `layers` are the names of what the record can be compared by."""

    of: Of = "record"
    record: str = ""
    layers: tuple[str, ...] = ()
    folder: str = ""
    truth: str = ""
    run: RunFacts | None = None
    compared: Compared | None = None
    painting: bool = False
    words: str = ""
    """What the colours of the picture mean, once it is shown."""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class EvaluateViewModel:
    """Everything that the widgets show."""

    steps: tuple[StepViewModel, ...]
    source: str
    truth: str
    folder_shown: bool
    editable: bool
    start: ButtonViewModel
    stop: ButtonViewModel
    table: Table
    curves: tuple[Curve, ...]
    save: ButtonViewModel
    show: ButtonViewModel
    words: str
    progress: tuple[int, str] | None
    message: str


def resolve_evaluation(state: EvaluateState) -> EvaluateViewModel:
    """What a state shows."""
    idle, reason = state.run is None, _why_not(state)
    found = state.compared
    nothing = "" if found is not None else "Compare first."
    picture = nothing or ("" if found is not None and found.request.results else "Of a folder there is no one picture.")
    source = state.record if state.of == "record" else state.folder
    return EvaluateViewModel(
        steps=_steps(state),
        source=source or ("none shown in the panel yet" if state.of == "record" else "none chosen yet"),
        truth=state.truth or "none chosen yet",
        folder_shown=state.of == "folder",
        editable=idle,
        start=ButtonViewModel(idle and not reason, "Compare", reason),
        stop=ButtonViewModel(not idle, "Stop"),
        table=() if found is None else table_of_words(found),
        curves=() if found is None else found.curves,
        save=ButtonViewModel(not nothing, "Save the table …", nothing),
        show=ButtonViewModel(not picture and not state.painting, "Show in the viewer", picture),
        words=state.words,
        progress=_progress(state.run),
        message=state.message,
    )


def table_of_words(found: Compared) -> Table:
    """The headings, then a row of each result, and of several pictures their mean."""
    rows = [*found.table.rows, *([found.table.mean] if found.request.folder else [])]
    return (tuple(COLUMNS.values()), *(tuple(_shown(row, name) for name in COLUMNS) for row in rows))


def _shown(row: ImageRow, name: str) -> str:
    value = row.get(name)
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _why_not(state: EvaluateState) -> str:
    if state.run is not None:
        return "A comparison is going on."
    if state.of == "record" and not state.record:
        return "Open a record in the panel “Mosaic” first."
    if state.of == "folder" and not state.folder:
        return "Choose a folder of results first."
    return "" if state.truth else "Choose the truth first."


def _steps(state: EvaluateState) -> tuple[StepViewModel, ...]:
    given = bool(state.record if state.of == "record" else state.folder)
    done = (given, bool(state.truth), state.compared is not None, bool(state.words))
    following = done.index(False) if False in done else -1
    marks: list[Mark] = ["done" if done[k] else ("next" if k == following else "later") for k in range(4)]
    summaries = (_results(state), Path(state.truth).name, _best(state.compared), "")
    return tuple(StepViewModel(mark, summary) for mark, summary in zip(marks, summaries, strict=True))


def _results(state: EvaluateState) -> str:
    return ", ".join(state.layers) if state.of == "record" else Path(state.folder).name


def _best(found: Compared | None) -> str:
    if found is None:
        return ""
    rows = [found.table.mean] if found.request.folder else found.table.rows
    return " · ".join(f"{row['image']} F1 {_shown(row, 'f1_50')}" for row in rows)


def _progress(run: RunFacts | None) -> tuple[int, str] | None:
    if run is None:
        return None
    if run.total <= 0:
        return (-1, "Starting …")
    return (round(1000 * run.done / run.total), f"Comparing {run.done:,.0f} of {run.total:,.0f}")
