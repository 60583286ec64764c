"""A search by trials in a folder: begun or gone on with, its diagrams, and its result as a file.

One decision: the state of the search is Optuna's own journal in the output folder, one line a trial, so a
run that was stopped, by whatever, goes on where it was, and ends with one file that `segment` takes.

References
----------
Akiba et al., Optuna: a next-generation hyperparameter optimization framework, KDD 2019.

"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import InputError
from napari_mosaic.metrics import Metrics
from napari_mosaic.plots import new_figure, save_figure
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.tuning.handed import BEST, write_best

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

R = TypeVar("R")

GOALS: dict[str, Callable[[Metrics], float]] = {
    "pq": lambda metrics: metrics.at(0.5).panoptic_quality,
    "f1": lambda metrics: metrics.at(0.5).f1,
    "fm": lambda metrics: metrics.fm,
    "dice": lambda metrics: metrics.pixels.dice,
}
"""What is made as large as possible, as the mean over the windows."""

Ranges = Mapping[str, tuple[float, float]]
"""What is searched, and between what."""


def load_optuna() -> ModuleType:
    """The package optuna, told to be quiet; `DependencyError` where it is not installed."""
    with needed_for("Tuning"):
        import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def open_study(optuna: ModuleType, folder: Path, fingerprint: str, seed: int) -> Study:
    """The search in a folder, begun or gone on with; `InputError` where it is one with another fingerprint."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
        study: Study = optuna.create_study(
            storage=storage, study_name="tune", direction="maximize", load_if_exists=True
        )
        # A search that goes on must not draw the same first trials again.
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), multivariate=True)
    known = study.user_attrs.get("fingerprint")
    if known is None:
        study.set_user_attr("fingerprint", fingerprint)
    elif known != fingerprint:
        raise InputError(
            f"{folder} holds a search for other data or another goal, which cannot be gone on with; "
            "give another folder with -o."
        )
    return study


def search_steps(
    study: Study, trials: int, start: Mapping[str, Any], try_one: Callable[[Trial], float], finish: Callable[[], R]
) -> Steps[R]:
    """Try until so many `trials` are done, the first one with the values of `start`; what `finish` returns then.

    Nothing worse than `start` is ever the result. What was found before a stop can be used, too.
    """
    finished = len(complete_trials(study))
    if finished == 0:
        study.enqueue_trial(dict(start), skip_if_exists=True)
    try:
        for done in range(finished + 1, trials + 1):
            trial = study.ask()
            score = try_one(trial)
            study.tell(trial, score)
            figures = {"score": score, "best": float(study.best_value)}
            yield Progress(phase="trying", done=done, total=trials, unit="trials", figures=figures)
    except GeneratorExit:
        finish()
        raise
    return finish()


def mean_score(goal: str, found: Sequence[Metrics]) -> float:
    """The goal's mean."""
    return float(np.mean([GOALS[goal](metrics) for metrics in found]))


def around(ranges: Ranges, params: object) -> dict[str, tuple[float, float]]:
    """What is tried of each parameter: the usual range, with what was given inside."""
    given = {name: getattr(params, name) for name in ranges}
    return {name: (min(low, given[name]), max(high, given[name])) for name, (low, high) in ranges.items()}


def complete_trials(study: Study) -> list[FrozenTrial]:
    """The trials that came to their end."""
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]


def course_of(study: Study) -> dict[str, Any]:
    """How a search went: the fields `before`, `score`, `trials`, `history` and `importance` of a result."""
    history = tuple(float(trial.value) for trial in complete_trials(study) if trial.value is not None)
    return {
        "before": history[0], "score": float(study.best_value), "trials": len(history), "history": history,
        "importance": find_importance(study),
    }  # fmt: skip


def keep_result(result: R, folder: Path, kind: str, **instead: Any) -> R:
    """Write a result as `best.json`, with other values `instead` of some, and its diagrams; the result with its files.

    It has the fields `goal`, `history`, `importance` and `files`.
    """
    values: dict[str, Any] = asdict(result)  # type: ignore[call-overload]
    values = {name: value for name, value in values.items() if name != "files"}
    files = [write_best(folder / BEST, kind, values | instead)]
    files.append(draw_history(values["history"], values["goal"], folder / "history.png"))
    if values["importance"]:
        files.append(draw_importance(values["importance"], folder / "importance.png"))
    return replace(result, files=tuple(str(path) for path in files))  # type: ignore[type-var]


def find_importance(study: Study) -> dict[str, float]:
    """How much each parameter mattered, in all 1; empty where too few trials are finished to tell."""
    from optuna.importance import get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return {name: float(part) for name, part in get_param_importances(study).items()}
        except (ValueError, RuntimeError, ImportError):
            return {}


def draw_history(values: Sequence[float], goal: str, path: Path) -> Path:
    """Draw the score of every trial and the best so far, as PNG."""
    figure = new_figure()
    axes = figure.subplots()
    axes.plot(range(1, len(values) + 1), values, "o", color="#9ab", markersize=4, label="trial")
    axes.plot(range(1, len(values) + 1), np.maximum.accumulate(values), color="#b03a2e", label="best so far")
    axes.axhline(values[0], color="0.6", linewidth=1, linestyle="--", label="before")
    axes.set(xlabel="trial", ylabel=goal, ylim=(max(0, float(np.quantile(values, 0.25)) - 0.05), None))
    axes.legend()
    return save_figure(figure, path)


def draw_importance(found: dict[str, float], path: Path) -> Path:
    """Draw how much each parameter mattered, as PNG."""
    figure = new_figure(6.0, 3.0)
    axes = figure.subplots()
    names = list(found)[::-1]
    axes.barh(names, [found[name] for name in names], color="#4878a8")
    axes.set(xlabel="part of what the parameters change", xlim=(0, 1))
    return save_figure(figure, path)
