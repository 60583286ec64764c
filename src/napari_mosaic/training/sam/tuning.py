"""Better thresholds for the automatic generator, from a few crops whose tesserae are drawn.

One decision: the network answers every prompt once, before the first trial, and its answers are kept; a trial asks
these answers as it would ask the network, by the code that `segment` runs, with all settings that are handed over, so
what is tuned is what will be found. A crop is one window of `segment`: it shows as many stones, in one layer.

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
from typing import TYPE_CHECKING

import numpy as np

from napari_mosaic.engine.sam.plan import check_pitch
from napari_mosaic.engine.scale import working_pitch
from napari_mosaic.errors import InputError
from napari_mosaic.folder_lock import working_in
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.sam.network import SamNetwork, load_sam
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import MaskNetwork, Prompts, tessera_size
from napari_mosaic.training.data import Pictures
from napari_mosaic.training.sam.crops import Cutout, SamCrop, fixed_places, take_place
from napari_mosaic.training.sam.params import USUAL_GROUP, SamTuneParams
from napari_mosaic.training.sam.prediction_cache import (
    CachedPredictions,
    cache_predictions,
    read_predictions,
    write_predictions,
)
from napari_mosaic.training.sam.sources import join_pictures, mark_of, read_sources
from napari_mosaic.training.sam.validation import automatic_labels, compare, grid_of, whole_frame
from napari_mosaic.training.sources import Masks
from napari_mosaic.training.truth import usual_pitch
from napari_mosaic.tuning.handed import SAM_KIND, sam_values
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
from napari_mosaic.weights import find_weights

if TYPE_CHECKING:
    from optuna.trial import Trial

RANGES: Ranges = {
    "pred_iou_thresh": (0.0, 0.95),
    "stability_score_thresh": (0.0, 0.95),
    "stability_score_offset": (0.5, 1.5),
    "mask_threshold": (-1.0, 1.5),
}
"""Between what is searched. *Not varied.*"""


@dataclass(frozen=True)
class KeptCrop:
    """A crop, what the network answered to it, and how many pixels of the working grid `segment` would see it in."""

    sample: SamCrop
    answers: CachedPredictions
    side: int


@dataclass(frozen=True, kw_only=True)
class SamTuneResult:
    """The best thresholds and what they gain; scores are the goal's mean over the crops.

    `sam` holds all settings of SAM 2 that were tried with the thresholds `best`: with them `segment` finds what was
    scored.
    """

    best: dict[str, float]
    sam: SamParams
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
    with working_in(out, "a search"):
        return (yield from _tune(data, out, sam, params, masks))


def _tune(data: Sequence[Path], out: Path, sam: SamParams, params: SamTuneParams, masks: Masks) -> Steps[SamTuneResult]:
    if sam.use_m2m:
        raise InputError(
            "Masks that are given back to the network cannot be tuned from kept answers; leave out use_m2m."
        )
    if sam.merge_below > 0:
        raise InputError(
            "Fragments are merged by the joints between them, which crops alone do not tell; tune without merge_below."
        )
    optuna = load_optuna()
    network = load_sam(sam.model, config=sam.config, device=sam.device, precision=sam.precision)
    stored = yield from read_sources(data, out / "data", USUAL_GROUP, masks)
    pictures = join_pictures(stored)
    places = _choose_places(pictures, network, sam, params)
    sam = as_in_windows(sam, pictures, places, network.image_size)
    mark = _mark(mark_of(stored), network.sha256, sam, params)
    study = open_study(optuna, out, mark, params.seed)
    crops = yield from _ask_all(network, pictures, places, out / "answers" / mark[:16], sam)
    ranges = around(RANGES, sam)

    def try_one(trial: Trial) -> float:
        tried = replace(sam, **{name: trial.suggest_float(name, *span) for name, span in ranges.items()})  # type: ignore[arg-type]
        found = [automatic_labels(crop.answers, crop.sample, tried, crop.side) for crop in crops]
        return mean_score(params.goal, [compare(*pair) for pair in zip(found, (c.sample for c in crops), strict=True)])

    def finish() -> SamTuneResult:
        best = {name: float(study.best_trial.params[name]) for name in RANGES}
        tuned = replace(sam, **best)  # type: ignore[arg-type]
        result = SamTuneResult(best=best, sam=tuned, goal=params.goal, crops=len(crops), **course_of(study))
        return keep_result(result, out, SAM_KIND, sam=sam_values(tuned))

    start = {name: getattr(sam, name) for name in RANGES}
    return (yield from search_steps(study, params.trials, start, try_one, finish))


def _choose_places(pictures: Pictures, network: MaskNetwork, sam: SamParams, params: SamTuneParams) -> list[Cutout]:
    """Some crops, chosen by the seed; without a number of stones they show as many as a window of `segment`."""
    tesserae = params.stones or max(4, round((network.image_size / tessera_size(network, sam.tessera_px)) ** 2))
    places = fixed_places(pictures, range(len(pictures)), tesserae)
    order = np.random.default_rng(params.seed).permutation(len(places))[: params.crops]
    return [places[int(k)] for k in order]


def as_in_windows(sam: SamParams, pictures: Pictures, places: Sequence[Cutout], size: int) -> SamParams:
    """The settings as they hold in crops, each a window of `size` px: tesserae of their size, in one layer."""
    seen = [size * float(usual_pitch(pictures[place.picture].labels) or 0.0) / place.cut for place in places]
    return replace(sam, tessera_px=float(np.clip(np.median(seen), 1.0, 512.0)), crop_n_layers=0)


def _mark(data: str, sha256: str, sam: SamParams, params: SamTuneParams) -> str:
    """What a search must have in common with the one that it goes on with."""
    free = {*RANGES, "device", "precision", "points_per_batch", "model"}
    fixed = {name: value for name, value in asdict(sam).items() if name not in free}
    same = [data, sha256, fixed, params.goal, params.crops, params.stones, params.seed]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()


def working_side(pictures: Pictures, place: Cutout) -> int:
    """How many pixels of the working grid a crop measures, by the rule that `segment` finds its scale by."""
    pitch = usual_pitch(pictures[place.picture].labels)
    return place.cut if pitch is None else round(place.cut * working_pitch(pitch, find_weights().tessera_px) / pitch)


def _ask_all(
    network: SamNetwork, pictures: Pictures, places: list[Cutout], folder: Path, sam: SamParams
) -> Steps[list[KeptCrop]]:
    """Crops with the network's answers to the grid of prompts; it is asked only where some are missing."""
    size = network.image_size
    ranges = around(RANGES, sam)
    floor = ranges["mask_threshold"][0] - ranges["stability_score_offset"][1]
    kept: list[KeptCrop] = []
    for number, place in enumerate(places):
        yield Progress(phase="asking", done=number, total=len(places), unit="crops")
        side, path = working_side(pictures, place), folder / f"{number}.npz"
        check_pitch(side / sam.points_per_side)
        sample = take_place(pictures, place, 0, size)
        answers = read_predictions(path, size, floor)
        if answers is None:
            y, x = (grid_of(side, sam).astype(np.float64) + 0.5).T
            prompts = Prompts(points=whole_frame(size, side).to_network(y, x))
            batch = sam.points_per_batch or network.fitting_batch()
            answers = cache_predictions(network, sample.image, prompts, floor=floor, batch=batch)
            write_predictions(path, answers)
        kept.append(KeptCrop(sample, answers, side))
    return kept
