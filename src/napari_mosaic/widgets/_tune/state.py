"""What the dock *Tune* knows and what it therefore shows; see `_state` for the manner."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_mosaic.probability import Calibration
from napari_mosaic.progress import duration
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tuning import TuneResult
from napari_mosaic.widgets._facts import RunFacts
from napari_mosaic.widgets._plot import Curve, best_so_far
from napari_mosaic.widgets._state import ButtonViewModel, Mark, StepViewModel
from napari_mosaic.widgets._tune.bars import Bars
from napari_mosaic.words import counted

TruthChoice = Literal["finished", "files"]
TRUTHS: dict[TruthChoice, str] = {"finished": "Windows that I finished", "files": "Files with drawn truth"}
TUNE_STEPS = ("Compare with", "Search", "What came out", "Use", "Confidence")
NAMES = {
    "threshold": "Joint from",
    "core_threshold": "Inside from",
    "min_area": "Smallest tessera",
    "max_hole": "Largest hole",
    "min_seed": "Smallest inside",
    "reach": "Growth",
}
"""What the rules are called here."""


@dataclass(frozen=True, kw_only=True)
class TuneState:
    """All that the dock knows; `record` is empty and `finished` None before they are known."""

    record: str = ""
    truth: TruthChoice = "finished"
    files: tuple[str, ...] = ()
    finished: int | None = None
    rules: TesseraParams = field(default_factory=TesseraParams)
    folder: str = ""
    run: RunFacts | None = None
    before: int = 0
    """Trials that were done when the run began."""
    scores: tuple[float, ...] = ()
    best: TuneResult | None = None
    calibration: Calibration | None = None
    measuring: bool = False
    lacks: str = ""
    """The package that a search needs, where it is not installed."""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class TuneViewModel:
    """Everything that the widgets show."""

    steps: tuple[StepViewModel, ...]
    mark: ButtonViewModel
    start: ButtonViewModel
    resume: ButtonViewModel
    stop: ButtonViewModel
    use: ButtonViewModel
    measure: ButtonViewModel
    adjust: ButtonViewModel
    files_shown: bool
    editable: bool
    record: str
    progress: tuple[int, str] | None
    history: tuple[Curve, ...]
    importance: Bars
    rules: tuple[tuple[str, str], ...]
    reliability: tuple[Curve, ...]
    confidence: str
    message: str


def resolve_tuning(state: TuneState) -> TuneViewModel:
    """What a state shows."""
    idle, reason = state.run is None, _why_not(state)
    stopping = state.run is not None and state.run.stopping
    unable = reason or (f"Searching needs the package {state.lacks}." if state.lacks else "")
    same = "" if state.best is None or _changes(state) else "The record is cut by these settings already."
    nothing = "Search first." if state.best is None else same
    found = state.calibration
    adjusted = found is not None and abs(found.temperature - state.rules.temperature) < 1e-6
    return TuneViewModel(
        steps=_steps(state),
        mark=ButtonViewModel(idle and bool(state.record), "What I see is finished", "" if state.record else _NO_RECORD),
        start=ButtonViewModel(idle and not unable, "Start" if not state.scores else "Anew", unable),
        resume=ButtonViewModel(idle and not unable and bool(state.scores), "Go on", unable),
        stop=ButtonViewModel(not idle and not stopping, "Stopping …" if stopping else "Stop"),
        use=ButtonViewModel(idle and not nothing, "Use these settings", nothing),
        measure=ButtonViewModel(idle and not reason and not state.measuring, _measure(state), reason),
        adjust=ButtonViewModel(
            idle and found is not None and not adjusted, "Adjust confidence", _adjust(state, adjusted)
        ),
        files_shown=state.truth == "files",
        editable=idle,
        record=state.record or "none shown in the panel yet",
        progress=_progress(state),
        history=best_so_far(state.scores),
        importance=() if state.best is None else _importance(state.best),
        rules=() if state.best is None else _rules(state.rules, state.best.tesserae),
        reliability=() if found is None else _reliability(found),
        confidence="" if found is None else _confidence(found),
        message=state.message,
    )


_NO_RECORD = "Open a record in the panel “Mosaic” first."


def _why_not(state: TuneState) -> str:
    if not state.record:
        return _NO_RECORD
    if state.run is not None:
        return "A search is going on."
    if state.truth == "files":
        return "" if state.files else "Choose files first."
    return "" if state.finished else "Correct a window and mark it as finished first."


def _steps(state: TuneState) -> tuple[StepViewModel, ...]:
    ready = not _why_not(state) or state.run is not None
    found = state.best is not None
    done = (ready, found and state.run is None, bool(state.scores), found and not _changes(state), _is_adjusted(state))
    following = 0 if not ready else (1 if not found else 3)
    marks: list[Mark] = [
        "done" if done[i] else ("next" if i == following and state.run is None else "later") for i in range(5)
    ]
    summaries = (_compared(state), _searched(state), _gain(state), _used(state), _calibrated(state))
    return tuple(StepViewModel(mark, summary) for mark, summary in zip(marks, summaries, strict=True))


def _compared(state: TuneState) -> str:
    if not state.record:
        return "no record yet"
    count = len(state.files) if state.truth == "files" else state.finished
    if count is None:
        return Path(state.record).name
    what = "file" if state.truth == "files" else "window"
    return counted(count, what)


def _searched(state: TuneState) -> str:
    if state.run is not None:
        return state.run.title
    return f"{len(state.scores):,} trials" if state.scores else ""


def _gain(state: TuneState) -> str:
    if len(state.scores) == 0:
        return "the first trial is what is used now"
    goal = "" if state.best is None else f"{state.best.goal} "
    return f"{goal}{state.scores[0]:.3f} → {max(state.scores):.3f}"


def _used(state: TuneState) -> str:
    if state.best is None:
        return ""
    return f"{len(_changes(state))} settings change" if _changes(state) else "in use"


def _calibrated(state: TuneState) -> str:
    return "as the model says" if state.rules.temperature == 1 else f"temperature {state.rules.temperature:.2f}"


def _is_adjusted(state: TuneState) -> bool:
    return state.calibration is not None and abs(state.calibration.temperature - state.rules.temperature) < 1e-6


def _changes(state: TuneState) -> list[str]:
    """The rules that a search would change."""
    if state.best is None:
        return []
    return [name for name in NAMES if getattr(state.best.tesserae, name) != getattr(state.rules, name)]


def _rules(before: TesseraParams, after: TesseraParams) -> tuple[tuple[str, str], ...]:
    rows = []
    for name, title in NAMES.items():
        old, new = (f"{getattr(rules, name):.3g}" for rules in (before, after))
        rows.append((title, new if old == new else f"{old} → {new}"))
    return tuple(rows)


def _importance(best: TuneResult) -> Bars:
    parts = sorted(best.importance.items(), key=lambda part: -part[1])
    return tuple((NAMES.get(name, name.capitalize()), part) for name, part in parts)


def _reliability(found: Calibration) -> tuple[Curve, ...]:
    """How often joints were true, in per cent, over how sure the model was; the diagonal is honest."""
    sides = (("says", found.before), ("adjusted", found.after))
    lines = [Curve(name, tuple((100 * part.said, 100 * part.true) for part in parts)) for name, parts in sides]
    return (*lines, Curve("", ((0.0, 0.0), (100.0, 100.0)), faint=True))


def _confidence(found: Calibration) -> str:
    how = "too sure" if found.temperature > 1 else "not sure enough" if found.temperature < 1 else "right"
    return (
        f"The model is {how}: its probabilities are wrong by {100 * found.ece_before:.1f} % on average, and by "
        f"{100 * found.ece_after:.1f} % with a temperature of {found.temperature:.2f}. No tessera changes by it."
    )


def _measure(state: TuneState) -> str:
    return "Measuring …" if state.measuring else "Measure"


def _adjust(state: TuneState, adjusted: bool) -> str:
    if state.calibration is None:
        return "Measure first."
    return "The record is told by this temperature already." if adjusted else ""


def _progress(state: TuneState) -> tuple[int, str] | None:
    run = state.run
    if run is None:
        return None
    if run.total <= 0:
        return (-1, "Starting …")
    share = min(1.0, run.done / run.total)
    text = f"{run.done:,.0f} of {run.total:,.0f} trials"
    mine = run.done - state.before
    if mine > 2 and run.elapsed > 2:
        text += f" · {duration(run.elapsed / mine * (run.total - run.done))} left"
    return (round(share * 1000), text)
