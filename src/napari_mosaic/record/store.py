"""A record open for reading or writing.

One decision: readers need no lock, because every file appears whole; whoever writes shares what `opened`
keeps with all other writers of the process. What a record does, its parts do: the map, its label layers, its edits.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.areas import AreaSet, write_areas
from napari_mosaic.errors import RecordError, WriteError
from napari_mosaic.files import has_grown, writing
from napari_mosaic.image import MosaicImage, PixelSize
from napari_mosaic.image.pixel_size import USER, confirmed_mm, given_size
from napari_mosaic.objects import as_place, is_remote
from napari_mosaic.perspective import Array, Points, Rectification
from napari_mosaic.progress import drain
from napari_mosaic.record import arrays, looked_at, source
from napari_mosaic.record.arrays import DAMAGE
from napari_mosaic.record.backups import put_back
from napari_mosaic.record.journal import FOLDER, LOG, Journal
from napari_mosaic.record.journaled import JournaledEdits
from napari_mosaic.record.label_layer import SAM2, TESSERAE, LabelLayer, layer_names
from napari_mosaic.record.ledger import Index, Ledger
from napari_mosaic.record.map_layer import MapLayer
from napari_mosaic.record.metadata import AREAS, Metadata, SourceEntry, areas_of, write_metadata
from napari_mosaic.record.napari_layers import LayerData, layers_of
from napari_mosaic.record.opened import leave, open_for_reading, open_for_writing
from napari_mosaic.record.plan import Plan
from napari_mosaic.record.rescaling import rescale_arrays
from napari_mosaic.record.shown import show_labels
from napari_mosaic.record.tables import Columns
from napari_mosaic.tiling import Box


class Record:
    """The result for one mosaic: a folder on disk. A context manager; see `open_record`.

    Attributes
    ----------
    path, writable
        The folder, and whether it is open for writing.
    map
        What the network said, all levels.
    tesserae
        The label layer of the tesserae, all levels and their table.
    edits
        What was edited by hand, and what follows from it.
    whole
        Of a record that shows chosen labels (`with_labels`), the record itself; else None.
    """

    def __init__(self, path: Path, *, writable: bool = False, lock: bool = True, exclusive: bool = False) -> None:
        self.path = path
        self.writable = writable
        locked = writable and lock
        self._opened = open_for_writing(path, exclusive=exclusive) if locked else open_for_reading(path)
        self._leave = weakref.finalize(self, leave, self._opened)
        self._layers: dict[str, LabelLayer] = {}
        self.whole: Record | None = None
        self.tesserae = self.label_layer(TESSERAE)
        self.edits = JournaledEdits(self._opened, self.tesserae, writable=writable)
        try:
            self.map = MapLayer(path, self.plan, writable=writable)
            self.tesserae.open()
        except DAMAGE as error:
            self._leave()
            raise RecordError(
                f"The arrays of {path} cannot be opened ({error}); a folder in it was moved or damaged: "
                "restore it, or segment again."
            ) from error
        if locked:
            self._repair()

    def _repair(self) -> None:
        """Bring shards to the edits, and scales to the pixel size, that a crash kept from them; nobody looks before."""
        try:
            with self._opened.state_lock:
                if self._opened.repaired:
                    return
                if has_grown(self.path / FOLDER / LOG):
                    self.edits.repair()
                with suppress(OSError):  # on a full disk scales stay as they are; nothing of ours reads them
                    rescale_arrays(self.path, self.plan, self.pixel_mm)
                self._opened.repaired = True
        except BaseException:
            self._leave()
            raise

    def close(self) -> None:
        """Bring the smaller levels up to date with edits; the last writer of a process frees the lock."""
        if self.whole is not None:
            self.whole.close()
        if not self._leave.alive:
            return
        try:
            if self._opened.lock is not None and self._opened.journal is not None:
                with suppress(WriteError, *DAMAGE):  # what is left is done when the record is opened again
                    drain(self.edits.update_pyramid_steps())
        finally:
            self._leave()

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
        with writing(self.path), self._opened.state_lock:
            if size != self.metadata.pixel_size:
                self.update(pixel_size=size)
            rescale_arrays(self.path, self.plan, confirmed_mm(size))

    @property
    def crs(self) -> str | None:
        """Coordinate reference system of the source."""
        return self.metadata.crs

    @property
    def affine(self) -> tuple[float, ...] | None:
        """From source pixels to the CRS: `a, b, c, d, e, f`."""
        return self.metadata.affine

    @property
    def rectification(self) -> Rectification | None:
        """Where the record is of a rectified picture: its photograph, points, sides and homography."""
        return source.rectification_of(self.source, self.path)

    def to_photograph(self, points: Points) -> Array:
        """Places in the photograph of places in the picture that the record was made from.

        Parameters
        ----------
        points
            `(n, 2)`, `(y, x)` in pixels of that picture, the outer corner of its first pixel (0, 0).

        Returns
        -------
        ndarray
            `(n, 2)`, `(y, x)` in the photograph that was rectified; the same places where none was.
        """
        found = self.rectification
        return np.asarray(points, float).reshape(-1, 2) if found is None else found.to_photograph(points)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the working grid."""
        return self.plan.shape

    @property
    def areas(self) -> AreaSet:
        """Regions, exclusions and area classes, in source pixels."""
        return areas_of(self.path)

    @areas.setter
    def areas(self, areas: AreaSet) -> None:
        write_areas(self.path / AREAS, areas)

    @property
    def whole_floor(self) -> Record:
        """The record of the whole floor: itself, unless it is a part of one."""
        return self

    @property
    def region(self) -> BaseGeometry | None:
        """The part of the photograph that it is of, in source pixels; None for all of it."""
        return None

    @property
    def count(self) -> int:
        """Number of tesserae found so far."""
        return self.tesserae.count

    @property
    def tables(self) -> Path:
        """Folder of the table's parts."""
        return self.tesserae.tables

    @property
    def map_levels(self) -> list[Any]:
        """The arrays of the map, `(C, Y, X)` uint8."""
        return self.map.levels

    @property
    def tessera_levels(self) -> list[Any]:
        """The arrays of the tesserae, `(Y, X)` unsigned integers."""
        return self.tesserae.levels

    def label_layer(self, name: str) -> LabelLayer:
        """A label layer by its name, such as "tesserae" or "sam2"; its arrays are opened when they are asked for."""
        if name not in self._layers:
            self._layers[name] = self._opened.label_layer(name, writable=self.writable)
        return self._layers[name]

    def label_layers(self) -> tuple[LabelLayer, ...]:
        """Every label layer that the record has, the tesserae first."""
        return tuple(map(self.label_layer, layer_names(self.path)))

    def with_labels(self, name: str | None = None) -> Record:
        """The record for reading, with the labels of one of its layers where else its tesserae are.

        Its count, table, figures and labels, and whatever takes a record (exports, previews, the feature table), tell
        of that layer then. Both are closed when either is.

        Parameters
        ----------
        name
            Of the layer, such as "tesserae" or "sam2"; by default the one that was chosen already, else what the
            record's method was asked for: the labels of SAM 2 where it has some of its own, else the tesserae.

        Raises
        ------
        MissingError
            There is no such layer; the sentence names those that there are.

        Examples
        --------
        >>> with open_record("floor.mosaic.zarr") as record:  # doctest: +SKIP
        ...     print({layer.name: layer.count for layer in record.label_layers()})
        ...     print(record.with_labels("sam2").figures().count)
        """
        return show_labels(self, name)

    def add_label_layer(self, name: str) -> LabelLayer:
        """A label layer, made empty where it is not there; `WriteError` where it cannot be."""
        layer = self.label_layer(name)
        with self._opened.state_lock:
            layer.create(self.pixel_mm)
        return layer

    @property
    def complete(self) -> bool:
        """Whether every phase is done for the whole area, also SAM 2's where it was begun."""
        return self.metadata.complete

    @property
    def ledger(self) -> Ledger:
        """Which pieces are finished."""
        return self._opened.ledger

    @property
    def journal(self) -> Journal:
        """The edits, read when they are first asked for; a reader sees those that are made meanwhile."""
        return self.edits.journal

    def shard_lock(self, level: int, index: Index) -> threading.RLock:
        """The lock of one shard of the tesserae; whoever reads it to write it again holds it."""
        return self.tesserae.locks.shard(level, index)

    def running(self) -> AbstractContextManager[None]:
        """The right to compute pieces: a run holds it; edits of finished pieces go on meanwhile.

        Raises
        ------
        LockedError
            There is a run in this process already.
        """
        return self._opened.running()

    def state(self) -> dict[str, tuple[int, int]]:
        """Finished and planned pieces of each phase; of SAM 2's where it was begun."""
        self.ledger.reload()
        totals = {"map": len(self.plan.lattice), TESSERAE: len(self.plan.shards)}
        if SAM2 in self.metadata.phases:
            totals[SAM2] = len(self.plan.shards)
        return {phase: (len(self.ledger.done(phase)), total) for phase, total in totals.items()}

    def update(self, **changes: Any) -> None:
        """Change fields of `mosaic.json`."""
        with self._opened.state_lock:
            changed = replace(self.metadata, **changes)
            with writing(self.path):
                write_metadata(self.path, changed)
            self._opened.metadata = changed

    def set_phase(self, **phases: str) -> None:
        """Note the state of phases."""
        with self._opened.state_lock:
            self.update(phases={**self.metadata.phases, **phases})

    def read_map(self, box: Box) -> NDArray[np.uint8]:
        """The stored map, `(C, h, w)` uint8, over `box` clipped to the working grid."""
        return self.map.read(box)

    def read_labels(self, box: Box, level: int = 0) -> NDArray[Any]:
        """Stored ids, `(h, w)`, over `box` of a level, clipped to it."""
        return self.tesserae.read(box, level)

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """Seeds, boxes, areas (px of the working grid), scores and flags by id."""
        return self.tesserae.table(columns)

    def figures(self, within: looked_at.Part = None) -> looked_at.Figures:
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
        return looked_at.measure(self, within)

    def write_map(self, box: Box, map_: NDArray[np.uint8]) -> None:
        """Write whole shards of the map."""
        self.map.write(box, map_)

    def write_tesserae(self, index: Index, labels: NDArray[Any], columns: Columns) -> None:
        """Write one shard of tesserae and its rows of the table; what was edited in it stays as it was edited."""
        self.edits.write_computed(index, labels, columns)

    def forget_tesserae(self, indices: Iterable[Index] | None = None) -> None:
        """Strike shards of tesserae (all by default) from the ledger, so that they are cut anew.

        It waits for an edit that is being made, which may have begun where the shards were still finished.
        """
        self.edits.forget_shards(indices)

    def write_labels(self, level: int, box: Box, labels: NDArray[Any]) -> None:
        """Write ids over `box` of a level; shards that it covers in part keep their other pixels."""
        self.tesserae.write(box, labels, level)

    def damaged(self, phase: str, indices: Iterable[Index]) -> list[Index]:
        """The pieces among `indices` whose shards are missing, empty or unreadable."""
        return arrays.damaged(self._pieces(phase), indices)

    def discard(self, phase: str, indices: Iterable[Index]) -> None:
        """Remove the shards of pieces from the disk: a damaged shard cannot be written in part."""
        arrays.discard(self._pieces(phase), indices)

    def _pieces(self, phase: str) -> arrays.Pieces:
        return self.map if phase == "map" else self.label_layer(phase)

    def open_source(self, location: str | Path | None = None) -> MosaicImage:
        """Open the photograph: beside the record first, then where it was.

        Raises `MissingError` where it is in neither place, `RecordError` where another image lies there.
        """
        return source.open_source(self.source, self.path, location)

    def layers(self) -> list[LayerData]:
        """The joints and the tesserae as layer-data tuples for napari, lazily, in place and scale.

        `features` are there for all tesserae up to `layer_features.MOST_FEATURES`, else for none: a viewer fills them
        for what it shows.
        """
        return layers_of(self)


def open_record(path: str | Path, *, writable: bool = False, exclusive: bool = False) -> Record:
    """Open a mosaic record.

    Parameters
    ----------
    path
        The folder `NAME.mosaic.zarr`, or its address in an object store, such as `s3://bucket/NAME.mosaic.zarr`.
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
    path = as_place(path)
    if not is_remote(path) and not path.exists():
        put_back(path)
    return Record(path, writable=writable, exclusive=exclusive)


def open_for_worker(path: str | Path) -> Record:
    """Open a record for writing shards while the process that handed out the work holds the lock."""
    return Record(as_place(path), writable=True, lock=False)
