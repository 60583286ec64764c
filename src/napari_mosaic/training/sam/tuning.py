"""Better thresholds for the automatic generator, from a few crops whose tesserae are drawn.

One decision: the network answers every prompt once, before the first trial, and its answers are kept; a trial asks
these answers as it would ask the network, by the code that `segment` runs, in its windows and layers, with all settings
that are handed over, so what is tuned is what will be found.

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

from napari_mosaic.errors import InputError
from napari_mosaic.folder_lock import working_in
from napari_mosaic.progress import Steps
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.network import SamNetwork, load_sam
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import tessera_size
from napari_mosaic.segmentation import load_method
from napari_mosaic.training.data import Pictures
from napari_mosaic.training.sam.crops import fixed_places
from napari_mosaic.training.sam.kept_crops import KeptCrop, PlannedCrop, ask_crop_steps, plan_crop
from napari_mosaic.training.sam.params import USUAL_GROUP, SamTuneParams
from napari_mosaic.training.sam.sources import join_pictures, mark_of, read_sources
from napari_mosaic.training.sources import Masks
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

if TYPE_CHECKING:
    from optuna.trial import Trial

RANGES: Ranges = {
    "pred_iou_thresh": (0.0, 0.95),
    "stability_score_thresh": (0.0, 0.95),
    "stability_score_offset": (0.5, 1.5),
    "mask_threshold": (-1.0, 1.5),
}
"""Between what is searched. *Not varied.*"""


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
    _check(sam)
    optuna = load_optuna()
    network = load_sam(sam.model, config=sam.config, device=sam.device, precision=sam.precision)
    if params.stones:
        sam = replace(sam, tessera_px=min(512.0, network.image_size / params.stones**0.5))
    stored = yield from read_sources(data, out / "data", USUAL_GROUP, masks)
    planned = _plan_all(join_pictures(stored), network, sam, params)
    mark = _mark(mark_of(stored), network.sha256, sam, params)
    study = open_study(optuna, out, mark, params.seed)
    ranges = around(RANGES, sam)
    floor = ranges["mask_threshold"][0] - ranges["stability_score_offset"][1]
    crops: dict[int, KeptCrop] = {}
    for number, crop in enumerate(planned):
        crops[number] = yield from ask_crop_steps(network, crop, out / "answers" / mark[:16], floor)

    def try_one(trial: Trial) -> float:
        tried = replace(sam, **{name: trial.suggest_float(name, *span) for name, span in ranges.items()})  # type: ignore[arg-type]
        return mean_score(params.goal, [crop.compare(crop.find(tried)) for crop in crops.values()])

    def finish() -> SamTuneResult:
        best = {name: float(study.best_trial.params[name]) for name in RANGES}
        tuned = replace(sam, **best)  # type: ignore[arg-type]
        result = SamTuneResult(best=best, sam=tuned, goal=params.goal, crops=len(crops), **course_of(study))
        return keep_result(result, out, SAM_KIND, sam=sam_values(tuned))

    start = {name: getattr(sam, name) for name in RANGES}
    return (yield from search_steps(study, params.trials, start, try_one, finish))


def _check(sam: SamParams) -> None:
    """Refuse what kept answers cannot tell."""
    if sam.use_m2m:
        raise InputError(
            "Masks that are given back to the network cannot be tuned from kept answers; leave out use_m2m."
        )
    if sam.merge_below > 0:
        raise InputError(
            "Fragments are merged by the joints between them, which crops alone do not tell; tune without merge_below."
        )


def _plan_all(pictures: Pictures, network: SamNetwork, sam: SamParams, params: SamTuneParams) -> list[PlannedCrop]:
    """Some crops, chosen by the seed, that show as many tesserae as a window of `segment`."""
    tesserae = max(4, round((network.image_size / tessera_size(network, sam.tessera_px)) ** 2))
    places = fixed_places(pictures, range(len(pictures)), tesserae)
    order = np.random.default_rng(params.seed).permutation(len(places))[: params.crops]
    segmenter = load_method(SegmentParams(method="sam2"))
    chosen = [places[int(k)] for k in order]
    return [plan_crop(pictures[place.picture], place, segmenter, network, sam) for place in chosen]


def _mark(data: str, sha256: str, sam: SamParams, params: SamTuneParams) -> str:
    """What a search must have in common with the one that it goes on with."""
    free = {*RANGES, "device", "precision", "points_per_batch", "model"}
    fixed = {name: value for name, value in asdict(sam).items() if name not in free}
    same = ["as segment", data, sha256, fixed, params.goal, params.crops, params.stones, params.seed]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()
