"""Adjust confidence: one number, the temperature, that makes probabilities mean what they say.

One decision: everything is computed from a histogram of probability against truth, so it costs one
reading of the maps, whatever their size. The temperature moves no pixel across 0.5; it is kept in a small
file beside the maps, bound to the model that it was found for, and is always that of the model's own numbers,
whatever a record tells them by already.

References
----------
Guo et al., On calibration of modern neural networks, ICML 2017 (temperature, reliability diagram, ECE).

"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from napari_mosaic.areas import read_json
from napari_mosaic.confidence import temperature_scale
from napari_mosaic.errors import InputError
from napari_mosaic.evaluation.files import EvaluationParams, LabelGrid, Truth, bands, open_truth, require_same
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.output_files import replacing
from napari_mosaic.plots import new_figure, save_figure
from napari_mosaic.probability.maps import BAND_PIXELS, open_map
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Record
from napari_mosaic.record.finished import require_finished

KIND = "napari-mosaic calibration"
BINS = 15
"""Bars of the reliability diagram, and bins of the error: 15 as in Guo et al. 2017."""
_LEVELS = 4096
"""Probabilities are counted in so many steps, sixteen to a byte. *Not varied.*"""
_Counts = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """One bar of a reliability diagram: what was said on average, how often it came true, of how many pixels."""

    said: float
    true: float
    pixels: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The temperature of a model's joint probabilities and what it does.

    `ece` is the expected calibration error over 15 equal bins, `nll` the mean negative log likelihood.
    """

    temperature: float
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float
    pixels: int
    model: str = ""
    model_sha256: str = ""
    before: tuple[Bin, ...] = field(default=())
    after: tuple[Bin, ...] = field(default=())

    def check_model(self, sha256: str, name: str) -> None:
        """Raise `InputError` where it was found for another model."""
        if sha256 and self.model_sha256 and sha256 != self.model_sha256:
            raise InputError(
                f"The calibration was found for the model {self.model or 'of another file'}, not for {name}, whose "
                "probabilities it would spoil; run calibrate on maps of this model."
            )


def calibrate(
    maps: Sequence[str | Path],
    truths: Sequence[str | Path],
    *,
    params: EvaluationParams | None = None,
    ignore: str | Path | None = None,
) -> Calibration:
    """Find the temperature of joint probabilities from maps and truths, pair by pair; see `calibrate_steps`."""
    return drain(calibrate_steps(maps, truths, params=params, ignore=ignore))


def calibrate_steps(
    maps: Sequence[str | Path],
    truths: Sequence[str | Path],
    *,
    params: EvaluationParams | None = None,
    ignore: str | Path | None = None,
) -> Steps[Calibration]:
    """Find the temperature that makes the truth most likely.

    Parameters
    ----------
    maps
        Records, or maps in files, on the photographs' grids.
    truths
        One a map, of any form that `evaluate_files` takes; where it has no tessera there is joint.
    params
        What the truths' pixels mean.
    ignore
        Left out of every pair, as for `evaluate_files`.

    Raises
    ------
    InputError
        The sizes differ, the models differ, or the truth knows joints or stones only.

    """
    if len(maps) != len(truths) or not maps:
        raise InputError(f"There are {len(maps)} maps and {len(truths)} truths; give one truth a map, at least one.")
    counts = np.zeros((2, _LEVELS))
    models: dict[str, str] = {}
    for k, (path, truth) in enumerate(zip(maps, truths, strict=True), start=1):
        with ExitStack() as stack:
            map_ = open_map(path, stack, adjusted=False)
            models[map_.model_sha256] = map_.model
            true = open_truth(truth, params or EvaluationParams(), stack)
            grid = true.cut(LabelGrid(map_.shape, map_.read), str(path))
            require_same(grid.shape, true.labels.shape, str(path), str(truth))
            counts += _count(grid, true, true.ignored(ignore, map_.shape))
        yield Progress(phase="reading", done=k, total=len(maps), unit="maps")
    if len(models) > 1:
        raise InputError(
            f"The maps are of {len(models)} models, each with a temperature of its own; calibrate one at a time."
        )
    ((sha256, name),) = models.items()
    return fit_temperature(counts, model=name, model_sha256=sha256)


def calibrate_finished_steps(record: Record) -> Steps[Calibration]:
    """Find the temperature from the windows of a record that somebody has corrected and marked as finished.

    Raises
    ------
    InputError
        No window is finished, or those that are know joints or stones only.

    """
    map_ = open_map(record, adjusted=False)
    boxes, counts = require_finished(record), np.zeros((2, _LEVELS))
    for done, box in enumerate(boxes, start=1):
        counts += _count_box(map_.read(box), read_source_labels(record, box) == 0)
        yield Progress(phase="reading", done=done, total=len(boxes), unit="windows")
    return fit_temperature(counts, model=map_.model, model_sha256=map_.model_sha256)


def _count(map_: LabelGrid, truth: Truth, ignore: NDArray[np.bool_] | None) -> _Counts:
    """Pixels of stone and of joint, `(2, levels)`, at each level of probability."""
    counts = np.zeros((2, _LEVELS))
    for box in bands(map_.shape, BAND_PIXELS):
        counted = None if ignore is None else ~ignore[box.slices]
        counts += _count_box(map_.read(box), truth.labels.read(box) == 0, counted)
    return counts


def _count_box(
    probability: NDArray[Any], joint: NDArray[np.bool_], counted: NDArray[np.bool_] | None = None
) -> _Counts:
    level = np.round(probability * (_LEVELS - 1)).astype(np.int64)
    sides = [joint == bool(k) if counted is None else counted & (joint == bool(k)) for k in (0, 1)]
    return np.stack([np.bincount(level[side], minlength=_LEVELS) for side in sides]).astype(np.float64)


def fit_temperature(counts: _Counts, *, model: str = "", model_sha256: str = "") -> Calibration:
    """The calibration that follows from counts `(2, levels)` of stone and joint pixels by probability."""
    if (counts.sum(1) == 0).any():
        missing = "stone" if counts[0].sum() == 0 else "joint"
        raise InputError(
            f"The truth holds no {missing} at all, so nothing can be learned from it; check that it is right."
        )
    said = np.linspace(0, 1, counts.shape[1])

    def loss(log_temperature: float) -> float:
        return _nll(counts, temperature_scale(said, float(np.exp(log_temperature))))

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded", options={"xatol": 1e-4})
    temperature = round(float(np.exp(best.x)), 4)
    after = temperature_scale(said, temperature)
    bins_before, bins_after = _bins(counts, said), _bins(counts, after)
    return Calibration(
        temperature=temperature,
        ece_before=_ece(bins_before),
        ece_after=_ece(bins_after),
        nll_before=_nll(counts, said),
        nll_after=_nll(counts, after),
        pixels=int(counts.sum()),
        model=model,
        model_sha256=model_sha256,
        before=bins_before,
        after=bins_after,
    )


def _nll(counts: _Counts, said: NDArray[Any]) -> float:
    clipped = np.clip(said.astype(np.float64), 1e-6, 1 - 1e-6)
    return float(-(counts[1] * np.log(clipped) + counts[0] * np.log(1 - clipped)).sum() / counts.sum())


def _bins(counts: _Counts, said: NDArray[Any]) -> tuple[Bin, ...]:
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    pixels = np.bincount(place, counts.sum(0), BINS)
    true = np.bincount(place, counts[1], BINS)
    mean = np.bincount(place, counts.sum(0) * said, BINS)
    return tuple(
        Bin(said=float(m / n), true=float(t / n), pixels=int(n))
        for n, t, m in zip(pixels, true, mean, strict=True)
        if n > 0
    )


def _ece(bins: Sequence[Bin]) -> float:
    total = sum(part.pixels for part in bins)
    return float(sum(part.pixels * abs(part.said - part.true) for part in bins) / total)


def write_calibration(calibration: Calibration, path: str | Path, *, diagram: bool = True) -> list[Path]:
    """Write the calibration as JSON and, beside it, its reliability diagram as PNG; returns what was written."""
    path = Path(path)
    if path.suffix.lower() != ".json":
        raise InputError(f"The name {path.name} is none for a calibration; let it end in .json.")
    written = [path]
    if diagram:
        written.append(draw_reliability(calibration, path.with_suffix(".png")))
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text(
            json.dumps({"kind": KIND, **asdict(calibration)}, indent=1), encoding="utf-8", newline="\n"
        )
    return written


def read_calibration(path: str | Path) -> Calibration:
    """Read what `write_calibration` wrote."""
    values = read_json(path)
    try:
        if values.pop("kind") != KIND:
            raise KeyError("kind")
        bins: Any = {name: tuple(Bin(**part) for part in values.pop(name)) for name in ("before", "after")}
        found = Calibration(**values, **bins)
        temperature_scale(np.zeros(1), float(found.temperature))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no calibration; give a JSON file that calibrate wrote.") from error
    return found


def draw_reliability(calibration: Calibration, path: Path) -> Path:
    """Draw what was said against what was true, before and after, as PNG."""
    figure = new_figure(7.0, 4.0)
    panels = figure.subplots(1, 2, sharey=True)
    sides = (
        ("as the model says", calibration.before, calibration.ece_before),
        (f"temperature {calibration.temperature:.2f}", calibration.after, calibration.ece_after),
    )
    for axes, (title, bins, ece) in zip(panels, sides, strict=True):
        said = [(part.said, part.true) for part in bins]
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        axes.bar([x for x, _ in said], [y for _, y in said], width=0.9 / BINS, color="#4878a8")
        axes.set(title=f"{title}: error {ece:.3f}", xlabel="probability of a joint", xlim=(0, 1), ylim=(0, 1))
    panels[0].set_ylabel("part that is joint by the truth")
    return save_figure(figure, path)
