"""Hypothesis drives the tools: whatever the order of edits, undo, redo and sessions, a record equals a plain model."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from edit_model import TOOLS, Twin, make_floor

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_floor(tmp_path_factory.mktemp("template") / "floor.mosaic.zarr")


class Hands(RuleBasedStateMachine):
    """Everything that a person may do to a record, in any order."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.twin = Twin(Path(shutil.copytree(self.template, self.folder / "floor.mosaic.zarr")))

    @rule(tool=st.sampled_from(TOOLS), seed=SEEDS)
    def edit(self, tool: str, seed: int) -> None:
        self.twin.edit(tool, seed)

    @rule(seed=SEEDS)
    def assign(self, seed: int) -> None:
        self.twin.assign(seed)

    @rule()
    def undo(self) -> None:
        self.twin.undo()

    @rule()
    def redo(self) -> None:
        self.twin.redo()

    @rule()
    def settle(self) -> None:
        self.twin.settle()

    @rule()
    def reopen(self) -> None:
        self.twin.reopen()

    def teardown(self) -> None:
        self.twin.finish()
        shutil.rmtree(self.folder)


def test_any_order_of_edits_undo_redo_and_sessions(template: Path) -> None:
    Hands.template = template
    quick = settings(max_examples=5, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Hands, settings=quick)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@settings(max_examples=1, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(chapters=st.lists(st.tuples(st.sampled_from(TOOLS), SEEDS), min_size=60, max_size=60))
def test_after_two_thousand_edits(
    template: Path, tmp_path_factory: pytest.TempPathFactory, chapters: list[tuple[str, int]]
) -> None:
    import numpy as np

    path = Path(shutil.copytree(template, tmp_path_factory.mktemp("edits") / "floor.mosaic.zarr"))
    twin, turn = Twin(path), 0
    while twin.edits < 2000:
        tool, seed = chapters[turn % len(chapters)]
        rng = np.random.default_rng([seed, turn])
        for _ in range(12):
            twin.edit(tool, int(rng.integers(2**32)))
            twin.edit(str(rng.choice(TOOLS)), int(rng.integers(2**32)))
        [twin.undo, twin.redo, twin.settle, twin.reopen][turn % 4]()
        twin.assign(turn)
        turn += 1
    twin.finish()
