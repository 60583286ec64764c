"""A new record, and one whose photograph has moved.

One decision: a record appears whole or not at all: it is made under another name and renamed.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from napari_mosaic import files
from napari_mosaic.areas import AreaSet, write_areas
from napari_mosaic.errors import RecordError
from napari_mosaic.image import MosaicImage, PixelSize, open_image
from napari_mosaic.image.pixel_size import confirmed_mm
from napari_mosaic.record import layout
from napari_mosaic.record.backups import MAKING, passing_name
from napari_mosaic.record.file_mask import read_valid_level, write_file_mask
from napari_mosaic.record.metadata import (
    AREAS,
    RECTIFIED,
    Metadata,
    describe_source,
    write_metadata,
)
from napari_mosaic.record.opened import LOCK
from napari_mosaic.record.plan import Plan
from napari_mosaic.record.source import check_source
from napari_mosaic.record.store import Record, open_record

_PACKAGES = ("napari-mosaic", "numpy", "zarr", "numba", "torch", "segmentation-models-pytorch")

_DEEPEST = 90
"""Characters of a path inside of a record: 69 for `/labels/tesserae/0/c/1234/1234` with the 41 that zarr adds while it
writes, and some for what is added later. `tests/test_windows.py` measures it."""


def create_record(
    path: str | Path, image: MosaicImage, plan: Plan, *, areas: AreaSet, pixel_size: PixelSize | None = None
) -> Record:
    """Make an empty record, whole or not at all, and open it for writing."""
    path = Path(path)
    if path.exists():
        raise RecordError(
            f"{path} exists already; go on with it (resume), replace it (overwrite) or take another name."
        )
    with files.writing(path), new_record(path, image, plan, areas=areas, pixel_size=pixel_size):
        pass
    return open_record(path, writable=True)


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
        layout.create_arrays(temporary, plan, confirmed_mm(size))
        metadata = Metadata(
            source=describe_source(image, path),
            plan=plan,
            pixel_size=size,
            crs=image.crs,
            affine=image.affine,
            versions=_versions(),
            phases={"map": "partial", "tesserae": "partial"},
        )
        write_areas(temporary / AREAS, areas)
        if image.rectification is not None:
            files.write_whole(temporary / RECTIFIED, image.rectification.to_text(), sync=True)
        write_metadata(temporary, metadata)
        write_file_mask(temporary, read_valid_level(image))
        yield temporary
        lock.release()
        files.replace(temporary, path)
        files.sync_folder(path.parent)
    except BaseException:
        lock.release()
        shutil.rmtree(temporary, ignore_errors=True)
        raise


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
