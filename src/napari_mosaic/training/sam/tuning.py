"""Better thresholds for the automatic generator, from a few crops whose tesserae are drawn.

One decision: the network answers every prompt once, before the first trial, and its answers are kept; a trial asks
these answers as it would ask the network, by the code that `segment` runs, so what is tuned is what will be found.

References
----------
Kapelonis et al., arXiv 2512.18406: four thresholds, ten trials, the mean Dice over two pictures.

"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_mosaic.errors import InputError
from napari_mosaic.export.atomic import replacing
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.sam.network import SamNetwork, load_sam
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import Prompts
from napari_mosaic.training.data import Pictures
from napari_mosaic.training.sam.answers import KeptAnswers, keep_answers, read_answers, write_answers
from napari_mosaic.training.sam.crops import Sample, fixed_places, take_place
from napari_mosaic.training.sam.params import USUAL_GROUP, SamTuneParams
from napari_mosaic.training.sam.sources import join_pictures, mark_of, read_sources
from napari_mosaic.training.sam.validation import automatic_labels, compare, grid_of
from napari_mosaic.training.sources import Masks
from napari_mosaic.tuning.search import (
    GOALS,
    complete_trials,
    draw_history,
    draw_importance,
    find_importance,
    load_optuna,
    open_study,
)

RANGES: dict[str, tuple[float, float]] = {
    "pred_iou_thresh": (0.0, 0.95),
    "stability_score_thresh": (0.0, 0.95),
    "stability_score_offset": (0.5, 1.5),
    "mask_threshold": (-1.0, 1.5),
}
"""What is searched, and between what."""
KIND = "napari-mosaic SAM 2 thresholds"
Kept = tuple[Sample, KeptAnswers]


@dataclass(frozen=True, kw_only=True)
class SamTuneResult:
    """The best thresholds and what they gain; scores are the goal's mean over the crops."""

    best: dict[str, float]
    goal: str
    before: float
    score: float
    trials: int
    crops: int
    history: tuple[float, ...] = ()
    importance: dict[str, float] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def tune_sam_steps(
    data: Sequence[Path], out: Path, sam: SamParams, params: SamTuneParams | None = None, *, masks: Masks = "auto"
) -> Steps[SamTuneResult]:
    """Search for better thresholds of the automatic generator.

    Parameters
    ----------
    data
        Folders, JSON files or records, as for `finetune_sam_steps`.
    out
        Folder for the crops, the network's answers, the journal, the diagrams and `best.json`; a search begun there
        for the same data and model is gone on with.
    sam
        The model, and all settings that are not searched.
    params
        Trials, goal, crops.
    masks
        What masks in folders show.

    Yields
    ------
    Progress
        Pictures, crops, then trials.

    Raises
    ------
    MosaicError
        One of its kinds: no tessera, another search in the folder, optuna or sam2 not installed.
    """
    params = params or SamTuneParams()
    if sam.use_m2m:
        raise InputError(
            "Masks that are given back to the network cannot be tuned from kept answers; leave out use_m2m."
        )
    optuna = load_optuna()
    network = load_sam(sam.model, config=sam.config, device=sam.device, precision=sam.precision)
    stored = yield from read_sources(data, out / "data", USUAL_GROUP, masks)
    mark = _mark(mark_of(stored), network.sha256, sam, params)
    study = open_study(optuna, out, mark, params.seed)
    crops = yield from _ask_all(network, join_pictures(stored), out / "answers" / mark[:16], sam, params)
    if not complete_trials(study):
        study.enqueue_trial({name: getattr(sam, name) for name in RANGES}, skip_if_exists=True)
    for done in range(len(complete_trials(study)), params.trials):
        trial = study.ask()
        tried = replace(sam, **{name: trial.suggest_float(name, *_range(sam, name)) for name in RANGES})
        study.tell(trial, _score(crops, tried, params.goal))
        message = f"best {study.best_value:.4f}"
        yield Progress(phase="trying", done=done + 1, total=params.trials, unit="trials", message=message)
    return _finish(study, out, params, crops)


def _mark(data: str, sha256: str, sam: SamParams, params: SamTuneParams) -> str:
    """What a search must have in common with the one that it goes on with."""
    free = {*RANGES, "device", "precision", "points_per_batch", "model"}
    fixed = {name: value for name, value in asdict(sam).items() if name not in free}
    same = [data, sha256, fixed, params.goal, params.crops, params.stones, params.seed]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()


def _ask_all(
    network: SamNetwork, pictures: Pictures, folder: Path, sam: SamParams, params: SamTuneParams
) -> Steps[list[Kept]]:
    """Crops with the network's answers to the grid of prompts; it is asked only where some are missing."""
    size = network.image_size
    places = fixed_places(pictures, range(len(pictures)), params.stones)
    order = np.random.default_rng(params.seed).permutation(len(places))[: params.crops]
    floor = _range(sam, "mask_threshold")[0] - _range(sam, "stability_score_offset")[1]
    kept: list[Kept] = []
    for number, which in enumerate(order):
        yield Progress(phase="asking", done=number, total=len(order), unit="crops")
        sample, path = take_place(pictures, places[int(which)], 0, size), folder / f"{number}.npz"
        answers = read_answers(path, size, floor)
        if answers is None:
            prompts = Prompts(points=grid_of(size, sam).astype(np.float64) + 0.5)
            batch = sam.points_per_batch or network.fitting_batch()
            answers = keep_answers(network, sample.image, prompts, floor=floor, batch=batch)
            write_answers(path, answers)
        kept.append((sample, answers))
    return kept


def _range(sam: SamParams, name: str) -> tuple[float, float]:
    """What is tried of a parameter: the usual range, with what was given inside."""
    low, high = RANGES[name]
    return min(low, getattr(sam, name)), max(high, getattr(sam, name))


def _score(crops: list[Kept], sam: SamParams, goal: str) -> float:
    """The goal's mean; a crop on which nothing is found counts nothing."""
    found = [(automatic_labels(answers, sample, sam), sample) for sample, answers in crops]
    return float(np.mean([GOALS[goal](compare(labels, sample)) if labels.any() else 0.0 for labels, sample in found]))


def _finish(study: Any, out: Path, params: SamTuneParams, crops: list[Kept]) -> SamTuneResult:
    trials = complete_trials(study)
    history, importance = tuple(float(trial.value) for trial in trials), find_importance(study)
    result = SamTuneResult(
        best={name: float(study.best_trial.params[name]) for name in RANGES},
        goal=params.goal, before=history[0], score=float(study.best_value), trials=len(trials), crops=len(crops),
        history=history, importance=importance,
    )  # fmt: skip
    path = out / "best.json"
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps({"kind": KIND, **asdict(result)}, indent=1), encoding="utf-8")
    files = [path, draw_history(history, params.goal, out / "history.png")]
    files += [drawn] if (drawn := draw_importance(importance, out / "importance.png")) else []
    return replace(result, files=tuple(str(file) for file in files))
