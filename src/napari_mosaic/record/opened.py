"""A record open for writing: what all its users in this process share.

One decision: one process writes at a time and holds the system's lock; inside of it a run and any number of edits work
on one journal, one ledger and one set of shard locks, so none of them can undo what another does.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from napari_mosaic import grown
from napari_mosaic.errors import LockedError, MosaicError, RecordError, WriteError
from napari_mosaic.files import remove_leftovers, write_error
from napari_mosaic.folder_lock import acquire_lock, describe_self, holder_of
from napari_mosaic.leases import LEASE_S, HeldError, Lease, take
from napari_mosaic.objects import is_remote
from napari_mosaic.record.arrays import stamp_of
from napari_mosaic.record.journal import FOLDER, LOG, Journal
from napari_mosaic.record.label_layer import LabelLayer, LayerLocks, kind_of
from napari_mosaic.record.ledger import Ledger
from napari_mosaic.record.metadata import NAME, Metadata, read_metadata

LOCK, HOLDER = "lock", "lock.by"
LEASE = "lease"
"""Of a record in an object store; a `lock` that was copied there with a record means nothing."""
_GROWING = ("ledger", FOLDER, "queue")
"""Folders of files that are added to."""


@dataclass
class RecordState:
    """The state of a record that is open; `users` of it, where it is open for writing."""

    path: Path
    metadata: Metadata
    ledger: Ledger
    lock: FileLock | Lease | None = None
    file: tuple[int, int] = (0, 0)
    stamp: tuple[int, ...] = ()
    journal: Journal | None = None
    repaired: bool = False
    users: int = 0
    state_lock: threading.RLock = field(default_factory=threading.RLock)
    _locks: dict[str, LayerLocks] = field(default_factory=dict)
    _run: threading.Lock = field(default_factory=threading.Lock)

    def label_layer(self, name: str, *, writable: bool) -> LabelLayer:
        """A label layer by its name; all that are made of one name share its locks."""
        locks = self._locks.setdefault(name, LayerLocks())
        plan = self.metadata.plan
        return LabelLayer(self.path, kind_of(name), plan, ledger=self.ledger, locks=locks, writable=writable)

    def read_journal(self, *, writable: bool) -> Journal:
        """The edits, read when they are first asked for; a reader sees those that are made meanwhile."""
        with self.state_lock:
            if self.journal is None:
                self.journal = Journal(self.path / FOLDER / LOG, writable=writable)
            elif not writable:
                self.journal.follow()
            return self.journal

    @contextmanager
    def running(self) -> Iterator[None]:
        """The right to compute pieces of the record: one run at a time; `LockedError` where there is one."""
        if not self._run.acquire(blocking=False):
            raise LockedError(f"A run is writing to {self.path} already; wait until it has finished, or stop it.")
        try:
            yield
        finally:
            self._run.release()

    def follow_size(self) -> None:
        """Take over the pixel size that another writer has given the record, of this process or not."""
        stamp = stamp_of(self.path / NAME)
        if stamp == self.stamp:
            return
        with suppress(MosaicError):  # it was moved away: what was read stays true of what is open
            size = read_metadata(self.path).pixel_size
            with self.state_lock:
                self.metadata, self.stamp = replace(self.metadata, pixel_size=size), stamp


_registry: dict[str, RecordState] = {}
_registry_lock = threading.Lock()


def open_for_reading(path: Path) -> RecordState:
    """The state of a record for one reader, or for one worker that writes under somebody else's lock."""
    if not is_remote(path) and (path / FOLDER / f"{LOG}{grown.PARTS}").exists():
        raise RecordError(
            f"{path} was copied from an object store while its edits lay there in pieces, so they would be lost; "
            "open it there for writing and close it, then copy it again."
        )
    stamp = stamp_of(path / NAME)
    return RecordState(path, read_metadata(path), Ledger(path / "ledger"), stamp=stamp)


def open_for_writing(path: Path, *, exclusive: bool) -> RecordState:
    """The state of a record for one more writer of this process; `leave` it.

    Raises
    ------
    LockedError
        Another process writes to it, or, with `exclusive`, somebody in this one.
    WriteError
        It lies where nothing can be written.
    """
    key = str(path) if is_remote(path) else os.path.realpath(path)
    with _registry_lock:
        opened = _registry.get(key)
        if opened is not None and opened.file != _identity(path):
            opened = None  # another folder lies there now; the one that was opened was moved away
        if opened is not None and exclusive:
            raise LockedError(f"{path} is open for writing in this program; close it there first.")
        if opened is None:
            state, crashed = open_for_reading(path), not is_remote(path) and (path / HOLDER).exists()
            state.lock, state.file = acquire_record(path), _identity(path)
            if is_remote(path):
                _finish_moves(state)
            if crashed:  # who leaves takes that file away; all of a large record is looked through only then
                remove_leftovers(path)
            opened = _registry[key] = state
        opened.users += 1
        return opened


def leave(opened: RecordState) -> None:
    """One writer less; the last one frees the lock."""
    if opened.lock is None:
        return
    with _registry_lock:
        opened.users -= 1
        if opened.users > 0:
            return
        for key in [key for key, other in _registry.items() if other is opened]:
            del _registry[key]
            with suppress(OSError):
                if is_remote(opened.path):
                    for folder in _GROWING:
                        grown.join_all(opened.path / folder)
                else:
                    (opened.path / HOLDER).unlink(missing_ok=True)
        opened.lock.release()


def _finish_moves(state: RecordState) -> None:
    try:
        grown.finish_moves(state.path / FOLDER)
    except OSError as error:
        if state.lock is not None:
            state.lock.release()
        raise write_error(state.path, error) from error


def _identity(path: Path) -> tuple[int, int]:
    """The lock's file, whatever its name is now; a folder of a store keeps its name."""
    if is_remote(path):
        return 0, 0
    try:
        found = (path / LOCK).stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def acquire_record(path: Path) -> FileLock | Lease:
    """The lock of the record at a place, of the system's, or in a store a lease."""
    try:
        return take(path / LEASE, describe_self()) if is_remote(path) else acquire_lock(path / LOCK)
    except (Timeout, HeldError) as error:
        in_store = isinstance(error, HeldError)
        holder = f" ({error})" if in_store else holder_of(path / LOCK)
        killed = f", or {LEASE_S:.0f} seconds where it was killed" if in_store else ""
        raise LockedError(
            f"{path} is being written by another process{holder}, so here it can only be read; "
            f"wait until it has finished{killed} or close it there."
        ) from error
    except OSError as error:
        if is_remote(path):
            raise write_error(path, error) from error
        raise WriteError(
            f"{path} cannot be written ({error.strerror}); give a folder that you may write to."
        ) from error
