"""Files that appear whole or not at all.

One decision: everybody writes through here. A file is written beside its place under a name of its own and renamed when
it is finished, so that a crash, a cancel or a full disk neither leaves half a file nor loses the old one.

What a person made or what says what is finished is synced before it is renamed, with its folder: metadata, areas,
edits, weights, histories. What can be computed again is not (shards, tables, caches): after a power failure it is found
damaged and made again, and a sync for each would cost more than the computing.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WINDOWS = os.name == "nt"
_TRIES = 8
"""On Windows, with 10 ms before the second and twice as long before each further one: 1.3 s in all. *Not varied.*"""


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
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}.tmp")
    try:
        yield temporary
        if sync:
            sync_file(temporary)
        replace(temporary, path)
        if sync:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes, *, sync: bool) -> None:
    """Write a file, whole or not at all; text as UTF-8."""
    with whole_file(path, sync=sync) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def replace(temporary: Path, path: Path) -> None:
    """Rename a file or folder over another.

    Windows refuses while somebody reads the old one, a virus scanner or a viewer: there it is tried again for about a
    second before the error is let out.
    """
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
