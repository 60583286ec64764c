"""Edits laid over other labels: a fresh segmentation, or another copy of the record.

One decision: what a person made stays pixel for pixel. An edit brings its tesserae back in their shapes; of what
the labels show there now, a tessera that lies mostly under it makes way and any other gives up the pixels that it
needs. Where the labels differ so much that a person should look, the edit is listed as a conflict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.editing.entries import enter
from napari_mosaic.editing.extents import bounding_box, union
from napari_mosaic.editing.transaction import Transaction, editing
from napari_mosaic.errors import MissingError, RecordError
from napari_mosaic.files import make_folder, whole_file, write_whole, writing
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import Record
from napari_mosaic.record.journal import FOLDER, Header, Journal
from napari_mosaic.record.patches import Patch
from napari_mosaic.tiling import Box

CONFLICTS = "conflicts.json"
_BOX = "imported_box"
"""In the header of an imported edit: its box in the file, by which it is known; over other labels it has another."""
_ALIKE = 0.5
"""Share of a tessera that must lie under an edit for it to make way, and of what was edited that must still look so;
not varied."""

_LOSS = 0.1
"""Share of itself that a tessera may lose to an edit before a person is asked to look; not varied."""


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """An edit that did not fit as it was: which, where on the working grid, and why."""

    edit: int
    tool: str
    box: Box
    reason: str


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """How many edits were laid over, those that a person should look at, and how many were there `already`."""

    applied: int
    conflicts: tuple[Conflict, ...]
    already: int = 0


def export_edits(record: Record, path: Path, *, box: Box | None = None) -> int:
    """Write the edits that count, or those that meet `box` (working grid), to a file; how many.

    `apply_edits_file` brings them into another copy of the record.
    """
    path = Path(path)
    journal = record.journal
    chosen = [n for n in journal.done if box is None or journal[n].box.intersect(box).area > 0]
    with whole_file(path, sync=True) as temporary:
        out = Journal(temporary, writable=True)
        out.append({"kind": "reserve", "shape": list(record.shape), "source": record.source.fingerprint})
        for number in chosen:
            entry = journal[number]
            header = {key: value for key, value in journal.header(number).items() if key not in ("n", "of")}
            out.append({**header, "box": list(entry.box), "shards": list(entry.shards)}, journal.patch(number))
    return len(chosen)


def import_edits_steps(record: Record, path: Path) -> Steps[Replayed]:
    """Lay the edits of a file that `export_edits` wrote over a record, each as an edit of its own.

    Those that the record has already, from the same file or because it is their own, are left out.

    Raises
    ------
    MissingError, RecordError
        There is no such file; it is of another photograph or another analysis size, or damaged.
    """
    if not Path(path).exists():
        raise MissingError(f"There is no file of edits at {path}; check the path.")
    journal = Journal(Path(path))
    head = journal.header(0) if len(journal) else {}
    if head.get("source") != record.source.fingerprint or tuple(head.get("shape", ())) != record.shape:
        raise RecordError(
            f"The edits of {path} belong to another photograph or another analysis size than {record.path.name}; "
            "give edits of a copy of this record."
        )
    here = {_mark(record.journal, number) for number in record.journal.done}
    new = [number for number in journal.done if _mark(journal, number) not in here]
    replayed = yield from _replay(record, journal, new, "imported")
    return replace(replayed, already=len(journal.done) - len(new))


def _mark(journal: Journal, number: int) -> tuple[Any, ...]:
    """What an edit is known by in all copies of a record: its first number, what was asked for, and where."""
    header = journal.header(number)
    asked = json.dumps(header["params"], sort_keys=True)
    return header.get("imported", header["n"]), header["tool"], asked, tuple(header.get(_BOX, journal[number].box))


def replay_kept_steps(record: Record) -> Steps[Replayed | None]:
    """After a run that cut all tesserae anew: lay the edits that were kept over what it found; None without any.

    Begun again after a crash it goes on where it was.
    """
    kept = record.edits.kept
    if kept is None or not record.metadata.has_tesserae:
        return None
    if not len(record.journal):
        record.journal.append({"kind": "reserve", "made": sorted(kept.used | _found_ids(kept))})
    last = max((record.journal.header(n).get("replayed", -1) for n in record.journal.done), default=-1)
    numbers = [number for number in kept.done if number > last]
    replayed = yield from _replay(record, kept, numbers, "replayed")
    record.edits.retire_kept("replayed")
    yield from record.edits.update_pyramid_steps()
    return replayed


def discard_kept(record: Record) -> None:
    """Do without the edits that wait to be replayed; their ids stay known."""
    kept = record.edits.kept
    if kept is not None:
        record.journal.append({"kind": "reserve", "made": sorted(kept.used | _found_ids(kept))})
        record.edits.retire_kept("discarded")


def read_conflicts(record: Record) -> tuple[Conflict, ...]:
    """The conflicts of the last replay."""
    try:
        values = json.loads((record.path / FOLDER / CONFLICTS).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return ()
    return tuple(Conflict(**{**value, "box": Box(*value["box"])}) for value in values)


def _found_ids(journal: Journal) -> set[int]:
    """Ids that a run gave and an edit took away."""
    return {id_ for number in journal.done for id_ in journal.header(number).get("gone", ())}


def _replay(record: Record, journal: Journal, numbers: Sequence[int], how: str) -> Steps[Replayed]:
    conflicts = list(read_conflicts(record)) if how == "replayed" and len(record.journal) > 1 else []
    renamed: dict[int, int] = {}
    for done, number in enumerate(numbers, 1):
        header, patch = journal.header(number), journal.patch(number)
        reason = replay_edit(record, header, patch, how, renamed)
        box = journal[number].box
        if reason:
            conflicts.append(Conflict(edit=number, tool=header["tool"], box=box, reason=reason))
            _write_conflicts(record, conflicts)
        yield Progress(phase="edits", done=done, total=len(numbers), unit="edits", region=box)
    _write_conflicts(record, conflicts)
    return Replayed(applied=len(numbers), conflicts=tuple(conflicts))


def _write_conflicts(record: Record, conflicts: Sequence[Conflict]) -> None:
    path = record.path / FOLDER / CONFLICTS
    with writing(record.path):
        make_folder(path.parent)
        write_whole(path, json.dumps([asdict(conflict) for conflict in conflicts], indent=1), sync=False)


def replay_edit(record: Record, header: Header, patch: Patch, how: str, renamed: dict[int, int]) -> str:
    """Lay one edit over a record; why a person should look at it, or nothing where it fits.

    `how` is "replayed" or "imported"; what is imported under a name that lives here gets another one, which is
    noted in `renamed` and holds for the edits that follow.
    """
    extra = {how: header["n"], **({_BOX: list(patch.box)} if how == "imported" else {})}
    with editing(record, replaying=how == "replayed") as transaction:
        if patch.areas is not None:
            enter(record, header["tool"], header["params"], patch, **extra)
            return ""
        if how == "imported":
            patch = _with_own_names(transaction, patch, renamed)
        placed = _Placed(transaction, patch)
        transaction.commit(header["tool"], header["params"], placed.window, placed.laid(), always=True, **extra)
        return placed.reason


def _with_own_names(transaction: Transaction, patch: Patch, renamed: dict[int, int]) -> Patch:
    """The patch with the names that its tesserae have here."""
    patch = _renamed(patch, renamed)
    made = np.setdiff1d(patch.rows_after["id"], patch.rows_before["id"])
    labels = patch.labels(after=True)
    new = {int(id_): transaction.name(labels == id_, patch.box) for id_ in transaction.known_rows(made)["id"]}
    renamed.update(new)
    return _renamed(patch, new)


def _renamed(patch: Patch, names: Mapping[int, int]) -> Patch:
    if not names:
        return patch

    def rename(ids: NDArray[Any]) -> NDArray[Any]:
        values, place = np.unique(ids, return_inverse=True)
        return np.array([names.get(int(value), int(value)) for value in values], ids.dtype)[place]

    rows = [{**rows, "id": rename(rows["id"])} for rows in (patch.rows_before, patch.rows_after)]
    return replace(
        patch, before=rename(patch.before), after=rename(patch.after), rows_before=rows[0], rows_after=rows[1]
    )


class _Placed:
    """An edit at its place in other labels: which tesserae make way, which are cut, and whether it fits."""

    def __init__(self, transaction: Transaction, patch: Patch) -> None:
        self.reason = ""
        self._draft = transaction
        self._rows = patch.rows_after
        there = transaction.read(patch.box)
        ids = np.union1d(there.labels[patch.mask].astype(np.uint64), self._rows["id"])
        rows = transaction.known_rows(ids[ids > 0])
        self._areas = dict(zip(rows["id"].tolist(), rows["area"].tolist(), strict=True))
        self.window = transaction.read(union(there.box, bounding_box(rows))) if self._areas else there
        here, shape = patch.box.within(self.window.box), self.window.box.shape
        self._before, self._after = (np.zeros(shape, self.window.labels.dtype) for _ in range(2))
        self._mask = np.zeros(shape, bool)
        self._before[here], self._after[here] = patch.labels(after=False), patch.labels(after=True)
        self._mask[here] = patch.mask

    def laid(self) -> NDArray[Any]:
        """The labels with the edit in them."""
        names = ("id", "y", "x", "material", "state")
        for id_, y, x, *said in zip(*(self._rows[name].tolist() for name in names), strict=True):
            self._draft.revive(id_, (y, x), (said[0], said[1]))
        labels = self.window.labels
        if np.array_equal(labels[self._mask], self._before[self._mask]) and not self._doubles(labels):
            return np.where(self._mask, self._after, labels)
        after = self._cleared(labels)
        for id_ in self._doubles(after):
            pixels = (after == id_) & (self._after == 0)
            after[pixels] = self._draft.name(pixels, self.window.box)
            self.reason = self.reason or f"another tessera was found under the name {id_} and got a new one"
        return np.where(self._after > 0, self._after, after)

    def _cleared(self, labels: NDArray[Any]) -> NDArray[Any]:
        """The labels without the tesserae that make way for the edit."""
        inside, taken = _counts(labels[self._mask]), _counts(labels[self._after > 0])
        away = [id_ for id_, count in inside.items() if count >= _ALIKE * self._areas.get(id_, 0)]
        for id_ in inside.keys() - set(away):
            lost = taken.get(id_, 0) / self._areas[id_]
            if lost > _LOSS:
                self.reason = f"the tessera {id_} lost {lost:.0%} of itself to it"
            elif not self._after.any():
                self.reason = f"the tessera {id_} reaches far beyond what was taken away, so it stays"
        gone = np.isin(labels, np.array(away, labels.dtype)) & (labels > 0)
        then = self._before > 0
        if then.any() and gone.any() and (gone & then).sum() < _ALIKE * (gone | then).sum():
            self.reason = self.reason or "what was edited looks otherwise now"
        return np.where(gone, 0, labels)

    def _doubles(self, labels: NDArray[Any]) -> list[int]:
        """Names that the edit brings and that pixels beside it have."""
        ids = np.intersect1d(labels[~self._mask], self._rows["id"].astype(labels.dtype))
        return [int(id_) for id_ in ids if id_]


def _counts(ids: NDArray[Any]) -> dict[int, int]:
    values, counts = np.unique(ids[ids > 0], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
