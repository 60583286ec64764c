"""What is known of each tessera, as the columns that napari's Labels layers take: `index` is the id.

One decision: ids are sparse and there may be millions, so nothing here is as long as the record unless the record is
small; of a large one only the part that is looked at is read, and where that is too much, nothing is: half a table
would look like a whole one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from napari_mosaic.record import tables
from napari_mosaic.record.arrays import stamp_of_tables
from napari_mosaic.record.readable import ReadableRecord
from napari_mosaic.record.tables import Columns
from napari_mosaic.tiling import Box

MOST_FEATURES = 50_000
"""Most rows. Whenever features are set, napari makes a dictionary of all of them on the main thread: measured 0.07 s
for 20,000 rows, 0.63 s for 200,000 and 2.7 s for a million (`Labels.features = columns`, a shared machine of 2 cores).
This many cost a sixth of a second once a burst of edits has ended."""


@dataclass(frozen=True)
class Features:
    """The columns of some tesserae in reading order, and which ones they are.

    `of` is "all" of the record, those in the "view", or "none" where the view holds too many. `state` tells one state
    of the record's tables and pixel size from another.
    """

    columns: Columns = field(default_factory=dict)
    of: Literal["all", "view", "none"] = "none"
    state: int = 0
    box: Box | None = None


def read_features(record: ReadableRecord, box: Box | None = None, most: int = MOST_FEATURES) -> Features:
    """The features of all tesserae of a record up to `most`, else of those whose boxes meet `box`.

    Parameters
    ----------
    record
        An open record; another thread or process may write to it meanwhile.
    box
        A part of the working grid; none of a large record where it is None.
    most
        Most rows.

    Returns
    -------
    Features
        `index` (id), `height_px`, `width_px`, `area_px` in pixels of the photograph, or `height_mm`, `width_mm`,
        `area_mm2` where the pixel size is confirmed, `score`, `flags`; `material` and `state` where something was said
        of one of them.

    Notes
    -----
    A tessera that reaches into `box` from farther than a shard is not found.
    """
    state = state_of(record)
    if record.tesserae.count <= most:
        return Features(_columns(record, [tables.columns_of(record.tesserae.table())]), "all", state)
    if box is None:
        return Features(state=state)
    found = _rows_meeting(record, box, most)
    return Features({} if found is None else _columns(record, found), "none" if found is None else "view", state, box)


def state_of(record: ReadableRecord) -> int:
    """A number that is another one when a part of the tables, what is said of tesserae, or the pixel size changes."""
    folders = (record.tesserae.tables, tables.attribute_folder(record.tesserae.tables))
    return hash((record.pixel_mm, *map(stamp_of_tables, folders)))


def _rows_meeting(record: ReadableRecord, box: Box, most: int) -> list[Columns] | None:
    """The rows whose boxes meet `box`, part by part; None as soon as they are too many."""
    found, count = [], 0
    for index in record.plan.shards.overlapping(box.grow(record.plan.shards.core)):
        path = record.tesserae.tables / tables.part_name(index)
        rows = tables.columns_of(tables.read_part(path))
        meets = (rows["y0"] < box.y1) & (rows["y1"] > box.y0) & (rows["x0"] < box.x1) & (rows["x1"] > box.x0)
        found.append(tables.take_rows(rows, meets))
        count += int(meets.sum())
        if count > most:
            return None
    return found


def _columns(record: ReadableRecord, parts: list[Columns]) -> Columns:
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    if not rows or len(rows["id"]) == 0:
        return {}
    rows = tables.take_rows(rows, np.lexsort((rows["x"], rows["y"])))
    mm = record.pixel_mm
    edge, length, area = (1.0, "px", "px") if mm is None else (mm, "mm", "mm2")
    edge /= record.plan.factor
    columns: Columns = {
        "index": rows["id"].astype(np.int64),
        f"height_{length}": np.round((rows["y1"] - rows["y0"]) * edge, 2),
        f"width_{length}": np.round((rows["x1"] - rows["x0"]) * edge, 2),
        f"area_{area}": np.round(rows["area"] * edge**2, 2),
        "score": np.round(rows["score"].astype(float), 3),
        "flags": rows["flags"].astype(np.int32),
    }
    said = tables.attributes_of(record.tesserae.tables, rows["id"])
    return columns | {name: np.array(tables.WORDS[name], object)[codes] for name, codes in said.items() if codes.any()}
