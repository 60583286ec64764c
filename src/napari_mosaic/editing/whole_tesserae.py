"""Tools on whole tesserae: merge, split, delete, say what they are.

One decision: the largest part keeps the id. A number in a report finds its tessera again after a split or a merge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.editing import shapes
from napari_mosaic.editing.entries import Edit
from napari_mosaic.editing.points import Line, as_points, box_around, plain_points, require_inside, seeds_in
from napari_mosaic.editing.transaction import LabelWindow, Transaction, editing
from napari_mosaic.errors import InputError
from napari_mosaic.record import Record
from napari_mosaic.record.tables import MATERIALS, STATES, Columns
from napari_mosaic.tesserae import joint_limit

BRIDGE = 6
"""How far tesserae may reach to be merged, px of the working grid; not varied."""

_WIDEST_GAP = 64
"""Px; not varied."""

_CRUMB = 8
"""Parts that a line cuts off are tesserae from this area on, px; not varied."""

_LEAST_SHARE = 12
"""A tessera is parted at joints into parts of at least its area divided by this; not varied."""


def merge(record: Record, ids: Sequence[int], *, bridge: int = BRIDGE) -> Edit | None:
    """Make one tessera of several; the largest gives its id, and the joint between them is filled.

    Parameters
    ----------
    record
        Open for writing.
    ids
        Two or more.
    bridge
        How far each may reach to connect them, px of the working grid; those farther apart stay unconnected.

    Returns
    -------
    Edit
        What was done; None where nothing changed.

    Raises
    ------
    InputError
        Fewer than two tesserae, or one that does not exist.
    RecordError
        The record is read-only, or the part is not segmented yet.
    """
    wanted = sorted({int(id_) for id_ in ids})
    if len(wanted) < 2:
        raise InputError(f"Only {len(wanted)} tessera was given to be merged; give the ids of two or more.")
    with editing(record) as transaction:
        rows = transaction.rows(wanted)
        window = transaction.around(rows, bridge + 1)
        keep = int(rows["id"][int(np.argmax(rows["area"]))])
        mask = shapes.bridged(np.isin(window.labels, wanted), window.free, bridge)
        transaction.set_attributes(keep, _merged_attributes(rows, keep))
        return transaction.commit("merge", {"ids": wanted, "bridge": bridge}, window, painted(window, mask, keep))


def _merged_attributes(rows: Columns, keep: int) -> tuple[int, int]:
    """Material and state of a merged tessera: of the one that gives its id, else what the others agree on."""
    own = rows["id"] == keep
    said = []
    for name in ("material", "state"):
        given = np.unique(rows[name][rows[name] > 0])
        said.append(int(rows[name][own][0]) or (int(given[0]) if len(given) == 1 else 0))
    return said[0], said[1]


def delete(record: Record, ids: Sequence[int]) -> Edit | None:
    """Take tesserae away; their pixels are no tessera then, and their ids are never given again."""
    wanted = sorted({int(id_) for id_ in ids})
    with editing(record) as transaction:
        window = transaction.around(transaction.rows(some(wanted)))
        return transaction.commit("delete", {"ids": wanted}, window, painted(window, np.isin(window.labels, wanted), 0))


def split_line(record: Record, line: Line, *, ids: Sequence[int] | None = None, gap: int = 0) -> Edit | None:
    """Cut tesserae where a line crosses them from side to side.

    Parameters
    ----------
    record
        Open for writing.
    line
        Two or more points `(y, x)` in pixels of the working grid.
    ids
        Which; all that the line parts by default.
    gap
        Width of the joint that is left, px; 0 leaves none.

    Raises
    ------
    InputError
        The line parts no tessera.
    """
    points = as_points(line, least=2, what="line")
    require_range("gap", gap, 0, _WIDEST_GAP)
    with editing(record) as transaction:
        along = transaction.read(box_around(points, gap + 1))
        crossed = np.unique(along.labels[shapes.line_mask(points, along.box)])
        crossed = crossed[crossed > 0]
        if ids is not None:
            crossed = np.intersect1d(crossed, transaction.rows(some(ids))["id"])
        if len(crossed) == 0:
            raise InputError("The line crosses no tessera, so it cuts nothing; draw it from side to side of one.")
        window = transaction.around(transaction.rows(crossed))
        stroke = shapes.line_mask(points, window.box, gap)
        after = window.labels
        for id_ in crossed.tolist():
            mask = window.labels == id_
            after = parted(
                transaction, window, after, id_, shapes.parts_by_line(mask, stroke, gap=gap > 0, least=_CRUMB)
            )
        if np.array_equal(after, window.labels):
            raise InputError("The line does not cut through; draw it from one side of the tessera to the other.")
        params = {"line": plain_points(points), "ids": None if ids is None else [int(i) for i in ids], "gap": gap}
        return transaction.commit("split_line", params, window, after)


def split_seeds(record: Record, points: Line) -> Edit | None:
    """Part one tessera between two or more points `(y, x)` in it, along the joints of the map."""
    places = as_points(points, least=2, what="set of seeds")
    with editing(record) as transaction:
        at = [
            int(transaction.read(box_around(place[None])).labels[0, 0])
            for place in require_inside(places, record.shape)
        ]
        if len(set(at)) > 1 or at[0] == 0:
            raise InputError(
                "The seeds do not lie in one tessera, so it is not clear what to split; "
                "put a point into each part of one."
            )
        window = transaction.around(transaction.rows(at[:1]))
        seeds = seeds_in(places, window.box)
        parts = shapes.parts_by_seeds(window.labels == at[0], seeds, transaction.map(window.box)[0])
        after = parted(transaction, window, window.labels, at[0], parts)
        return transaction.commit("split_seeds", {"points": plain_points(places)}, window, after)


def split_auto(record: Record, ids: Sequence[int]) -> Edit | None:
    """Part tesserae that hold several stones where the map shows a joint, however faint.

    Raises
    ------
    InputError
        No joint is seen in any of them.
    """
    wanted = sorted({int(id_) for id_ in ids})
    with editing(record) as transaction:
        rows = transaction.rows(some(wanted))
        window = transaction.around(rows)
        map_, rules = transaction.map(window.box), record.plan.tesserae
        after = window.labels
        for id_, area in zip(rows["id"].tolist(), rows["area"].tolist(), strict=True):
            mask, least = window.labels == id_, max(rules.min_seed, area // _LEAST_SHARE)
            seeds = shapes.inner_parts(mask, map_, joint_limit(rules.threshold), least)
            if seeds.max() > 1:
                after = parted(transaction, window, after, id_, shapes.parts_by_seeds(mask, seeds, map_[0]))
        if np.array_equal(after, window.labels):
            raise InputError("The map shows no joint there, so nothing can be parted; draw a line or put seeds.")
        return transaction.commit("split_auto", {"ids": wanted}, window, after)


def assign(record: Record, ids: Sequence[int], *, material: str | None = None, state: str | None = None) -> Edit | None:
    """Say of what tesserae are made and in which state they are.

    Parameters
    ----------
    record
        Open for writing.
    ids
        Of which.
    material
        stone, glass, ceramic or other; "" takes back what was said, None leaves it.
    state
        sound, fractured, detached or lost; "" and None likewise.

    Raises
    ------
    InputError
        Neither was given, or a word that is none of these.
    """
    if material is None and state is None:
        raise InputError("Neither a material nor a state was given, so nothing can be said; choose one.")
    wanted = sorted({int(id_) for id_ in ids})
    codes = [_code(word, words, name) for word, words, name in
             ((material, MATERIALS, "material"), (state, STATES, "state"))]  # fmt: skip
    with editing(record) as transaction:
        rows = transaction.rows(some(wanted))
        window = transaction.around(rows)
        for id_, *old in zip(*(rows[name].tolist() for name in ("id", "material", "state")), strict=True):
            new = [before if code is None else code for before, code in zip(old, codes, strict=True)]
            transaction.set_attributes(id_, (new[0], new[1]))
        params = {"ids": wanted, "material": material, "state": state}
        return transaction.commit("assign", params, window, window.labels)


def _code(word: str | None, words: Sequence[str], name: str) -> int | None:
    if word is None:
        return None
    if word not in words:
        raise InputError(f"A tessera cannot have the {name} {word!r}; choose one of {', '.join(words[1:])}.")
    return words.index(word)


def parted(
    transaction: Transaction, window: LabelWindow, after: NDArray[Any], id_: int, parts: NDArray[Any]
) -> NDArray[Any]:
    """Labels in which the parts of a tessera have ids; the largest keeps its own, part 0 is no tessera."""
    count = int(parts.max())
    if count < 2:
        return after
    after = np.where(window.labels == id_, 0, after)
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    keep = int(np.argmax(areas)) + 1
    rows = transaction.rows([id_])
    said = int(rows["material"][0]), int(rows["state"][0])
    for part in range(1, count + 1):
        mask = parts == part
        if mask.any():
            after[mask] = id_ if part == keep else transaction.name(mask, window.box, said)
    return after


def painted(window: LabelWindow, mask: NDArray[np.bool_], id_: int) -> NDArray[Any]:
    """The labels of a window with one id under a mask."""
    after = window.labels.copy()
    after[mask] = id_
    return after


def some(ids: Sequence[int]) -> Sequence[int]:
    """The ids; `InputError` where there are none."""
    if len(ids) == 0:
        raise InputError("No tessera was given, so there is nothing to edit; give the id of at least one.")
    return ids


def require_range(name: str, value: int, low: int, high: int) -> None:
    """Raise `InputError` where a length lies outside of its limits."""
    if not low <= value <= high:
        raise InputError(f"{name} is {value}, outside of {low} to {high} px; choose a value within.")
