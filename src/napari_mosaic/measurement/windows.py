"""Where the pixels of tesserae are: windows of the record, each tessera whole in one of them.

One decision: a tessera is read by the tile that holds its seed, and by no other, so whatever is measured of it is
measured once, from all of its pixels, and tiles need not know each other. A window is never larger than a tile
and `HALO` around it; a tessera that reaches further, as only edits make them, is flagged and has a window of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.table import TesseraTable
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box, Lattice

TILE = 2048
HALO = 512
"""Pixels of the working grid: some four times what the flood and the limit of a blob let a tessera reach from its seed
with the defaults (40 + 96), so that one beyond it was made by hand. *Not varied.*"""

BOX = ("y0", "x0", "y1", "x1")
"""Columns of the table that hold a tessera's box."""

Reader = Callable[[Box], NDArray[Any]]


@dataclass(frozen=True)
class TesseraWindow:
    """Some tesserae, and where their pixels are: their rows in the table and a window that holds them whole.

    `local` holds 1 + position in `rows`, over `box` of the working grid; 0 for all other pixels. `tile` is the tile
    that their seeds lie in.
    """

    tile: Box
    rows: NDArray[np.int64]
    box: Box
    local: NDArray[np.int32]


def tessera_windows(record: Record, tesserae: TesseraTable) -> Iterator[TesseraWindow]:
    """Visit all tesserae tile by tile, each in one window that holds the whole of it."""
    for tile, rows in tessera_tiles(record, tesserae):
        yield window_of(record.read_labels, tesserae.columns, rows, tile)


def tessera_tiles(record: Record, tesserae: TesseraTable) -> Iterator[tuple[Box, NDArray[np.int64]]]:
    """The rows of the table that share a window, each in one, with the tile that their seeds lie in."""
    lattice = Lattice(shape=record.shape, core=TILE)
    columns = tesserae.columns
    key = (columns["y"] // TILE).astype(np.int64) * lattice.counts[1] + columns["x"] // TILE
    order = np.argsort(key, kind="stable")
    bounds = np.searchsorted(key[order], np.arange(len(lattice) + 1))
    far = reach_far(columns)
    for k, cell in enumerate(lattice):
        rows = order[bounds[k] : bounds[k + 1]]
        together = rows[~far[rows]]
        if len(together):
            yield cell.core, together
        for row in rows[far[rows]]:
            yield cell.core, np.array([row])


def reach_far(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Which tesserae reach further than `HALO` from their seeds."""
    y, x = columns["y"], columns["x"]
    sides = (y - columns["y0"], x - columns["x0"], columns["y1"] - 1 - y, columns["x1"] - 1 - x)
    return np.asarray(np.maximum.reduce(sides) > HALO)


def window_of(read: Reader, columns: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], tile: Box) -> TesseraWindow:
    """The window of some rows, at least one, of the columns of a table; `read` gives ids by box."""
    lower = (int(columns[name][rows].min()) for name in BOX[:2])
    upper = (int(columns[name][rows].max()) for name in BOX[2:])
    box = Box(*lower, *upper)
    only = TesseraTable({"id": columns["id"][rows]})
    return TesseraWindow(tile, rows, box, only.numbers_of(read(box)).astype(np.int32))


def no_window() -> TesseraWindow:
    """A window without a tessera."""
    nothing = Box(0, 0, 0, 0)
    return TesseraWindow(nothing, np.zeros(0, np.int64), nothing, np.zeros((0, 0), np.int32))
