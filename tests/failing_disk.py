"""A disk that fails: what Python, zarr and pyarrow write, sync and rename below a folder, and the answer to each of it.

One decision: bytes go through Python's own buffers to a file that may refuse them, half of them written, so what is
tried is the path that every byte of a record takes; parts of tables, which pyarrow writes by itself, take it too.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq

OPERATIONS = ("write", "sync", "rename", "folder")
End = Callable[[], OSError]
Answer = Callable[[str], "End | None"]
"""Asked before each operation: what makes the error that it ends with, or None."""


class FailingDisk:
    """While it is entered, everything below `root` is asked of `answer` before it happens; `asked` counts.

    A write that is refused has written half of its bytes. `room` is how many bytes fit on the disk, None for any.
    """

    def __init__(self, root: Path, answer: Answer = lambda operation: None, *, room: int | None = None) -> None:
        self.root = os.path.realpath(root)
        self.answer, self.room = answer, room
        self.asked = dict.fromkeys(OPERATIONS, 0)
        self.failed = dict.fromkeys(OPERATIONS, 0)
        self._lock = threading.RLock()
        self._stack = ExitStack()

    def __enter__(self) -> FailingDisk:
        for owner in (io, builtins):
            self._patch(owner, "open", self._open)
        for name in ("replace", "rename", "link"):
            self._patch(os, name, self._renaming(getattr(os, name)))
        self._patch(os, "fsync", self._sync(os.fsync))
        self._patch(os, "mkdir", self._folder(os.mkdir))
        self._patch(pq, "write_table", self._table(pq.write_table))
        self._patch(os, "sendfile", _no_sendfile)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def faults(self) -> int:
        """How many operations failed."""
        return sum(self.failed.values())

    def take(self, operation: str, before: Callable[[], object] = lambda: None) -> None:
        """Count an operation; raises what it ends with, after `before`."""
        with self._lock:
            self.asked[operation] += 1
            end = self.answer(operation)
            if end is not None:
                self.failed[operation] += 1
                before()
                raise end()

    def take_bytes(self, size: int) -> int:
        """How many of some bytes fit; `ENOSPC` where none does."""
        with self._lock:
            if self.room is None:
                return size
            fits = min(size, self.room)
            self.room -= fits
            if size and not fits:
                self.failed["write"] += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return fits

    def _patch(self, owner: Any, name: str, value: Any) -> None:
        self._stack.enter_context(mock.patch.object(owner, name, value))

    def _ours(self, place: Any) -> bool:
        return isinstance(place, str | os.PathLike) and os.path.realpath(place).startswith(self.root)

    def _open(self, file: Any, mode: str = "r", buffering: int = -1, *text: Any, **more: Any) -> Any:
        if not set(mode) & set("wax+") or not self._ours(file):
            return _OPEN(file, mode, buffering, *text, **more)
        raw = _File(os.fspath(file), mode.replace("b", "").replace("t", ""), self)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **more)

    def _renaming(self, rename: Callable[..., None]) -> Callable[..., None]:
        def renamed(old: Any, new: Any, **more: Any) -> None:
            if self._ours(new):
                self.take("rename")
            rename(old, new, **more)

        return renamed

    def _sync(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        def synced(handle: int) -> None:
            self.take("sync")
            sync(handle)

        return synced

    def _folder(self, make: Callable[..., None]) -> Callable[..., None]:
        def made(place: Any, *more: Any, **named: Any) -> None:
            if self._ours(place) and not os.path.exists(place):
                self.take("folder")
            make(place, *more, **named)

        return made

    def _table(self, write: Callable[..., None]) -> Callable[..., None]:
        def written(table: Any, where: Any, **more: Any) -> None:
            if self._ours(where):
                with io.open(where, "wb") as file:  # noqa: UP020 - the one that is patched
                    write(table, file, **more)
            else:
                write(table, where, **more)

        return written


class _File(io.FileIO):
    """A file on the failing disk."""

    def __init__(self, path: str, mode: str, disk: FailingDisk) -> None:
        super().__init__(path, mode)
        self._disk = disk

    def write(self, data: Any) -> int:
        """Write what fits; half of it before an error."""
        view = memoryview(data).cast("B")
        half = len(view) // 2
        self._disk.take("write", before=lambda: super(_File, self).write(view[:half]))
        fits = self._disk.take_bytes(len(view))
        return super().write(view[:fits])


_OPEN = io.open


def _no_sendfile(*_: Any) -> int:
    raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))  # copies go by write


def refused() -> OSError:
    """What a storage says that fails."""
    return OSError(errno.EIO, os.strerror(errno.EIO))


def one_in(count: int, rng: np.random.Generator) -> Answer:
    """Each operation fails with a chance of one in `count`."""
    return lambda operation: refused if rng.random() < 1 / count else None


def at(number: int, end: End = refused) -> Answer:
    """The operation with that number, from 0, ends so; all others go well."""
    left = [number]

    def answer(operation: str) -> End | None:
        left[0] -= 1
        return end if left[0] == -1 else None

    return answer


def kill_me() -> OSError:
    """`kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)
    return refused()
