"""Edits and the arrays: the journal leads, shards, tables and smaller levels follow.

One decision: an edit is in the journal, on the disk, before anything else changes; laying it over the record is
idempotent, so after a crash the entries not yet in the smaller levels are simply laid over again.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.areas import AreaSet, write_areas
from napari_mosaic.errors import RecordError, WriteError
from napari_mosaic.files import replace, whole_file, writing
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import tables
from napari_mosaic.record.journal import FOLDER, KEPT, LOG, SETTLED, Header, Journal
from napari_mosaic.record.label_layer import TESSERAE, LabelLayer
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.metadata import AREAS, areas_of
from napari_mosaic.record.opened import RecordState
from napari_mosaic.record.patches import Patch
from napari_mosaic.record.tables import Columns
from napari_mosaic.tiling import Box, Lattice


class JournaledEdits:
    """The edits of an open record, and what follows from them in one label layer and in the areas."""

    def __init__(self, opened: RecordState, layer: LabelLayer, *, writable: bool) -> None:
        self.path = opened.path
        self.layer = layer
        self.writable = writable
        self._opened = opened

    @property
    def journal(self) -> Journal:
        """The edits, read when they are first asked for; a reader sees those that are made meanwhile.

        Only tesserae are edited: of another layer there are none.
        """
        if self.layer.name != TESSERAE:
            return Journal(self.path / FOLDER / f"{self.layer.name}.log")
        return self._opened.read_journal(writable=self.writable)

    def of(self, layer: LabelLayer) -> JournaledEdits:
        """The edits of another layer of the record, for reading."""
        return JournaledEdits(self._opened, layer, writable=False)

    def write(self, header: Header, patch: Patch) -> int:
        """Enter an edit in the journal and bring level 0 and the tables to it; its number."""
        shard = self.layer.shards.core
        shards = set(self.layer.shards.overlapping(patch.box)) | {(y // shard, x // shard) for y, x in patch.seeds}
        return self._enter({"kind": "edit", **header, "box": list(patch.box), "shards": sorted(shards)}, patch)

    def step_back(self) -> int | None:
        """Undo the last edit; its number, or None where there is none."""
        return self._step("undo", self.journal.done)

    def step_forward(self) -> int | None:
        """Redo the edit that was undone last; its number, or None where there is none."""
        return self._step("redo", self.journal.undone)

    def _step(self, kind: str, numbers: list[int]) -> int | None:
        if not numbers:
            return None
        of = numbers[-1]
        entry = self.journal[of]
        self._enter({"kind": kind, "of": of, "box": list(entry.box), "shards": list(entry.shards)}, None)
        return of

    def _enter(self, header: Header, patch: Patch | None) -> int:
        """Append an entry, tell who listens, and bring the record to it; its number."""
        journal = self.journal
        number = journal.append(header, patch)
        patch = journal.effect(number) if patch is None else patch
        journal.tell(patch)
        try:
            self.catch_up({number: patch})
        except WriteError as error:
            raise WriteError(
                f"The edit is kept in {journal.path}, but its tesserae cannot be written ({_reason(error)}); free some "
                "space or mend the disk: they follow before the next edit, or when the record is opened."
            ) from error
        return number

    def catch_up(self, known: Mapping[int, Patch] | None = None) -> None:
        """Lay over the record what is in the journal and a disk kept from it; `known` effects need not be read.

        Of several entries each shard is written once, as it is after the last of them: on a disk that fails now and
        then every attempt gets further, and shards that are as they shall be are not written.

        Raises
        ------
        WriteError
            The disk refuses: the entries stay in the journal, and it is tried again before the next edit, when the
            record is closed and when it is opened.
        """
        journal, known = self.journal, known or {}
        numbers = range(journal.laid, len(journal))
        if len(numbers) == 1 and numbers[0] in known:
            self.apply_patch(known[numbers[0]])
        else:
            self._lay(numbers)
        journal.laid = max(journal.laid, numbers.stop)

    def _lay(self, numbers: range) -> None:
        """Bring level 0, the tables and the areas to what they are after some entries of the journal."""
        journal = self.journal
        for index in sorted({index for number in numbers for index in journal[number].shards}):
            there = (journal.effect(number) for number in numbers if index in journal[number].shards)
            self._lay_shard(index, there)
        areas = before = areas_of(self.path)
        for number in numbers:
            patch = Patch() if journal[number].box.area else journal.effect(number)
            if patch.areas is not None:
                areas = exchange_areas(areas, *patch.areas)
        if areas is not before:
            write_areas(self.path / AREAS, areas)

    def _lay_shard(self, index: Index, patches: Iterable[Patch]) -> None:
        layer, core = self.layer, self.layer.shards.tile(index).core
        with layer.locks.shard(0, index), layer.locks.table:
            labels, rows = layer.read(core), layer.read_rows(index)
            wanted, changed = labels, rows
            for patch in patches:
                wanted = patch.over(wanted, core)
                if any((y // layer.shards.core, x // layer.shards.core) == index for y, x in patch.seeds):
                    changed = patch.over_rows(changed, core)
            if not np.array_equal(labels, wanted):
                layer.write(core, wanted)
            if not tables.same_rows(rows, changed):
                layer.write_rows(index, changed)

    def apply_patch(self, patch: Patch) -> None:
        """Bring level 0, the tables and the areas to what they are after `patch`."""
        layer, shards = self.layer, self.layer.shards
        for index in shards.overlapping(patch.box):
            part = shards.tile(index).core.intersect(patch.box)
            with layer.locks.shard(0, index):
                labels = layer.read(part)
                wanted = patch.over(labels, part)
                if not np.array_equal(labels, wanted):
                    layer.write(part, wanted)
        for index in sorted({(y // shards.core, x // shards.core) for y, x in patch.seeds}):
            with layer.locks.table:
                rows = layer.read_rows(index)
                changed = patch.over_rows(rows, shards.tile(index).core)
                if not tables.same_rows(rows, changed):
                    layer.write_rows(index, changed)
        if patch.areas is not None:
            write_areas(self.path / AREAS, exchange_areas(areas_of(self.path), *patch.areas))

    def write_computed(self, index: Index, labels: NDArray[Any], columns: Columns) -> None:
        """Write one shard as a run has made it, with its rows; what was edited in it stays as it was edited.

        The journal is asked under the shard's lock: an edit is entered in it before it takes that lock, so one that
        is not found here comes after this and finds the shard written.
        """
        layer, journal, core = self.layer, self.journal, self.layer.shards.tile(index).core
        with layer.locks.shard(0, index), layer.locks.table:
            edits = journal.touching(index)
            if edits:
                own = {name: columns[name] for name in tables.SCHEMA.names}
                columns = own | {name: np.zeros(len(columns["id"]), np.uint8) for name in tables.WORDS}
            for patch in map(journal.patch, edits):
                labels, columns = patch.over(labels, core), patch.over_rows(columns, core)
            layer.write_shard(index, labels, columns)

    def forget_shards(self, indices: Iterable[Index] | None = None) -> None:
        """Strike shards (all by default) from the ledger, so that they are made anew.

        It waits for an edit that is being made, which may have begun where the shards were still finished.
        """
        with self.journal.lock:
            self.layer.forget(indices)

    def repair(self) -> None:
        """After a crash: bring the record to the entries that may not have reached its shards."""
        journal = self.journal
        journal.laid = journal.in_pyramid
        self.catch_up()

    def update_pyramid_steps(self) -> Steps[None]:
        """Bring the smaller levels up to date with the edits: only the parents of what they touched.

        May run in another thread than the edits; those made meanwhile are left for the next time.
        """
        journal, layer = self.journal, self.layer
        with journal.lock:  # an entry is in the journal before level 0 holds it: none may be half-way
            self.catch_up()
            count, boxes = len(journal), journal.pending()
        for level in range(1, len(layer.levels)):
            boxes = _parents(layer.lattice(level), boxes)
            for done, box in enumerate(boxes, 1):
                layer.halve(level, box)
                yield Progress(phase="overview", done=done, total=len(boxes), unit="blocks")
        journal.mark_pyramid(count)

    def set_aside(self) -> None:
        """Before all tesserae are cut anew: keep the journal for a replay, and let the record be as if unedited.

        The journal moves last: where something fails before, all of it is laid over the record once more.
        """
        folder, journal = self.path / FOLDER, self.journal
        if not len(journal):
            return
        with writing(self.path):
            (folder / SETTLED).unlink(missing_ok=True)
            journal.laid = journal.in_pyramid = 0
            tables.clear_attributes(self.layer.tables)
            if not (folder / KEPT).exists():
                replace(folder / LOG, folder / KEPT)
        self._opened.journal = None  # its file was moved: it is read anew

    @property
    def kept(self) -> Journal | None:
        """The edits that wait to be replayed, or None."""
        path = self.path / FOLDER / KEPT
        return Journal(path) if path.exists() else None

    def retire_kept(self, name: str) -> None:
        """File the kept journal away under `name-N.log`: it was replayed, or its edits are not wanted."""
        kept = self.path / FOLDER / KEPT
        number = len(list(kept.parent.glob(f"{name}-*.log"))) + 1
        with writing(self.path):
            replace(kept, kept.with_name(f"{name}-{number}.log"))

    def require_editable(self, *, replaying: bool = False) -> None:
        """Raise `RecordError` where the record cannot be edited now; `replaying` the edits that wait may."""
        if not self.writable:
            raise RecordError(f"{self.path} is open for reading only; open it with writable=True to edit it.")
        if not replaying and (self.path / FOLDER / KEPT).exists():
            raise RecordError(
                f"{self.path} is being cut anew and its edits wait to be replayed; let the run finish (--resume) first."
            )
        try:
            self.catch_up()
        except WriteError as error:
            raise WriteError(
                f"An edit before this one is kept in the journal of {self.path}, but its tesserae cannot be written "
                f"({_reason(error)}), so no other is made; free some space or mend the disk first."
            ) from error


def _reason(error: OSError) -> str:
    """What the system said, of an error that tells it in a sentence."""
    cause = error.__cause__
    return (cause.strerror if isinstance(cause, OSError) else None) or str(error)


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


def _parents(lattice: Lattice, boxes: list[Box]) -> list[Box]:
    """The boxes one level up, on its lattice of shards, at most one a shard."""
    parts: dict[Index, Box] = defaultdict(lambda: Box(2**62, 2**62, 0, 0))
    for below in boxes:
        box = Box(*(-(-edge // 2) for edge in below)).clip(lattice.shape)
        for index in lattice.overlapping(box):
            part, known = lattice.tile(index).core.intersect(box), parts[index]
            low = (min(known[axis], part[axis]) for axis in (0, 1))
            high = (max(known[axis], part[axis]) for axis in (2, 3))
            parts[index] = Box(*low, *high)
    return [parts[index] for index in sorted(parts)]


def adopt_edits(new: Path, previous: Path) -> None:
    """Let the edits of the record that a new one replaces wait to be replayed on the new one, the folder `new`."""
    source = previous / FOLDER
    name = KEPT if (source / KEPT).exists() else LOG
    (new / FOLDER).mkdir(exist_ok=True)
    with whole_file(new / FOLDER / KEPT, sync=True) as temporary:
        shutil.copyfile(source / name, temporary)


def has_edits(path: Path) -> bool:
    """Whether the record at `path` holds edits that count, or that wait to be replayed."""
    return any(Journal(path / FOLDER / name).done for name in (LOG, KEPT))
