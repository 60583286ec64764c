"""Reading and writing the arrays of a record, and knowing a damaged shard.

One decision: whoever reads needs no lock, because a shard appears whole, and whoever writes says in one sentence what
went wrong; what a layer of the record holds, the map or labels, is told by the layer.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_mosaic.errors import RecordError
from napari_mosaic.files import writing
from napari_mosaic.objects import is_remote, refusals, version_of, versions_in, zarr_store
from napari_mosaic.record import shards
from napari_mosaic.record.layout import level_shapes
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.plan import Plan

DAMAGE = (ValueError, OSError, RuntimeError, KeyError, TypeError, AttributeError, ArithmeticError)
"""What zarr and its codecs raise on arrays that are not there, cut off or overwritten."""

_PAUSE_S = 0.02
"""Before a shard that changed while it was read is read again; not varied."""


class Pieces(Protocol):
    """A layer of a record whose finished pieces can be looked at."""

    def files(self, index: Index) -> list[Path]:
        """The files that hold a piece."""

    def check(self, index: Index) -> None:
        """Read a piece; one of `DAMAGE` where it cannot be."""


_OPEN: OrderedDict[tuple[Any, ...], list[Any]] = OrderedDict()
"""Arrays by where they are and by the writing of their descriptions: in a viewer a record is opened many times."""
_MOST_OPEN = 16
"""Not varied."""


def open_levels(path: Path, prefix: str, plan: Plan, *, writable: bool) -> list[Any]:
    """The arrays of all levels below `prefix` in the record at `path`; one of `DAMAGE` where they are not there.

    On a disk, those that were opened before as long as their descriptions are the files that were read then.
    """
    if is_remote(path):
        return _open_levels(path, prefix, plan, writable=writable)
    count = len(level_shapes(plan.shape))
    stamps = [stamp_of(path / f"{prefix}{level}" / "zarr.json") for level in range(count)]
    key = (str(path.absolute()), prefix, writable, plan.shape, *stamps)
    known = _OPEN.get(key)
    if known is None or not all(stamps):
        known = _OPEN[key] = _open_levels(path, prefix, plan, writable=writable)
        if len(_OPEN) > _MOST_OPEN:
            _OPEN.popitem(last=False)
    return list(known)


def _open_levels(path: Path, prefix: str, plan: Plan, *, writable: bool) -> list[Any]:
    root: Any = zarr.open_group(zarr_store(path), mode="r+" if writable else "r")
    shapes = level_shapes(plan.shape)
    found = [root[f"{prefix}{level}"] for level in range(len(shapes))]
    for array, shape in zip(found, shapes, strict=True):
        if tuple(array.shape[-2:]) != shape or array.dtype.kind != "u":
            raise ValueError(f"{array.path} holds {array.dtype} of {array.shape} px and not labels or maps of {shape}")
    return found


def read_array(array: Any, key: tuple[Any, ...]) -> NDArray[Any]:
    """Read from an array that others write to.

    A shard is read in two steps, its index and its chunks; where it was replaced between them the
    chunks do not decode, and the second look finds the new one.
    """
    for _ in range(2):
        try:
            return _read(array, key)
        except _unreadable():
            time.sleep(_PAUSE_S)
    try:
        return _read(array, key)
    except _unreadable() as error:
        raise RecordError(
            f"{array.store_path} cannot be read ({' '.join(str(error).split())[:200]}); it is damaged: go on with "
            "--resume, or restore it from a copy."
        ) from error


def _read(array: Any, key: tuple[Any, ...]) -> NDArray[Any]:
    found = shards.read(array, key)
    return np.asarray(array[key]) if found is None else found


def _unreadable() -> tuple[type[Exception], ...]:
    return (*DAMAGE, *refusals())


def write_array(path: Path, array: Any, key: tuple[slice, ...], values: NDArray[Any]) -> None:
    """Write to an array of the record at `path`; `WriteError` where its disk does not take it."""
    with writing(path):
        try:
            if not shards.write(array, key, values):
                array[key] = values
        except refusals():
            raise
        except DAMAGE as error:
            raise RecordError(
                f"{array.store_path} cannot be written ({error}); its description is damaged: restore it from a copy."
            ) from error


def stamp_of(path: Path) -> tuple[int, ...]:
    """Which writing of a file is there, for files that are replaced whole; nothing where it is not."""
    try:
        if is_remote(path):
            return (hash(version_of(path)),)
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def stamp_of_tables(folder: Path) -> tuple[object, ...]:
    """Which writing of each part of a table is there."""
    if is_remote(folder):  # in one question, and not in one for each
        return (versions_in(folder),)
    return tuple((str(path), stamp_of(path)) for path in sorted(folder.glob("*.parquet")))


def damaged(layer: Pieces, indices: Iterable[Index]) -> list[Index]:
    """The pieces among `indices` that are missing, empty or unreadable."""
    return [index for index in indices if not _is_sound(layer, index)]


def discard(layer: Pieces, indices: Iterable[Index]) -> None:
    """Remove pieces from the disk: a damaged shard cannot be written in part."""
    for index in indices:
        for file in layer.files(index):
            file.unlink(missing_ok=True)


def _is_sound(layer: Pieces, index: Index) -> bool:
    try:
        if any(file.stat().st_size == 0 for file in layer.files(index)):
            return False
        layer.check(index)
    except DAMAGE:
        return False
    return True
