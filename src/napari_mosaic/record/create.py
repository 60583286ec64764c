"""A new record, and one whose photograph has moved.

One decision: a record appears whole or not at all: it is made under another name and renamed. In an object store it is
made at its place, under its lease, and is a record when the last object is there, `mosaic.json`.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock

from napari_mosaic import files
from napari_mosaic.areas import AreaSet, write_areas
from napari_mosaic.errors import RecordError
from napari_mosaic.image import MosaicImage, PixelSize, open_image
from napari_mosaic.image.pixel_size import confirmed_mm
from napari_mosaic.objects import as_place, is_remote, remove, sizes_in
from napari_mosaic.record import layout
from napari_mosaic.record.backups import MAKING, passing_name
from napari_mosaic.record.file_mask import read_valid_level, write_file_mask
from napari_mosaic.record.journal import FOLDER, KEPT, LOG
from napari_mosaic.record.metadata import (
    AREAS,
    NAME,
    RECTIFIED,
    Metadata,
    describe_source,
    is_there,
    write_metadata,
)
from napari_mosaic.record.opened import LEASE, LOCK, acquire_record
from napari_mosaic.record.plan import Plan
from napari_mosaic.record.source import check_source
from napari_mosaic.record.store import Record, open_record

_Over = Literal["computed", "all"] | None
_PACKAGES = ("napari-mosaic", "numpy", "zarr", "numba", "torch", "segmentation-models-pytorch")

_DEEPEST = 90
"""Characters of a path inside of a record: 69 for `/labels/tesserae/0/c/1234/1234` with the 41 that zarr adds while it
writes, and some for what is added later. `tests/test_windows.py` measures it."""


def create_record(
    path: str | Path, image: MosaicImage, plan: Plan, *, areas: AreaSet, pixel_size: PixelSize | None = None
) -> Record:
    """Make an empty record, whole or not at all, and open it for writing."""
    path = as_place(path)
    with files.writing(path):
        if is_remote(path):
            _create_in_store(path, image, plan, areas=areas, pixel_size=pixel_size)
        elif path.exists():
            raise _exists(path)
        else:
            with new_record(path, image, plan, areas=areas, pixel_size=pixel_size):
                pass
    return open_record(path, writable=True)


def _exists(path: Path) -> RecordError:
    return RecordError(f"{path} exists already; go on with it (resume), replace it (overwrite) or take another name.")


def replace_in_store(
    path: Path, image: MosaicImage, plan: Plan, *, areas: AreaSet, pixel_size: PixelSize | None, keep_edits: bool
) -> Record:
    """Make an empty record where there is one at an address, and open it for writing; its edits wait, or go first."""
    over: _Over = "computed" if keep_edits else "all"
    with files.writing(path):
        _create_in_store(path, image, plan, areas=areas, pixel_size=pixel_size, over=over)
    return open_record(path, writable=True)


def _create_in_store(
    path: Path, image: MosaicImage, plan: Plan, *, areas: AreaSet, pixel_size: PixelSize | None, over: _Over = None
) -> None:
    """Make an empty record at an address, also `over` what was computed in one that is there, or all of it.

    What a crash left of one that was not finished being made goes first, but for edits that wait to be replayed.
    """
    there = set(sizes_in(path))
    if there and not there & {LEASE, NAME}:
        raise RecordError(
            f"{path} holds other objects and no mosaic record, so none is made there; give another place."
        )
    lease = acquire_record(path)
    try:
        if is_there(path):
            if over is None:
                raise _exists(path)
            if over == "all":
                remove(path / FOLDER)
            elif not (path / FOLDER / KEPT).exists():
                files.replace(path / FOLDER / LOG, path / FOLDER / KEPT)
            remove(path / NAME)
        for folder, kept in ((path, {LEASE, FOLDER}), (path / FOLDER, {KEPT})):
            for name in sizes_in(folder).keys() - kept:
                remove(folder / name)
        _fill(path, path, image, plan, areas=areas, size=pixel_size or image.pixel_size)
    finally:
        lease.release()


@contextmanager
def new_record(
    path: Path, image: MosaicImage, plan: Plan, *, areas: AreaSet, pixel_size: PixelSize | None
) -> Iterator[Path]:
    """An empty record under another name, which becomes `path` when the block ends, and goes where it raises.

    Its lock is held meanwhile, so that `remove_leftovers` knows it from one that a crash has left.
    """
    temporary = passing_name(path, MAKING)
    files.check_length(temporary, inside=_DEEPEST)
    size = pixel_size or image.pixel_size
    lock = FileLock(str(temporary / LOCK), thread_local=False)
    try:
        temporary.mkdir(parents=True)
        lock.acquire(timeout=0)
        _fill(temporary, path, image, plan, areas=areas, size=size)
        yield temporary
        lock.release()
        files.replace(temporary, path)
        files.sync_folder(path.parent)
    except BaseException:
        lock.release()
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _fill(folder: Path, path: Path, image: MosaicImage, plan: Plan, *, areas: AreaSet, size: PixelSize | None) -> None:
    """Write all of an empty record into a folder, what makes it one last; it belongs to the place `path`."""
    layout.create_arrays(folder, plan, confirmed_mm(size))
    metadata = Metadata(
        source=describe_source(image, path),
        plan=plan,
        pixel_size=size,
        crs=image.crs,
        affine=image.affine,
        versions=_versions(),
        phases={"map": "partial", "tesserae": "partial"},
    )
    write_areas(folder / AREAS, areas)
    if image.rectification is not None:
        files.write_whole(folder / RECTIFIED, image.rectification.to_text(), sync=True)
    write_file_mask(folder, read_valid_level(image))
    write_metadata(folder, metadata)


def relink(path: str | Path, source: str | Path) -> None:
    """Tell a record where its photograph is now; it must be the same photograph."""
    with open_record(path, writable=True) as record, open_image(source) as image:
        check_source(image, record.source, record.path)
        record.update(source=describe_source(image, record.path))


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
