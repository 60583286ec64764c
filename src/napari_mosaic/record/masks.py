"""What SAM 2 adds to a record: its plan, the proposals of its windows, labels and a table of their own.

One decision: a proposal file that is there and whole is done, and one that is not is made again; no ledger is
needed for what is thrown away at the end.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray

from napari_mosaic.errors import RecordError
from napari_mosaic.files import write_arrays, write_json
from napari_mosaic.record import layout, tables
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.store import Record, read_array, write_error
from napari_mosaic.tiling import Box, Lattice

NAME = "sam2"
PLAN, WORK = "sam2.json", "sam2-work.json"
SCHEMA = pa.schema(
    [
        *(tables.SCHEMA.field(name) for name in tables.SCHEMA.names),
        ("stability", pa.float32()),
        ("layer", pa.int16()),
        ("fallback", pa.bool_()),
    ]
)
"""The table of tesserae, and: stability of the mask, layer of windows, whether the joints' tessera stands for it."""
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
Arrays = dict[str, NDArray[Any]]


class MaskStore:
    """SAM 2's part of a record.

    Parameters
    ----------
    record
        Open for writing where anything is to be written.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._work = record.path / "work" / NAME
        self.tables = record.path / "tables" / NAME
        self._levels: list[Any] | None = None

    def read_plan(self) -> dict[str, Any] | None:
        """The stored plan as JSON values; None before SAM 2 has run, `RecordError` where it is damaged."""
        path = self._record.path / PLAN
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RecordError(f"{path} cannot be read ({error}); delete it and run SAM 2 again.") from error
        return values

    def write_plan(self, values: dict[str, Any]) -> None:
        """Store the plan, whole or not at all."""
        self._write_json(PLAN, values)

    def _write_json(self, name: str, values: dict[str, Any]) -> None:
        try:
            write_json(self._record.path / name, values, sync=True)
        except OSError as error:
            raise write_error(self._record.path, error) from error

    def read_work(self) -> dict[str, Any] | None:
        """What SAM 2 cost so far: `windows` encoded, `prompts`, `seconds`, `peak_bytes` of memory (None if unknown).

        None before it has run.
        """
        try:
            values: dict[str, Any] = json.loads((self._record.path / WORK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return values

    def add_work(self, *, windows: int, prompts: int, seconds: float, peak_bytes: int | None) -> None:
        """Add to what SAM 2 cost; of memory the peak counts."""
        before = self.read_work() or {"windows": 0, "prompts": 0, "seconds": 0.0, "peak_bytes": None}
        peaks = [peak for peak in (before["peak_bytes"], peak_bytes) if peak is not None]
        self._write_json(
            WORK,
            {
                "windows": before["windows"] + windows,
                "prompts": before["prompts"] + prompts,
                "seconds": round(before["seconds"] + seconds, 3),
                "peak_bytes": max(peaks) if peaks else None,
            },
        )

    def forget(self) -> None:
        """Begin again: no proposals, no labels, no rows, nothing finished."""
        self.forget_proposals()
        shutil.rmtree(self.tables, ignore_errors=True)
        shutil.rmtree(self._record.path / "labels" / NAME, ignore_errors=True)
        (self._record.path / WORK).unlink(missing_ok=True)
        self._levels = None
        for phase in (NAME, f"{NAME}-pyramid"):
            self._record.ledger.forget(phase)

    def forget_proposals(self) -> None:
        """Remove what the windows proposed; it can be computed again."""
        shutil.rmtree(self._work, ignore_errors=True)

    def has_proposals(self, layer: int, index: Index) -> bool:
        """Whether the proposals of a window are on disk."""
        return self._file(layer, index).is_file()

    def read_proposals(self, layer: int, index: Index) -> Arrays | None:
        """The proposals of a window; None where they are missing or damaged."""
        try:
            with np.load(self._file(layer, index), allow_pickle=False) as content:
                return {name: content[name] for name in content.files}
        except _DAMAGE:
            return None

    def write_proposals(self, layer: int, index: Index, arrays: Arrays) -> None:
        """Store the proposals of a window, whole or not at all."""
        path = self._file(layer, index)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, arrays, sync=False)
        except OSError as error:
            raise write_error(self._record.path, error) from error

    def _file(self, layer: int, index: Index) -> Path:
        return self._work / f"{layer}_{index[0]:06d}_{index[1]:06d}.npz"

    def prepare_labels(self) -> None:
        """Make `labels/sam2`, empty, where it is not there."""
        record = self._record
        if (record.path / "labels" / NAME / "zarr.json").exists():
            return
        try:
            with record.metadata_lock:
                root = zarr.open_group(str(record.path), mode="r+")
                layout.create_labels(root, NAME, record.plan, record.pixel_mm)
        except OSError as error:
            raise write_error(record.path, error) from error

    @property
    def levels(self) -> list[Any]:
        """All levels of `labels/sam2`; `RecordError` where there are none."""
        if self._levels is None:
            count = len(self._record.tessera_levels)
            mode: Any = "r+" if self._record.writable else "r"
            try:
                root: Any = zarr.open_group(str(self._record.path), mode=mode)
                self._levels = [root[f"labels/{NAME}/{level}"] for level in range(count)]
            except _DAMAGE as error:
                raise RecordError(
                    f"{self._record.path} has no masks of SAM 2; make them with segment --method sam2."
                ) from error
        return self._levels

    def read_labels(self, box: Box, level: int = 0) -> NDArray[Any]:
        """Ids of SAM 2's masks, `(h, w)`, over `box` of a level, clipped to it."""
        array = self.levels[level]
        return read_array(array, box.clip(array.shape).slices)

    def write_shard(self, index: Index, labels: NDArray[Any], columns: Arrays) -> None:
        """Write one shard of `labels/sam2` and its rows."""
        try:
            self.levels[0][self._record.plan.shards.tile(index).core.slices] = labels
        except OSError as error:
            raise write_error(self._record.path, error) from error
        self.write_rows(index, columns)

    def write_rows(self, index: Index, columns: Arrays) -> None:
        """Write the rows of the masks whose canonical pixels lie in a shard, whole or not at all."""
        self.tables.mkdir(parents=True, exist_ok=True)
        table = pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)
        tables.write_table(self.tables / tables.part_name(index), table)

    def table(self) -> pa.Table:
        """All rows, in order of shards."""
        parts = [pq.read_table(path, partitioning=None) for path in sorted(self.tables.glob("*.parquet"))]
        return pa.concat_tables(parts) if parts else SCHEMA.empty_table()

    def damaged(self) -> list[Index]:
        """Finished shards of `labels/sam2` that are missing, empty or unreadable."""
        plan, found = self._record.plan, []
        for index in self._record.ledger.done(NAME):
            file = layout.shard_file(self._record.path, f"labels/{NAME}/0", index, channels=False)
            try:
                whole = file.stat().st_size > 0 and (self.tables / tables.part_name(index)).stat().st_size > 0
                if whole:
                    self.read_labels(plan.shards.tile(index).core)
            except (*_DAMAGE, RuntimeError):
                whole = False
            if not whole:
                file.unlink(missing_ok=True)
                found.append(index)
        return found

    def update_pyramid(self) -> None:
        """Bring the smaller levels of `labels/sam2` up to date: every second pixel of the level below."""
        ledger, shard = self._record.ledger, self._record.plan.shard
        dirty = finished = set(ledger.done(NAME) - ledger.done(f"{NAME}-pyramid"))
        for level in range(1, len(self.levels)):
            dirty = {(i // 2, j // 2) for i, j in dirty}
            below, array = self.levels[level - 1], self.levels[level]
            lattice = Lattice(shape=array.shape, core=shard)
            for index in sorted(dirty):
                core = lattice.tile(index).core
                source = core.scale(2).clip(below.shape)
                array[core.slices] = read_array(below, source.slices)[::2, ::2]
        ledger.add(f"{NAME}-pyramid", sorted(finished))
