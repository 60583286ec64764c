"""Where is the model unsure? The spread of its answers over turned and mirrored copies of a record's windows.

One decision: it follows the record's own plan, window by window, into a folder beside it, and changes
nothing in the record; a stopped run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.confidence import temperature_scale_bytes
from napari_mosaic.engine.augmented import predict_augmented
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.segmenters import Segmenter, load_segmenter
from napari_mosaic.engine.views import COPIES, PLAIN
from napari_mosaic.engine.windows import MapContext, blank_map, read_for_network, view_to_working
from napari_mosaic.errors import InputError, WriteError
from napari_mosaic.files import write_csv
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.measurement.windows import tessera_windows
from napari_mosaic.output_files import replacing
from napari_mosaic.probability.maps import ProbabilityGrid, write_map_steps
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Plan, Record
from napari_mosaic.record.ledger import Index, Ledger
from napari_mosaic.tiling import Box

MAPS, VARIANCE = "maps.npy", "variance.npy"
Mapped = np.memmap[Any, Any]
_WIDEST = np.float32(0.25)
"""The largest variance that a probability can have; white in the picture."""


@dataclass(frozen=True, kw_only=True)
class AugmentParams:
    """How to ask again."""

    copies: Annotated[int, Limits(low=2, high=8, help="turned and mirrored copies: 2, 4 or 8")] = 8
    device: Annotated[str, "auto, cpu, cuda or mps"] = "auto"
    model: Annotated[str, "file of the model, where the record knows only its name"] = ""

    def __post_init__(self) -> None:
        check_limits(self)
        if self.copies not in COPIES:
            raise InputError(f"A window cannot be asked about in {self.copies} ways; choose 2, 4 or 8.")


def augment_record(
    record: Record, folder: str | Path, *, params: AugmentParams | None = None, segmenter: Segmenter | None = None
) -> Path:
    """Ask a record's model again about turned and mirrored copies; see `augment_record_steps`."""
    return drain(augment_record_steps(record, folder, params=params, segmenter=segmenter))


def augment_record_steps(
    record: Record, folder: str | Path, *, params: AugmentParams | None = None, segmenter: Segmenter | None = None
) -> Steps[Path]:
    """Ask a record's model again about turned and mirrored copies of its windows.

    Writes, at the analysis size, `maps.npy` (mean, uint8, channels first), `variance.npy` (of the joints,
    float32), `joints.png` and `variance.png` to look at, and `tesserae.csv` with the confidence of each
    tessera: the mean probability of being stone and its standard deviation.

    Parameters
    ----------
    record
        With its photograph where the record finds it.
    folder
        Where to write; a folder begun for the same record is gone on with.
    params
        How many copies.
    segmenter
        The method, ready to run; that of the record by default.

    Returns
    -------
    Path
        The folder.

    """
    params = params or AugmentParams()
    plan, folder = replace(record.plan, views=(PLAIN,)), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ledger, phase = Ledger(folder / "ledger"), f"{plan.model_sha256[:12] or plan.method}-{params.copies}"
    begun = bool(ledger.done(phase))
    maps = _mapped(folder / MAPS, np.uint8, (plan.channels, *plan.shape), begun=begun)
    variance = _mapped(folder / VARIANCE, np.float32, plan.shape, begun=begun)
    waiting = [tile.index for tile in plan.lattice if tile.index not in ledger.done(phase)]
    with record.open_source() as image:
        if waiting:
            yield Progress(phase="preparing", done=0, total=1, unit="", message="loading the model")
            segmenter = segmenter or _method_of(plan, params)
            context = MapContext(image, plan, segmenter, Domain(image, record.areas, plan.factor))
            for done, index in enumerate(waiting, start=1):
                core = plan.lattice.tile(index).core
                maps[(slice(None), *core.slices)], variance[core.slices] = _window(context, index, params.copies)
                maps.flush()
                variance.flush()
                ledger.add(phase, [index])
                yield Progress(phase="asking again", done=done, total=len(waiting), unit="windows", region=core)
    yield from _pictures(folder, maps, variance)
    write_confidences(record, maps[0], variance, folder / "tesserae.csv")
    return folder


def _method_of(plan: Plan, params: AugmentParams) -> Segmenter:
    method = plan.method.removesuffix("-augmented")
    segmenter: Segmenter = load_segmenter(method, params.model or plan.model, device=params.device)
    if plan.model_sha256 and segmenter.sha256 != plan.model_sha256:
        raise InputError(
            f"The record was made with another file of the model {plan.model}; give that file with --model."
        )
    return segmenter


def _mapped(path: Path, dtype: type[np.generic], shape: tuple[int, ...], *, begun: bool) -> Mapped:
    """An array on disk, made empty or opened again."""
    if not (begun and path.exists()):
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)  # type: ignore[no-untyped-call, no-any-return]
    array: Mapped = np.load(path, mmap_mode="r+", allow_pickle=False)
    if array.shape != shape:
        raise WriteError(f"{path.parent} holds the result for another record; give another folder with -o.")
    return array


def _window(context: MapContext, index: Index, copies: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Mean maps and variance of the joints of a window's core."""
    plan = context.plan
    core = plan.lattice.tile(index).core
    window = read_for_network(context, index)
    if window is None:
        return blank_map(plan.channels, core.shape), np.zeros(core.shape, np.float32)
    mean, variance = predict_augmented(context.segmenter.predict, window[0][None], copies)
    joined: Any = view_to_working(plan, index, PLAIN, np.concatenate([mean[0], variance[0, :1]]))
    maps = np.round(joined[:-1] * 255).clip(0, 255).astype(np.uint8)
    outside = context.domain.mask(core)
    if outside is not None:
        maps = np.where(outside, blank_map(plan.channels, core.shape), maps)
        joined[-1][outside] = 0
    return maps, joined[-1]


def _pictures(folder: Path, maps: Mapped, variance: Mapped) -> Iterator[Progress]:
    shape = variance.shape

    def joints(box: Box) -> NDArray[np.float32]:
        return np.asarray(maps[0][box.slices], np.float32) / np.float32(255)

    def spread(box: Box) -> NDArray[np.float32]:
        return np.asarray(variance[box.slices], np.float32) / _WIDEST

    yield from write_map_steps(ProbabilityGrid(shape, joints), folder / "joints.png")
    yield from write_map_steps(ProbabilityGrid(shape, spread), folder / "variance.png")


def write_confidences(record: Record, joints: NDArray[np.uint8], variance: NDArray[np.float32], path: Path) -> Path:
    """Write the confidence of every tessera as CSV, numbered in reading order.

    `score` is that of the record, `mean` the same over all copies (0..1, told as the record tells it),
    `deviation` the mean standard deviation of its pixels: a tessera that is found or lost by turning the
    photograph has a large one.
    """
    tesserae = read_tesserae(record)
    mean, deviation = np.zeros((2, len(tesserae)))
    for window in tessera_windows(record, tesserae):
        flat, count = window.local.ravel(), len(window.rows) + 1
        area = np.maximum(np.bincount(flat, minlength=count), 1)[1:]
        calibrated = temperature_scale_bytes(np.asarray(joints[window.box.slices]), record.plan.tesserae.temperature)
        tessera = 1 - calibrated.ravel() / 255.0
        spread = np.sqrt(np.asarray(variance[window.box.slices], np.float64)).ravel()
        mean[window.rows] = np.bincount(flat, tessera, count)[1:] / area
        deviation[window.rows] = np.bincount(flat, spread, count)[1:] / area
    columns = zip(tesserae.columns["id"], tesserae.columns["score"], mean, deviation, strict=True)
    rows = ([k, int(id_), *(f"{value:.4f}" for value in figures)] for k, (id_, *figures) in enumerate(columns, 1))
    with replacing(path, overwrite=True) as temporary:
        write_csv(temporary, chain([("number", "id", "score", "mean", "deviation")], rows))
    return path
