"""Labels on the pixels of the photograph.

One decision: a source pixel has the tessera that lies under its centre, so every pixel is right by
itself and tiles need not know each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.record import Record
from napari_mosaic.tiling import Box

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


def places_under(start: int, stop: int, factor: float, length: int) -> NDArray[np.int64]:
    """Working pixels under the centres of source pixels."""
    places: NDArray[np.int64] = np.floor((np.arange(start, stop) + 0.5) * factor).astype(np.int64)
    return np.asarray(np.clip(places, 0, length - 1))
