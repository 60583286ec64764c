"""Where the pixels of tesserae are: windows of the record, each tessera whole in one of them.

One decision: a tessera is read by the tile that holds its seed, and by no other, so whatever is measured of it is
measured once, from all of its pixels, and tiles need not know each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.table import TesseraTable
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box, Lattice

TILE = 2048


@dataclass(frozen=True)
class TesseraWindow:
    """The tesserae whose seeds lie in one tile: their rows, and where their pixels are.

    `local` holds 1 + position in `rows`, over `box` of the working grid; 0 for all other pixels.
    """

    tile: Box
    rows: NDArray[np.int64]
    box: Box
    local: NDArray[np.int32]


def tessera_windows(record: Record, tesserae: TesseraTable) -> Iterator[TesseraWindow]:
    """Visit all tesserae tile by tile, each in one window that holds the whole of it."""
    lattice = Lattice(shape=record.shape, core=TILE)
    columns = tesserae.columns
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
            yield TesseraWindow(cell.core, rows, box, _local(record.read_labels(box), columns["id"][rows]))


def _local(labels: NDArray[Any], ids: NDArray[np.uint64]) -> NDArray[np.int32]:
    only = TesseraTable({"id": ids})
    return only.numbers_of(labels).astype(np.int32)


def centres(window: TesseraWindow) -> NDArray[np.float64]:
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
