"""One process at a time in a folder: a lock of the system's, and who holds it.

One decision: the lock is the operating system's, so it is freed when its process ends, however that ends; nothing
that lies about afterwards must be removed by hand.
"""

from __future__ import annotations

import datetime
import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from napari_mosaic.errors import LockedError, WriteError

LOCK = ".lock"
"""In folders of runs; the name begins with a dot because a folder may be one of pictures."""


def acquire_lock(path: Path) -> FileLock:
    """The lock with the file `path`, held; who holds it stands beside, in `holder_file`.

    Raises
    ------
    Timeout
        Somebody holds it: another process, or another part of this one.
    OSError
        The file cannot be made.
    """
    lock = FileLock(str(path), thread_local=False)
    lock.acquire(timeout=0)
    with suppress(OSError):
        holder_file(path).write_text(describe_self(), encoding="utf-8", newline="\n")
    return lock


def release_lock(lock: FileLock) -> None:
    """Free a lock, and forget who held it."""
    with suppress(OSError):
        holder_file(Path(lock.lock_file)).unlink(missing_ok=True)
    lock.release()


def holder_file(path: Path) -> Path:
    """Where it stands who holds the lock with the file `path`."""
    return path.with_name(f"{path.name}.by")


def holder_of(path: Path) -> str:
    """Who holds the lock with the file `path`, in brackets after a space; nothing where that is not known."""
    try:
        text = " ".join(holder_file(path).read_text(encoding="utf-8").split())[:120]
    except (OSError, UnicodeDecodeError):
        return ""
    return f" ({text})" if text else ""


@contextmanager
def working_in(folder: Path, what: str) -> Iterator[None]:
    """The right to write into a folder, which is made: one run at a time, whichever kind it is.

    Parameters
    ----------
    folder
        Of the run.
    what
        The run in a word or two, as in "a training".

    Raises
    ------
    LockedError
        Another run, of this process or of another one, works in the folder.
    WriteError
        The folder cannot be written.
    """
    path, made = folder / LOCK, not folder.exists()
    try:
        os.makedirs(folder, exist_ok=True)
        lock = acquire_lock(path)
    except Timeout as error:
        raise LockedError(
            f"Another run works in {folder}{holder_of(path)}, and {what} beside it would spoil both; "
            "wait until it has finished, or give another folder."
        ) from error
    except OSError as error:
        raise WriteError(
            f"{folder} cannot be written ({error.strerror or error}); give a folder that you may write to."
        ) from error
    try:
        yield
    except BaseException:
        if made and {child.name for child in folder.iterdir()} <= {LOCK, holder_file(path).name}:
            path.unlink(missing_ok=True)  # while it is held: who comes now makes another one, and the folder stays
        raise
    finally:
        release_lock(lock)
        if made and not path.exists():
            with suppress(OSError):
                folder.rmdir()


def describe_self() -> str:
    """Who this is, where and since when, for others to read."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "somebody"
    since = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{user} on {socket.gethostname()}, since {since}"
