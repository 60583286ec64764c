"""The loop of a training run, with a learner that learns nothing: rounds, the best, an early stop, going on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from napari_mosaic.errors import InputError
from napari_mosaic.progress import Progress
from napari_mosaic.training import TrainParams, history, loop
from napari_mosaic.training.checkpoints import BEST, LAST, read_checkpoint
from napari_mosaic.training.history import read_history
from napari_mosaic.training.loop import Course, Learner, Standing, begin_run, claim_folder, run_steps

PARAMS = TrainParams(steps=6, round_steps=2)
SCORES = (0.2, 0.9, 0.5)
"""Of the rounds, one after the other."""


@pytest.fixture(autouse=True)
def only_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """No logs and no diagrams: other tests see to them."""
    monkeypatch.setattr(history, "has_package", lambda name: False)


class Counter:
    """Counts its steps; the loss is one over their number."""

    panels = (("loss",),)
    usual_steps = 40
    free = frozenset({"steps"})
    steps_an_epoch = 3

    def __init__(self, params: TrainParams = PARAMS) -> None:
        self.params, self.course = params, Course(Standing(params.rate))

    def rate(self) -> float:
        return self.course.standing.rate

    def learn(self) -> Iterator[float]:
        while True:
            yield 1 / (self.course.step + 1)

    def trial(self) -> Iterator[object]:
        return iter(range(8))

    def validate(self) -> dict[str, float]:
        return {"score": SCORES[(self.course.step - 1) // 2 % 3]}

    def note(self, score: float) -> bool:
        return self.course.standing.note(score, self.course.step, self.params)

    def about(self) -> dict[str, Any]:
        return {"counts": True}

    def content(self) -> dict[str, Any]:
        course = self.course
        standing, params = asdict(course.standing), asdict(self.params)
        where = {"step": course.step, "total": course.total, "seconds": course.seconds, "losses": list(course.losses)}
        return {"average": {}, "standing": standing, "params": params, **where}

    def restore(self, path: Path) -> dict[str, Any]:
        content = read_checkpoint(path)
        self.course.standing = Standing(**content["standing"])
        self.course.restore(content)
        return dict(content["params"])


def run(out: Path, params: TrainParams = PARAMS, *, until: int = 99, resume: bool = False) -> list[Progress]:
    learner: Learner = Counter(params)
    claim_folder(out, resume, params, learner.free)
    begin_run(out, learner, resume=resume)
    seen = []
    steps = run_steps(out, learner)
    for progress in steps:
        seen.append(progress)
        if progress.done == until:
            steps.close()
    return seen


def test_rounds_come_with_their_row_their_checkpoint_and_the_best(tmp_path: Path) -> None:
    seen = run(tmp_path)
    assert [step.done for step in seen] == list(range(7))
    assert [step.figures for step in seen[:3]] == [{}, {"loss": 1.0}, {"loss": 0.5}]
    assert seen[2].text == "step 2, loss 0.5000"
    rows = read_history(tmp_path)
    assert [(row["step"], row["score"]) for row in rows] == [(2, 0.2), (4, 0.9), (6, 0.5)]
    assert rows[0]["loss"] == 0.75
    assert read_checkpoint(tmp_path / LAST)["step"] == 6
    assert read_checkpoint(tmp_path / BEST)["step"] == 4
    note = json.loads((tmp_path / "run.json").read_text())
    assert (note["total"], note["counts"], note["params"]["steps"]) == (6, True, 6)


@pytest.mark.parametrize("until", [1, 2, 3, 5])
def test_a_stopped_run_goes_on_to_the_same_end(tmp_path: Path, until: int) -> None:
    run(tmp_path / "whole")
    run(tmp_path / "cut", until=until)
    assert read_checkpoint(tmp_path / "cut" / LAST)["step"] == until
    run(tmp_path / "cut", resume=True)
    for name in (LAST, BEST):
        ours, theirs = (read_checkpoint(tmp_path / which / name) | {"seconds": 0} for which in ("cut", "whole"))
        assert ours == theirs
    assert (tmp_path / "cut" / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()


def test_an_early_stop_ends_the_run(tmp_path: Path) -> None:
    assert run(tmp_path, replace(PARAMS, steps=20, early_stop=2))[-1].done == 8


@pytest.mark.parametrize(("given", "total"), [({"epochs": 2}, 6), ({}, 40), ({"minutes": 1.0, "epochs": 9}, 120)])
def test_ends_become_steps(tmp_path: Path, given: Any, total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_seconds_a_step", lambda learner: 0.5)
    learner = Counter(replace(PARAMS, steps=None, **given))
    begin_run(tmp_path, learner, resume=False)
    assert learner.course.total == total


def test_only_free_parameters_may_change(tmp_path: Path) -> None:
    run(tmp_path)
    assert run(tmp_path, replace(PARAMS, steps=7), resume=True)[-1].done == 7
    with pytest.raises(InputError, match="begun with batch 8, not 9"):
        run(tmp_path, replace(PARAMS, batch=9), resume=True)
    with pytest.raises(InputError, match="--resume"):
        run(tmp_path)
