"""The tesserae as a black and white picture: 255 where a tessera is, as data sets of tesserae have their masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_mosaic.export.label_tiles import band_rows, number_tiles, progress_at
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.png_rows import PngRows
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write the picture on the photograph's grid to `path`, band by band."""
    height, width = record.plan.source_shape
    with PngRows(path, (height, width), depth=8) as rows:
        for box, numbers in number_tiles(record, read_tesserae(record), (band_rows(width), width)):
            rows.write((numbers > 0) * 255)
            yield progress_at(record, box)
