"""A label layer of a record: the ids of all levels, the parts of its table, its phases in the ledger.

One decision: what a record holds as labels, its tesserae, SAM 2's masks or whatever comes, is one class that knows its
folder, its locks and its damage, and nothing of edits: they are laid over it from above.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import zarr
from numpy.typing import NDArray

from napari_mosaic.errors import InputError, MissingError, RecordError
from napari_mosaic.files import read_object, remove_tree, writing
from napari_mosaic.objects import zarr_store
from napari_mosaic.record import layout, tables
from napari_mosaic.record.arrays import DAMAGE, open_levels, read_array, write_array
from napari_mosaic.record.ledger import Index, Ledger
from napari_mosaic.record.plan import Plan
from napari_mosaic.record.tables import Columns
from napari_mosaic.tiling import Box, Lattice


@dataclass(frozen=True, kw_only=True)
class LayerKind:
    """What sets one label layer apart: its name, which its phase in the ledger bears too, and its table.

    `pyramid` is the phase of its smaller levels, `missing` the sentence where it is not there.
    """

    name: str
    pyramid: str
    missing: str
    schema: pa.Schema = tables.SCHEMA


TESSERAE, SAM2 = "tesserae", "sam2"
SAM2_PLAN = "sam2.json"
"""The file with SAM 2's plan, which says where its masks go."""
_KINDS = {
    TESSERAE: LayerKind(
        name=TESSERAE,
        pyramid="pyramid",
        missing="The tesserae of {path} cannot be opened; restore their folder, or segment again.",
    ),
    SAM2: LayerKind(
        name=SAM2,
        pyramid="sam2-pyramid",
        missing="{path} has no masks of SAM 2; make them with segment --method sam2.",
        schema=tables.SAM2_SCHEMA,
    ),
}
_TAKEN = {"map", *(kind.pyramid for kind in _KINDS.values())}


def kind_of(name: str) -> LayerKind:
    """The kind of a layer by its name; any other than ours has the table of tesserae.

    `InputError` where the name is that of another phase of the ledger, or of no folder.
    """
    if not name or name in _TAKEN or name != Path(name).name or name.startswith("."):
        raise InputError(f"Labels of a record cannot be called {name!r}; give the plain name of a folder in labels.")
    missing = f"{{path}} has no labels {name!r}; give the name of a folder in its folder labels."
    return _KINDS.get(name) or LayerKind(name=name, pyramid=f"{name}-pyramid", missing=missing)


def layer_names(path: Path) -> list[str]:
    """The names of the label layers that the record at `path` has, the tesserae first."""
    found = (file.parent.name for file in (path / "labels").glob("*/zarr.json"))
    return sorted(found, key=lambda name: (name != TESSERAE, name))


def found_name(path: Path) -> str:
    """The layer with what the method of the record at `path` was asked for: SAM 2's where it has one of its own."""
    asked = read_object(path / SAM2_PLAN)
    return SAM2 if asked.get("into") == SAM2 and SAM2 in layer_names(path) else TESSERAE


def require_layer(path: Path, name: str) -> str:
    """The name of a layer that the record at `path` has; `MissingError`, which names those, where it has none."""
    there = layer_names(path)
    if name in there:
        return name
    how = "; segment with --method sam2 makes them" if name == SAM2 else ""
    raise MissingError(f"{path.name} has no labels {name!r}, but {' and '.join(there) or 'none at all'}{how}.")


@dataclass(frozen=True)
class LayerLocks:
    """The locks of a label layer, shared by all that write to it in this process: one a shard and level, one of tables.

    So edits in one place never wait for a run in another; whoever needs both takes the shard's first.
    """

    table: threading.RLock = field(default_factory=threading.RLock)
    _shards: dict[tuple[int, Index], threading.RLock] = field(default_factory=dict)

    def shard(self, level: int, index: Index) -> threading.RLock:
        """The one lock of a shard; `setdefault` is atomic, where a defaultdict may make two for two threads."""
        return self._shards.setdefault((level, index), threading.RLock())


class LabelLayer:
    """Labels of a record, `levels` of `(Y, X)` unsigned integers, and the table of what they name.

    Parameters
    ----------
    path
        The record.
    kind
        Which of its layers.
    plan
        The record's: the layer's geometry.
    ledger, locks
        What all that write to the layer in this process share.
    writable
        Whether arrays are opened for writing.
    """

    def __init__(
        self, path: Path, kind: LayerKind, plan: Plan, *, ledger: Ledger, locks: LayerLocks, writable: bool
    ) -> None:
        self.path = path
        self.name = kind.name
        self.tables = path / "tables" / kind.name
        self.shards: Lattice = plan.shards
        self.ledger = ledger
        self.locks = locks
        self._kind = kind
        self._plan = plan
        self._writable = writable
        self._levels: list[Any] | None = None

    @property
    def exists(self) -> bool:
        """Whether its arrays are there, the one that is made last among them."""
        last = len(layout.level_shapes(self._plan.shape)) - 1
        return (self.path / "labels" / self.name / str(last) / "zarr.json").exists()

    @property
    def levels(self) -> list[Any]:
        """Its arrays, opened when they are first asked for; `RecordError` where there are none."""
        try:
            return self.open()
        except DAMAGE as error:
            raise RecordError(self._kind.missing.format(path=self.path)) from error

    def open(self) -> list[Any]:
        """`levels`; one of `DAMAGE` where they cannot be opened."""
        if self._levels is None:
            self._levels = open_levels(self.path, f"labels/{self.name}/", self._plan, writable=self._writable)
        return self._levels

    def create(self, pixel_mm: float | None) -> None:
        """Make its arrays, empty, where they are not there."""
        if not self.exists:
            with writing(self.path):
                layout.create_labels(zarr.open_group(zarr_store(self.path), mode="r+"), self.name, self._plan, pixel_mm)

    def remove(self) -> None:
        """Take its arrays and its table away; nothing of it is finished then."""
        remove_tree(self.tables)
        remove_tree(self.path / "labels" / self.name)
        self._levels = None
        self.forget()

    def read(self, box: Box, level: int = 0) -> NDArray[Any]:
        """Ids, `(h, w)`, over `box` of a level, clipped to it."""
        array = self.levels[level]
        return read_array(array, box.clip(array.shape).slices)

    def write(self, box: Box, labels: NDArray[Any], level: int = 0) -> None:
        """Write ids over `box` of a level; shards that it covers in part keep their other pixels."""
        write_array(self.path, self.levels[level], box.slices, labels)

    def write_shard(self, index: Index, labels: NDArray[Any], columns: Columns) -> None:
        """Write one shard of level 0 and its rows."""
        with self.locks.shard(0, index), self.locks.table:
            self.write(self.shards.tile(index).core, labels)
            self.write_rows(index, columns)

    def lattice(self, level: int) -> Lattice:
        """The shards of a level."""
        return Lattice(shape=self.levels[level].shape, core=self.shards.core)

    def halve(self, level: int, box: Box, below: NDArray[Any] | None = None) -> None:
        """Make `box` of a level, at most one shard, by every second pixel of the level below it, read or at hand."""
        with self.locks.shard(level, (box.y0 // self.shards.core, box.x0 // self.shards.core)):
            below = self.read(box.scale(2), level - 1) if below is None else below
            self.write(box, below[::2, ::2], level)

    @property
    def count(self) -> int:
        """Number of rows."""
        return tables.count_rows(self.tables)

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """All rows, in order of shards, or some of their columns."""
        return tables.read_parts(self.tables, columns, self._kind.schema)

    def read_rows(self, index: Index) -> Columns:
        """The rows of a shard, with the codes of material and state."""
        return tables.read_rows(self.tables, index)

    def write_rows(self, index: Index, columns: Columns) -> None:
        """Write the rows of what has its seed in a shard; of material and state only where the columns hold them."""
        with writing(self.path):
            if "material" in columns:
                tables.write_rows(self.tables, index, columns)
            else:
                tables.write_part(self.tables, index, columns, self._kind.schema)

    @property
    def done(self) -> frozenset[Index]:
        """The finished shards."""
        return self.ledger.done(self.name)

    @property
    def in_levels(self) -> frozenset[Index]:
        """The finished shards that are in the smaller levels."""
        return self.ledger.done(self._kind.pyramid)

    def pending(self) -> set[Index]:
        """Finished shards that are not yet in the smaller levels."""
        return set(self.done - self.in_levels)

    def mark_pyramid(self, indices: Iterable[Index]) -> None:
        """Note that shards are in the smaller levels."""
        self.ledger.add(self._kind.pyramid, sorted(indices))

    def forget(self, indices: Iterable[Index] | None = None) -> None:
        """Strike shards (all by default) from the ledger, so that they are made anew; of the smaller levels first.

        A shard that is made anew and counts as in them already would never reach them.
        """
        indices = None if indices is None else list(indices)
        for phase in (self._kind.pyramid, self.name):
            self.ledger.forget(phase, indices)

    def forget_levels(self, indices: Iterable[Index]) -> None:
        """Note that shards are not in the smaller levels any more."""
        self.ledger.forget(self._kind.pyramid, list(indices))

    def files(self, index: Index) -> list[Path]:
        """The file of a shard of level 0."""
        return self.level_files(index, 0)

    def level_files(self, index: Index, level: int) -> list[Path]:
        """The file of a shard of a level."""
        return [layout.shard_file(self.path, f"labels/{self.name}/{level}", index, channels=False)]

    def check(self, index: Index) -> None:
        """Read a shard and its rows; one of `DAMAGE` where they are not whole."""
        self.read(self.shards.tile(index).core)
        tables.read_table(self.tables / tables.part_name(index))
