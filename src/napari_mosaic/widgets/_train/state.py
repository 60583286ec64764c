"""What the dock *Train* knows and what it therefore shows, without any widget; see `_state` for the manner."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_mosaic.progress import duration
from napari_mosaic.training import PRESETS, FinetuneParams
from napari_mosaic.training.sam.params import PRESETS as SAM_PRESETS
from napari_mosaic.training.sam.params import SamTuneParams
from napari_mosaic.widgets._facts import RunFacts
from napari_mosaic.widgets._plot import Curve, best_so_far, smooth
from napari_mosaic.widgets._state import ButtonViewModel, Mark, StepViewModel
from napari_mosaic.widgets._train.request import GRID_RUNS, Task, TaskParams
from napari_mosaic.words import counted

Data = Literal["drawn", "folder", "record"]
DATA: dict[Data, str] = {
    "drawn": "Drawn mosaics",
    "folder": "A folder of pictures and masks",
    "record": "A record that I corrected",
}
FINETUNE = "finetune"
RECIPES: dict[str, str] = {
    "mosaic": "New model, our recipe",
    "grout": "New model, GROUT’s recipe",
    FINETUNE: "Teach an existing model",
    "sam2": "SAM 2: teach an existing model",
    "sam2-small": "SAM 2: new small model",
    "sam2-grid": "SAM 2: the grid of twelve runs",
    "sam2-tune": "SAM 2: better thresholds",
}
OFFERED: dict[Data, tuple[str, ...]] = {
    "drawn": ("mosaic", "grout", "sam2", "sam2-small", "sam2-grid"),
    "folder": (FINETUNE, "mosaic", "grout", "sam2", "sam2-small", "sam2-grid", "sam2-tune"),
    "record": (FINETUNE, "sam2", "sam2-grid", "sam2-tune"),
}
STARTS: dict[str, TaskParams] = {
    **PRESETS,
    FINETUNE: FinetuneParams(),
    "sam2": SAM_PRESETS["mosaic-sam2"],
    "sam2-small": SAM_PRESETS["small"],
    "sam2-grid": SAM_PRESETS["mosaic-sam2"],
    "sam2-tune": SamTuneParams(),
}
"""The parameters that a recipe begins with."""
TASKS: dict[str, Task] = {
    FINETUNE: "finetune", "sam2": "sam2", "sam2-small": "sam2", "sam2-grid": "sam2-grid", "sam2-tune": "sam2-tune",
}  # fmt: skip
"""What the core is asked for by a recipe; `train` by all others."""
TRAIN_STEPS = ("Learn from", "Recipe", "Run", "How it goes", "Use")
_FIGURES = {
    "found": "found", "false": "false", "grout_dice": "joints",
    "iou": "IoU", "dice": "Dice", "automatic_dice": "automatic Dice", "automatic_f1": "automatic F1",
}  # fmt: skip


@dataclass(frozen=True)
class HeldFacts:
    """A run that a folder holds: steps done, and its model's file where there is one."""

    steps: int
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """All that the dock knows; `finished` counts the windows of a record that are marked, None before it is known."""

    data: Data = "drawn"
    source: str = ""
    recipe: str = "mosaic"
    length: str = ""
    out: str = ""
    finished: int | None = None
    held: HeldFacts | None = None
    run: RunFacts | None = None
    model: str = ""
    used: str = ""
    rows: tuple[dict[str, float], ...] = field(default=(), repr=False)
    losses: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    scores: tuple[float, ...] = field(default=(), repr=False)
    """Of the trials of a search for thresholds."""
    message: str = ""

    @property
    def task(self) -> Task:
        """What the core is asked for."""
        return TASKS.get(self.recipe, "train")

    @property
    def learns_sam(self) -> bool:
        """Whether the run is of SAM 2."""
        return self.task.startswith("sam2")


@dataclass(frozen=True, kw_only=True)
class TrainViewModel:
    """Everything that the widgets show."""

    steps: tuple[StepViewModel, ...]
    start: ButtonViewModel
    resume: ButtonViewModel
    stop: ButtonViewModel
    use: ButtonViewModel
    mark: ButtonViewModel
    learn: ButtonViewModel
    recipes: tuple[str, ...]
    source_shown: bool
    mark_shown: bool
    model_shown: bool
    sample_shown: bool
    editable: bool
    progress: tuple[int, str] | None
    loss: tuple[Curve, ...]
    figures: tuple[Curve, ...]
    message: str


def resolve_training(state: TrainState) -> TrainViewModel:
    """What a state shows."""
    idle, reason = state.run is None, _why_not_start(state)
    held = state.held is not None
    stopping = state.run is not None and state.run.stopping
    return TrainViewModel(
        steps=_steps(state),
        start=ButtonViewModel(idle and not reason, "Start", reason),
        resume=ButtonViewModel(idle and held, "Go on", "" if held else "The folder holds no run that was begun here."),
        stop=ButtonViewModel(not idle and not stopping, "Stopping …" if stopping else "Stop", ""),
        use=ButtonViewModel(
            bool(state.model),
            "Use these settings" if state.task == "sam2-tune" else "Use this model now",
            "" if state.model else "There is nothing to use yet.",
        ),
        mark=ButtonViewModel(idle, "What I see is finished", "" if idle else "A run is going on."),
        learn=ButtonViewModel(idle and bool(state.source), "It is right: learn from it", _why_not_learn(state)),
        recipes=OFFERED[state.data],
        source_shown=state.data != "drawn",
        mark_shown=state.data == "record",
        model_shown=state.learns_sam and state.recipe != "sam2-small",
        sample_shown=not state.learns_sam,
        editable=idle,
        progress=_progress(state.run, len(state.losses)),
        loss=_loss(state),
        figures=_figures(state),
        message=state.message,
    )


def _why_not_learn(state: TrainState) -> str:
    if state.run is not None:
        return "A run is going on."
    return "" if state.source else "Choose a record first."


def _why_not_start(state: TrainState) -> str:
    if state.run is not None:
        return "A run is going on."
    if state.data != "drawn" and not state.source:
        return "Choose a folder first." if state.data == "folder" else "Choose a record first."
    if state.data == "record" and state.finished == 0:
        return "Mark a window as finished first."
    if not state.out:
        return "Choose a folder for the run first."
    if state.held is not None:
        return "The folder holds a run: go on with it, or choose another folder."
    return ""


def _steps(state: TrainState) -> tuple[StepViewModel, ...]:
    done = {
        0: state.data == "drawn" or bool(state.source),
        1: True,
        2: bool(state.model) and state.run is None,
        3: bool(state.rows or state.scores),
        4: bool(state.used) and state.used == state.model,
    }
    summaries = (_source(state), state.length, _run(state), _standing(state), _model(state))
    idle = state.run is None
    following = 2 if not state.model else 4
    marks: list[Mark] = ["done" if done[i] else ("next" if i == following and idle else "later") for i in range(5)]
    return tuple(StepViewModel(mark, summary) for mark, summary in zip(marks, summaries, strict=True))


def length_of(params: TaskParams, task: Task = "train") -> str:
    """How long a run with these parameters is."""
    if isinstance(params, SamTuneParams):
        return f"{params.trials:,} trials"
    if isinstance(params, FinetuneParams):
        return _length_of_stages(params)
    runs = f"{GRID_RUNS} runs, each " if task == "sam2-grid" else ""
    if params.steps is not None:
        return f"{runs}{params.steps:,} steps"
    if params.minutes is not None:
        return f"{runs}about {duration(60 * params.minutes)}"
    if params.epochs is not None:
        return f"{runs}{params.epochs:,} times through the data"
    return f"{runs}10 times through the data" if task.startswith("sam2") else "5,000 steps"


def _length_of_stages(params: FinetuneParams) -> str:
    stages = [number for number in (1, 2) if params.stage in ("both", str(number))]
    if not params.epochs:
        return f"{params.steps:,} steps{' a stage' if len(stages) > 1 else ''}"
    return f"{' + '.join(f'{params.epochs_of(stage):,}' for stage in stages)} times through the data"


def _source(state: TrainState) -> str:
    if state.data == "drawn":
        return "made as they are needed"
    if not state.source:
        return "not chosen yet"
    name = Path(state.source).name
    if state.data != "record" or state.finished is None:
        return name
    return f"{counted(state.finished, 'window')} finished"


def _run(state: TrainState) -> str:
    if state.run is not None:
        return state.run.title
    if state.held is not None:
        return f"{len(state.scores):,} trials done" if state.task == "sam2-tune" else f"{state.held.steps:,} steps done"
    return ""


def _standing(state: TrainState) -> str:
    if state.scores:
        return f"{state.scores[0]:.3f} → {max(state.scores):.3f}"
    if not state.rows:
        return "first figures after a round"
    last = state.rows[-1]
    if "dice" in last:
        return f"Dice {last['dice']:.3f}, IoU {last['iou']:.3f}"
    if "found" in last:
        return f"{100 * last['found']:.0f} % of the stones found"
    return f"loss {last['loss']:.3g}" if "loss" in last else ""


def _model(state: TrainState) -> str:
    if not state.model:
        return "nothing yet" if state.task == "sam2-tune" else "no model yet"
    name = "thresholds" if state.task == "sam2-tune" else Path(state.model).stem
    return f"{name}, in use" if state.used == state.model else name


def _progress(run: RunFacts | None, steps: int) -> tuple[int, str] | None:
    """The bar; `steps` are those of this run alone, which may have been gone on with."""
    if run is None:
        return None
    if run.total <= 0:
        return (-1, run.phase or "Starting …")
    share = min(1.0, run.done / run.total)
    text = f"{run.phase} · {run.done:,.0f} of {run.total:,.0f} {run.unit}"
    if steps > 4 and run.unit == "steps":
        text += f" · {duration(run.elapsed / steps * (run.total - run.done))} left"
    return (round(share * 1000), text)


def _loss(state: TrainState) -> tuple[Curve, ...]:
    """Each step's loss, faint, with its running mean; of a run gone on with, the rounds before."""
    rounds = tuple((row["step"], row["loss"]) for row in state.rows if "loss" in row and "run" not in row)
    if len(state.losses) < 2:
        return (Curve("mean of a round", rounds),) if rounds else ()
    before = tuple(point for point in rounds if point[0] < state.losses[0][0])
    return (
        Curve("", state.losses, faint=True),
        Curve("loss", before + smooth(state.losses, start=before[-1][1] if before else None)),
    )


def _figures(state: TrainState) -> tuple[Curve, ...]:
    if state.scores:
        return best_so_far(state.scores)
    if any("run" in row for row in state.rows):
        return _grid(state.rows)
    found = []
    for key, name in _FIGURES.items():
        points = tuple((row["step"], min(1.0, row[key])) for row in state.rows if key in row)
        if points:
            found.append(Curve(name, points))
    return tuple(found)


def _grid(rows: tuple[dict[str, float], ...]) -> tuple[Curve, ...]:
    """The score of every run of a grid, faint, and the best one with its number."""
    runs: dict[int, list[tuple[float, float]]] = {}
    for row in rows:
        if "score" in row:
            runs.setdefault(int(row["run"]), []).append((row["step"], row["score"]))
    if not runs:
        return ()
    best = max(runs, key=lambda run: max(score for _, score in runs[run]))
    others = [Curve("", tuple(points), faint=True) for run, points in runs.items() if run != best]
    return (*others, Curve(f"run {best}", tuple(runs[best])))
