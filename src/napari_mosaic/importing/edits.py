"""What a file changes becomes edits of a record: one a tile, journalled like any other.

One decision: of a tessera whose outline was moved, only the pixels between the old outline and the new one change. What
an outline would take from a tessera that the file leaves alone is not taken: it is listed, for a person to decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic import editing
from napari_mosaic.editing.extents import bounding_box, union
from napari_mosaic.editing.outlines import LEAST_AREA
from napari_mosaic.editing.transaction import LabelWindow, Transaction
from napari_mosaic.editing.transaction import editing as begin
from napari_mosaic.errors import InputError
from napari_mosaic.importing.comparing import Differences, Dispute, compare_steps
from napari_mosaic.importing.outlines import SILENT, Outlines
from napari_mosaic.importing.painting import box_of, mask_of
from napari_mosaic.importing.shown_part import shown_part
from napari_mosaic.measurement.windows import window_of
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import Record
from napari_mosaic.record.tables import WORDS
from napari_mosaic.tiling import Box
from napari_mosaic.words import counted

_TILE = 1024
"""Side of a tile whose changes are one edit, px of the working grid; not varied."""
_LOSS = 0.1
"""Share of a tessera, or of an outline, that may be disputed at a common border before it is one; not varied, as in
`editing.replay`. Less stays with whom it belongs to."""

_LACKING = 0.25
"""Share of a record's tesserae that a picture may lack before it is asked whether it is of a part: more than people
delete by hand. Not varied."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was brought back.

    Attributes
    ----------
    same, changed, added, deleted, assigned
        How many tesserae the file has as they are, with another outline, and anew; how many it lacks; of how many it
        says another material or state.
    absent
        How many it lacks where it does not say that it is complete: they stay.
    edits
        Entries in the journal: undo them in one go with `edits undo -n`.
    disputes
        What was not taken over, and why.
    notes
        What of the file was left out.
    """

    same: int
    changed: int
    added: int
    deleted: int
    assigned: int
    absent: int
    edits: int
    disputes: tuple[Dispute, ...]
    notes: tuple[str, ...]


def import_edits_steps(
    record: Record, outlines: Outlines, *, cover: BaseGeometry | None = None, dry_run: bool = False
) -> Steps[Imported]:
    """Compare a file with the record that it came from, and make what differs edits of it.

    Parameters
    ----------
    record
        Open for writing; for reading where `dry_run`.
    outlines
        What the file says.
    cover
        Where what is absent from the file was deleted; by default what the file says of itself, or of a picture, which
        says nothing, the part that it shows (`shown_part`).
    dry_run
        Only tell what would be done.

    Raises
    ------
    InputError
        A picture, which cannot say that it is of a part, lacks so many tesserae that it may be one.
    """
    presumed = cover is None and outlines.cover is not None and outlines.presumed
    if cover is None:
        cover = shown_part(outlines.shapes, record.plan.source_shape) if presumed else outlines.cover
    found = yield from compare_steps(record, outlines, cover=cover)
    if presumed and len(found.gone) > _LACKING * record.count:
        raise InputError(
            f"{outlines.name} lacks {len(found.gone):,} of {counted(record.count, 'tessera')}, and a picture cannot "
            "say that it is of a part; say with --covers where it is complete: the region, all, or nothing."
        )
    work = _Work(record, outlines, found)
    counts: dict[str, int] = defaultdict(int)
    tiles = work.tiles()
    for done, tile in enumerate(tiles, 1):
        if not dry_run:
            with begin(record) as transaction:
                counts["edits"] += work.lay(tile, transaction, counts)
        else:
            work.lay(tile, Transaction(record), counts, dry=True)
        yield Progress(phase="edits", done=done, total=len(tiles), unit="blocks")
    counts["edits"] += 0 if dry_run else _assign(record, outlines, found.said)
    return Imported(
        same=found.same,
        changed=counts["changed"],
        added=counts["added"],
        deleted=counts["deleted"],
        assigned=len(found.said),
        absent=found.absent,
        edits=counts["edits"],
        disputes=tuple(found.disputes),
        notes=outlines.notes,
    )


@dataclass
class _Change:
    """One outline of the file to be laid: its position, its id (0 where it is new) and its mask over a window."""

    k: int
    id: int
    mask: Mask


@dataclass(frozen=True)
class _Tile:
    """What changes in a tile: ids and positions of outlines, ids that go."""

    changed: list[tuple[int, int]]
    gone: list[int]


class _Work:
    """The changes of a file, tile by tile."""

    def __init__(self, record: Record, outlines: Outlines, found: Differences) -> None:
        self.record, self.outlines, self.found = record, outlines, found
        self._gone = set(found.gone)

    def tiles(self) -> list[_Tile]:
        """The changes by the tiles in which their middles lie, in order."""
        parts: dict[tuple[int, int], _Tile] = defaultdict(lambda: _Tile([], []))
        for id_, k in [*self.found.changed.items(), *((0, k) for k in self.found.added)]:
            box = self._box(k)
            parts[(box.y0 + box.y1) // 2 // _TILE, (box.x0 + box.x1) // 2 // _TILE].changed.append((id_, k))
        for id_ in self.found.gone:
            y, x = editing.place_of_id(id_, self.record.shape)
            parts[y // _TILE, x // _TILE].gone.append(id_)
        return [parts[index] for index in sorted(parts)]

    def _box(self, k: int) -> Box:
        return box_of(self.outlines.shapes[k], self.record.plan.factor).clip(self.record.shape)

    def lay(self, tile: _Tile, transaction: Transaction, counts: dict[str, int], *, dry: bool = False) -> int:
        """Make the changes of a tile one edit; how many entries of the journal that was."""
        window = self._window(tile, transaction)
        changes = [
            change for id_, k in tile.changed if (change := self._change(transaction, window, id_, k)) is not None
        ]
        changes.sort(key=lambda change: (change.id == 0, -int(change.mask.sum())))
        kept = self._undisputed(window, changes, tile.gone)
        after = self._cleared(window, kept, tile.gone)
        for change in kept:
            free = change.mask & (after == 0)
            if not change.id:
                if free.sum() < LEAST_AREA:
                    self._dispute(change, "it covers no pixel of the analysis that is free")
                    continue
                after[free] = 1 if dry else transaction.name(free, window.box, self._attributes(change.k))
                counts["added"] += 1
            else:
                after[free] = change.id
                counts["changed"] += bool(((after == change.id) != (window.labels == change.id)).any())
        counts["deleted"] += len(tile.gone)
        if dry:
            return 0
        params = {"box": list(window.box), "file": self.outlines.name}
        return int(transaction.commit("replace_window", params, window, after) is not None)

    def _window(self, tile: _Tile, transaction: Transaction) -> LabelWindow:
        """The labels around all that changes in a tile."""
        ids = [*tile.gone, *(id_ for id_, _ in tile.changed if id_)]
        boxes = [self._box(k) for _, k in tile.changed]
        if ids:
            boxes.append(bounding_box(transaction.rows(ids)))
        whole = boxes[0]
        for box in boxes[1:]:
            whole = union(whole, box)
        return transaction.read(whole)

    def _change(self, transaction: Transaction, window: LabelWindow, id_: int, k: int) -> _Change | None:
        """An outline as a mask; of a tessera that is there, its own pixels wherever the outline has not moved."""
        factor = self.record.plan.factor
        wanted = mask_of(self.outlines.shapes[k], window.box, factor)
        if not id_:
            return _Change(k, 0, wanted)
        own = window.labels == id_
        was = mask_of(self._now(transaction, id_), window.box, factor)
        mask = np.where(wanted == was, own, wanted)
        if not mask.any():
            self.found.dispute(self.outlines, k, id_, "its outline covers no pixel of the analysis")
            return None
        return None if np.array_equal(mask, own) else _Change(k, id_, mask)

    def _now(self, transaction: Transaction, id_: int) -> BaseGeometry:
        """A tessera as the file's format draws it now."""
        rows = transaction.rows([id_])
        seen = window_of(self.record.read_labels, rows, np.array([0]), Box(0, 0, 0, 0))
        return self.outlines.trace(self.record, seen)[0]

    def _cleared(self, window: LabelWindow, changes: Sequence[_Change], gone: Sequence[int]) -> NDArray[Any]:
        """The labels without what goes, and without what changed tesserae leave."""
        after = np.where(np.isin(window.labels, gone), 0, window.labels).astype(window.labels.dtype)
        for change in changes:
            if change.id:
                after[(window.labels == change.id) & ~change.mask] = 0
        return after

    def _undisputed(self, window: LabelWindow, changes: list[_Change], gone: Sequence[int]) -> list[_Change]:
        """The changes that take no more than a border from anything that stays, or from one that comes before them."""
        left = list(changes)
        while True:
            after, taken = self._cleared(window, left, gone), np.zeros(window.box.shape, bool)
            kept = []
            for change in left:
                reason = self._reason(window, after, taken, change)
                if reason:
                    self._dispute(change, reason)
                else:
                    kept.append(change)
                    taken |= change.mask
            if len(kept) == len(left):
                return kept
            left = kept

    def _reason(self, window: LabelWindow, after: NDArray[Any], taken: Mask, change: _Change) -> str:
        """Why a change is disputed; nothing where it is not."""
        size = int(change.mask.sum())
        if (change.mask & taken).sum() > _LOSS * size:
            return "it overlaps another outline of the file"
        others = after[change.mask & (after != change.id) & (after != 0)]
        for id_, count in zip(*np.unique(others, return_counts=True), strict=True):
            if self._makes_way(window, change, int(id_)):
                continue
            area = int((window.labels == id_).sum())
            if count > _LOSS * min(area, max(size, 1)):
                return f"it overlaps tessera {int(id_)}, which the file leaves as it is"
        return ""

    def _makes_way(self, window: LabelWindow, change: _Change, id_: int) -> bool:
        """Whether a tessera that changes in another tile leaves what an outline takes from it."""
        if id_ in self._gone:
            return True
        k = self.found.changed.get(id_)
        return (
            k is not None
            and not (mask_of(self.outlines.shapes[k], window.box, self.record.plan.factor) & change.mask).any()
        )

    def _dispute(self, change: _Change, reason: str) -> None:
        self.found.dispute(self.outlines, change.k, change.id, reason)

    def _attributes(self, k: int) -> tuple[int, int]:
        codes = (int(self.outlines.material[k]), int(self.outlines.state[k]))
        return (codes[0] if codes[0] != SILENT else 0, codes[1] if codes[1] != SILENT else 0)


def _assign(record: Record, outlines: Outlines, said: dict[int, int]) -> int:
    """Say of tesserae what the file says, one edit for each pair of words and tile; how many edits that was."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for id_, k in said.items():
        y, x = editing.place_of_id(id_, record.shape)
        groups[int(outlines.material[k]), int(outlines.state[k]), y // _TILE, x // _TILE].append(id_)
    count = 0
    for (material, state, *_), ids in sorted(groups.items()):
        words: dict[str, str | None] = {
            name: None if code == SILENT else WORDS[name][code]
            for name, code in (("material", material), ("state", state))
        }
        count += editing.assign(record, ids, **words) is not None
    return count
