"""Where tesserae lie: boxes and seeds, from rows of the table and from labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.record.tables import Columns
from napari_mosaic.tiling import Box


def bounding_box(rows: Columns) -> Box:
    """The box around all tesserae of some rows."""
    low = (int(rows[name].min()) for name in ("y0", "x0"))
    return Box(*low, *(int(rows[name].max()) for name in ("y1", "x1")))


def bounding_boxes(rows: Columns) -> list[Box]:
    """The box of each tessera of some rows."""
    edges = (rows[name].tolist() for name in ("y0", "x0", "y1", "x1"))
    return [Box(*box) for box in zip(*edges, strict=True)]


def union(first: Box, second: Box) -> Box:
    """The smallest box around two."""
    low = (min(first[axis], second[axis]) for axis in (0, 1))
    return Box(*low, *(max(first[axis], second[axis]) for axis in (2, 3)))


def mask_bounding_box(mask: NDArray[np.bool_], box: Box) -> Box:
    """The smallest box around what is set in a mask over `box`."""
    y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(int(y[0]), int(x[0]), int(y[-1]) + 1, int(x[-1]) + 1).shift(box.y0, box.x0)


def seed_of(labels: NDArray[Any], id_: int, own: Sequence[int], box: Box, old: tuple[int, int]) -> tuple[int, int]:
    """The old seed where it still lies in the tessera, else its nearest pixel, the first of equals."""
    y, x = old[0] - box.y0, old[1] - box.x0
    if 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1] and labels[y, x] == id_:
        return old
    y0, x0, y1, x1 = own
    pixels = np.argwhere(labels[y0:y1, x0:x1] == id_) + np.array([y0, x0])
    nearest = pixels[np.argmin(((pixels - np.array([y, x])) ** 2).sum(axis=1))]
    return int(nearest[0]) + box.y0, int(nearest[1]) + box.x0
