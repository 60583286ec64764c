"""The search over the rules that cut tesserae from a map.

One decision: the state of the search is Optuna's own journal in the output folder, one line a trial, so a
run that was stopped, by whatever, goes on where it was, and ends with one file that `segment` takes.

References
----------
Akiba et al., Optuna: a next-generation hyperparameter optimization framework, KDD 2019.

"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from napari_mosaic.areas import read_json
from napari_mosaic.dependencies import needed_for
from napari_mosaic.engine.planning import USUAL_PX, sized
from napari_mosaic.errors import InputError, MissingError
from napari_mosaic.folder_lock import working_in
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.metrics import Metrics
from napari_mosaic.plots import new_figure, save_figure
from napari_mosaic.probability.augmentation import MAPS
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Plan, Record
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tuning.handed import BEST, KIND, TUNED, write_best
from napari_mosaic.tuning.windows import Maps, Window, judge, load_windows

GOALS: dict[str, Callable[[Metrics], float]] = {
    "pq": lambda metrics: metrics.at(0.5).panoptic_quality,
    "f1": lambda metrics: metrics.at(0.5).f1,
    "fm": lambda metrics: metrics.fm,
    "dice": lambda metrics: metrics.pixels.dice,
}
"""What is made as large as possible, as the mean over the windows."""
_STORED, _AGAIN = "stored", "augmented"


@dataclass(frozen=True, kw_only=True)
class TuneParams:
    """How to search."""

    trials: Annotated[int, Limits(low=1, high=100000, help="trials in all, those of earlier runs included")] = 60
    goal: Annotated[
        Literal["pq", "f1", "fm", "dice"],
        "what to improve: pq (found and outlined), f1 (found), fm (the field's), dice (pixels)",
    ] = "pq"
    seed: Annotated[int, Limits(low=0, high=2**31, help="the same number searches in the same way")] = 0

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    """The best rules and what they gain.

    `segment` are they in the units of `segment` (areas where a usual tessera is 24 px across), `tesserae`
    in those of the record; `map` is "stored" or "augmented"; scores are the goal's mean over the windows,
    `history` those of all trials; `importance` is the part of their spread that each parameter explains,
    empty after too few trials. `method`, `model` (with its hash) and `scale` (None where it is found) are what makes
    the map that was tuned; `method` is empty where no method of `segment` does.
    """

    segment: dict[str, float]
    tesserae: TesseraParams
    map: str
    goal: str
    before: float
    score: float
    trials: int
    windows: int
    history: tuple[float, ...] = ()
    importance: dict[str, float] = field(default_factory=dict)
    method: str = ""
    model: str = ""
    model_sha256: str = ""
    scale: float | None = None
    files: tuple[str, ...] = ()


def tune(
    record: Record,
    truths: Sequence[str | Path],
    folder: str | Path,
    *,
    params: TuneParams | None = None,
    augmented: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TuneResult:
    """Find better rules for cutting tesserae from a record's map; see `tune_steps`."""
    return drain(tune_steps(record, truths, folder, params=params, augmented=augmented), on_progress)


def tune_steps(
    record: Record,
    truths: Sequence[str | Path],
    folder: str | Path,
    *,
    params: TuneParams | None = None,
    augmented: str | Path | None = None,
) -> Steps[TuneResult]:
    """Find better rules for cutting tesserae from a record's map, without the network.

    Parameters
    ----------
    record
        With its map computed where the truths lie.
    truths
        A few annotated windows, of any form that `evaluate_files` takes; none for the record's own windows that
        are marked as finished.
    folder
        For the journal, the diagrams and `best.json`; one begun for the same record and truths is gone on
        with.
    params
        Trials, goal, seed.
    augmented
        A folder that `augment` wrote: then its map is tried beside the stored one.

    Returns
    -------
    TuneResult

    Raises
    ------
    DependencyError
        Optuna is not installed.
    InputError
        No tessera in the truths, or the folder belongs to another search.

    """
    params, folder, optuna = params or TuneParams(), Path(folder), load_optuna()
    maps = _readers(record, augmented)
    windows = load_windows(record, list(truths), maps, _widest(record.plan.tesserae).halo, params.seed)
    mark = _fingerprint(record, truths or windows, params, augmented)
    with working_in(folder, "a search"):
        study = open_study(optuna, folder, mark, params.seed)
        return (yield from _search(study, record, windows, list(maps), params, folder))


def _search(
    study: Any, record: Record, windows: list[Window], maps: list[str], params: TuneParams, folder: Path
) -> Steps[TuneResult]:
    finished = len(complete_trials(study))
    if finished == 0:
        study.enqueue_trial(_start(record.plan.tesserae, maps), skip_if_exists=True)
    try:
        for done in range(finished, params.trials):
            score = _try_one(study, record, windows, maps, params.goal)
            message = f"score {score:.4f}, best {study.best_value:.4f}"
            yield Progress(phase="trying", done=done + 1, total=params.trials, unit="trials", message=message)
    except GeneratorExit:  # what was found before a stop can be used
        _finish(study, record, windows, params, folder)
        raise
    return _finish(study, record, windows, params, folder)


def _try_one(study: Any, record: Record, windows: list[Window], maps: list[str], goal: str) -> float:
    """Ask for rules, cut the windows by them, tell and return the score."""
    trial = study.ask()
    name, rules = _suggest(trial, record.plan, maps)
    score = float(np.mean([GOALS[goal](judge(record, window, name, rules)) for window in windows]))
    study.tell(trial, score)
    return score


def load_optuna() -> Any:
    """The package optuna, told to be quiet; `DependencyError` where it is not installed."""
    with needed_for("Tuning"):
        import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _readers(record: Record, augmented: str | Path | None) -> Maps:
    readers: Maps = {_STORED: record.read_map}
    if augmented is not None:
        path = Path(augmented) / MAPS
        if not path.exists():
            raise MissingError(f"There is no {MAPS} in {augmented}; make it with: napari-mosaic augment {record.path}.")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.shape != (record.plan.channels, *record.plan.shape):
            raise InputError(f"{path} belongs to another record; make it with: napari-mosaic augment {record.path}.")
        readers[_AGAIN] = lambda box: np.asarray(array[(slice(None), *box.slices)])
    return readers


def _widest(params: TesseraParams) -> TesseraParams:
    """The rules with the largest reach that is tried."""
    return replace(params, reach=_top("reach"), max_hole=_top("max_hole"))


def _top(name: str) -> int:
    return int(_RANGES[name][1])


_RANGES: dict[str, tuple[float, float]] = {
    "threshold": (0.2, 0.8),
    "core_threshold": (0.15, 0.85),
    "min_area": (0, 200),
    "max_hole": (0, 64),
    "min_seed": (1, 40),
    "reach": (15, 80),
}


def _suggest(trial: Any, plan: Plan, maps: list[str]) -> tuple[str, TesseraParams]:
    """The map and the rules of a trial."""
    values: dict[str, Any] = {}
    start = plan.tesserae
    for name, (low, high) in _RANGES.items():
        low, high = min(low, getattr(start, name)), max(high, getattr(start, name))
        if name.endswith("threshold"):
            values[name] = trial.suggest_float(name, low, high)
        else:
            values[name] = trial.suggest_int(name, int(low), int(high), log=name == "min_seed")
    map_ = trial.suggest_categorical("map", maps) if len(maps) > 1 else maps[0]
    return map_, _rules(plan, values)


def _rules(plan: Plan, values: Mapping[str, Any]) -> TesseraParams:
    """The rules of a trial as `segment` will take them: with a smallest area that its whole numbers can say."""
    rules = replace(plan.tesserae, **{name: values[name] for name in TUNED})
    if plan.tessera_px is None:
        return rules
    least = int(_in_units_of_segment(rules, plan.tessera_px)["min_area"])
    return sized(replace(rules, min_area=least), plan.tessera_px)


def _start(params: TesseraParams, maps: list[str]) -> dict[str, Any]:
    """The record's own rules as the first trial: nothing worse is ever the result."""
    values = {name: getattr(params, name) for name in TUNED}
    return {**values, "map": maps[0]} if len(maps) > 1 else values


def _fingerprint(
    record: Record, truths: Sequence[str | Path | Window], params: TuneParams, augmented: str | Path | None
) -> str:
    """What a search must have in common with the one that it goes on with."""
    digest = hashlib.sha256()
    for part in (record.source.fingerprint, record.plan.model_sha256, params.goal, str(augmented is not None)):
        digest.update(part.encode())
    for truth in truths:
        if isinstance(truth, Window):
            digest.update(str(tuple(truth.box)).encode() + truth.truth.tobytes())
        else:
            digest.update(Path(truth).read_bytes() if Path(truth).is_file() else str(truth).encode())
    return digest.hexdigest()


def open_study(optuna: Any, folder: Path, fingerprint: str, seed: int) -> Any:
    """The search in a folder, begun or gone on with; `InputError` where it is one with another fingerprint."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
        study = optuna.create_study(storage=storage, study_name="tune", direction="maximize", load_if_exists=True)
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


def complete_trials(study: Any) -> list[Any]:
    """The trials that came to their end."""
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]


def _finish(study: Any, record: Record, windows: list[Window], params: TuneParams, folder: Path) -> TuneResult:
    best = study.best_trial
    plan, map_ = record.plan, best.params.get("map", _STORED)
    tuned = _rules(plan, best.params)
    result = TuneResult(
        segment=_in_units_of_segment(tuned, plan.tessera_px),
        tesserae=tuned,
        map=map_,
        goal=params.goal,
        before=complete_trials(study)[0].value,
        score=best.value,
        trials=len(complete_trials(study)),
        windows=len(windows),
        history=tuple(trial.value for trial in complete_trials(study)),
        importance=find_importance(study),
        method=_method_of(plan, map_),
        model=plan.model if plan.model_sha256 else "",
        model_sha256=plan.model_sha256,
        scale=plan.factor if plan.tessera_px is None else None,
    )
    files = [
        _write_best(result, folder / BEST),
        draw_history(result.history, params.goal, folder / "history.png"),
    ]
    importance = draw_importance(result.importance, folder / "importance.png")
    return replace(result, files=tuple(str(path) for path in [*files, importance] if path is not None))


def _in_units_of_segment(params: TesseraParams, tessera_px: float | None) -> dict[str, float]:
    """The rules as `segment` takes them: it scales the smallest area to the size of the tesserae."""
    values = {name: getattr(params, name) for name in TUNED}
    share = 1.0 if tessera_px is None else (USUAL_PX / tessera_px) ** 2
    return {**values, "min_area": min(400, round(params.min_area * share))}


def _write_best(result: TuneResult, path: Path) -> Path:
    return write_best(path, KIND, {name: value for name, value in asdict(result).items() if name != "files"})


def _method_of(plan: Plan, map_: str) -> str:
    """The method of `segment` whose tesserae are cut from the map that was tuned; empty where there is none."""
    method = plan.method.removesuffix("+sam2")  # guided masks are made of these tesserae, and not what was compared
    if map_ == _STORED:
        return method
    return {"grout": "grout-augmented"}.get(method, "")


def read_best(path: str | Path) -> TuneResult:
    """The result that a `best.json` holds."""
    values = read_json(path)
    try:
        if values.pop("kind") != KIND:
            raise KeyError("kind")
        rules = TesseraParams(**values.pop("tesserae"))
        given = values.pop("segment")
        segment = {name: given[name] for name in TUNED}
        history = tuple(values.pop("history", ()))
        return TuneResult(**values, tesserae=rules, segment=segment, history=history)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no parameters; give the best.json that tune wrote.") from error


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


def find_importance(study: Any) -> dict[str, float]:
    """How much each parameter mattered, in all 1; empty where too few trials are finished to tell."""
    from optuna.importance import get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return {name: float(part) for name, part in get_param_importances(study).items()}
        except (ValueError, RuntimeError, ImportError):
            return {}


def draw_importance(found: dict[str, float], path: Path) -> Path | None:
    """Draw how much each parameter mattered, as PNG; None where nothing is known."""
    if not found:
        return None
    figure = new_figure(6.0, 3.0)
    axes = figure.subplots()
    names = list(found)[::-1]
    axes.barh(names, [found[name] for name in names], color="#4878a8")
    axes.set(xlabel="part of what the parameters change", xlim=(0, 1))
    return save_figure(figure, path)
