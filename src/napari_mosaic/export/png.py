"""Labels as a 16-bit PNG.

One decision: a record that has more tesserae than the format can number is refused before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_mosaic.errors import InputError
from napari_mosaic.export.label_tiles import band_rows, number_tiles, progress_at
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.png_rows import PngRows
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write numbered labels on the photograph's grid to `path`, band by band."""
    tesserae = read_tesserae(record)
    if len(tesserae) >= 2**16:
        raise InputError(
            f"The record has {len(tesserae)} tesserae and a PNG can number 65535; export as tiff or zarr instead."
        )
    height, width = record.plan.source_shape
    with PngRows(path, (height, width), depth=16) as rows:
        for box, numbers in number_tiles(record, tesserae, (band_rows(width), width)):
            rows.write(numbers)
            yield progress_at(record, box)
