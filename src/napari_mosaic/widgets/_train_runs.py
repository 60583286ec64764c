"""The steps of a training run as the dock's job sees them: events of another process.

One decision: the job's thread waits for events a fifth of a second at a time, so a stop is heard at once;
the process then saves where it is. It is ended by force only if it does not answer.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import MosaicError
from napari_mosaic.progress import Progress
from napari_mosaic.widgets._train_request import TrainRequest, keep_request, kept_request, read_rows

COMMAND = (sys.executable, "-m", "napari_mosaic.widgets._train_worker")
WAIT_S = 0.2
LAST_WAIT_S = 60.0
"""How long a process may take to save where it is."""


@dataclass(frozen=True)
class Learned:
    """A step is done; `loss` where it told one."""

    progress: Progress
    loss: float | None


@dataclass(frozen=True)
class Curves:
    """A round has ended: all rows of the history."""

    rows: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Sample:
    """What the model makes of a picture now: image `(Y, X, 3)` and joints `(Y, X)`, uint8."""

    image: NDArray[np.uint8]
    joints: NDArray[np.uint8]


@dataclass(frozen=True)
class HeldRun:
    """What a folder holds: the request that it was begun with, its history, and its model if there is one."""

    request: TrainRequest
    rows: tuple[dict[str, float], ...]
    model: str


def training_steps(request: TrainRequest) -> Generator[Any, None, str]:
    """Train in a process of its own; yields events, and None while nothing happens; returns the model's file."""
    keep_request(request)
    events: queue.Queue[dict[str, Any] | None] = queue.Queue()
    with tempfile.TemporaryFile() as complaints:
        process = _start(request, complaints)
        threading.Thread(target=_read, args=(process.stdout, events), daemon=True).start()
        try:
            while True:
                try:
                    event = events.get(timeout=WAIT_S)
                except queue.Empty:
                    yield None
                    continue
                if event is None:
                    raise MosaicError(_last_words(process, complaints))
                if event["kind"] == "failed":
                    raise MosaicError(event["message"])
                if event["kind"] == "done":
                    return str(event["path"])
                yield _event(event)
        finally:
            _end(process)


def held_run(out: str) -> HeldRun | None:
    """What a folder holds of a run; None where nothing of the kind."""
    request = kept_request(out)
    if request is None:
        return None
    model = Path(out) / f"{Path(out).resolve().name}.safetensors"
    return HeldRun(request, tuple(read_rows(request)), str(model) if model.exists() else "")


def _start(request: TrainRequest, complaints: IO[bytes]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True, encoding="utf-8",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )  # fmt: skip
    _write(process, request.to_json())
    return process


def _write(process: subprocess.Popen[str], line: str) -> None:
    try:
        if process.stdin is not None:
            process.stdin.write(line + "\n")
            process.stdin.flush()
    except (OSError, ValueError):  # it has ended already; its last words will say why
        return


def _read(stream: IO[str], events: queue.Queue[dict[str, Any] | None]) -> None:
    for line in stream:
        events.put(json.loads(line))
    events.put(None)


def _event(event: dict[str, Any]) -> Any:
    if event["kind"] == "curves":
        return Curves(tuple(event["rows"]))
    if event["kind"] == "sample":
        with np.load(event["path"]) as arrays:
            return Sample(arrays["image"], arrays["joints"])
    progress = Progress(phase=event["phase"], done=event["done"], total=event["total"], unit=event["unit"])
    return Learned(progress, event["loss"])


def _end(process: subprocess.Popen[str]) -> None:
    """Ask the process to stop, and wait until it has saved."""
    _write(process, "stop")
    try:
        process.wait(LAST_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        try:
            if stream is not None:
                stream.close()
        except OSError:
            continue


def _last_words(process: subprocess.Popen[str], complaints: IO[bytes]) -> str:
    process.wait(WAIT_S * 25)
    complaints.seek(0)
    lines = [line for line in complaints.read().decode("utf-8", "replace").splitlines() if line.strip()]
    why = f": {lines[-1].strip()}" if lines and process.returncode and process.returncode > 0 else ""
    short = "; often that is too little memory, so choose a smaller batch" if not why else ""
    return (
        f"The training process ended without a result (exit status {process.returncode}){why}{short}. "
        "What it had saved is kept; go on with the run."
    )
