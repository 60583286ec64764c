"""What the dock *Evaluate* knows and what it therefore shows, without any widget; see `_state` for the manner."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_mosaic.evaluation.folders import ImageRow
from napari_mosaic.evaluation.models import bar_names
from napari_mosaic.training.curves import Histories, figure_names
from napari_mosaic.widgets._evaluate.runs import Compared, TrainingRuns
from napari_mosaic.widgets._facts import RunFacts
from napari_mosaic.widgets._plot import Curve
from napari_mosaic.widgets._state import ButtonViewModel, Mark, StepViewModel

Of = Literal["record", "folder", "models"]
OF: dict[Of, str] = {
    "record": "The record in the panel",
    "folder": "A folder of results",
    "models": "Several models: folders of results",
}
EVALUATE_STEPS = ("Results", "Truth", "Figures", "Picture", "Training runs")
_NAMED = 4
"""Most curves that have their names beside the title; of more, the best one alone. *Not varied.*"""
COLUMNS = {
    "image": "", "true": "true", "found": "found", "f1_50": "F1", "fm": "Fm", "dice": "Dice", "pixel_iou": "IoU",
    "precision": "precision", "recall": "recall", "accuracy": "accuracy", "pq_50": "PQ", "best_iou": "best IoU",
    "joint_f": "joints F",
}  # fmt: skip
"""What of a row is shown, and its heading; the saved table has all."""
ModelBarsValue = tuple[tuple[str, ...], tuple[tuple[str, tuple[float, ...]], ...]]
"""Names of models; figures, each with a value a model."""
Table = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class EvaluateState:
    """All that the dock knows; `layers` are the names of what the record can be compared by."""

    of: Of = "record"
    record: str = ""
    layers: tuple[str, ...] = ()
    folder: str = ""
    models: tuple[str, ...] = ()
    truth: str = ""
    run: RunFacts | None = None
    compared: Compared | None = None
    painting: bool = False
    words: str = ""
    """What the colours of the picture mean, once it is shown."""
    training: TrainingRuns = field(default_factory=TrainingRuns)
    figure: str = ""
    """Which figure of the runs is shown."""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class EvaluateViewModel:
    """Everything that the widgets show."""

    steps: tuple[StepViewModel, ...]
    source: str
    truth: str
    folder_shown: bool
    models_shown: bool
    editable: bool
    start: ButtonViewModel
    stop: ButtonViewModel
    table: Table
    curves: tuple[Curve, ...]
    bars: ModelBarsValue
    save: ButtonViewModel
    show: ButtonViewModel
    words: str
    figures: tuple[str, ...]
    figure: str
    run_curves: tuple[Curve, ...]
    forget_runs: ButtonViewModel
    start_over: ButtonViewModel
    progress: tuple[int, str] | None
    message: str


def resolve_evaluation(state: EvaluateState) -> EvaluateViewModel:
    """What a state shows."""
    idle, reason = state.run is None, _why_not(state)
    found = state.compared
    nothing = "" if found is not None else "Compare first."
    picture = nothing or ("" if found is not None and found.request.results else "Of a folder there is no one picture.")
    of_models = found is not None and found.models is not None
    histories = state.training.histories
    figures = tuple(figure_names(histories))
    return EvaluateViewModel(
        steps=_steps(state),
        source=_source(state) or ("none shown in the panel yet" if state.of == "record" else "none chosen yet"),
        truth=state.truth or "none chosen yet",
        folder_shown=state.of != "record",
        models_shown=state.of == "models",
        editable=idle,
        start=ButtonViewModel(idle and not reason, "Compare", reason),
        stop=ButtonViewModel(not idle, "Stop"),
        table=() if found is None else table_of_words(found),
        curves=() if found is None else found.curves,
        bars=bars_of(found),
        save=ButtonViewModel(not nothing, "Save tables and pictures …" if of_models else "Save the table …", nothing),
        show=ButtonViewModel(not picture and not state.painting, "Show in the viewer", picture),
        words=state.words,
        figures=figures,
        figure=_figure(state, figures),
        run_curves=run_curves(histories, _figure(state, figures)),
        forget_runs=ButtonViewModel(bool(figures), "Clear"),
        start_over=ButtonViewModel(idle and bool(state.models), "Clear"),
        progress=_progress(state.run),
        message=state.message,
    )


def table_of_words(found: Compared) -> Table:
    """The headings, then a row of each result, and of several pictures their mean."""
    rows = [*found.table.rows, *([found.table.mean] if found.request.folder else [])]
    return (tuple(COLUMNS.values()), *(tuple(_shown(row, name) for name in COLUMNS) for row in rows))


def bars_of(found: Compared | None) -> ModelBarsValue:
    """The means of models as bars: the models, and a value of each for every figure."""
    if found is None or found.models is None:
        return ((), ())
    rows = found.models.means()
    names = bar_names(joints=found.request.params.truth_is == "grout")
    bars = tuple(
        (COLUMNS.get(name, name.replace("_", " ")), tuple(float(row[name] or 0.0) for row in rows)) for name in names
    )
    return (tuple(str(row["model"]) for row in rows), bars)


def run_curves(histories: Histories, figure: str) -> tuple[Curve, ...]:
    """A curve a run of one of its figures; of many runs the one that ends best has a name, the others are faint."""
    lines = {run: tuple((row["step"], row[figure]) for row in rows if figure in row) for run, rows in histories.items()}
    lines = {run: points for run, points in lines.items() if points}
    if len(lines) <= _NAMED:
        return tuple(Curve(run, points) for run, points in lines.items())
    best = (min if "loss" in figure else max)(lines, key=lambda run: lines[run][-1][1])
    faint = [Curve("", points, faint=True) for run, points in lines.items() if run != best]
    return (*faint, Curve(best, lines[best]))


def _figure(state: EvaluateState, names: tuple[str, ...]) -> str:
    return state.figure if state.figure in names else (names[0] if names else "")


def _source(state: EvaluateState) -> str:
    if state.of == "models":
        return ", ".join(Path(folder).name for folder in state.models)
    return state.record if state.of == "record" else state.folder


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
    if state.of == "models" and not state.models:
        return "Choose a folder of results for each model first."
    return "" if state.truth else "Choose the truth first."


def _steps(state: EvaluateState) -> tuple[StepViewModel, ...]:
    done = (
        bool(_source(state)),
        bool(state.truth),
        state.compared is not None,
        bool(state.words),
        bool(state.training.folders),
    )
    following = done.index(False) if False in done else -1
    marks: list[Mark] = ["done" if done[k] else ("next" if k == following else "later") for k in range(5)]
    summaries = (
        _results(state),
        Path(state.truth).name,
        _best(state.compared),
        "",
        ", ".join(state.training.histories),
    )
    return tuple(StepViewModel(mark, summary) for mark, summary in zip(marks, summaries, strict=True))


def _results(state: EvaluateState) -> str:
    if state.of == "models":
        return _source(state)
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
