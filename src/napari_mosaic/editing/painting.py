"""Free painting: what changed in a window's labels, written back.

One decision: a number that is a tessera of the window is that tessera; every other number is a new one, whatever
tessera somewhere else may have it, so that a brush can never touch what is not seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.editing.entries import Edit
from napari_mosaic.editing.points import require_covered
from napari_mosaic.editing.transaction import editing
from napari_mosaic.errors import InputError
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box


def replace_window(
    record: Record, box: Box, labels: NDArray[Any], *, before: NDArray[Any] | None = None
) -> Edit | None:
    """Apply what changed in a window that was painted on.

    Parameters
    ----------
    record
        Open for writing.
    box
        `(y0, x0, y1, x1)` on the working grid.
    labels
        `(h, w)` integers over `box`: ids of tesserae that are there, any other number for new ones.
    before
        `(h, w)` ids that the painting began with; those of the record by default. Only pixels that differ from
        them are written, so what was edited elsewhere in the window meanwhile stays.

    Raises
    ------
    InputError
        The labels do not cover the box, are negative or no integers, or the box leaves the image.
    """
    box = Box(*(int(edge) for edge in box))
    painted = _checked(labels, box, record.shape)
    with editing(record) as transaction:
        window = transaction.read(box)
        start = window.labels if before is None else _checked(before, box, record.shape)
        changed = painted != start
        known = np.unique(window.labels).astype(np.uint64)
        known = np.union1d(known, transaction.known_rows(np.setdiff1d(start, known))["id"])
        after = window.labels.copy()
        after[changed] = np.where(np.isin(painted, known), painted, 0)[changed].astype(after.dtype)
        numbers, dense = np.unique(np.where(changed & ~np.isin(painted, known), painted, 0), return_inverse=True)
        dense = dense.reshape(box.shape) + (numbers[0] > 0)
        for number, place in enumerate(ndimage.find_objects(dense), 1):
            if place is not None:
                mask = dense[place] == number
                after[place][mask] = transaction.name(mask, _at(box, place))
        return transaction.commit("replace_window", {"box": list(box)}, window, after)


def _at(box: Box, place: tuple[slice, slice]) -> Box:
    y, x = place
    return Box(y.start, x.start, y.stop, x.stop).shift(box.y0, box.x0)


def _checked(labels: NDArray[Any], box: Box, shape: tuple[int, int]) -> NDArray[np.uint64]:
    labels = np.asarray(labels)
    require_covered(box, labels, shape, "window")
    if labels.dtype.kind not in "ui" or (labels.size and int(labels.min()) < 0):
        raise InputError("The painted labels hold numbers that are no ids; give whole numbers from 0.")
    return labels.astype(np.uint64)
