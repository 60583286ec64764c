"""The tesserae of a record in the order and the units that exports use.

One decision: ids are sparse names of places, so nothing is ever looked up by indexing with one; all
goes through the sorted table of ids, and pixels are looked up run by run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.areas import AreaSet
from napari_mosaic.record import Record, tables
from napari_mosaic.tiling import Box, Lattice

TILE = 2048
_COLUMNS = ["id", "y", "x", "y0", "x0", "y1", "x1", "area", "score", "flags"]


@dataclass(frozen=True)
class Stones:
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


@dataclass(frozen=True)
class StoneWindow:
    """The tesserae whose seeds lie in one tile: their rows, and where their pixels are.

    `local` holds 1 + position in `rows`, over `box` of the working grid; 0 for all other pixels.
    """

    tile: Box
    rows: NDArray[np.int64]
    box: Box
    local: NDArray[np.int32]


def read_stones(record: Record) -> Stones:
    """The table of a record in reading order."""
    table = record.table(_COLUMNS)
    columns = {name: table.column(name).to_numpy() for name in _COLUMNS}
    columns |= tables.said_of(record.tables, columns["id"])
    order = np.lexsort((columns["x"], columns["y"]))
    return Stones({name: values[order] for name, values in columns.items()}, record.areas)


def stone_windows(record: Record, stones: Stones) -> Iterator[StoneWindow]:
    """Visit all tesserae tile by tile, each in one window that holds the whole of it."""
    lattice = Lattice(shape=record.shape, core=TILE)
    columns = stones.columns
    key = (columns["y"] // TILE).astype(np.int64) * lattice.counts[1] + columns["x"] // TILE
    order = np.argsort(key, kind="stable")
    bounds = np.searchsorted(key[order], np.arange(len(lattice) + 1))
    for k, cell in enumerate(lattice):
        rows = order[bounds[k] : bounds[k + 1]]
        if len(rows):
            box = Box(
                *(int(columns[name][rows].min()) for name in ("y0", "x0")),
                *(int(columns[name][rows].max()) for name in ("y1", "x1")),
            )
            yield StoneWindow(cell.core, rows, box, _local(record.read_labels(box), columns["id"][rows]))


def _local(labels: NDArray[Any], ids: NDArray[np.uint64]) -> NDArray[np.int32]:
    only = Stones({"id": ids})
    return only.numbers_of(labels).astype(np.int32)


def centres(window: StoneWindow) -> NDArray[np.float64]:
    """Centres of gravity `(n, 2)` of a window's tesserae, `(y, x)` on the working grid.

    Coordinates count from the corner of the first pixel, so the middle of pixel 0 is 0.5.
    """
    count = len(window.rows) + 1
    flat = window.local.ravel()
    y = np.repeat(np.arange(window.local.shape[0]), window.local.shape[1])
    x = np.tile(np.arange(window.local.shape[1]), window.local.shape[0])
    area = np.maximum(np.bincount(flat, minlength=count), 1)
    sums = [np.bincount(flat, weights, minlength=count) / area for weights in (y, x)]
    return np.column_stack(sums)[1:] + 0.5 + (window.box.y0, window.box.x0)


def millimetres(record: Record) -> float | None:
    """Edge of a source pixel in mm, where somebody or the file's map coordinates vouch for it."""
    return record.pixel_mm
