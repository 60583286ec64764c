"""Numbered labels tile by tile or band by band, for the formats that hold pixels.

One decision: pieces come in the order in which a file is written, from the top, so a writer keeps one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.measurement.table import TesseraTable
from napari_mosaic.measurement.windows import BOX
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box

TILE = 2048
"""Side of what is read at once, px: bounds memory, changes nothing."""


def number_tiles(
    record: Record, tesserae: TesseraTable, shape: tuple[int, int] | None = None
) -> Iterator[tuple[Box, NDArray[np.uint32]]]:
    """Boxes of the photograph and the numbers of the tesserae in them, row by row.

    `shape` is the height and width of a box; squares of `TILE` without it. Where there is none of them nothing is read.
    """
    around = _around(record, tesserae)
    height, width = record.plan.source_shape
    tall, wide = shape or (TILE, TILE)
    for y in range(0, height, tall):
        for x in range(0, width, wide):
            box = Box(y, x, min(y + tall, height), min(x + wide, width))
            here = box.intersect(around).area > 0
            yield box, tesserae.numbers_of(read_source_labels(record, box)) if here else np.zeros(box.shape, np.uint32)


def _around(record: Record, tesserae: TesseraTable) -> Box:
    """A box in source pixels that holds all tesserae."""
    if not len(tesserae):
        return Box(0, 0, 0, 0)
    low = (int(tesserae.columns[name].min()) for name in BOX[:2])
    return Box(*low, *(int(tesserae.columns[name].max()) for name in BOX[2:])).scale(1 / record.plan.factor).grow(1)


def progress_at(record: Record, box: Box) -> Progress:
    """Progress of a row-by-row export that has just finished `box`."""
    height, width = record.plan.source_shape
    done = box.y0 * width + (box.y1 - box.y0) * box.x1
    return Progress(phase="export", done=done / 1e6, total=height * width / 1e6)


def band_rows(width: int) -> int:
    """Rows of a band of some 16 megapixels, a multiple of 16 and at least 16."""
    return max(16, min(TILE, (2**24 // max(width, 1)) // 16 * 16))
