"""Edits and the arrays: the journal leads, shards, tables and smaller levels follow.

One decision: an edit is in the journal, on the disk, before anything else changes; laying it over the record is
idempotent, so after a crash the entries since the last settled one are simply laid over again.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np

from napari_mosaic.areas import AreaSet
from napari_mosaic.errors import RecordError
from napari_mosaic.files import replace, whole_file
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import tables
from napari_mosaic.record.journal import FOLDER, KEPT, LOG, SETTLED, Header, Index, Journal
from napari_mosaic.record.patches import Patch
from napari_mosaic.record.store import Record, read_array
from napari_mosaic.tiling import Box, Lattice


def write_edit(record: Record, header: Header, patch: Patch) -> int:
    """Enter an edit in the journal and bring level 0 and the tables to it; its number."""
    shards = sorted(patch_shards(record, patch))
    number = record.journal.append({"kind": "edit", **header, "box": list(patch.box), "shards": shards}, patch)
    record.journal.tell(patch)
    lay_over(record, patch)
    return number


def step_back(record: Record) -> int | None:
    """Undo the last edit; its number, or None where there is none."""
    journal = record.journal
    return _step(record, "undo", journal.done[-1]) if journal.done else None


def step_forward(record: Record) -> int | None:
    """Redo the edit that was undone last; its number, or None where there is none."""
    journal = record.journal
    return _step(record, "redo", journal.undone[-1]) if journal.undone else None


def _step(record: Record, kind: str, of: int) -> int:
    entry = record.journal[of]
    number = record.journal.append({"kind": kind, "of": of, "box": list(entry.box), "shards": list(entry.shards)})
    patch = record.journal.effect(number)
    record.journal.tell(patch)
    lay_over(record, patch)
    return of


def patch_shards(record: Record, patch: Patch) -> set[Index]:
    """The shards that hold touched pixels or seeds."""
    shard = record.plan.shard
    return set(record.plan.shards.overlapping(patch.box)) | {(y // shard, x // shard) for y, x in patch.places}


def lay_over(record: Record, patch: Patch) -> None:
    """Bring level 0, the tables and the areas to what they are after `patch`."""
    shards = record.plan.shards
    for index in shards.overlapping(patch.box):
        part = shards.tile(index).core.intersect(patch.box)
        with record.shard_lock(0, index):
            labels = record.read_labels(part)
            wanted = patch.over(labels, part)
            if not np.array_equal(labels, wanted):
                record.write_labels(0, part, wanted)
    for index in sorted({(y // shards.core, x // shards.core) for y, x in patch.places}):
        with record.table_lock:
            _lay_over_rows(record, index, patch)
    if patch.areas is not None:
        record.areas = exchange_areas(record.areas, *patch.areas)


def _lay_over_rows(record: Record, index: Index, patch: Patch) -> None:
    rows = tables.read_rows(record.tables, index)
    wanted = patch.over_rows(rows, record.plan.shards.tile(index).core)
    if not tables.same_rows(rows, wanted):
        tables.write_rows(record.tables, index, wanted)


def exchange_areas(areas: AreaSet, before: str, after: str) -> AreaSet:
    """The areas with what an edit took away and put in; whatever else was changed since stays."""
    old, new = json.loads(before)["features"], json.loads(after)["features"]
    kept = json.loads(json.dumps(areas.to_geojson()))["features"]
    if kept == old:
        return AreaSet.from_geojson(json.loads(after))
    for feature in (feature for feature in old if feature not in new):
        if feature in kept:
            kept.remove(feature)
    kept += [feature for feature in new if feature not in old and feature not in kept]
    return AreaSet.from_geojson({"type": "FeatureCollection", "features": kept})


def repair(record: Record) -> None:
    """After a crash: bring the record to the entries that may not have reached its shards."""
    journal = record.journal
    for number in range(journal.settled, len(journal)):
        lay_over(record, journal.effect(number))


def settle_steps(record: Record) -> Steps[None]:
    """Bring the smaller levels up to date with the edits: only the parents of what they touched.

    May run in another thread than the edits; those made meanwhile are left for the next time.
    """
    with record.journal.lock:  # an entry is in the journal before level 0 holds it: none may be half-way
        count, boxes = len(record.journal), record.journal.pending()
    for level in range(1, len(record.tessera_levels)):
        boxes = _parents(record, level, boxes)
        for done, box in enumerate(boxes, 1):
            _halve(record, level, box)
            yield Progress(phase="overview", done=done, total=len(boxes), unit="blocks")
    record.journal.mark_settled(count)


def _parents(record: Record, level: int, boxes: list[Box]) -> list[Box]:
    """The boxes one level up, at most one a shard."""
    lattice = Lattice(shape=record.tessera_levels[level].shape, core=record.plan.shard)
    parts: dict[Index, Box] = defaultdict(lambda: Box(2**62, 2**62, 0, 0))
    for below in boxes:
        box = Box(*(-(-edge // 2) for edge in below)).clip(lattice.shape)
        for index in lattice.overlapping(box):
            part, known = lattice.tile(index).core.intersect(box), parts[index]
            low = (min(known[axis], part[axis]) for axis in (0, 1))
            high = (max(known[axis], part[axis]) for axis in (2, 3))
            parts[index] = Box(*low, *high)
    return [parts[index] for index in sorted(parts)]


def _halve(record: Record, level: int, box: Box) -> None:
    shard = record.plan.shard
    below = record.tessera_levels[level - 1]
    source = box.scale(2).clip(below.shape)
    with record.shard_lock(level, (box.y0 // shard, box.x0 // shard)):
        record.write_labels(level, box, read_array(below, source.slices)[::2, ::2])


def set_edits_aside(record: Record) -> None:
    """Before all tesserae are cut anew: keep the journal for a replay, and let the record be as if unedited."""
    folder = record.path / FOLDER
    if not len(record.journal):
        return
    if not (folder / KEPT).exists():
        replace(folder / LOG, folder / KEPT)
    (folder / SETTLED).unlink(missing_ok=True)
    tables.clear_attributes(record.tables)
    record.forget_journal()


def adopt_edits(new: Path, previous: Path) -> None:
    """Let the edits of the record that a new one replaces wait to be replayed on the new one, the folder `new`."""
    source = previous / FOLDER
    name = KEPT if (source / KEPT).exists() else LOG
    (new / FOLDER).mkdir(exist_ok=True)
    with whole_file(new / FOLDER / KEPT, sync=True) as temporary:
        shutil.copyfile(source / name, temporary)


def kept_journal(record: Record) -> Journal | None:
    """The edits that wait to be replayed, or None."""
    path = record.path / FOLDER / KEPT
    return Journal(path) if path.exists() else None


def retire_kept(record: Record, name: str) -> None:
    """File the kept journal away under `name-N.log`: it was replayed, or its edits are not wanted."""
    kept = record.path / FOLDER / KEPT
    number = len(list(kept.parent.glob(f"{name}-*.log"))) + 1
    replace(kept, kept.with_name(f"{name}-{number}.log"))


def has_edits(path: Path) -> bool:
    """Whether the record at `path` holds edits that count, or that wait to be replayed."""
    return any(Journal(path / FOLDER / name).done for name in (LOG, KEPT))


def require_editable(record: Record, *, replaying: bool = False) -> None:
    """Raise `RecordError` where a record cannot be edited now; `replaying` the edits that wait may."""
    if not record.writable:
        raise RecordError(f"{record.path} is open for reading only; open it with writable=True to edit it.")
    if not replaying and (record.path / FOLDER / KEPT).exists():
        raise RecordError(
            f"{record.path} is being cut anew and its edits wait to be replayed; let the run finish (--resume) first."
        )
