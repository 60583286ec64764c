"""Labels on the pixels of the photograph.

One decision: a source pixel has the tessera that lies under its centre, so every pixel is right by
itself and tiles need not know each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.export.stones import Stones
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box

TILE = 2048


Reader = Callable[[Box], NDArray[Any]]
"""Labels by box on the working grid."""


def read_source_labels(record: Record, box: Box, read: Reader | None = None) -> NDArray[Any]:
    """Ids over a box in source pixels, clipped to the photograph; of the tesserae, or of what `read` reads."""
    y0, x0, y1, x1 = box.clip(record.plan.source_shape)
    rows = places_under(y0, y1, record.plan.factor, record.shape[0])
    columns = places_under(x0, x1, record.plan.factor, record.shape[1])
    if len(rows) == 0 or len(columns) == 0:
        return np.zeros((len(rows), len(columns)), np.uint32)
    work = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    labels = (read or record.read_labels)(work)
    sampled: NDArray[Any] = labels[(rows - work.y0)[:, None], columns - work.x0]
    return sampled


def number_tiles(
    record: Record, stones: Stones, shape: tuple[int, int] | None = None
) -> Iterator[tuple[Box, NDArray[np.uint32]]]:
    """Boxes of the photograph and the numbers of the tesserae in them, row by row.

    `shape` is the height and width of a box; squares of `TILE` without it.
    """
    height, width = record.plan.source_shape
    tall, wide = shape or (TILE, TILE)
    for y in range(0, height, tall):
        for x in range(0, width, wide):
            box = Box(y, x, min(y + tall, height), min(x + wide, width))
            yield box, stones.numbers_of(read_source_labels(record, box))


def progress_at(record: Record, box: Box) -> Progress:
    """Progress of a row-by-row export that has just finished `box`."""
    height, width = record.plan.source_shape
    done = box.y0 * width + (box.y1 - box.y0) * box.x1
    return Progress(phase="export", done=done / 1e6, total=height * width / 1e6)


def band_rows(width: int) -> int:
    """Rows of a band of some 16 megapixels, a multiple of 16 and at least 16."""
    return max(16, min(TILE, (2**24 // max(width, 1)) // 16 * 16))


def places_under(start: int, stop: int, factor: float, length: int) -> NDArray[np.int64]:
    """Working pixels under the centres of source pixels."""
    places: NDArray[np.int64] = np.floor((np.arange(start, stop) + 0.5) * factor).astype(np.int64)
    return np.asarray(np.clip(places, 0, length - 1))
