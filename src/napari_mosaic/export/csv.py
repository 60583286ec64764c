"""The table of tesserae as CSV: one line a tessera, in reading order.

One decision: centres are centres of gravity of the stones, counted from their pixels, not middles of
their boxes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_mosaic.measurement.figures import figures_of
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.measurement.windows import centres, tessera_windows
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

_LINES = 50_000


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write the table to `path`; see `figures_of` for its columns."""
    tesserae = read_tesserae(record)
    centre = np.zeros((len(tesserae), 2))
    done = 0
    for window in tessera_windows(record, tesserae):
        centre[window.rows] = centres(window)
        done += len(window.rows)
        yield Progress(phase="export", done=done, total=len(tesserae), unit="tesserae", region=window.tile)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for start in range(0, max(len(tesserae), 1), _LINES):
            rows = np.arange(start, min(start + _LINES, len(tesserae)))
            figures = figures_of(record, tesserae, rows, centre[rows])
            if start == 0:
                writer.writerow(figures)
            writer.writerows(zip(*(values.tolist() for values in figures.values()), strict=True))
