"""Two runs in one folder: the second is refused in one sentence, and a killed one leaves nothing to tidy up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from napari_mosaic.errors import LockedError, WriteError
from napari_mosaic.folder_lock import working_in

pytest.importorskip("torch")

from napari_mosaic.sam.params import SamParams
from napari_mosaic.training import (
    SynthesisParams,
    TrainParams,
    finetune_steps,
    synthesize_steps,
    train_steps,
)
from napari_mosaic.training.sam.finetuning import finetune_sam_steps, grid_steps
from napari_mosaic.training.sam.params import SamTrainParams
from napari_mosaic.training.sam.tuning import tune_sam_steps

Run = Callable[[Path], Generator[Any, None, Any]]
RUNS: dict[str, Run] = {
    "train": lambda out: train_steps(out, TrainParams(), resume=True),
    "finetune": lambda out: finetune_steps("data", out, resume=True),
    "sam2-finetune": lambda out: finetune_sam_steps([Path("data")], out, resume=True),
    "grid": lambda out: grid_steps([Path("data")], out, SamTrainParams()),
    "sam2-tune": lambda out: tune_sam_steps([Path("data")], out, SamParams()),
    "synthesize": lambda out: synthesize_steps(out, SynthesisParams(count=1)),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_second_run_in_a_folder_is_refused_before_it_writes(tmp_path: Path, name: str) -> None:
    out = tmp_path / "run"
    with working_in(out, "a training"):
        before = sorted(path.name for path in out.iterdir())
        with pytest.raises(LockedError, match=r"^Another run works in .*run \(.+ on .+, since .+\), and .*folder\.$"):
            next(RUNS[name](out))
        assert sorted(path.name for path in out.iterdir()) == before


def test_a_run_holds_its_folder_until_it_is_closed(tmp_path: Path) -> None:
    first = synthesize_steps(tmp_path / "set", SynthesisParams(count=2, size=64, processes=1))
    next(first)
    with pytest.raises(LockedError):
        next(synthesize_steps(tmp_path / "set", SynthesisParams(count=2, size=64, processes=1)))
    first.close()
    again = synthesize_steps(tmp_path / "set", SynthesisParams(count=2, size=64, processes=1))
    assert next(again).total == 2
    again.close()


def test_a_killed_process_frees_its_folder(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from napari_mosaic.folder_lock import working_in\n"
        f"with working_in(Path({str(tmp_path)!r}), 'a training'):\n    print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match="Another run works in"), working_in(tmp_path, "a training"):
            pass
    finally:
        child.kill()
        child.communicate()
    with working_in(tmp_path, "a training"):
        assert (tmp_path / ".lock.by").exists()
    assert not (tmp_path / ".lock.by").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot be written"), working_in(tmp_path / "file", "a training"):
        pass
