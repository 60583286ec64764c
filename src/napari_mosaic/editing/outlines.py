"""Tools on outlines: add a tessera, grow, shrink and snap it, fill its holes, make it convex.

One decision: an outline moves over what is no tessera. A neighbour loses pixels only to an outline that is drawn
with `over`, and then keeps its largest part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.editing import shapes
from napari_mosaic.editing.entries import Edit
from napari_mosaic.editing.extents import bounding_box, union
from napari_mosaic.editing.points import Line, Point, as_points, box_around, plain_points, require_inside
from napari_mosaic.editing.transaction import LabelWindow, Transaction, editing
from napari_mosaic.editing.whole_tesserae import painted, require_range, some
from napari_mosaic.errors import InputError
from napari_mosaic.record import Record
from napari_mosaic.tesserae import joint_limit

_FARTHEST = 64
"""Px that an outline moves at once; not varied."""

_FARTHEST_CLICK = 1000
"""Most `reach` of a click, px; not varied."""

LEAST_AREA = 4
"""Of what is added by a click or a mask, px: a square of two pixels; not varied."""

Reshape = Callable[[LabelWindow, NDArray[np.bool_]], NDArray[np.bool_]]


def add_outline(record: Record, outline: Line, *, over: bool = False) -> Edit | None:
    """Add a tessera by its outline.

    Parameters
    ----------
    record
        Open for writing.
    outline
        Three or more points `(y, x)` in pixels of the working grid, closed by itself.
    over
        Whether it takes pixels from tesserae that are there; else only those that are free. Of an outline that
        falls into parts the largest counts.

    Raises
    ------
    InputError
        The outline holds no free pixel, or none at all.
    """
    points = as_points(outline, least=3, what="outline")
    with editing(record) as transaction:
        window = transaction.read(box_around(points, 1))
        mask = shapes.outline_mask(points, window.box)
        mask = shapes.largest_part(mask if over else mask & window.free)
        if not mask.any():
            raise InputError(
                "The outline holds no pixel that is free, so there is nothing to add; draw it beside the tesserae that "
                "are there, or let it take their pixels (over)."
            )
        window, mask = with_neighbours(transaction, window, mask)
        after = painted(window, mask, transaction.name(mask, window.box))
        after = with_fragments_named(transaction, window, after, mask)
        return transaction.commit("add_outline", {"outline": plain_points(points), "over": over}, window, after)


def with_neighbours(
    transaction: Transaction, window: LabelWindow, mask: NDArray[np.bool_]
) -> tuple[LabelWindow, NDArray[np.bool_]]:
    """The window that holds the tesserae under a mask whole, and the mask in it."""
    victims = np.unique(window.labels[mask])
    victims = victims[victims > 0]
    if len(victims) == 0:
        return window, mask
    outer = transaction.read(union(window.box, bounding_box(transaction.rows(victims))))
    wide = np.zeros(outer.box.shape, bool)
    wide[window.box.within(outer.box)] = mask
    return outer, wide


def with_fragments_named(
    transaction: Transaction, window: LabelWindow, after: NDArray[Any], mask: NDArray[np.bool_]
) -> NDArray[Any]:
    """The labels in which what an outline cut off its neighbours is a tessera of its own, or none if it is small."""
    least = transaction.record.plan.tesserae.min_area
    for id_ in np.unique(window.labels[mask]).tolist():
        rest = (after == id_) & (id_ > 0)
        parts, areas = shapes.components(rest)
        keep = int(np.argmax(areas)) + 1 if len(areas) else 0
        for part in range(1, len(areas) + 1):
            if part != keep:
                cut = parts == part
                after[cut] = transaction.name(cut, window.box) if areas[part - 1] >= max(least, 1) else 0
    return after


def add_click(record: Record, point: Point, *, tolerance: float = 0.15, reach: int | None = None) -> Edit | None:
    """Add the tessera around a point that was missed, grown on the map of joints.

    Parameters
    ----------
    record
        Open for writing.
    point
        `(y, x)` in pixels of the working grid.
    tolerance
        How much more joint than at the point its pixels may show, as a probability.
    reach
        Farthest growth in px; that of the record by default.

    Raises
    ------
    InputError
        There is a tessera already, or the map shows nothing to grow on.
    """
    place = require_inside(as_points([point], least=1, what="point"), record.shape)[0]
    rules = record.plan.tesserae
    reach = rules.reach if reach is None else reach
    require_range("reach", reach, 1, _FARTHEST_CLICK)
    if not 0 <= tolerance <= 1:
        raise InputError(f"tolerance is {tolerance}, which is no probability; choose a value from 0 to 1.")
    with editing(record) as transaction:
        window = transaction.read(box_around(place[None], reach + 2))
        y, x = int(place[0]) - window.box.y0, int(place[1]) - window.box.x0
        if window.labels[y, x]:
            raise InputError(f"The tessera {int(window.labels[y, x])} is there already; split it, or click beside it.")
        grout = transaction.map(window.box)[0]
        near = grout[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        here = max(int(np.median(near)), int(grout[y, x]))
        limit = min(254, max(joint_limit(rules.threshold), here + round(tolerance * 255)))
        mask = shapes.grown_from((y, x), window.free, grout, limit, reach)
        if mask.sum() < LEAST_AREA:
            raise InputError("The map shows no stone at that point; click into its middle, or draw its outline.")
        after = painted(window, mask, transaction.name(mask, window.box))
        params = {"point": plain_points(place[None])[0], "tolerance": tolerance, "reach": reach}
        return transaction.commit("add_click", params, window, after)


def grow(record: Record, ids: Sequence[int], *, px: int = 1) -> Edit | None:
    """Move the outlines of tesserae outwards by `px` of the working grid, over free pixels only."""
    require_range("px", px, 1, _FARTHEST)
    wanted = sorted({int(id_) for id_ in some(ids)})
    with editing(record) as transaction:
        window = transaction.around(transaction.rows(wanted), px + 1)
        after = shapes.grown(window.labels, np.array(wanted, window.labels.dtype), px)
        return transaction.commit("grow", {"ids": wanted, "px": px}, window, after)


def shrink(record: Record, ids: Sequence[int], *, px: int = 1) -> Edit | None:
    """Move the outlines of tesserae inwards by `px`; what would vanish is refused."""
    require_range("px", px, 1, _FARTHEST)
    return _reshape(record, "shrink", ids, lambda _, mask: shapes.shrunk(mask, px), 1, {"px": px})


def snap(record: Record, ids: Sequence[int], *, reach: int = 5) -> Edit | None:
    """Move the outlines of tesserae to the nearest joint of the map, at most `reach` px."""
    require_range("reach", reach, 1, _FARTHEST)
    limit = joint_limit(record.plan.tesserae.threshold)

    def to_joint(window: LabelWindow, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return shapes.snapped(mask, window.free, record.read_map(window.box)[0], limit, reach)

    return _reshape(record, "snap", ids, to_joint, reach + 1, {"reach": reach})


def fill_holes(record: Record, ids: Sequence[int], *, largest: int | None = None) -> Edit | None:
    """Fill the holes of tesserae, up to `largest` px where it is given; a tessera in a hole stays."""
    fill = lambda window, mask: shapes.filled(mask, window.free, largest)  # noqa: E731
    return _reshape(record, "fill_holes", ids, fill, 1, {"largest": largest})


def convex(record: Record, ids: Sequence[int]) -> Edit | None:
    """Mend broken outlines: tesserae become their convex hulls where no other is."""
    return _reshape(record, "convex", ids, lambda window, mask: shapes.convex(mask, window.free, window.box), 1, {})


def _reshape(
    record: Record, tool: str, ids: Sequence[int], change: Reshape, margin: int, params: dict[str, Any]
) -> Edit | None:
    """Change the outlines of tesserae one after the other, in order of their ids."""
    wanted = sorted({int(id_) for id_ in some(ids)})
    with editing(record) as transaction:
        window = transaction.around(transaction.rows(wanted), margin)
        after = window.labels
        for id_ in wanted:
            own = after == id_
            new = change(LabelWindow(window.box, after), own)
            if not new.any():
                raise InputError(f"The tessera {id_} would vanish; delete it if that is meant, or take fewer px.")
            after = np.where(own & ~new, 0, after)
            after[new] = id_
        return transaction.commit(tool, {"ids": wanted, **params}, window, after)
