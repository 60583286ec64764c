"""Jobs in processes of their own that are killed: forks of one that has imported and compiled all."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from failing_disk import FailingDisk, at, kill_me
from fault_rounds import FLOOR, JOBS, Content, check_again, read_content, record_at

_LONGEST = 300
"""Seconds after which a job counts as hanging."""


def _start(work: Callable[..., Any], *values: Any) -> tuple[Any, Connection]:
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, work, values))
    process.start()
    theirs.close()
    return process, mine


def _answer(back: Connection, work: Callable[..., Any], values: tuple[Any, ...]) -> None:
    try:
        back.send((True, work(*values)))
    except Exception as error:  # noqa: BLE001 - told by the process that asked
        back.send((False, f"{type(error).__name__}: {error}"))


def in_child(work: Callable[..., Any], *values: Any) -> Any:
    """What `work` returns in a process of its own; `AssertionError` with what it raised there."""
    process, mine = _start(work, *values)
    assert mine.poll(_LONGEST), "it hangs"
    well, value = mine.recv()
    process.join()
    assert well, value
    return value


def undisturbed(templates: Path, folder: Path, name: str) -> tuple[Content, int, float]:
    """The content after a job, how many operations of the disk it asks for, and its seconds."""
    job, disk = JOBS[name], FailingDisk(folder)
    job.prepare(templates, folder)
    started = time.monotonic()
    with disk:
        job.act(folder)
    seconds = time.monotonic() - started
    return read_content(record_at(folder, FLOOR)), sum(disk.asked.values()), seconds


def kill(templates: Path, folder: Path, name: str, *, operation: int | None = None, seconds: float = 0.0) -> bool:
    """Begin a job and kill it (`SIGKILL`) at an operation of its disk, or after some seconds; False where it was done.

    The signal at an operation comes when half of its bytes are written.
    """
    JOBS[name].prepare(templates, folder)
    process, _ = _start(_work, folder, name, operation)
    process.join(_LONGEST if operation is not None else seconds)
    process.kill()
    process.join()
    return process.exitcode == -9


def _work(folder: Path, name: str, operation: int | None) -> None:
    job = JOBS[name]
    if operation is None:
        job.act(folder)
        return
    with FailingDisk(folder, at(operation, kill_me)):
        job.act(folder)


def check_killed(folder: Path, name: str, expected: Content) -> None:
    """In a process that knows nothing of the killed one: the job is started again, and its record is checked."""
    check_again(folder, JOBS[name], expected)
