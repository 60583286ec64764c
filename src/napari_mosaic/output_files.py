"""Where an export may be written, and one sentence where it may not.

One decision: whatever a user gives a name for appears whole or not at all (`files.whole_named`), and never in the place
of a record or of a folder with other things in it.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_mosaic.errors import MosaicError, WriteError
from napari_mosaic.files import whole_named
from napari_mosaic.objects import address_of

_SPARE = 1 << 20
"""Bytes: a disk with less is full for a program that writes files. Not varied."""


@contextmanager
def replacing(path: Path, *, overwrite: bool, ours: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """Give a place to write to, of the same name, and put it in the place of `path` when all went well.

    A folder is only replaced where `ours` says that an export made it; Zarr by default.
    """
    _check_on_disk(path)
    if ours is not None and path.is_file():
        raise WriteError(f"{path} is a file, and a folder is to be made; give the name of a new folder.")
    _check_place(path, overwrite, ours or _is_zarr)
    try:
        with whole_named(path) as temporary:
            yield temporary
    except MosaicError:
        raise
    except OSError as error:
        raise _write_error(path, error) from error


def _check_on_disk(path: Path) -> None:
    if address_of(path) is not None:
        raise WriteError(f"{address_of(path)} is in an object store, and exports go to a disk; give a path.")


def _check_place(path: Path, overwrite: bool, ours: Callable[[Path], bool]) -> None:
    if (path / "mosaic.json").exists():
        raise WriteError(f"{path} is a mosaic record and is never replaced by an export; give another name.")
    if path.exists() and not overwrite:
        raise WriteError(f"{path} exists already; add --overwrite to replace it, or give another name.")
    if path.is_dir() and any(path.iterdir()) and not ours(path):
        raise WriteError(f"{path} is a folder with other things in it; give the name of a new file.")
    if not path.parent.is_dir():
        raise WriteError(f"There is no folder {path.parent} to write {path.name} to; make it first.")


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json"))


def check_tiff(path: Path) -> None:
    """Raise `OSError` where a TIFF is not whole: of a disk that fills up GDAL says nothing when it closes a file."""
    import tifffile

    size = path.stat().st_size
    try:
        with tifffile.TiffFile(path) as file:
            pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
            parts = [pair for page in pages for pair in zip(page.dataoffsets, page.databytecounts, strict=True)]
    except (tifffile.TiffFileError, ValueError, IndexError) as error:
        raise OSError(errno.ENOSPC, f"it is cut off: {error}") from error
    if not parts or any(count == 0 or start + count > size for start, count in parts):
        raise OSError(errno.ENOSPC, "it is cut off")


def refusal(what: str, path: Path, error: Exception, size: int = 0) -> OSError | WriteError:
    """What to raise where GDAL or SQLite could not write: they do not always say that the disk is full.

    Parameters
    ----------
    what
        The file in a word or two, as in "The GeoPackage".
    path
        Where it is written.
    error
        What they said.
    size
        Of what was to be added, bytes: it is taken back where it could not be written, so that much is free again.
    """
    full = "No space left" in str(error) or "is full" in str(error)
    if full or shutil.disk_usage(path.parent).free < _SPARE + 2 * size:
        return OSError(errno.ENOSPC, str(error))
    return WriteError(f"{what} cannot be written ({error}); give another place.")


def _write_error(path: Path, error: OSError) -> WriteError:
    if error.errno == errno.ENOSPC:
        return WriteError(f"The disk is full, so {path} was not written; free some space or give another place.")
    return WriteError(f"{path} cannot be written ({error.strerror or error}); give a place that you may write to.")


def make_folder(folder: Path) -> None:
    """Make a folder that pictures go to."""
    _check_on_disk(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"The folder {folder} cannot be made ({error.strerror}); give another place.") from error
