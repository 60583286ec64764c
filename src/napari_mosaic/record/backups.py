"""Where a record lies that was set aside for another one, and how it comes back.

One decision: a record that was set aside says so in a file of its own, never by its name alone, so a person's record of
such a name is left alone.
"""

from __future__ import annotations

import itertools
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from napari_mosaic.files import read_object, replace
from napari_mosaic.record.opened import LOCK

ASIDE, REPLACES = "set-aside.json", "replaces.json"
MAKING, REMOVING = "new", "old"
"""How the names of folders end that hold a record in the making, and one that is being removed."""
_ENDING = ".mosaic.zarr"


def passing_name(path: Path, ending: str) -> Path:
    """A hidden name beside a record, for a moment."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{ending}")


def backup_names(path: Path) -> Iterator[Path]:
    """Names for the record that one at `path` replaces, in the order in which they are taken."""
    stem = path.name.removesuffix(_ENDING)
    yield path.with_name(f"{stem}.previous{_ENDING}")
    for number in itertools.count(2):
        yield path.with_name(f"{stem}.previous-{number}{_ENDING}")


def remove_leftovers(path: Path) -> None:
    """Remove the folders beside a record that a crash has left: records in the making, and half-removed ones."""
    stem, number = re.escape(path.name.removesuffix(_ENDING)), r"(?:-\d+)?"
    names = f"(?:{re.escape(path.name)}|{stem}\\.previous{number}{re.escape(_ENDING)})"
    leftover = re.compile(rf"\.{names}\.[0-9a-f]{{8}}\.({MAKING}|{REMOVING})")
    for place in _entries(path.parent):
        found = leftover.fullmatch(place.name)
        if found and (found[1] == REMOVING or _is_abandoned(place)):
            shutil.rmtree(place, ignore_errors=True)


def _is_abandoned(making: Path) -> bool:
    """Whether no process holds the lock of a record in the making."""
    lock = FileLock(str(making / LOCK), thread_local=False)
    try:
        lock.acquire(timeout=0)
    except (OSError, Timeout):
        return False
    lock.release()
    return True


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def set_aside_for(path: Path) -> str | None:
    """The name of the place that a record was set aside from, or None."""
    name = read_object(path / ASIDE).get("name")
    return None if name is None else str(name)


def put_back(path: Path) -> bool:
    """Bring the record that was set aside last back to its empty place; whether there was one."""
    start = f"{path.name.removesuffix(_ENDING)}.previous"
    found = {name for name in _entries(path.parent) if name.name.startswith(start) and set_aside_for(name) == path.name}
    replaced = {name.with_name(older) for name in found for older in replaced_by(name)}
    for backup in sorted(found - replaced):
        with suppress(OSError):
            replace(backup, path)
            (path / ASIDE).unlink(missing_ok=True)
            return True
    return False


def replaced_by(path: Path) -> dict[str, str]:
    """What a new record replaces: names beside it, and the state of the edits in each when it was set aside."""
    backups = read_object(path / REPLACES).get("backups")
    return {str(name): str(state) for name, state in backups.items()} if isinstance(backups, dict) else {}
