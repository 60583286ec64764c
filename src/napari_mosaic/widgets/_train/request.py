"""What a training run is asked for, as a value that two processes share and that stays in the run's folder.

One decision: the request lies beside the checkpoints, so a run can be gone on with after the viewer, the
machine or the person has changed.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from napari_mosaic.files import write_whole
from napari_mosaic.sam.params import SamParams
from napari_mosaic.training import FinetuneParams, TrainParams
from napari_mosaic.training.sam.params import SamTrainParams, SamTuneParams

NOTE, SAMPLE = "request.json", "sample.npz"
TABLE = "history.csv"
GRID_RUNS = 12
"""Runs of the published grid of SAM 2's trainings; see `training.sam.finetuning.grid_of`."""
Task = Literal["train", "finetune", "sam2", "sam2-grid", "sam2-tune"]
TaskParams = TrainParams | FinetuneParams | SamTrainParams | SamTuneParams
KINDS: dict[Task, type[TaskParams]] = {
    "train": TrainParams,
    "finetune": FinetuneParams,
    "sam2": SamTrainParams,
    "sam2-grid": SamTrainParams,
    "sam2-tune": SamTuneParams,
}
"""What each task is told by."""


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """One run: `source` is a folder or a record (empty for drawn mosaics), `params` those of the task.

    `sam` are the settings of SAM 2 whose thresholds are tuned; empty for other tasks.
    """

    task: Task
    out: str
    params: dict[str, Any]
    source: str = ""
    sam: dict[str, Any] = field(default_factory=dict)
    masks: Literal["auto", "labels", "tesserae", "grout"] = "auto"
    resume: bool = False
    sample: bool = True

    def parameters(self) -> TaskParams:
        """The parameters as the core takes them; raises `InputError` where they do not go together."""
        return KINDS[self.task](**self.params)

    def settings(self) -> SamParams:
        """How SAM 2 is asked while its thresholds are tuned."""
        return SamParams(**self.sam)

    def sources(self) -> list[Path]:
        """What SAM 2 learns from, as its training takes it; none for drawn mosaics."""
        return [Path(self.source)] if self.source else []

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TrainRequest:
        """The request of a line."""
        return cls(**json.loads(text))


def keep_request(request: TrainRequest) -> None:
    """Write the request into its folder."""
    path = Path(request.out) / NOTE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, request.to_json() + "\n", sync=True)


def kept_request(out: str | Path) -> TrainRequest | None:
    """The request that a folder was begun with; None where there is none that can be read."""
    try:
        request = TrainRequest.from_json((Path(out) / NOTE).read_text(encoding="utf-8"))
        request.parameters()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return replace(request, out=str(out))


def history_files(request: TrainRequest) -> list[Path]:
    """Where the history of each stage, or of each run of a grid, is, or will be."""
    out = Path(request.out)
    if request.task == "sam2-tune":
        return []
    if request.task == "sam2-grid":
        return [out / f"run{number}" / TABLE for number in range(1, GRID_RUNS + 1)]
    if request.task != "finetune":
        return [out / TABLE]
    stage = request.params.get("stage", "both")
    return [out / f"stage{number}" / TABLE for number in ("1", "2") if stage in (number, "both")]


def read_rows(request: TrainRequest) -> list[dict[str, float]]:
    """The rows of all stages, their steps counted on; those of a grid with the number of their `run`."""
    from napari_mosaic.training.history import read_history

    rows: list[dict[str, float]] = []
    for number, file in enumerate(history_files(request), start=1):
        grid = request.task == "sam2-grid"
        before = rows[-1]["step"] if rows and not grid else 0.0
        more = {"run": float(number)} if grid else {}
        for row in read_history(file.parent):
            finite = {name: value for name, value in row.items() if math.isfinite(value)}
            rows.append(finite | {"step": row["step"] + before} | more)
    return rows
