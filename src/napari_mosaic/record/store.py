"""A record open for reading or writing.

One decision: readers need no lock, because every file appears whole; whoever writes shares what `opened`
keeps with all other writers of the process.
"""

from __future__ import annotations

import errno
import threading
import time
import weakref
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import zarr
from numpy.typing import NDArray

from napari_mosaic.areas import AreaSet, read_areas, write_areas
from napari_mosaic.errors import MissingError, RecordError, WriteError
from napari_mosaic.image import MosaicImage, PixelSize, open_image
from napari_mosaic.image.pixel_size import USER, confirmed_mm, given_size
from napari_mosaic.record import layout, tables
from napari_mosaic.record.journal import FOLDER, LOG, Journal
from napari_mosaic.record.ledger import Index, Ledger
from napari_mosaic.record.metadata import (
    Metadata,
    SourceEntry,
    is_source,
    with_phase,
    write_metadata,
)
from napari_mosaic.record.opened import leave, open_for_reading, open_for_writing
from napari_mosaic.record.pixel_size import rescale_arrays
from napari_mosaic.record.places import put_back
from napari_mosaic.record.plan import Plan
from napari_mosaic.record.tables import Columns
from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    from napari_mosaic.record.looked_at import Figures

_DAMAGE = (ValueError, OSError, RuntimeError, KeyError)


def read_array(array: Any, key: tuple[Any, ...]) -> NDArray[Any]:
    """Read from an array that others write to.

    A shard is read in two steps, its index and its chunks; where it was replaced between them the
    chunks do not decode, and the second look finds the new one.
    """
    for _ in range(2):
        try:
            return np.asarray(array[key])
        except _DAMAGE:
            time.sleep(0.02)
    return np.asarray(array[key])


class Channel:
    """One channel of a level of the map as a two-dimensional array that is read where it is indexed."""

    def __init__(self, level: Any, channel: int) -> None:
        self._level = level
        self._channel = channel
        self.shape: tuple[int, int] = level.shape[1:]
        self.dtype = level.dtype
        self.ndim = 2

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        key = key if isinstance(key, tuple) else (key,)
        return read_array(self._level, (self._channel, *key))

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        del copy
        return np.asarray(self[:, :], dtype=dtype)


class Record:
    """The result for one mosaic: a folder on disk. A context manager; see `open_record`."""

    def __init__(self, path: Path, *, writable: bool = False, lock: bool = True, exclusive: bool = False) -> None:
        self.path = path
        self.writable = writable
        locked = writable and lock
        self._opened = open_for_writing(path, exclusive=exclusive) if locked else open_for_reading(path)
        self._leave = weakref.finalize(self, leave, self._opened)
        try:
            root = zarr.open_group(str(path), mode="r+" if writable else "r")
            count = len(layout.level_shapes(self.plan.shape))
            self.map_levels: list[Any] = [root[str(level)] for level in range(count)]
            self.tessera_levels: list[Any] = [root[f"{layout.LABELS}/{level}"] for level in range(count)]
        except _DAMAGE as error:
            self._leave()
            raise RecordError(
                f"The arrays of {path} cannot be opened ({error}); a folder in it was moved or damaged: "
                "restore it, or segment again."
            ) from error
        if locked:
            self._repair()

    def _repair(self) -> None:
        """Bring shards to the edits, and scales to the pixel size, that a crash kept from them; nobody looks before."""
        from napari_mosaic.record.edits import repair  # it builds on this module

        try:
            with self._opened.state_lock:
                if not self._opened.repaired and (self.path / FOLDER / LOG).exists():
                    repair(self)
                if not self._opened.repaired:
                    with suppress(OSError):  # on a full disk scales stay as they are; nothing of ours reads them
                        rescale_arrays(self.path, self.plan, self.pixel_mm)
                self._opened.repaired = True
        except BaseException:
            self._leave()
            raise

    def close(self) -> None:
        """Bring the smaller levels up to date with edits; the last writer of a process frees the lock."""
        if not self._leave.alive:
            return
        try:
            if self._opened.lock is not None and self._opened.journal is not None:
                self._settle()
        finally:
            self._leave()

    def _settle(self) -> None:
        from napari_mosaic.record.edits import settle_steps  # it builds on this module

        with suppress(WriteError, *_DAMAGE):  # what is left is done when the record is opened again
            for _ in settle_steps(self):
                pass

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def metadata(self) -> Metadata:
        """All of `mosaic.json`."""
        return self._opened.metadata

    @property
    def plan(self) -> Plan:
        """How the record is computed."""
        return self.metadata.plan

    @property
    def source(self) -> SourceEntry:
        """The photograph's entry."""
        return self.metadata.source

    @property
    def pixel_size(self) -> PixelSize | None:
        """Size of a source pixel on the floor, where known; as it is now, whoever has set it meanwhile."""
        if not self.writable:
            self._opened.follow_size()
        return self.metadata.pixel_size

    @property
    def pixel_mm(self) -> float | None:
        """Edge of a source pixel in mm, where it is confirmed: the one figure that scales and measures."""
        return confirmed_mm(self.pixel_size)

    def set_pixel_size(self, mm: float | None, *, confirmed: bool = True, origin: str = USER) -> None:
        """Say how large a pixel of the photograph is on the floor; before, during or after a run, as often as you like.

        The record, its OME-Zarr scales and all handles that are open on it follow at once.

        Parameters
        ----------
        mm
            Edge of a pixel of the source in mm; None to know of none.
        confirmed
            Whether somebody vouches for it; what is unconfirmed is shown and scales nothing.
        origin
            Where it comes from: "user", "drawn line", or the file's word, such as "dpi tag", where that is confirmed.

        Raises
        ------
        InputError, RecordError, WriteError
            No size; open for reading only; it cannot be written.

        Examples
        --------
        >>> with open_record("floor.mosaic.zarr", writable=True) as record:  # doctest: +SKIP
        ...     record.set_pixel_size(0.5)
        """
        if not self.writable:
            raise RecordError(
                f"{self.path} is open for reading only; open it with writable=True to set its pixel size."
            )
        size = None if mm is None else given_size(mm, confirmed=confirmed, origin=origin)
        try:
            with self._opened.state_lock:
                if size != self.metadata.pixel_size:
                    self.update(pixel_size=size)
                rescale_arrays(self.path, self.plan, confirmed_mm(size))
        except OSError as error:
            raise write_error(self.path, error) from error

    @property
    def metadata_lock(self) -> threading.RLock:
        """The lock of `mosaic.json` and of what follows from it, for whoever adds arrays to the record."""
        return self._opened.state_lock

    @property
    def crs(self) -> str | None:
        """Coordinate reference system of the source."""
        return self.metadata.crs

    @property
    def affine(self) -> tuple[float, ...] | None:
        """From source pixels to the CRS: `a, b, c, d, e, f`."""
        return self.metadata.affine

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the working grid."""
        return self.plan.shape

    @property
    def areas(self) -> AreaSet:
        """Regions, exclusions and area classes, in source pixels."""
        path = self.path / "areas.geojson"
        return read_areas(path) if path.exists() else AreaSet()

    @areas.setter
    def areas(self, areas: AreaSet) -> None:
        write_areas(self.path / "areas.geojson", areas)

    @property
    def count(self) -> int:
        """Number of tesserae found so far."""
        return tables.count_rows(self.tables)

    @property
    def tables(self) -> Path:
        """Folder of the table's parts."""
        return self.path / "tables" / "tesserae"

    @property
    def complete(self) -> bool:
        """Whether every phase is done for the whole area."""
        return all(self.metadata.phases.get(phase) == "done" for phase in ("map", "tesserae"))

    @property
    def ledger(self) -> Ledger:
        """Which pieces are finished."""
        return self._opened.ledger

    @property
    def table_lock(self) -> threading.RLock:
        """The lock of the tables; whoever reads a part to write it again holds it."""
        return self._opened.table_lock

    @property
    def journal(self) -> Journal:
        """The edits, read when they are first asked for; a reader sees those that are made meanwhile."""
        with self._opened.state_lock:
            if self._opened.journal is None:
                self._opened.journal = Journal(self.path / FOLDER / LOG, writable=self.writable)
            elif not self.writable:
                self._opened.journal.follow()
            return self._opened.journal

    def forget_journal(self) -> None:
        """Read the journal anew when it is next asked for: its file was moved."""
        self._opened.journal = None

    def shard_lock(self, level: int, index: Index) -> threading.RLock:
        """The lock of one shard of the tesserae; whoever reads it to write it again holds it."""
        return self._opened.shard_lock(level, index)

    def running(self) -> AbstractContextManager[None]:
        """The right to compute pieces: a run holds it; edits of finished pieces go on meanwhile.

        Raises
        ------
        LockedError
            There is a run in this process already.
        """
        return self._opened.running()

    def state(self) -> dict[str, tuple[int, int]]:
        """Finished and planned pieces of each phase."""
        self.ledger.reload()
        totals = {"map": len(self.plan.lattice), "tesserae": len(self.plan.shards)}
        return {phase: (len(self.ledger.done(phase)), total) for phase, total in totals.items()}

    def update(self, **changes: Any) -> None:
        """Change fields of `mosaic.json`."""
        with self._opened.state_lock:
            changed = replace(self.metadata, **changes)
            write_metadata(self.path, changed)
            self._opened.metadata = changed

    def set_phase(self, **phases: str) -> None:
        """Note the state of phases."""
        with self._opened.state_lock:
            self._opened.metadata = with_phase(self.metadata, **phases)
            write_metadata(self.path, self.metadata)

    def read_map(self, box: Box) -> NDArray[np.uint8]:
        """The stored map, `(C, h, w)` uint8, over `box` clipped to the working grid."""
        y, x = box.clip(self.shape).slices
        return read_array(self.map_levels[0], (slice(None), y, x))

    def read_labels(self, box: Box, level: int = 0) -> NDArray[Any]:
        """Stored ids, `(h, w)`, over `box` of a level, clipped to it."""
        array = self.tessera_levels[level]
        return read_array(array, box.clip(array.shape).slices)

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """Seeds, boxes, areas (px of the working grid), scores and flags by id."""
        return tables.read_parts(self.tables, columns)

    def figures(self, within: Any = None) -> Figures:
        """Count, density and areas of what was looked at: the one source of all figures.

        Parameters
        ----------
        within
            A `Box` or polygons in source pixels, or a file of areas; the whole photograph by default.

        Returns
        -------
        Figures
            See `napari_mosaic.record.looked_at`.

        Raises
        ------
        InputError
            If `within` does not meet the photograph.

        Examples
        --------
        >>> from napari_mosaic import open_record
        >>> with open_record("floor.mosaic.zarr") as record:  # doctest: +SKIP
        ...     figures = record.figures()
        ...     print(figures.count, figures.area_m2("preserved"), figures.density_dm2)
        """
        from napari_mosaic.record.looked_at import measure  # it builds on this module

        return measure(self, within)

    def write_map(self, box: Box, map_: NDArray[np.uint8]) -> None:
        """Write whole shards of the map."""
        y, x = box.slices
        self._write(self.map_levels[0], (slice(None), y, x), map_)

    def write_tesserae(self, index: Index, labels: NDArray[Any], columns: Columns) -> None:
        """Write one shard of tesserae and its rows of the table; what was edited in it stays as it was edited.

        The journal is asked under the shard's lock: an edit is entered in it before it takes that lock, so one that
        is not found here comes after this and finds the shard written.
        """
        core = self.plan.shards.tile(index).core
        journal = self.journal
        with self.shard_lock(0, index), self.table_lock:
            edits = journal.touching(index)
            if not edits:
                self.write_labels(0, core, labels)
                tables.write_part(self.tables, index, columns)
                return
            rows = columns | {name: np.zeros(len(columns["id"]), np.uint8) for name in ("material", "state")}
            for patch in map(journal.patch, edits):
                labels, rows = patch.over(labels, core), patch.over_rows(rows, core)
            self.write_labels(0, core, labels)
            tables.write_rows(self.tables, index, rows)

    def forget_tesserae(self, indices: Iterable[Index] | None = None) -> None:
        """Strike shards of tesserae (all by default) from the ledger, so that they are cut anew.

        It waits for an edit that is being made, which may have begun where the shards were still finished.
        """
        indices = None if indices is None else list(indices)
        with self.journal.lock:
            for phase in ("tesserae", "pyramid"):
                self.ledger.forget(phase, indices)

    def write_labels(self, level: int, box: Box, labels: NDArray[Any]) -> None:
        """Write ids over `box` of a level; shards that it covers in part keep their other pixels."""
        self._write(self.tessera_levels[level], box.slices, labels)

    def _write(self, array: Any, key: tuple[slice, ...], values: NDArray[Any]) -> None:
        try:
            array[key] = values
        except OSError as error:
            raise write_error(self.path, error) from error

    def damaged(self, phase: str, indices: Iterable[Index]) -> list[Index]:
        """The pieces among `indices` whose shards are missing, empty or unreadable."""
        return [index for index in indices if not self._is_sound(phase, index)]

    def discard(self, phase: str, indices: Iterable[Index]) -> None:
        """Remove the shards of pieces from the disk: a damaged shard cannot be written in part."""
        for index in indices:
            for file in self._files(phase, index):
                file.unlink(missing_ok=True)

    def _files(self, phase: str, index: Index) -> list[Path]:
        channels = phase == "map"
        core = (self.plan.lattice if channels else self.plan.shards).tile(index).core
        array = "0" if channels else f"{layout.LABELS}/0"
        return [
            layout.shard_file(self.path, array, shard, channels=channels)
            for shard in self.plan.shards.overlapping(core)
        ]

    def _is_sound(self, phase: str, index: Index) -> bool:
        try:
            if any(file.stat().st_size == 0 for file in self._files(phase, index)):
                return False
            if phase == "map":
                self.read_map(self.plan.lattice.tile(index).core)
                return True
            self.read_labels(self.plan.shards.tile(index).core)
            return (self.tables / tables.part_name(index)).stat().st_size > 0
        except _DAMAGE:
            return False

    def open_source(self, location: str | Path | None = None) -> MosaicImage:
        """Open the photograph: beside the record first, then where it was.

        Raises `MissingError` where it is in neither place, `RecordError` where another image lies there.
        """
        for candidate in [location] if location is not None else self._locations():
            text = str(candidate)
            if "://" in text or text.startswith("sample:") or Path(text).exists():
                image = open_image(candidate)
                check_source(image, self.source, self.path)
                return image
        raise MissingError(
            f"The photograph {self.source.name} of {self.path.name} is not at {self.source.location or 'any place'}; "
            f"say where it is with: napari-mosaic relink {self.path.name} PHOTOGRAPH."
        )

    def _locations(self) -> list[str]:
        source = self.source
        relative = [str((self.path.parent / source.relative).resolve())] if source.relative else []
        return [*relative, *([source.location] if source.location else [])]

    def layers(self) -> list[tuple[Any, dict[str, Any], str]]:
        """The joints and the tesserae as layer-data tuples for napari, lazily, in place and scale.

        `features` are there for all tesserae up to `record.features.MOST_FEATURES`, else for none: a viewer fills them
        for what it shows.
        """
        from napari_mosaic.record.features import read_features  # it builds on this module

        mm = self.pixel_mm
        pixel = 1.0 if mm is None else mm
        scale = pixel / self.plan.factor
        shift = scale / 2 - pixel / 2
        shared = {
            "scale": (scale, scale),
            "translate": (shift, shift),
            "units": ("pixel", "pixel") if mm is None else ("mm", "mm"),
            "metadata": {"mosaic_record": str(self.path)},
        }
        joints = [Channel(level, 0) for level in self.map_levels]
        images = {
            "name": f"{self.source.name} joints",
            "contrast_limits": (0, 255),
            "colormap": "magma",
            "blending": "additive",
            "opacity": 0.6,
            "visible": False,
            "multiscale": True,
        }
        labels = {"name": f"{self.source.name} tesserae", "opacity": 0.5, "multiscale": True}
        labels |= {"features": read_features(self).columns}
        return [
            (joints, {**images, **shared}, "image"),
            (list(self.tessera_levels), {**labels, **shared}, "labels"),
        ]


def check_source(image: MosaicImage, entry: SourceEntry, record: Path) -> None:
    """Raise `RecordError` where `image` is not the photograph that a record was made from."""
    if is_source(image, entry):
        return
    image.close()
    raise RecordError(
        f"{image.name} is not the photograph that {record.name} was made from ({entry.name}, "
        f"{entry.shape[1]} x {entry.shape[0]} px, other content); give the original, or segment again."
    )


def write_error(path: Path, error: OSError) -> WriteError:
    """One sentence for a write that failed."""
    if error.errno == errno.ENOSPC:
        return WriteError(
            f"The disk with {path} is full; what is finished is kept: free some space and go on with --resume."
        )
    return WriteError(f"{path} cannot be written ({error.strerror or error}); give a folder that you may write to.")


def open_record(path: str | Path, *, writable: bool = False, exclusive: bool = False) -> Record:
    """Open a mosaic record.

    Parameters
    ----------
    path
        The folder `NAME.mosaic.zarr`.
    writable
        Whether to write; one process at a time may. Inside of it a record may be opened again, by a run and by
        whoever edits what the run has finished: they share one journal and one set of locks.
    exclusive
        Whether nobody else in this process may write.

    Raises
    ------
    MissingError, RecordError, LockedError
        Nothing there; no record, damaged or newer; another process writes to it.
    """
    path = Path(path)
    if not path.exists():
        put_back(path)
    return Record(path, writable=writable, exclusive=exclusive)


def open_for_worker(path: str | Path) -> Record:
    """Open a record for writing shards while the process that handed out the work holds the lock."""
    return Record(Path(path), writable=True, lock=False)
