"""Stones seen as soon as the network has looked: a window's own, before the tile that it lies in can be cut.

One decision: a sketch is in the memory of the viewer alone. It is cut from one window as if the picture ended there, so
stones at its edges are in pieces; the tile, when it is finished, and the end of every run put what the record holds in
its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from napari_mosaic.record import Record
from napari_mosaic.tesserae import find_in_window
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._levels import Level, put_pixels

MOST = 16 << 20
"""Pixels in view up to which windows are sketched: in a wider view a stone is too small to be looked at. Not varied."""


def sketch_windows(record: Record, levels: Sequence[Level], windows: Iterable[Box], view: Box) -> None:
    """Put the tesserae of finished windows that are in view into the levels of a layer, where the record has none yet.

    On a worker's thread. Boxes are those of the working grid.
    """
    finished = record.ledger.done("tesserae")
    for window in (window.clip(record.shape) for window in windows):
        if view.area > MOST or window.intersect(view).area == 0:
            continue
        if finished.issuperset(record.plan.shards.overlapping(window)):
            continue
        found = find_in_window(record.read_map(window), window, window, record.shape, record.plan.tesserae).labels
        stored = record.read_labels(window)
        put_pixels(levels, window, np.where(stored > 0, stored, found))
