"""The table of a record's tesserae, in reading order.

One decision: ids are sparse names of places, so nothing is ever looked up by indexing with one; all
goes through the sorted table of ids, and pixels are looked up run by run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.areas import AreaSet
from napari_mosaic.record import Record, tables

_COLUMNS = ["id", "y", "x", "y0", "x0", "y1", "x1", "area", "score", "flags"]


@dataclass(frozen=True)
class TesseraTable:
    """All tesserae in reading order of their seeds; row `i` has the number `i + 1`.

    `columns` are those of the record's table, in pixels of the working grid, and the codes of `material` and `state`;
    `areas` those of the floor.
    """

    columns: dict[str, NDArray[Any]]
    areas: AreaSet = field(default_factory=AreaSet)

    def __len__(self) -> int:
        return len(self.columns["id"])

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self.columns["id"])

    @cached_property
    def _sorted_ids(self) -> NDArray[np.uint64]:
        ids: NDArray[np.uint64] = self.columns["id"][self._order]
        return ids

    def rows_of(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """Rows of some ids, `(n,)`; -1 of one that is not in the table."""
        if len(self) == 0:
            return np.full(len(ids), -1, np.int64)
        wanted = ids.astype(np.uint64)
        place = np.searchsorted(self._sorted_ids, wanted).clip(max=len(self) - 1)
        return np.where(self._sorted_ids[place] == wanted, self._order[place], -1)

    def numbers_of(self, labels: NDArray[Any]) -> NDArray[np.uint32]:
        """Numbers 1..N of an array of ids; 0 where there is no tessera."""
        if labels.size == 0 or len(self) == 0:
            return np.zeros(labels.shape, np.uint32)
        flat = labels.ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        heads = flat[starts].astype(np.uint64)
        place = np.searchsorted(self._sorted_ids, heads).clip(max=len(self) - 1)
        found = np.where(self._sorted_ids[place] == heads, self._order[place] + 1, 0)
        lengths = np.diff(np.append(starts, flat.size))
        return np.repeat(found.astype(np.uint32), lengths).reshape(labels.shape)


def read_tesserae(record: Record) -> TesseraTable:
    """The table of a record in reading order."""
    table = record.table(_COLUMNS)
    columns = tables.columns_of(table)
    columns |= tables.attributes_of(record.tables, columns["id"])
    order = np.lexsort((columns["x"], columns["y"]))
    return TesseraTable({name: values[order] for name, values in columns.items()}, record.areas)


def typical_side(record: Record) -> float | None:
    """Side, in source pixels, of the square of the median tessera's area; None where there is none."""
    area = tables.columns_of(record.table(["area"]))["area"]
    return float(np.sqrt(np.median(area))) / record.plan.factor if len(area) else None
