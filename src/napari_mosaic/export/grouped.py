"""Tesserae in groups of neighbours, for programs that show only so many at once.

One decision: the floor is halved along its longer side, where half of the tesserae lie on either side, until no part
holds more than it may; so parts follow the floor, and are as compact as it lets them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.measurement.outlines import trace_outlines
from napari_mosaic.measurement.table import TesseraTable
from napari_mosaic.measurement.windows import window_of
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box

_WIDEST = 4096
"""Side of a group in pixels of the working grid: bounds memory, and pictures of it can be opened anywhere."""


@dataclass(frozen=True)
class Group:
    """Neighbours: rows of the table, outlines `(x, y)` in source pixels, the source pixels around all of them."""

    rows: NDArray[np.int64]
    outlines: list[BaseGeometry]
    box: Box
    progress: Progress


def outlined_groups(record: Record, tesserae: TesseraTable, most: int) -> Iterator[Group]:
    """All tesserae in groups of at most `most`."""
    columns, factor, done = tesserae.columns, record.plan.factor, 0
    for rows in groups_of(columns["y"], columns["x"], most):
        window = window_of(record.read_labels, columns, rows, Box(0, 0, 0, 0))
        box = window.box.scale(1 / factor).clip(record.plan.source_shape)
        done += len(rows)
        progress = Progress(phase="export", done=done, total=len(tesserae), unit="tesserae", region=window.box)
        yield Group(rows, trace_outlines(window, factor), box, progress)


def groups_of(y: NDArray[np.int32], x: NDArray[np.int32], most: int) -> Iterator[NDArray[np.int64]]:
    """Rows of places in groups of neighbours, each group in order."""
    waiting = [np.arange(len(y))] if len(y) else []
    while waiting:
        rows = waiting.pop()
        spans = [int(np.ptp(axis[rows])) for axis in (y, x)]
        if len(rows) <= most and max(spans) <= _WIDEST:
            yield np.sort(rows)
            continue
        axis = y if spans[0] >= spans[1] else x
        order = rows[np.argsort(axis[rows], kind="stable")]
        half = len(order) // 2
        waiting += [order[half:], order[:half]]
