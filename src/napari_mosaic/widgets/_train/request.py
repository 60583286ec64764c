"""What a training run is asked for, as a value that two processes share and that stays in the run's folder.

One decision: the request lies beside the checkpoints, so a run can be gone on with after the viewer, the
machine or the person has changed.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from napari_mosaic.files import write_whole
from napari_mosaic.training import FinetuneParams, TrainParams

NOTE, SAMPLE = "request.json", "sample.npz"
Task = Literal["train", "finetune"]


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """One run: `source` is a folder or a record (empty for drawn mosaics), `params` those of the task."""

    task: Task
    out: str
    params: dict[str, Any]
    source: str = ""
    masks: Literal["auto", "labels", "tesserae", "grout"] = "auto"
    resume: bool = False
    sample: bool = True

    def parameters(self) -> TrainParams | FinetuneParams:
        """The parameters as the core takes them; raises `InputError` where they do not go together."""
        return (TrainParams if self.task == "train" else FinetuneParams)(**self.params)

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
    except (OSError, ValueError, TypeError):
        return None
    return replace(request, out=str(out))


def history_files(request: TrainRequest) -> list[Path]:
    """Where the history of each stage is, or will be."""
    out = Path(request.out)
    if request.task == "train":
        return [out / "history.csv"]
    stage = request.params.get("stage", "both")
    return [out / f"stage{number}" / "history.csv" for number in ("1", "2") if stage in (number, "both")]


def read_rows(request: TrainRequest) -> list[dict[str, float]]:
    """The rows of all stages, their steps counted on."""
    from napari_mosaic.training.history import read_history

    rows: list[dict[str, float]] = []
    for file in history_files(request):
        before = rows[-1]["step"] if rows else 0.0
        for row in read_history(file.parent):
            finite = {name: value for name, value in row.items() if math.isfinite(value)}
            rows.append(finite | {"step": row["step"] + before})
    return rows
