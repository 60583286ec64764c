"""Rows of tesserae as lines: how the floor was laid.

One decision: a line goes through the centres of the stones of a row, so it says which stones it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_mosaic.classical.guidelines import estimate_guidelines
from napari_mosaic.export.quadrangles import feature, fit_record, opening, placed
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write the rows to `path` as GeoJSON, the longest first."""
    tesserae = read_tesserae(record)
    corners = np.zeros((len(tesserae), 4, 2))
    done = 0
    for rows, quadrangles, tile in fit_record(record, tesserae):
        corners[rows] = quadrangles[:, :, ::-1]
        done += len(rows)
        yield Progress(phase="export", done=done, total=len(tesserae), unit="tesserae", region=tile)
    lines = estimate_guidelines(corners)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(opening(record))
        for k, line in enumerate(lines):
            properties = {"row": k + 1, "tesserae": len(line), "numbers": [int(stone) + 1 for stone in line]}
            file.write(",\n" if k else "\n")
            file.write(feature("LineString", placed(record, corners[line].mean(1)[:, ::-1]), properties))
        file.write("\n]}\n")
