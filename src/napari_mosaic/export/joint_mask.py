"""The joints as a black and white picture: 255 where a joint is, cleaned as GROUT cleans its masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_mosaic.export.joint_pictures import JointParams, clean_bands
from napari_mosaic.export.label_tiles import progress_at
from napari_mosaic.png_rows import PngRows
from napari_mosaic.probability import open_map
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write the picture on the photograph's grid to `path`, band by band."""
    with PngRows(path, record.plan.source_shape, depth=8) as rows:
        for band in clean_bands(open_map(record), JointParams()):
            rows.write(band.mask * 255)
            yield progress_at(record, band.box)
