"""Both ends of a process of its own: what a dock hears of it, and how it serves.

One decision: one line of JSON asks, lines of JSON answer, and any further line, or the end of the input,
stops it at its next step. Who waits does so a fifth of a second at a time, so a stop is heard at once; the
process is ended by force only if it does not answer.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from typing import IO, Any

from napari_mosaic.errors import MosaicError
from napari_mosaic.progress import Progress

WAIT_S = 0.2
"""How long one waits for a word before the stop is looked at; not varied."""
LAST_WAIT_S = 60.0
"""How long a process may take to save where it is; not varied."""
NICE = 5
"""How much a process stands back behind the viewer; not varied."""
_TOLD = ("phase", "done", "total", "unit", "figures")
"""What of a step one process tells another."""

Event = dict[str, Any]
Tell = Callable[..., None]
Stopped = Callable[[], bool]


def process_events(command: Sequence[str], request: str, name: str) -> Generator[Event | None, None, Event]:
    """Run a process; yields its events, and None while nothing happens; returns its event `done`.

    Raises
    ------
    MosaicError
        If it says `failed`, or ends without a word; `name` is what it is called then.
    """
    events: queue.Queue[Event | None] = queue.Queue()
    with tempfile.TemporaryFile() as complaints:
        process = _start(command, request, complaints)
        threading.Thread(target=_read, args=(process.stdout, events), daemon=True).start()
        try:
            while True:
                try:
                    event = events.get(timeout=WAIT_S)
                except queue.Empty:
                    yield None
                    continue
                if event is None:
                    raise MosaicError(_last_words(process, complaints, name))
                if event["kind"] == "failed":
                    raise MosaicError(event["message"])
                if event["kind"] == "done":
                    return event
                yield event
        finally:
            _end(process)


def tell_progress(progress: Progress, tell: Tell) -> None:
    """Tell of a step, as `progress_of` understands it."""
    tell("progress", **{name: getattr(progress, name) for name in _TOLD})


def progress_of(event: Event) -> Progress:
    """The step that an event tells of."""
    return Progress(**{name: event[name] for name in _TOLD})


def serve(run: Callable[[str, Tell, Stopped], None]) -> int:
    """Serve the one request on standard input, telling events on standard output; returns the exit status."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n", buffering=1)
    os.dup2(2, 1)  # what libraries print does not mix with the events
    request = sys.stdin.readline()
    stop = threading.Event()

    def listen() -> None:
        sys.stdin.readline()
        stop.set()

    def tell(kind: str, **event: Any) -> None:
        try:
            stream.write(json.dumps({"kind": kind} | event) + "\n")
        except BrokenPipeError:
            stop.set()

    threading.Thread(target=listen, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICE)
    run(request, tell, stop.is_set)
    return 0


def _start(command: Sequence[str], request: str, complaints: IO[bytes]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True, encoding="utf-8",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )  # fmt: skip
    _write(process, request)
    return process


def _write(process: subprocess.Popen[str], line: str) -> None:
    try:
        if process.stdin is not None:
            process.stdin.write(line + "\n")
            process.stdin.flush()
    except (OSError, ValueError):  # it has ended already; its last words will say why
        return


def _read(stream: IO[str], events: queue.Queue[Event | None]) -> None:
    for line in stream:
        events.put(json.loads(line))
    events.put(None)


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


def _last_words(process: subprocess.Popen[str], complaints: IO[bytes], name: str) -> str:
    process.wait(WAIT_S * 25)
    complaints.seek(0)
    lines = [line for line in complaints.read().decode("utf-8", "replace").splitlines() if line.strip()]
    why = f": {lines[-1].strip()}" if lines and process.returncode and process.returncode > 0 else ""
    short = "; often that is too little memory, so close other programs" if not why else ""
    return (
        f"The {name} ended without a result (exit status {process.returncode}){why}{short}. "
        "What it had saved is kept; go on with it."
    )
