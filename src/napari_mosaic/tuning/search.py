"""The search over the rules that cut tesserae from a map.

One decision: a search changes nothing; its result is in the units of `segment`, so that what comes after finds what
was tried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_mosaic.areas import read_json
from napari_mosaic.engine.planning import USUAL_PX, sized
from napari_mosaic.errors import InputError, MissingError
from napari_mosaic.folder_lock import working_in
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.probability.augmentation import MAPS
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Plan, Record
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tuning.handed import KIND, TUNED
from napari_mosaic.tuning.study import (
    Ranges,
    around,
    course_of,
    keep_result,
    load_optuna,
    mean_score,
    open_study,
    search_steps,
)
from napari_mosaic.tuning.windows import Maps, TruthWindow, judge, load_windows

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

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
    study: Study, record: Record, windows: list[TruthWindow], maps: list[str], params: TuneParams, folder: Path
) -> Steps[TuneResult]:
    plan = record.plan

    def try_one(trial: Trial) -> float:
        name, rules = _suggest(trial, plan, maps)
        return mean_score(params.goal, [judge(record, window, name, rules) for window in windows])

    def finish() -> TuneResult:
        return keep_result(_result(study, plan, len(windows), params.goal), folder, KIND)

    return (yield from search_steps(study, params.trials, _start(plan.tesserae, maps), try_one, finish))


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
    return replace(params, **{name: int(_RANGES[name][1]) for name in ("reach", "max_hole")})


_RANGES: Ranges = {
    "threshold": (0.2, 0.8),
    "core_threshold": (0.15, 0.85),
    "min_area": (0, 200),
    "max_hole": (0, 64),
    "min_seed": (1, 40),
    "reach": (15, 80),
}
"""Between what is searched. *Not varied.*"""


def _suggest(trial: Trial, plan: Plan, maps: list[str]) -> tuple[str, TesseraParams]:
    """The map and the rules of a trial."""
    values: dict[str, Any] = {}
    for name, (low, high) in around(_RANGES, plan.tesserae).items():
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
    """The record's own rules as the first trial."""
    values = {name: getattr(params, name) for name in TUNED}
    return {**values, "map": maps[0]} if len(maps) > 1 else values


def _fingerprint(
    record: Record, truths: Sequence[str | Path | TruthWindow], params: TuneParams, augmented: str | Path | None
) -> str:
    """What a search must have in common with the one that it goes on with."""
    digest = hashlib.sha256()
    for part in (record.source.fingerprint, record.plan.model_sha256, params.goal, str(augmented is not None)):
        digest.update(part.encode())
    for truth in truths:
        if isinstance(truth, TruthWindow):
            digest.update(str(tuple(truth.box)).encode() + truth.truth.tobytes())
        else:
            digest.update(Path(truth).read_bytes() if Path(truth).is_file() else str(truth).encode())
    return digest.hexdigest()


def _result(study: Study, plan: Plan, windows: int, goal: str) -> TuneResult:
    best = study.best_trial.params
    map_, tuned = best.get("map", _STORED), _rules(plan, best)
    return TuneResult(
        segment=_in_units_of_segment(tuned, plan.tessera_px), tesserae=tuned, map=map_, goal=goal, windows=windows,
        method=_method_of(plan, map_), model=plan.model if plan.model_sha256 else "", model_sha256=plan.model_sha256,
        scale=plan.factor if plan.tessera_px is None else None, **course_of(study),
    )  # fmt: skip


def _in_units_of_segment(params: TesseraParams, tessera_px: float | None) -> dict[str, float]:
    """The rules as `segment` takes them: it scales the smallest area to the size of the tesserae."""
    values = {name: getattr(params, name) for name in TUNED}
    share = 1.0 if tessera_px is None else (USUAL_PX / tessera_px) ** 2
    return {**values, "min_area": min(400, round(params.min_area * share))}


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
