"""What the dock *Tune* asks for: a search in a process of its own, and short looks at a record.

One decision: a search lies in `NAME.tuned` beside the record, as the command leaves it, so either goes on
with what the other began.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_mosaic.errors import MosaicError
from napari_mosaic.probability import Calibration, calibrate_finished_steps, calibrate_steps, write_calibration
from napari_mosaic.progress import Progress, drain
from napari_mosaic.record import open_record
from napari_mosaic.record.finished import finished_boxes
from napari_mosaic.record_names import companion
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tuning import TuneParams, TuneResult, read_best
from napari_mosaic.widgets._process import process_events, progress_of

COMMAND = (sys.executable, "-m", "napari_mosaic.widgets._tune.worker")
BEST = "best.json"


@dataclass(frozen=True, kw_only=True)
class TuneRequest:
    """One search; no truths: the windows of the record that are finished."""

    record: str
    folder: str
    truths: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)

    def parameters(self) -> TuneParams:
        """The parameters as the core takes them."""
        return TuneParams(**self.params)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TuneRequest:
        """The request of a line."""
        values = json.loads(text)
        return cls(**values | {"truths": tuple(values["truths"])})


@dataclass(frozen=True)
class RecordLook:
    """What a record says: its finished windows, its rules, and the last search in `folder` with its result."""

    finished: int
    rules: TesseraParams
    folder: str
    best: TuneResult | None


def searching_steps(request: TuneRequest) -> Generator[Progress | None, None, TuneResult]:
    """Search in a process of its own; yields each trial with its score, and None while nothing happens."""
    events = process_events(COMMAND, request.to_json(), "search")
    try:
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                return read_best(stop.value["path"])
            yield None if event is None else progress_of(event)
    finally:
        events.close()


def look_at_record(path: Path) -> RecordLook:
    """What is known of a record before a search."""
    with open_record(path) as record:
        finished, rules = len(finished_boxes(record)), record.plan.tesserae
    folder = last_folder(path)
    best = None
    with suppress(MosaicError):
        best = read_best(folder / BEST)
    return RecordLook(finished, rules, str(folder), best)


def last_folder(record: Path) -> Path:
    """The folder of the newest search beside a record; that of the first one where there is none."""
    return tuned_folder(record, max(1, searches(record)))


def fresh_folder(record: Path) -> Path:
    """A folder for a new search."""
    return tuned_folder(record, searches(record) + 1)


def searches(record: Path) -> int:
    """How many searches lie beside a record."""
    number = 0
    while tuned_folder(record, number + 1).exists():
        number += 1
    return number


def tuned_folder(record: Path, number: int) -> Path:
    """`NAME.tuned`, `NAME.tuned 2` and so on beside a record."""
    return companion(record, "tuned" + (f" {number}" if number > 1 else ""))


def measure_confidence(path: Path, truths: tuple[str, ...]) -> Calibration:
    """The temperature of a record's model by its finished windows or by files; kept as `NAME.calibration.json`."""
    if truths:
        found = drain(calibrate_steps([path] * len(truths), truths))
    else:
        with open_record(path) as record:
            found = drain(calibrate_finished_steps(record))
    write_calibration(found, companion(path, "calibration.json"), diagram=False)
    return found
