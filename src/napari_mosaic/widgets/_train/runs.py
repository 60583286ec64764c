"""The steps of a training run as the dock's job sees them: events of another process.

One decision: what is shown of a run comes from its events while it goes on, and from its folder afterwards,
in the same values.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.files import read_object
from napari_mosaic.progress import Progress
from napari_mosaic.tuning.handed import BEST
from napari_mosaic.widgets._process import Event, process_events, progress_of
from napari_mosaic.widgets._train.request import TrainRequest, keep_request, kept_request, read_rows

COMMAND = (sys.executable, "-m", "napari_mosaic.widgets._train.worker")


@dataclass(frozen=True)
class Curves:
    """A round has ended: all rows of the history."""

    rows: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class SamplePrediction:
    """What the model makes of a picture now: image `(Y, X, 3)` and joints `(Y, X)`, uint8."""

    image: NDArray[np.uint8]
    joints: NDArray[np.uint8]


TrainEvent = Progress | Curves | SamplePrediction


@dataclass(frozen=True)
class HeldRun:
    """What a folder holds: the request that it was begun with, its history, and its model if there is one.

    Of a search for thresholds `model` is the file with the best ones, and `scores` are those of its trials.
    """

    request: TrainRequest
    rows: tuple[dict[str, float], ...]
    model: str
    scores: tuple[float, ...] = ()


def training_steps(request: TrainRequest) -> Generator[TrainEvent | None, None, str]:
    """Train in a process of its own; returns the model's file.

    Yields
    ------
    Progress, Curves, SamplePrediction or None
        A step with its loss, the end of a round, and None while nothing happens.
    """
    Path(request.out).mkdir(parents=True, exist_ok=True)
    events = process_events(COMMAND, request.to_json(), "training process")
    began = False
    try:
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                return str(stop.value["path"])
            if not began and event is not None and event["kind"] == "progress":
                keep_request(request)  # now the folder is this run's, and not another one's that goes on there
                began = True
            yield None if event is None else _event(event)
    finally:
        events.close()


def held_run(out: str) -> HeldRun | None:
    """What a folder holds of a run; None where nothing of the kind."""
    request = kept_request(out)
    if request is None:
        return None
    if request.task == "sam2-tune":
        best = Path(out) / BEST
        scores = tuple(float(score) for score in read_object(best).get("history", ()))
        return HeldRun(request, (), str(best) if best.exists() else "", scores)
    model = Path(out) / f"{Path(out).resolve().name}.safetensors"
    return HeldRun(request, tuple(read_rows(request)), str(model) if model.exists() else "")


def _event(event: Event) -> TrainEvent:
    if event["kind"] == "curves":
        return Curves(tuple(event["rows"]))
    if event["kind"] == "sample":
        with np.load(event["path"]) as arrays:
            return SamplePrediction(arrays["image"], arrays["joints"])
    return progress_of(event)
