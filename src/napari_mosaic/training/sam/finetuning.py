"""SAM 2 learns a kind of mosaic: pictures in, a weights file out, and the published grid of such runs.

One decision: the file that comes out is a SAM 2 checkpoint like any other, half or full precision, that says in
its header what it is, what it came from and at which size of tessera it was trained.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_mosaic.errors import InputError
from napari_mosaic.folder_lock import working_in
from napari_mosaic.grout import DTYPE_NAMES, choose_device
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.sam.checkpoints import write_weights
from napari_mosaic.sam.network import load_sam
from napari_mosaic.training.checkpoints import BEST, LAST
from napari_mosaic.training.history import read_history
from napari_mosaic.training.loop import begin_run, claim_folder, note_delivered, run_steps
from napari_mosaic.training.optimising import half_type
from napari_mosaic.training.run_files import write_json
from napari_mosaic.training.sam.crops import Crops, SamCrop, fixed_places, take_place
from napari_mosaic.training.sam.learner import SamLearner, put, read_sam_checkpoint
from napari_mosaic.training.sam.network import merge_low_rank, start_model
from napari_mosaic.training.sam.params import CHANCE, SamTrainParams
from napari_mosaic.training.sam.prediction_cache import EmbeddingCache
from napari_mosaic.training.sam.sources import SamMaterial, sam_material
from napari_mosaic.training.sam.validation import judge
from napari_mosaic.training.sources import Masks
from napari_mosaic.weights import read_header

GRID_RATES = (1e-5, 2e-5, 3e-5)
GRID_DECAYS = (1e-4, 1e-5)
GRID_BATCHES = (4, 8)
"""The grid of the thesis; the batches are gradients of so many crops added up."""
GRID_END = 1e-6
"""Rate at the end of every run of the grid, whatever it began at: `eta_min` of the cosine in Mosaic-SAM2's code."""
GRID, SPLIT, BEFORE = "grid.json", "split.json", "before.json"


def finetune_sam(
    data: Sequence[str | Path],
    out: str | Path,
    params: SamTrainParams | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Fine-tune to the end and return the weights file; see `finetune_sam_steps`.

    Examples
    --------
    >>> from napari_mosaic.training.sam.finetuning import finetune_sam
    >>> weights = finetune_sam(["museum"], "museum-sam2")  # doctest: +SKIP
    """
    return drain(finetune_sam_steps([Path(path) for path in data], Path(out), params), on_progress)


def finetune_sam_steps(
    data: Sequence[Path],
    out: Path,
    params: SamTrainParams | None = None,
    *,
    masks: Masks = "auto",
    resume: bool = False,
    command: str = "",
    half: bool = False,
) -> Steps[Path]:
    """Train or fine-tune SAM 2 in the folder `out`.

    Parameters
    ----------
    data
        Folders with `images` and `masks`, JSON files of Label Studio or COCO, records with finished windows;
        empty to draw mosaics.
    out
        Folder for pictures, embeddings, checkpoints, history, and `NAME.safetensors`, named like the folder;
        `delivered.json` and `test.json` tell how good that file is.
    params
        None takes Mosaic-SAM2's recipe.
    masks
        What masks in folders show.
    resume
        Go on with what is in `out`.
    command
        Written into the file, after those that made the model that it began with.
    half
        Whether the file holds half precision.

    Yields
    ------
    Progress
        Pictures or drawings, then steps.

    Raises
    ------
    MosaicError
        One of its kinds: nothing to learn from, weights that do not fit, a full disk.
    """
    params = params or SamTrainParams()
    with working_in(out, "a training"):
        claim_folder(out, resume, params, SamLearner.free)
        material = yield from sam_material(data, out, params, masks)
        checkpoint = yield from train_material(out, params, material, resume=resume)
        path = export_sam(checkpoint, out / f"{out.resolve().name}.safetensors", params, command=command, half=half)
        judge_delivered(path, out, params, material)
        return path


def export_sam(checkpoint: Path, path: Path, params: SamTrainParams, *, command: str = "", half: bool = False) -> Path:
    """Write what a checkpoint learned as a weights file, whole or not at all."""
    content = read_sam_checkpoint(checkpoint)
    start = start_model(params)
    put(start.model, content["average"])
    merge_low_rank(start.model)
    size = int(start.model.image_size)  # type: ignore[arg-type]
    origin = "random weights" if start.name == CHANCE else start.name
    commands = [start.header["command"]] if "command" in start.header else []
    header = {
        "name": path.stem, "config": start.config, "base": start.name, "base_sha256": start.sha256,
        "tessera_px": f"{size / math.sqrt(params.stones):.0f}", "step": str(content["step"]),
        "command": "\n".join([*commands, command]), "licence": start.licence,
        "summary": f"SAM 2 trained on mosaics from {origin}.",
    }  # fmt: skip
    write_weights(start.model, path, header, half=half)
    return path


def grid_steps(
    data: Sequence[Path], out: Path, params: SamTrainParams, *, masks: Masks = "auto", command: str = "",
    half: bool = False,
) -> Steps[Path]:  # fmt: skip
    """The twelve runs of the thesis' grid, one after the other in folders of `out`; the weights of the best.

    What is finished is not run again, what was begun goes on. `grid.json` holds the table. Pictures are read, and
    embeddings made, once.
    """
    with working_in(out, "a grid of trainings"):
        return (yield from _grid(data, out, params, masks, command, half))


def _grid(
    data: Sequence[Path], out: Path, params: SamTrainParams, masks: Masks, command: str, half: bool
) -> Steps[Path]:
    claim_folder(out, True, params, SamLearner.free)
    material = yield from sam_material(data, out, params, masks)
    if not material.validation:
        raise InputError(
            "A grid is judged by validation, and there is no mosaic to validate on; give more mosaics, or a larger "
            "--validation-part."
        )
    rows = []
    for number, run in enumerate(grid_of(params), start=1):
        rows.append((yield from _grid_run(out, number, run, material)))
        write_json(out / GRID, rows)
    best = max(rows, key=lambda row: float(row["score"]))
    chosen = grid_of(params)[int(best["run"]) - 1]
    path = out / f"{out.resolve().name}.safetensors"
    export_sam(out / f"run{best['run']}" / "best.pt", path, chosen, command=command, half=half)
    judge_delivered(path, out, chosen, material)
    return path


def grid_of(params: SamTrainParams) -> list[SamTrainParams]:
    """The runs of the grid, the thesis' best as its run 7: rate, decay and batch differ, all else is as in `params`."""
    return [
        replace(params, rate=rate, weight_decay=decay, batch=1, accumulate=batch, least_rate=min(1.0, GRID_END / rate))
        for decay, rate, batch in itertools.product(GRID_DECAYS, GRID_RATES, GRID_BATCHES)
    ]


def _grid_run(
    out: Path, number: int, params: SamTrainParams, material: SamMaterial
) -> Steps[dict[str, float | int | str]]:
    folder = out / f"run{number}"
    phase = f"run {number} of {len(grid_of(params))}"
    yield from train_material(folder, params, material, resume=True, shared=out / "embeddings", phase=phase)
    best = max(read_history(folder), key=lambda row: row["score"])
    settings = {"rate": params.rate, "weight_decay": params.weight_decay, "batch": params.accumulate}
    return {"run": number, **best, **settings}


def train_material(
    out: Path, params: SamTrainParams, material: SamMaterial, *, resume: bool, shared: Path | None = None,
    phase: str = "train",
) -> Steps[Path]:  # fmt: skip
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
    claim_folder(out, resume, params, SamLearner.free)
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
    yield from run_steps(out, learner, phase)
    return out / BEST if (out / BEST).exists() else out / LAST


def judge_delivered(path: Path, out: Path, params: SamTrainParams, material: SamMaterial) -> None:
    """Judge a weights file that was made of a run, and note the figures in `out`."""
    device = choose_device(params.device)
    half = half_type(params.amp, device, brain=True)
    network = load_sam(path, device=str(device), precision=DTYPE_NAMES[half or torch.float32])
    parts = [fixed_samples(material, some, params, network.image_size) for some in (material.validation, material.test)]
    judged, tested = (judge(network, part, params, automatic=params.judge == "automatic") for part in parts)
    note_delivered(out, {"step": int(read_header(path)["step"])}, judged, tested, {"crops": len(parts[1])})


def fixed_samples(material: SamMaterial, indices: list[int], params: SamTrainParams, size: int) -> list[SamCrop]:
    """Some of the crops of some pictures, chosen by the seed."""
    if not indices:
        return []
    places = fixed_places(material.pictures, indices, params.stones)
    order = np.random.default_rng(params.seed).permutation(len(places))
    taken = (take_place(material.pictures, places[int(k)], 0, size) for k in order)
    return list(itertools.islice((sample for sample in taken if sample.count), params.most_judged))
