"""The table of tesserae as CSV: one line a tessera, in reading order.

One decision: centres are centres of gravity of the stones, counted from their pixels, not middles of
their boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.export.figures import figures_of
from napari_mosaic.export.stones import Stones, centres, read_stones, stone_windows
from napari_mosaic.files import write_csv
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

_LINES = 50_000


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write the table to `path`; see `figures_of` for its columns."""
    stones = read_stones(record)
    centre = np.zeros((len(stones), 2))
    done = 0
    for window in stone_windows(record, stones):
        centre[window.rows] = centres(window)
        done += len(window.rows)
        yield Progress(phase="export", done=done, total=len(stones), unit="tesserae", region=window.tile)
    write_csv(path, _lines(record, stones, centre))


def _lines(record: Record, stones: Stones, centre: NDArray[np.float64]) -> Iterator[Sequence[Any]]:
    for start in range(0, max(len(stones), 1), _LINES):
        rows = np.arange(start, min(start + _LINES, len(stones)))
        figures = figures_of(record, stones, rows, centre[rows])
        if start == 0:
            yield list(figures)
        yield from zip(*(values.tolist() for values in figures.values()), strict=True)
