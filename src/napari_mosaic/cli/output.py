"""What the command line says and shows.

One decision: results go to the standard output and everything else, progress and errors, to the
standard error, so that a result can be piped while the bar is seen.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, TypeVar

from napari_mosaic.errors import InputError
from napari_mosaic.progress import Progress, Steps, drain

T = TypeVar("T")
_SILENT = 30.0
"""Seconds between two lines where no terminal shows a bar. Not varied."""


class UsageError(InputError):
    """Options that do not go together; the command line answers with its code for wrong usage."""

    exit_code = 2


def say(text: str, *, prefix: str = "") -> None:
    """Write a line to the standard error."""
    sys.stderr.write(f"{prefix}{text}\n")
    sys.stderr.flush()


def answer(text: str) -> None:
    """Write a line of the result to the standard output; once nobody reads it any more (`| head`), to nowhere."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def answer_json(values: Any) -> None:
    """Write a result as JSON to the standard output."""
    answer(json.dumps(values, indent=2, default=str))


def answer_table(rows: list[tuple[str, Any]]) -> None:
    """Write names and values in two columns, leaving out what is None."""
    rows = [(name, value) for name, value in rows if value is not None]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        answer(f"{name:<{width}}  {value}")


def run(steps: Steps[T], label: str) -> T:
    """Run the steps of a long operation under a bar; with a line now and then where no terminal shows one."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        return drain(steps, _Lines(label).show)
    with _Bar(label, console) as bar:
        return drain(steps, bar.show)


class _Lines:
    """A line now and then, for logs: none of what takes less than `_SILENT` seconds."""

    def __init__(self, label: str) -> None:
        self._label, self._told = label, time.monotonic()
        self._phase, self._since, self._first = "", 0.0, 0.0

    def show(self, progress: Progress) -> None:
        """Say where an operation stands, if it is time."""
        now = time.monotonic()
        if progress.phase != self._phase:
            self._phase, self._since, self._first = progress.phase, now, progress.done
        if now - self._told >= _SILENT:
            self._told = now
            amount = describe_amount(progress, now - self._since, progress.done - self._first)
            say(f"{self._label} {progress.text}" + (f": {amount}" if amount else ""))


class _Bar:
    """A bar a phase, with the speed and the time left."""

    def __init__(self, label: str, console: Any) -> None:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._label = label
        self._progress = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._tasks: dict[str, tuple[Any, float, float]] = {}

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, progress: Progress) -> None:
        """Move the bar of the phase of `progress`."""
        if progress.phase not in self._tasks:
            task = self._progress.add_task("", total=progress.total, amount="")
            self._tasks[progress.phase] = (task, time.monotonic(), progress.done)
        task, since, first = self._tasks[progress.phase]
        self._progress.update(
            task,
            completed=progress.done,
            total=progress.total,
            description=f"{self._label} {progress.text}",
            amount=describe_amount(progress, time.monotonic() - since, progress.done - first),
        )


def describe_amount(progress: Progress, seconds: float, gained: float) -> str:
    """How much is done and how fast: `12.3/45.0 MP, 3.1 MP/s`."""
    if not progress.unit:
        return ""
    if progress.unit == "MP":
        amount = f"{progress.done:.1f}/{progress.total:.1f} MP"
        return f"{amount}, {gained / seconds:.1f} MP/s" if seconds > 1 and gained > 0 else amount
    return f"{progress.done:,.0f}/{progress.total:,.0f} {progress.unit}"
