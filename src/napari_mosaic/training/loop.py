"""One run of training, whatever network learns: stopped and resumed at any step.

One decision: nothing in a run follows the clock. Minutes become a number of steps by a short trial, what a step learns
from follows from seed and step, and validation, history and checkpoint come together in rounds. What differs between
networks (what a step is, how it is judged, what a checkpoint holds) stands in a `Learner`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from napari_mosaic.errors import InputError
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.training.checkpoints import BEST, LAST, write_checkpoint
from napari_mosaic.training.history import History, Panels
from napari_mosaic.training.params import RunParams, TrainParams
from napari_mosaic.training.run_files import read_note, write_json, writing

NOTE, TEST, DELIVERED = "run.json", "test.json", "delivered.json"
_WARM = 0.25
"""Part of a trial that is not counted, for all is slower at first. *Not varied.*"""


@dataclass
class Standing:
    """How the run stands by its validation: what a plateau and an early stop go by."""

    rate: float = 0.0
    best: float = -math.inf
    best_step: int = 0
    since_best: int = 0
    since_change: int = 0
    stopped: bool = False

    def note(self, score: float, step: int, params: TrainParams | None = None) -> bool:
        """Take a round's score in; whether it is the best so far. `params` tell of a plateau and an early stop."""
        gain = score > self.best
        self.since_best = 0 if gain else self.since_best + 1
        self.since_change = 0 if gain else self.since_change + 1
        if gain:
            self.best, self.best_step = score, step
        if params is None:
            return gain
        if params.schedule == "plateau" and self.since_change > params.patience:
            self.rate, self.since_change = max(self.rate * params.factor, params.least_rate), 0
        self.stopped = bool(params.early_stop) and self.since_best >= params.early_stop
        return gain


@dataclass
class Course:
    """Where a run is; `losses` are those of the steps since the last round."""

    standing: Standing
    total: int = 0
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the run has come to its end."""
        return self.step >= self.total or self.standing.stopped

    def restore(self, content: Mapping[str, Any]) -> None:
        """Go on from the content of a checkpoint."""
        self.step, self.total = int(content["step"]), int(content["total"])
        self.seconds, self.losses = float(content.get("seconds", 0.0)), list(content["losses"])


class Learner(Protocol):
    """A network that learns, as a run sees it."""

    course: Course
    panels: Panels
    usual_steps: int
    free: frozenset[str]
    """Parameters that may change when a run goes on."""

    @property
    def params(self) -> RunParams:
        """How it learns."""

    @property
    def steps_an_epoch(self) -> int:
        """Steps that go once through the data."""

    def rate(self) -> float:
        """Learning rate of the next step."""

    def learn(self) -> Iterator[float]:
        """Take the steps that are left, one after the other; the loss of each."""

    def trial(self) -> Iterator[object]:
        """Take some steps that change nothing."""

    def validate(self) -> dict[str, float]:
        """Figures of the averaged weights; the best `score` is kept, empty where there is nothing to judge by."""

    def note(self, score: float) -> bool:
        """Take the score of a round that has ended in; whether it is the best so far."""

    def about(self) -> dict[str, Any]:
        """What is noted of the run beside its parameters."""

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds."""

    def restore(self, path: Path) -> dict[str, Any]:
        """Go on from a checkpoint; the parameters that it was trained with. `ModelError` where it does not fit."""


def claim_folder(out: Path, resume: bool, params: RunParams, free: frozenset[str]) -> None:
    """Make the folder; raise `InputError` where it holds a run that would be lost, or one with other parameters.

    It comes before anything is drawn or read, for drawings of other parameters would replace those of the run; what
    `begin_run` asks of the checkpoint comes after.
    """
    if (out / LAST).exists():
        if not resume:
            raise InputError(
                f"{out} holds a training run already, which would be lost; add --resume to go on with it, or give "
                "another folder."
            )
        _check_same(out, asdict(params), read_note(out / NOTE).get("params", {}), free)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)


def begin_run(out: Path, learner: Learner, *, resume: bool) -> None:
    """Bring a learner to where the run in `out` is, and note there what the run is."""
    params, path, total = learner.params, out / LAST, 0
    if resume and path.exists():
        _check_same(out, asdict(params), learner.restore(path), learner.free)
        total = learner.course.total
    elif resume and (out / NOTE).exists():
        total = int(read_note(out / NOTE).get("total", 0))
    for stale in (TEST, DELIVERED) if path.exists() else (TEST, DELIVERED, BEST):
        (out / stale).unlink(missing_ok=True)
    learner.course.total = _total(learner, total)
    write_json(out / NOTE, {"total": learner.course.total, "params": asdict(params), **learner.about()})


def run_steps(out: Path, learner: Learner, phase: str = "train") -> Steps[None]:
    """Let a learner that has begun learn to its end; stopped, it leaves a checkpoint of where it is."""
    history = History(out, learner.course.step, learner.panels)
    try:
        yield from _loop(out, learner, history, phase)
    except GeneratorExit:
        write_checkpoint(out / LAST, learner.content())
        raise
    finally:
        history.close()


def note_delivered(
    out: Path, about: Mapping[str, int], judged: dict[str, float], tested: dict[str, float], count: Mapping[str, int]
) -> None:
    """Note how good what is passed on is; `about` tells its step, `count` how many it was tested on."""
    write_json(out / DELIVERED, {**about, "validation": judged, "test": tested})
    if tested:
        write_json(out / TEST, {**count, "step": about["step"], **tested})


def _check_same(out: Path, now: dict[str, Any], before: dict[str, Any], free: frozenset[str]) -> None:
    """Raise `InputError` where a run goes on with other parameters than it began with; `free` ones may differ."""
    for name in now.keys() & before.keys() - free:
        if now[name] != before[name]:
            raise InputError(
                f"{out} was begun with {name.replace('_', ' ')} {before[name]}, not {now[name]}; go on with "
                "the same options, or train anew in another folder."
            )


def _total(learner: Learner, before: int) -> int:
    """Steps of the whole run; those that were found `before` stay where no number is given."""
    params = learner.params
    if params.steps is not None:
        return params.steps
    if before:
        return before
    if params.minutes is not None:
        return max(1, round(params.minutes * 60 / _seconds_a_step(learner)))
    return learner.usual_steps if params.epochs is None else params.epochs * learner.steps_an_epoch


def _seconds_a_step(learner: Learner) -> float:
    """How long a step takes here, from some that are thrown away."""
    moments = [time.monotonic(), *(time.monotonic() for _ in learner.trial())]
    seconds = np.diff(moments)
    return float(np.median(seconds[math.ceil(_WARM * len(seconds)) :]))


def _loop(out: Path, learner: Learner, history: History, phase: str) -> Steps[None]:
    course = learner.course
    round_steps = learner.params.round_steps or learner.steps_an_epoch
    began = time.monotonic() - course.seconds
    losses = learner.learn()
    yield _progress(course, phase)
    while not course.over:
        rate = learner.rate()
        loss = next(losses)
        course.losses.append(loss)
        course.step += 1
        course.seconds = time.monotonic() - began
        if course.step % round_steps == 0 or course.over:
            _end_round(out, learner, history, rate)
        yield _progress(course, phase, loss=loss)


def _end_round(out: Path, learner: Learner, history: History, rate: float) -> None:
    """Validate, note, and keep: the row first, so that no checkpoint is without its row."""
    course = learner.course
    row = {"step": float(course.step), "loss": float(np.mean(course.losses)), "rate": rate}
    row |= learner.validate()
    course.losses.clear()
    best = learner.note(row.get("score", -row["loss"]))
    history.add(row)
    write_checkpoint(out / LAST, learner.content())
    if best:
        write_checkpoint(out / BEST, learner.content())


def _progress(course: Course, phase: str, **figures: float) -> Progress:
    step, total = course.step, course.total
    return Progress(phase=phase, done=step, total=total, unit="steps", message=f"step {step}", figures=figures)
