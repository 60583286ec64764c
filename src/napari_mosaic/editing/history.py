"""Undo, redo, what was done, and the report of it for a publication.

One decision: everything is read from the journal; nothing is counted while it is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import shapely

from napari_mosaic.editing.entries import Edit, read_edit
from napari_mosaic.editing.names import place_of_id
from napari_mosaic.editing.tools import group_of
from napari_mosaic.editing.transaction import editing
from napari_mosaic.progress import Steps, drain
from napari_mosaic.record import Record
from napari_mosaic.record.shown import is_imported
from napari_mosaic.words import counted


@dataclass(frozen=True, kw_only=True)
class Report:
    """How the tesserae of a record came to be: each counts once, by the last edit that made it what it is.

    Those that no edit made are `machine` ones, or `imported` where the record was made of the outlines of a `file`.
    """

    tesserae: int
    machine: int
    merged: int
    split: int
    drawn: int
    reshaped: int
    deleted: int
    assigned: int
    edits: int
    undone: int
    by_tool: dict[str, int] = field(default_factory=dict)
    imported: int = 0
    file: str = ""


def undo(record: Record) -> Edit | None:
    """Take back the last edit that counts, whenever and with whatever tool it was made; None where there is none."""
    with editing(record):
        number = record.edits.step_back()
        return None if number is None else read_edit(record.journal.header(number))


def redo(record: Record) -> Edit | None:
    """Make the edit again that was undone last; None where there is none, or where another was made since."""
    with editing(record):
        number = record.edits.step_forward()
        return None if number is None else read_edit(record.journal.header(number))


def update_pyramid_steps(record: Record) -> Steps[None]:
    """Bring the smaller levels up to date with the edits, in whatever thread: only the parents of what they touched."""
    return record.edits.update_pyramid_steps()


def update_pyramid(record: Record) -> None:
    """Bring the smaller levels up to date with the edits, as closing the record does."""
    drain(update_pyramid_steps(record))


def list_edits(record: Record) -> Iterator[Edit]:
    """The edits that count, in order."""
    for number in record.journal.done:
        yield read_edit(record.journal.header(number))


def report(record: Record) -> Report:
    """How many tesserae are untouched, merged, split, drawn, reshaped, and how many were deleted."""
    origin: dict[int, str] = {}
    assigned: set[int] = set()
    deleted: set[int] = set()
    tools: Counter[str] = Counter()
    for edit in list_edits(record):
        tools[edit.tool] += 1
        group = group_of(edit)
        if group == "assigned":
            assigned.update(edit.kept)
            continue
        for ids, becomes in ((edit.kept, "reshaped"), (edit.made, "drawn")):
            origin.update(dict.fromkeys(ids, group if group in ("merged", "split") else becomes))
        for id_ in edit.gone:
            origin.pop(id_, None)
            if group != "merged":
                deleted.add(id_)
        deleted.difference_update(edit.made)
    if record.whole_floor is not record:
        living = _living(record, set(origin))
        origin = {id_: became for id_, became in origin.items() if id_ in living}
        deleted = {id_ for id_ in deleted if _lay_in_part(record, id_)}
    counts = Counter(origin.values())
    untouched, imported = record.count - len(origin), is_imported(record)
    return Report(
        tesserae=record.count,
        machine=0 if imported else untouched,
        imported=untouched if imported else 0,
        merged=counts["merged"],
        split=counts["split"],
        drawn=counts["drawn"],
        reshaped=counts["reshaped"],
        deleted=len(deleted),
        assigned=len(assigned & _living(record, assigned)),
        edits=len(record.journal.done),
        undone=len(record.journal.undone),
        by_tool=dict(sorted(tools.items())),
        file=record.plan.model if imported else "",
    )


def describe_report(found: Report) -> str:
    """The report in one sentence, as a publication may have it."""
    total = counted(found.tesserae, "tessera")
    as_before = f"as {found.file} had them" if found.file else "as the machine found them"
    if found.edits == 0 and found.tesserae == 0:
        return "There are no tesserae, and none was edited by hand."
    if found.edits == 0:
        return f"All of the {total} are {as_before}; none was edited {'since' if found.file else 'by hand'}."
    untouched = found.machine + found.imported
    share = untouched / max(found.tesserae, 1)
    kinds = (
        ("merged", "merged"),
        ("split", "split"),
        ("drawn", "drawn by hand"),
        ("reshaped", "given another outline"),
    )
    parts = [f"{getattr(found, name):,} {words}" for name, words in kinds if getattr(found, name)]
    by_hand = f" {', '.join(parts)};" if parts else ""
    return f"Of {total} {untouched:,} ({share:.1%}) are {as_before};{by_hand} {found.deleted:,} were deleted."


def _lay_in_part(record: Record, id_: int) -> bool:
    """Whether a tessera that is gone lay in the region of a part of a record."""
    if record.region is None:
        return False
    y, x = place_of_id(id_, record.shape)
    return bool(shapely.contains_xy(record.region, (x + 0.5) / record.plan.factor, (y + 0.5) / record.plan.factor))


def _living(record: Record, ids: set[int]) -> set[int]:
    return ids & set(record.table(["id"])["id"].to_pylist()) if ids else set()
