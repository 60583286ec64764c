"""Files that appear whole or not at all.

One decision: everything is written beside its place under another name and renamed when it is
finished, so that neither a crash, a cancel nor a full disk leaves half a file or loses the old one.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_mosaic.errors import MosaicError, WriteError


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary sibling to write to, and put it in the place of `path` when all went well."""
    _check_place(path, overwrite)
    mark = uuid.uuid4().hex[:8]
    temporary = path.with_name(f".{path.stem}.{mark}{path.suffix}")
    try:
        yield temporary
        _put(temporary, path)
    except MosaicError:
        raise
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        for left in path.parent.glob(f".{path.stem}.{mark}*"):
            _remove(left)


def _check_place(path: Path, overwrite: bool) -> None:
    if (path / "mosaic.json").exists():
        raise WriteError(f"{path} is a mosaic record and is never replaced by an export; give another name.")
    if path.exists() and not overwrite:
        raise WriteError(f"{path} exists already; add --overwrite to replace it, or give another name.")
    if path.is_dir() and any(path.iterdir()) and not _is_zarr(path):
        raise WriteError(f"{path} is a folder with other things in it; give the name of a new file.")
    if not path.parent.is_dir():
        raise WriteError(f"There is no folder {path.parent} to write {path.name} to; make it first.")


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json"))


def _put(temporary: Path, path: Path) -> None:
    if not path.is_dir():
        os.replace(temporary, path)
        return
    aside = temporary.with_name(f"{temporary.name}.old")  # a folder cannot be renamed over another
    os.replace(path, aside)
    os.replace(temporary, path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _write_error(path: Path, error: OSError) -> WriteError:
    if error.errno == errno.ENOSPC:
        return WriteError(f"The disk is full, so {path} was not written; free some space or give another place.")
    return WriteError(f"{path} cannot be written ({error.strerror or error}); give a place that you may write to.")
