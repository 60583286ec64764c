"""Files and folders that appear whole or not at all.

One decision: everybody writes through here, and nobody else renames or syncs (`tests/test_files.py` reads the sources
for it). A file is written beside its place under a name of its own and renamed when it is finished, so that a crash, a
cancel or a full disk neither leaves half a file nor loses the old one.

What a person made or what says what is finished is synced before it is renamed, with its folder: metadata, areas,
edits, weights, histories. What can be computed again is not (shards, tables, caches, exports): after a power failure it
is found damaged and made again, and a sync for each would cost more than the computing.

Windows refuses paths over 260 characters unless its owner has lifted that. There is no prefix for it here: the
libraries that read and write beside us would each need it too. `check_length` says it before anything is begun.

Where a place is an address of an object store (`objects`), a file is written here on the disk and sent with one PUT,
which is whole by itself; nothing is renamed, nothing is synced.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from napari_mosaic import grown, objects
from napari_mosaic.errors import MosaicError, WriteError
from napari_mosaic.leases import require_held
from napari_mosaic.objects import is_remote

_WINDOWS = os.name == "nt"
_TRIES = 8
"""On Windows, with 10 ms before the second and twice as long before each further one: 1.3 s in all. *Not varied.*"""
_HALF_WRITTEN = (".tmp", ".partial")
"""Endings of names of ours and of zarr's until a file is whole."""
_PASSING = re.compile(r"\.[0-9a-f]{12}\.tmp")
_LOCK, _BY = ".lock", ".by"
"""In a folder of `whole_named`: held while somebody writes there, and on which computer that is, for which place."""
_LONGEST = 259
"""Characters of a path on Windows: its MAX_PATH of 260 less the character that ends it."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one sentence about `path`, a `WriteError`.

    In an object store it is asked first whether the folder that `path` lies in is still held: a `LockedError`.
    """
    if is_remote(path):
        require_held(path)
    try:
        yield
    except MosaicError:
        raise
    except objects.refusals() as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: Exception) -> WriteError:
    """One sentence for a write that failed."""
    if is_remote(path):
        return WriteError(
            f"{path} cannot be written ({' '.join(str(error).split())[:200]}); what is finished is kept: see to the "
            "network and to your rights there, and go on with --resume."
        )
    if not isinstance(error, OSError):
        raise error
    if error.errno == errno.ENOSPC:
        return WriteError(
            f"The disk with {path} is full; what is finished is kept: free some space and go on with --resume."
        )
    return WriteError(f"{path} cannot be written ({error.strerror or error}); give a folder that you may write to.")


@contextmanager
def whole_file(path: Path, *, sync: bool) -> Iterator[Path]:
    """Give a temporary sibling to write to; it takes the place of `path` when all went well, else it goes.

    Parameters
    ----------
    path
        The file. Its folder must be there.
    sync
        Whether it must outlast a power failure once this returns: for what cannot be made again.

    Raises
    ------
    OSError
        As writing and renaming raise it; the old file is untouched then.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="napari-mosaic-") as folder:
            yield Path(folder) / path.name
            objects.put_file(path, Path(folder) / path.name)
        return
    temporary = _passing(path)
    try:
        yield temporary
        if sync:
            sync_file(temporary)
        replace(temporary, path)
        if sync:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_named(path: Path) -> Iterator[Path]:
    """As `whole_file`, unsynced, for a file or folder whose writer looks at its name or leaves others beside it.

    What is given has the name of `path`, in a hidden folder beside it that goes with all that is left in it; so go
    those of processes of this computer that were killed.
    """
    _remove_dead(path.parent)
    folder = _passing(path)
    old = _passing(folder / path.name)
    lock = None
    try:
        folder.mkdir()
        if (lock := _hold(folder)) is not None:
            (folder / _BY).write_bytes(os.fsencode(f"{socket.gethostname()}\n{path.name}"))
        yield folder / path.name
        if path.is_dir():
            replace(path, old)  # a folder cannot be renamed over another
        replace(folder / path.name, path)
    finally:
        if old.exists() and not path.exists():
            replace(old, path)
        if lock is not None:
            lock.release()
        _remove_folder(folder)


def _hold(folder: Path) -> FileLock | None:
    """The lock of a hidden folder; None where another process or thread has it, or the file system has no locks."""
    lock = FileLock(str(folder / _LOCK), thread_local=False)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        return None
    return lock


def _remove_dead(parent: Path) -> None:
    """Remove the hidden folders in which a process of this computer was killed: nobody holds their locks any more.

    One that was killed between taking the old folder away and putting the new one there is finished first.
    """
    with suppress(OSError):
        for folder in [each for each in parent.iterdir() if _PASSING.fullmatch(each.name)]:
            with suppress(OSError, ValueError):
                host, name = os.fsdecode((folder / _BY).read_bytes()).split("\n", 1)
                if host == socket.gethostname() and (lock := _hold(folder)) is not None:
                    taken = any(_PASSING.fullmatch(left.name) for left in folder.iterdir())
                    if taken and not (parent / name).exists():
                        replace(folder / name, parent / name)
                    lock.release()
                    _remove_folder(folder)


def _remove_folder(folder: Path) -> None:
    """Remove a folder, also where threads of zarr's still write into it after one of them has failed."""
    for attempt in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.01 * 2**attempt)


def write_whole(path: Path, content: str | bytes, *, sync: bool) -> None:
    """Write a file, whole or not at all; text as UTF-8, its line ends as they are."""
    if is_remote(path):
        objects.put(path, content.encode() if isinstance(content, str) else content)
        return
    with whole_file(path, sync=sync) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, values: Any, *, sync: bool, indent: int = 1) -> None:
    """Write values as JSON, whole or not at all."""
    write_whole(path, json.dumps(values, indent=indent) + "\n", sync=sync)


def read_object(path: Path) -> dict[str, Any]:
    """The fields of a JSON file; none where it is missing, cannot be read or holds no object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, sync: bool) -> None:
    """Write arrays by name as an uncompressed `.npz`, whole or not at all."""
    with whole_file(path, sync=sync) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV to a place that somebody else renames; the first one names the columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def append_synced(path: Path, content: bytes, *, end: int | None = None) -> None:
    """Add to the end of a file, all or nothing; it is on the disk when this returns.

    Nothing is buffered: what a buffer could not write, it would write once more when the file is closed.

    Parameters
    ----------
    path
        The file, made where it is not there. Its folder must be.
    content
        What is added.
    end
        Where the file ends, bytes: what lies beyond was cut off by a crash and goes. None where nothing can.
    """
    if is_remote(path):
        grown.append(path, content, end)
        return
    created = not path.exists()
    with path.open("ab", buffering=0) as file:
        end = file.tell() if end is None else end
        try:
            if file.tell() != end:
                file.truncate(end)
            _write_all(file, content)
            os.fsync(file.fileno())
            if created:
                sync_folder(path.parent)
        except OSError:
            with suppress(OSError):
                file.truncate(end)  # what was refused shall not be read as if it were there
            raise


def read_grown(path: Path) -> bytes:
    """All of a file that `append_synced` adds to; `FileNotFoundError` where there is none."""
    return grown.read(path) if is_remote(path) else path.read_bytes()


def open_grown(path: Path) -> BinaryIO:
    """A file that `append_synced` adds to, for reading."""
    return io.BytesIO(grown.read(path)) if is_remote(path) else path.open("rb")


def read_grown_at(path: Path, start: int, size: int) -> bytes:
    """Some bytes of a file that `append_synced` adds to, of what was added at once."""
    if is_remote(path):
        return grown.read_at(path, start, size)
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def grown_size(path: Path) -> int:
    """Bytes of a file that `append_synced` adds to; 0 where there is none."""
    try:
        return grown.size(path) if is_remote(path) else path.stat().st_size
    except FileNotFoundError:
        return 0


def has_grown(path: Path) -> bool:
    """Whether there is a file that `append_synced` adds to."""
    return grown.exists(path) if is_remote(path) else path.exists()


def rewrite_grown(path: Path, content: bytes) -> None:
    """Replace all of a file that `append_synced` adds to, whole or not at all."""
    if is_remote(path):
        grown.rewrite(path, content)
    else:
        write_whole(path, content, sync=True)


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it lies in, where they are not there; a store has none that could be missing."""
    if not is_remote(folder):
        folder.mkdir(parents=True, exist_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as it can be."""
    if is_remote(folder):
        with suppress(OSError):
            objects.remove(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def readable(paths: Sequence[Path]) -> Iterator[Path | BinaryIO]:
    """What a library opens to read files whole, in order: their paths, or what objects hold, some fetched at once."""
    if paths and is_remote(paths[0]):
        yield from map(io.BytesIO, objects.get_each(paths))
    else:
        yield from paths


def _write_all(file: FileIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def replace(temporary: Path, path: Path) -> None:
    """Rename a file or folder over another.

    Windows refuses while somebody reads the old one, a virus scanner or a viewer: there it is tried again for about a
    second before the error is let out. In an object store a file gets another name, and a folder none.
    """
    if is_remote(path):
        grown.move(temporary, path)
        return
    for attempt in range(_TRIES if _WINDOWS else 1):
        if attempt:
            time.sleep(0.01 * 2 ** (attempt - 1))
        try:
            os.replace(temporary, path)
            return
        except PermissionError as error:
            refused = error
    raise refused


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names of new files in a folder durable, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove what a crash left half-written anywhere in a folder, by us or by zarr; nobody may be writing there now."""
    for left in folder.rglob("*"):
        if left.suffix in _HALF_WRITTEN:
            with suppress(OSError):
                left.unlink()


def check_length(path: Path, inside: int = 0) -> None:
    """Raise `WriteError` where Windows would refuse a path, or names of `inside` more characters in that folder."""
    length = len(str(path.absolute())) + inside
    if _WINDOWS and length > _LONGEST and not _long_paths():
        raise WriteError(
            f"{path} needs paths of {length} characters, and this Windows allows {_LONGEST}; give a place with a "
            "shorter name, or let its administrator allow long paths."
        )


def _long_paths() -> bool:
    """Whether the owner of this Windows has allowed long paths, and this Python asks for them."""
    import ctypes

    try:
        return bool(ctypes.windll.ntdll.RtlAreLongPathsEnabled())  # type: ignore[attr-defined, unused-ignore]
    except (AttributeError, OSError):
        return False  # before Windows 10.1607


def _passing(path: Path) -> Path:
    """A hidden name beside a path, no longer for a longer name: a file system has 255 bytes for each."""
    return path.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
