"""What was measured of a record, as docks, layers and the panel show it.

One decision: nothing of a measurement is kept in memory but the columns that are looked at; the rest stays in the
record's Parquet file, of which the features of a layer read the groups of rows that hold its tesserae.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.files import readable
from napari_mosaic.measuring import Measurement, changed_since_measured, measure_steps, measured_files, read_measured
from napari_mosaic.progress import Steps
from napari_mosaic.record import open_record, tables
from napari_mosaic.record.looked_at import preserved_part
from napari_mosaic.record.readable import ReadableRecord

COLUMNS = "mosaic_columns"
"""Key of a tesserae layer's metadata: which measured columns its features hold."""

_PLAIN = ("number", "id", "flags", "large", "y0_px", "x0_px", "y1_px", "x1_px", "map_x", "map_y", "row_place")
"""Columns that nobody plots or colours by: names, boxes and places."""


@dataclass(frozen=True)
class MeasuredFloor:
    """The measurement that a record keeps: its figures, and its table, of which columns are read when asked for.

    `whole` are the figures as JSON, {} where nobody has measured it; `changed` says what has changed since, "" for
    nothing; `preserved` is what is preserved and `lacunae` what is lost, in px of the photograph.
    """

    record: Path
    labels: str = "tesserae"
    factor: float = 1.0
    whole: dict[str, Any] = field(default_factory=dict)
    changed: str = ""
    preserved: BaseGeometry = field(default_factory=shapely.Polygon)
    lacunae: BaseGeometry = field(default_factory=shapely.Polygon)
    file: Path | None = None

    def __len__(self) -> int:
        return 0 if self.file is None else pq.read_metadata(next(readable([self.file]))).num_rows

    @property
    def unit(self) -> str:
        """Of all lengths: px or mm."""
        return str(self.whole.get("unit", "px"))

    @property
    def edge(self) -> float:
        """A pixel of the photograph in that unit."""
        mm = self.whole.get("measured_when", {}).get("pixel_mm")
        return 1.0 if mm is None or self.unit == "px" else float(mm)

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and kinds of the columns."""
        return pa.schema([]) if self.file is None else pq.read_schema(next(readable([self.file])))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Columns of figures that may be plotted, each in one unit."""
        names = [one.name for one in self.schema if not pa.types.is_string(one.type) and one.name not in _PLAIN]
        other = {"mm": ("_px", "_per_mpx"), "px": ("_mm", "_mm2", "_per_dm2")}[self.unit]
        bases = {_without_unit(name) for name in names if not name.endswith(other)}
        twins = {name for name in names if name.endswith(other) and _without_unit(name) in bases}
        return tuple(name for name in names if name not in twins and name not in ("palette_class", "row"))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Columns of classes that tell at least one from another."""
        there = [
            name for name in ("palette_class", "opus", "material", "state", "area_class") if name in self.schema.names
        ]
        return tuple(name for name in there if len(self.words_of(name)[0]) > 0)

    @cached_property
    def ids(self) -> NDArray[np.uint64]:
        """`(n,)`: ids, in reading order."""
        return self._read("id").astype(np.uint64)

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """`(n, 2)`: centres of gravity as (x, y), px of the photograph."""
        return np.column_stack([self._read("centre_x_px"), self._read("centre_y_px")]).astype(float)

    def column(self, name: str) -> NDArray[np.float64]:
        """`(n,)` values of a column of figures; NaN where there is none."""
        return self._read(name).astype(float)

    def words_of(self, name: str) -> tuple[list[str], NDArray[np.int64]]:
        """The classes of a column in order, and `(n,)` the place of each tessera's; -1 of one that has none."""
        values = self._read(name)
        if name == "palette_class":
            count = int(values.max(initial=0))
            return [str(k) for k in range(1, count + 1)], values.astype(np.int64) - 1
        words = np.array(["" if word is None else word for word in values], dtype=object).astype(str)
        found, codes = np.unique(words, return_inverse=True)
        if len(found) and found[0] == "":
            return found[1:].tolist(), codes - 1
        return found.tolist(), codes

    def _read(self, name: str) -> NDArray[Any]:
        if self.file is None:
            return np.zeros(0)
        return np.asarray(tables.read_table(self.file, [name])[name].to_numpy())


def _without_unit(name: str) -> str:
    for ending in ("_px", "_mm", "_mm2", "_per_mpx", "_per_dm2"):
        name = name.removesuffix(ending)
    return name


def open_measured(path: Path, labels: str | None = None) -> MeasuredFloor:
    """The measurement that a record keeps of some labels, by default of what its method was asked for."""
    with open_record(path) as opened:
        record = opened.with_labels(labels)
        whole, (file, _) = read_measured(record), measured_files(record)
        if not whole or not file.exists() or "measured_when" not in whole:
            return MeasuredFloor(path, record.tesserae.name, record.plan.factor)
        return MeasuredFloor(
            record=path,
            labels=record.tesserae.name,
            factor=record.plan.factor,
            whole=whole,
            changed=changed_since_measured(record),
            preserved=preserved_part(record),
            lacunae=record.areas.of("lacuna"),
            file=file,
        )


def measure_record_steps(path: Path, labels: str | None = None) -> Steps[MeasuredFloor]:
    """Measure a record, which keeps what is found; see `measuring.measure_steps`."""
    with open_record(path, writable=True) as record:
        found: Measurement = yield from measure_steps(record, labels=labels)
    return open_measured(path, found.whole.labels)


def measured_table(record: ReadableRecord) -> Path:
    """Where the measured table of the labels lies that a record shows."""
    return record.path / "tables" / f"{record.tesserae.name}.measured.parquet"


def columns_for(record: ReadableRecord, ids: NDArray[Any], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Measured columns of some tesserae, none where they were not measured; only groups of rows that may hold them."""
    file = measured_table(record)
    if not names or len(ids) == 0 or not file.exists():
        return {}
    with pq.ParquetFile(next(readable([file]))) as table:
        known = [name for name in names if name in table.schema_arrow.names]
        groups = [k for k in range(table.num_row_groups) if _may_hold(table.metadata.row_group(k), ids)]
        rows = table.read_row_groups(groups, columns=["id", *known], use_threads=False)
    there = rows["id"].to_numpy().astype(np.uint64)
    order = np.argsort(there)
    wanted = np.asarray(ids, np.uint64)
    place = np.searchsorted(there[order], wanted).clip(max=max(len(there) - 1, 0))
    found = (there[order][place] == wanted) if len(there) else np.zeros(len(wanted), bool)
    joined: dict[str, NDArray[Any]] = {}
    for name in known:
        values = rows[name].to_numpy()
        none: Any = "" if values.dtype == object else np.nan
        joined[name] = np.where(found, values[order][place], none) if len(there) else np.full(len(wanted), none)
    return joined


def _may_hold(group: Any, ids: NDArray[Any]) -> bool:
    """Whether a group of rows may hold one of some ids, by what the file says of its own."""
    for k in range(group.num_columns):
        column = group.column(k)
        if column.path_in_schema == "id" and column.statistics is not None:
            return bool(((ids >= column.statistics.min) & (ids <= column.statistics.max)).any())
    return True


__all__ = [
    "COLUMNS",
    "MeasuredFloor",
    "columns_for",
    "measure_record_steps",
    "measured_table",
    "open_measured",
]
