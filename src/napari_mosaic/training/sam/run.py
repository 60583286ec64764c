"""Train or fine-tune SAM 2 on pictures that are there, by the loop of the other networks."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import torch

from napari_mosaic.grout import DTYPE_NAMES, choose_device
from napari_mosaic.progress import Steps
from napari_mosaic.sam.network import load_sam
from napari_mosaic.training.checkpoints import BEST, LAST
from napari_mosaic.training.loop import begin_run, check_folder, note_delivered, run_steps
from napari_mosaic.training.optimising import half_type
from napari_mosaic.training.pool import write_json
from napari_mosaic.training.sam.cache import EmbeddingCache
from napari_mosaic.training.sam.crops import Crops, Sample, fixed_places, take_place
from napari_mosaic.training.sam.learner import SamLearner
from napari_mosaic.training.sam.network import start_model
from napari_mosaic.training.sam.params import CHANCE, SamTrainParams
from napari_mosaic.training.sam.sources import SamMaterial
from napari_mosaic.training.sam.validation import judge
from napari_mosaic.weights import read_header

SPLIT, BEFORE = "split.json", "before.json"


def train_material(
    out: Path, params: SamTrainParams, material: SamMaterial, *, resume: bool, shared: Path | None = None
) -> Steps[Path]:
    """Train on pictures that are there; the best checkpoint by validation, or the last where there is none.

    What the model could do before is judged too, unless `shared`, a folder of embeddings, says that this is one of
    several runs on the same crops.

    Yields
    ------
    Progress
        Steps.

    Raises
    ------
    MosaicError
        One of its kinds: pictures without stones, a loss that is no number, a full disk.
    """
    check_folder(out, resume)
    start = start_model(params)
    crops = Crops(material, params, int(start.model.image_size))  # type: ignore[arg-type]
    learner = SamLearner(params, start, crops, fixed_samples(material, material.validation, params, crops.size))
    begin_run(out, learner, resume=resume)
    write_json(out / SPLIT, material.split)
    if params.cached:
        belongs_to = [start.sha256, start.config, crops.size, [list(place) for place in crops.places], material.mark]
        learner.cache = EmbeddingCache(shared or out / "embeddings", belongs_to)
    if learner.course.step == 0 and learner.judged and params.model != CHANCE and shared is None:
        write_json(out / BEFORE, learner.validate())
    yield from run_steps(out, learner)
    return out / BEST if (out / BEST).exists() else out / LAST


def judge_delivered(path: Path, out: Path, params: SamTrainParams, material: SamMaterial) -> None:
    """Judge a weights file that was made of a run, and note the figures in `out`."""
    device = choose_device(params.device)
    half = half_type(params.amp, device, brain=True)
    network = load_sam(path, device=str(device), precision=DTYPE_NAMES[half or torch.float32])
    parts = [fixed_samples(material, some, params, network.image_size) for some in (material.validation, material.test)]
    judged, tested = (judge(network, part, params, automatic=params.judge == "automatic") for part in parts)
    note_delivered(out, {"step": int(read_header(path)["step"])}, judged, tested, {"crops": len(parts[1])})


def fixed_samples(material: SamMaterial, indices: list[int], params: SamTrainParams, size: int) -> list[Sample]:
    """Some of the crops of some pictures, chosen by the seed."""
    if not indices:
        return []
    places = fixed_places(material.pictures, indices, params.stones)
    order = np.random.default_rng(params.seed).permutation(len(places))
    taken = (take_place(material.pictures, places[int(k)], 0, size) for k in order)
    return list(islice((sample for sample in taken if sample.count), params.most_judged))
