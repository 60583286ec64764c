"""An edit as the journal has it, and how one gets there.

One decision: what an edit made, took and kept is read off the rows before and after it, whatever tool it was.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_mosaic.editing.names import place_of_id
from napari_mosaic.record import Record
from napari_mosaic.record.patches import Patch
from napari_mosaic.record.tables import Columns
from napari_mosaic.tiling import Box


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One entry of the journal: its number, the tool, the box it touched (working grid) and what became of whom.

    `made` are new ids, `gone` are ids without a pixel left, `kept` are ids that were touched and remain.
    """

    number: int
    tool: str
    box: Box
    made: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    time: str = ""


def enter(record: Record, tool: str, params: Mapping[str, Any], patch: Patch, **extra: Any) -> Edit:
    """Write a patch as one entry of the journal, and bring the record to it."""
    before, after = (set(rows["id"].tolist()) for rows in (patch.rows_before, patch.rows_after))
    header = {
        "tool": tool,
        "params": dict(params),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "made": sorted(after - before),
        "gone": sorted(before - after),
        "kept": sorted(before & after),
        **extra,
    }
    if strayed := _strayed(record, patch.rows_after):
        header["strayed"] = strayed
    number = record.edits.write(header, patch)
    return read_edit({**header, "n": number, "box": list(patch.box)})


def likely_parts(record: Record, id_: int) -> list[tuple[int, int]]:
    """The parts of the table in which an id is unless an edit moved its seed to another shard."""
    y, x = place_of_id(id_, record.shape)
    return record.plan.shards.overlapping(Box(y - 1, x - 1, y + 2, x + 2))


def _strayed(record: Record, rows: Columns) -> list[int]:
    shard, names = record.plan.shard, ("id", "y", "x")
    places = zip(*(rows[name].tolist() for name in names), strict=True)
    return [id_ for id_, y, x in places if (y // shard, x // shard) not in likely_parts(record, id_)]


def read_edit(header: Mapping[str, Any]) -> Edit:
    """The edit that a header of the journal describes."""
    return Edit(
        number=header["n"],
        tool=header["tool"],
        box=Box(*header["box"]),
        made=tuple(header["made"]),
        gone=tuple(header["gone"]),
        kept=tuple(header["kept"]),
        params=header["params"],
        time=header["time"],
    )
