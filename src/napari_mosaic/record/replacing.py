"""A new record in the place of another, so that a crash at any moment leaves nothing that a person must move by hand.

One decision: the folders say themselves what they are. A record that was set aside holds the name of the place it
belongs to, the new one names those that wait beside it and what was edited in them by then; so whoever comes to the
place next can finish or roll back, and removes only what nobody has edited since.

    NAME.mosaic.zarr            the new record: `replaces.json`, as long as it is not whole
    NAME.previous.mosaic.zarr   the record that it replaces: `set-aside.json`
    .NAME.mosaic.zarr.*.new     a record in the making; .old, one that is being removed
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

from napari_mosaic import files
from napari_mosaic.areas import AreaSet
from napari_mosaic.errors import MosaicError, MosaicWarning
from napari_mosaic.image import MosaicImage, PixelSize
from napari_mosaic.objects import is_remote
from napari_mosaic.record.backups import (
    ASIDE,
    REMOVING,
    REPLACES,
    backup_names,
    passing_name,
    put_back,
    remove_leftovers,
    replaced_by,
    set_aside_for,
)
from napari_mosaic.record.create import new_record, replace_in_store
from napari_mosaic.record.journal import FOLDER, KEPT, LOG, Journal
from napari_mosaic.record.journaled import adopt_edits, has_edits
from napari_mosaic.record.metadata import read_metadata
from napari_mosaic.record.plan import Plan
from napari_mosaic.record.store import Record, open_record


def recover_replacement(path: Path) -> None:
    """Finish or roll back what a crash left at a place; what is under way in another process stays as it is.

    A record whose place is empty goes back there; one whose successor is whole is removed, unless it was edited since.
    An unfinished successor stays: it is gone on with, or replaced in its turn. In an object store nothing waits beside.
    """
    if is_remote(path):
        return
    remove_leftovers(path)
    if not path.exists():
        put_back(path)
    elif is_whole(path):
        finish_replacement(path)


def is_whole(path: Path) -> bool:
    """Whether a record is finished and no edits wait for it; False where it cannot be read."""
    with suppress(MosaicError):
        return read_metadata(path).complete and not (path / FOLDER / KEPT).exists()
    return False


def edited_record(path: Path) -> Path:
    """The record whose edits count where the one at `path` is to be replaced.

    That at the place; where it never became whole and nobody edited it, the one that it was to replace.
    """
    if _is_draft(path):
        backups = [path.with_name(name) for name in replaced_by(path)]
        return next((backup for backup in reversed(backups) if has_edits(backup)), path)
    return path


def _is_draft(path: Path) -> bool:
    """Whether a record is an unfinished successor without edits of its own: nothing is lost with it."""
    unfinished = not is_whole(path) and bool(_present(path))
    return unfinished and not Journal(path / FOLDER / LOG).done


def replace_record(
    path: Path, image: MosaicImage, plan: Plan, *, areas: AreaSet, pixel_size: PixelSize | None, edits: Path | None
) -> Record:
    """Make a new record at `path`, in the place of the one there, and open it for writing.

    Parameters
    ----------
    path
        The place; the record there is set aside until the new one is whole (`finish_replacement`).
    edits
        The record whose edits shall wait to be replayed on the new one.
    """
    open_record(path, writable=True, exclusive=True).close()
    if is_remote(path):  # where no folder has another name at once: the old one goes first, edits that wait stay
        keep = edits is not None
        return replace_in_store(path, image, plan, areas=areas, pixel_size=pixel_size, keep_edits=keep)
    old, draft = path, _is_draft(path)
    backups = _present(path)
    aside = passing_name(path, REMOVING) if draft else next(name for name in backup_names(path) if not name.exists())
    if not draft:
        backups[aside.name] = _edits_state(old)
    if edits is not None and edits.name in backups:
        backups[edits.name] = _edits_state(edits)
    try:
        with new_record(path, image, plan, areas=areas, pixel_size=pixel_size) as temporary:
            if edits is not None:
                adopt_edits(temporary, edits)
            files.write_json(temporary / REPLACES, {"backups": backups}, sync=True)
            if not draft:
                files.write_json(old / ASIDE, {"name": path.name}, sync=True)
            files.replace(old, aside)
    except BaseException as error:
        _bring_back(aside, path)
        if isinstance(error, OSError):
            raise files.write_error(path, error) from error
        raise
    if draft:
        shutil.rmtree(aside, ignore_errors=True)
    return open_record(path, writable=True)


def _bring_back(aside: Path, path: Path) -> None:
    """Undo the setting aside of a record whose successor could not be made."""
    with suppress(OSError):
        if aside.exists() and not path.exists():
            files.replace(aside, path)
        (path / ASIDE).unlink(missing_ok=True)


def finish_replacement(path: Path) -> None:
    """Remove what a whole record has replaced; a backup that was edited meanwhile stays, as a record of its own."""
    left = False
    for name, state in replaced_by(path).items():
        backup = path.with_name(name)
        if set_aside_for(backup) != path.name:
            continue
        if _edits_state(backup) == state:
            left |= not _remove(backup)
            continue
        with suppress(OSError):
            (backup / ASIDE).unlink(missing_ok=True)
        sentence = f"{backup} was edited after it was replaced by {path.name}, so it is kept."
        warnings.warn(sentence, MosaicWarning, stacklevel=2)
    if not left:  # else whoever comes next tries again
        with suppress(OSError):
            (path / REPLACES).unlink(missing_ok=True)


def _remove(record: Path) -> bool:
    """Take a record's name away first, so that a half-removed one is not taken for a record; whether that went well."""
    doomed = passing_name(record, REMOVING)
    try:
        files.replace(record, doomed)
    except OSError:
        return False
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def _present(path: Path) -> dict[str, str]:
    """The backups of a record that are still there, the oldest first."""
    return {
        name: state for name, state in replaced_by(path).items() if set_aside_for(path.with_name(name)) == path.name
    }


def _edits_state(path: Path) -> str:
    """A hash of all edits of a record, done, undone and waiting."""
    state = hashlib.sha256()
    for name in (LOG, KEPT):
        with suppress(FileNotFoundError):
            state.update(name.encode() + (path / FOLDER / name).read_bytes())
    return state.hexdigest()
