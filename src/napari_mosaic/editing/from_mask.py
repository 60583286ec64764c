"""A mask from elsewhere, such as SAM 2's, becomes a tessera: added, in the place of others, or parted from one.

One decision: a mask says where one tessera is and nothing else; what becomes of the tesserae that it meets is what the
person chose, and they keep their ids and what was said of them wherever something is left of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.editing import shapes
from napari_mosaic.editing.entries import Edit
from napari_mosaic.editing.outlines import LEAST_AREA, with_fragments_named, with_neighbours
from napari_mosaic.editing.points import require_covered
from napari_mosaic.editing.transaction import LabelWindow, Transaction, editing
from napari_mosaic.editing.whole_tesserae import painted, parted
from napari_mosaic.errors import InputError
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box

How = Literal["add", "replace", "split"]
_MOSTLY = 0.5
"""Share of a tessera under a mask beyond which the mask takes its place, as `add_mask` says; not varied."""

Mask = NDArray[np.bool_]


def add_mask(record: Record, box: Sequence[int], mask: NDArray[Any], *, how: How = "add") -> Edit | None:
    """Make a tessera of a mask.

    Parameters
    ----------
    record
        Open for writing.
    box
        `(y0, x0, y1, x1)` on the working grid.
    mask
        `(h, w)` over `box`; what is not 0 belongs to the tessera. Of a mask in parts the largest counts.
    how
        `add` takes only pixels that are free. `replace` takes the place of every tessera that it covers more than
        half of, the largest of which gives its id, and its pixels from all others. `split` parts the tessera that
        it covers most; the larger part keeps the id.

    Returns
    -------
    Edit
        What was done; None where nothing changed.

    Raises
    ------
    InputError
        The mask does not fit the box, is empty, meets nothing free (`add`), or leaves nothing to part (`split`).
    """
    place = Box(*(int(edge) for edge in box))
    tessera = _checked(mask, place, record.shape, how)
    with editing(record) as transaction:
        window = transaction.read(place)
        change = {"add": _add, "replace": _replace, "split": _split}[how]
        window, after = change(transaction, window, tessera)
        return transaction.commit(
            "add_mask", {"box": list(place), "how": how, "area": int(tessera.sum())}, window, after
        )


def _add(transaction: Transaction, window: LabelWindow, tessera: Mask) -> tuple[LabelWindow, NDArray[Any]]:
    free = shapes.largest_part(tessera & window.free)
    if free.sum() < LEAST_AREA:
        raise InputError(
            "The mask lies on tesserae that are there already, so there is nothing to add; replace or split them."
        )
    return window, painted(window, free, transaction.name(free, window.box))


def _replace(transaction: Transaction, window: LabelWindow, tessera: Mask) -> tuple[LabelWindow, NDArray[Any]]:
    window, tessera = with_neighbours(transaction, window, tessera)
    ids, counts = np.unique(window.labels[tessera & ~window.free], return_counts=True)
    if len(ids) == 0:
        return window, painted(window, tessera, transaction.name(tessera, window.box))
    rows = transaction.rows(ids.tolist())
    covered = counts > _MOSTLY * rows["area"]
    after = window.labels.copy()
    after[np.isin(after, rows["id"][covered])] = 0
    if covered.any():
        id_ = int(rows["id"][covered][int(np.argmax(rows["area"][covered]))])
    else:
        id_ = transaction.name(tessera, window.box)
    after[tessera] = id_
    return window, with_fragments_named(
        transaction, LabelWindow(window.box, _without(window, rows["id"][covered])), after, tessera
    )


def _without(window: LabelWindow, ids: NDArray[Any]) -> NDArray[Any]:
    """The labels of a window as if some tesserae were not there."""
    return np.where(np.isin(window.labels, ids), 0, window.labels).astype(window.labels.dtype)


def _split(transaction: Transaction, window: LabelWindow, tessera: Mask) -> tuple[LabelWindow, NDArray[Any]]:
    ids, counts = np.unique(window.labels[tessera & ~window.free], return_counts=True)
    if len(ids) == 0:
        raise InputError("The mask meets no tessera, so there is nothing to split; add it instead.")
    id_ = int(ids[int(np.argmax(counts))])
    rows = transaction.rows([id_])
    outer = transaction.around(rows)
    own = outer.labels == id_
    part = np.zeros(own.shape, bool)
    common = window.box.intersect(outer.box)
    part[common.within(outer.box)] = tessera[common.within(window.box)]
    part = shapes.largest_part(part & own)
    if min(part.sum(), (own & ~part).sum()) < LEAST_AREA:
        raise InputError(
            f"The mask covers all of tessera {id_}, so nothing is left to part from it; replace it instead."
        )
    parts = np.where(part, 2, np.where(own, 1, 0)).astype(np.uint32)
    return outer, parted(transaction, outer, outer.labels, id_, parts)


def _checked(mask: NDArray[Any], box: Box, shape: tuple[int, int], how: str) -> Mask:
    tessera = np.asarray(mask) != 0
    if how not in get_args(How):
        raise InputError(f"A mask cannot be used to {how!r}; choose one of {', '.join(get_args(How))}.")
    require_covered(box, tessera, shape, "mask")
    tessera = shapes.largest_part(tessera)
    if tessera.sum() < LEAST_AREA:
        raise InputError("The mask holds no stone; click once more, or draw around one.")
    return tessera
