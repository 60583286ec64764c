"""Train the grout network, from drawn mosaics or from pictures with masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from napari_mosaic.folder_lock import working_in
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.training.checkpoints import BEST, LAST, read_checkpoint
from napari_mosaic.training.export import delivered_weights
from napari_mosaic.training.learner import GroutLearner
from napari_mosaic.training.loop import begin_run, claim_folder, note_delivered, run_steps
from napari_mosaic.training.params import TrainParams
from napari_mosaic.training.sources import Masks, Material, draw_material, folder_material
from napari_mosaic.training.validation import validate


@dataclass(frozen=True)
class Delivery:
    """That the run's model is passed on, as the mean with the weights `before` in which these have the part `keep`."""

    before: Mapping[str, Tensor] | None = None
    keep: float = 0.0


def train(
    out: str | Path,
    params: TrainParams | None = None,
    *,
    data: str | Path | None = None,
    masks: Masks = "auto",
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train to the end and return the checkpoint that the run is for; see `train_steps`.

    Examples
    --------
    >>> from napari_mosaic.training import TrainParams, train
    >>> train("run", TrainParams(minutes=30))  # doctest: +SKIP
    """
    return drain(train_steps(out, params, data=data, masks=masks, resume=resume), on_progress)


def train_steps(
    out: str | Path,
    params: TrainParams | None = None,
    *,
    data: str | Path | None = None,
    masks: Masks = "auto",
    resume: bool = False,
) -> Steps[Path]:
    """Train a network in the folder `out`, from drawn mosaics or from a folder of pictures with masks.

    Parameters
    ----------
    out
        Folder for `pool/` or `data/`, `checkpoint.pt`, `best.pt`, `history.csv`, `history.png`, `tensorboard/`, and
        at the end `delivered.json` and `test.json`: how good the file is that `export_weights` makes of the
        `chosen_checkpoint`.
    params
        Parameters; None takes the defaults, those of the bundled weights. `PRESETS` has others.
    data
        A folder with `images/` and `masks/` or `labels/`; None draws mosaics.
    masks
        What the masks of `data` show; `auto` takes `labels/` where it is there, else white joints in `masks/`.
    resume
        Go on from `checkpoint.pt` in `out`, where there is one.

    Yields
    ------
    Progress
        Drawings or pictures, then steps.

    Returns
    -------
    Path
        The `chosen_checkpoint`, to be passed to `export_weights`: the last, `checkpoint.pt`, or with a plateau
        schedule `best.pt`, which did best on validation.

    Raises
    ------
    MosaicError
        One of its kinds: data that cannot be learned from, a loss that is no number, a full disk.
    """
    params, out = params or TrainParams(), Path(out)
    with working_in(out, "a training"):
        claim_folder(out, resume)
        if data is None:
            material = yield from draw_material(out, params)
        else:
            material = yield from folder_material(Path(data), out, params, masks)
        yield from run_material(out, params, material, resume=resume, delivery=Delivery())
        return chosen_checkpoint(out, params)


def run_material(
    out: Path,
    params: TrainParams,
    material: Material,
    *,
    resume: bool,
    phase: str = "train",
    delivery: Delivery | None = None,
) -> Steps[Path]:
    """Train on material that is there already; `train_steps` without the drawing or reading.

    With a `delivery` the model that is passed on is judged at the end, not the last one.
    """
    learner = GroutLearner(params, material)
    begin_run(out, learner, resume=resume)
    yield from run_steps(out, learner, phase)
    if delivery is not None:
        _judge_delivered(out, learner, delivery)
    return out / LAST


def _judge_delivered(out: Path, learner: GroutLearner, delivery: Delivery) -> None:
    """Judge the weights that are passed on, to the last digit as in their file, and note the figures."""
    content = read_checkpoint(chosen_checkpoint(out, learner.params))
    weights = delivered_weights(content, delivery.before, delivery.keep)
    network, material = learner.average, learner.material
    network.load_state_dict({name: v.float() if v.is_floating_point() else v for name, v in weights.items()})
    judged, tested = (validate(network, crops, learner.recipe) for crops in (material.validation, material.test))
    about = {"step": int(content["step"]), "of": learner.course.step}
    note_delivered(out, about, judged, tested, {"pictures": len(material.test)})


def chosen_checkpoint(out: Path, params: TrainParams) -> Path:
    """The checkpoint that a run is for: the last of a full cycle, the best of a plateau schedule."""
    best = out / BEST
    return best if params.schedule == "plateau" and best.exists() else out / LAST
