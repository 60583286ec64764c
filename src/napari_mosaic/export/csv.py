"""The table of tesserae as CSV: one line a tessera, in reading order.

One decision: what is measured from pixels is kept until the lines are written, all else is worked out some lines at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.files import write_csv
from napari_mosaic.measurement.features import choose_fields, measure_pixels_steps, rows_of
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

_LINES = 50_000


def write_steps(record: Record, path: Path, columns: Sequence[str] | None = None) -> Iterator[Progress]:
    """Write the table to `path`; see `measurement.columns` for its columns."""
    fields, tesserae = choose_fields(record, columns), read_tesserae(record)
    pixels = yield from measure_pixels_steps(record, tesserae, fields, phase="export")

    def lines() -> Iterator[Sequence[Any]]:
        yield [field.name for field in fields]
        for start in range(0, len(tesserae), _LINES):
            rows = np.arange(start, min(start + _LINES, len(tesserae)))
            values = rows_of(record, tesserae, rows, fields, pixels).values()
            yield from zip(*map(_cells, values), strict=True)

    write_csv(path, lines())


def _cells(values: NDArray[Any]) -> list[Any]:
    """Values as they are written; a cell without a value is empty."""
    return ["" if value != value else value for value in values.tolist()]
