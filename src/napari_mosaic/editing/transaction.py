"""From a change of labels in a window to an edit: names, figures, journal.

One decision: a tool only says what the labels of a window are afterwards. Which tesserae that touches, their rows,
flags and whole shapes are found here, alike for every tool, so undo and replay never ask which tool it was.

What is finished is asked once, before the first pixel is read. A shard that a run finishes between the reading and
the writing of an edit would otherwise count as seen, though the edit has read it empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic import _flood
from napari_mosaic.confidence import temperature_scale_bytes
from napari_mosaic.editing.entries import Edit, enter, likely_parts
from napari_mosaic.editing.extents import bounding_box, bounding_boxes, mask_bounding_box, seed_of, union
from napari_mosaic.editing.names import is_made, new_name
from napari_mosaic.errors import InputError, RecordError
from napari_mosaic.record import Record, tables
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.patches import Patch
from napari_mosaic.record.tables import Columns
from napari_mosaic.tesserae import Flag
from napari_mosaic.tiling import Box

Ids = NDArray[Any]
Attributes = tuple[int, int]
_LARGEST = 128_000_000
"""Pixels of a window that is edited at once: its labels, before and after, are a gigabyte of uint32; not varied."""


@dataclass(frozen=True)
class LabelWindow:
    """The labels of a box of the working grid as they are before an edit."""

    box: Box
    labels: NDArray[Any]

    @property
    def free(self) -> NDArray[np.bool_]:
        """Where there is no tessera."""
        return np.asarray(self.labels == 0)


class Transaction:
    """One edit in the making, on a record that nobody else edits meanwhile."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._finished = record.ledger.done("tesserae")
        self._new: dict[int, tuple[int, int]] = {}
        self._attributes: dict[int, Attributes] = {}
        self._parts: dict[Index, Columns] = {}

    def rows(self, ids: Sequence[int] | Ids) -> Columns:
        """The rows of some tesserae, sorted by id, all of them in parts that were finished when the edit began.

        `InputError` where one does not exist, `RecordError` where the run has not come to one yet: its row may be there
        by now, but its pixels would be read as none, and the edit taken for one that changes nothing.
        """
        if any(id_ < 1 for id_ in ids):
            raise InputError(f"{min(ids)} is no id of a tessera; ids count from 1.")
        wanted = np.unique(np.asarray(list(ids), np.uint64))
        rows = self.known_rows(wanted)
        missing = np.setdiff1d(wanted, rows["id"])
        self._require_known(missing)
        if len(missing):
            raise InputError(
                f"There is no tessera {int(missing[0])} in {self.record.path.name}; it was never found, or an edit "
                "took it away: give the id of one that is there."
            )
        self._require_finished(bounding_boxes(rows))
        return rows

    def known_rows(self, ids: Ids) -> Columns:
        """The rows of those of `ids` that exist, sorted by id.

        They lie where their names say; only those that an edit is known to have carried away are looked for all over.
        """
        record, rows = self.record, tables.empty_columns()
        for index in sorted({index for id_ in ids.tolist() if id_ for index in likely_parts(record, id_)}):
            rows = tables.join_rows(rows, _only(self._part(index), ids))
        missing = np.array(
            sorted(record.journal.strayed.intersection(ids.tolist()) - set(rows["id"].tolist())), np.uint64
        )
        for path in sorted(record.tables.glob("*.parquet")) if len(missing) else ():
            if np.isin(missing, tables.columns_of(tables.read_table(path, ["id"]))["id"]).any():
                i, j = path.stem.split("_")
                rows = tables.join_rows(rows, _only(self._part((int(i), int(j))), missing))
        return rows

    def _part(self, index: Index) -> Columns:
        if index not in self._parts:
            self._parts[index] = self.record.tesserae.read_rows(index)
        return self._parts[index]

    def read(self, box: Box) -> LabelWindow:
        """The labels of a box, clipped to the working grid; none where nothing was finished when the edit began."""
        inside = Box(*(int(edge) for edge in box)).clip(self.record.shape)
        if inside.area == 0:
            height, width = self.record.shape
            raise InputError(
                f"The place {tuple(box)} lies outside of the working grid of {width} x {height} px; "
                "give places in pixels of the analysis size."
            )
        if inside.area > _LARGEST:
            raise InputError(
                f"The window {tuple(inside)} is too large to be edited at once; "
                f"stay below {_LARGEST // 10**6} megapixels."
            )
        try:
            return LabelWindow(inside, self._read_finished(inside))
        except (ValueError, RuntimeError, OSError) as error:
            raise RecordError(
                f"Tesserae of {self.record.path.name} at {tuple(inside)} cannot be read ({error}), so nothing there "
                "can be edited; restore them with segment --resume."
            ) from error

    def _read_finished(self, box: Box) -> Ids:
        """The labels of a box, 0 in the shards that a run has still to write, or writes just now."""
        shards = self.record.plan.shards
        over = shards.overlapping(box)
        finished = [index for index in over if index in self._finished]
        if len(finished) == len(over):
            return np.ascontiguousarray(self.record.read_labels(box))
        labels = np.zeros(box.shape, self.record.tessera_levels[0].dtype)
        for index in finished:
            part = shards.tile(index).core.intersect(box)
            labels[part.within(box)] = self.record.read_labels(part)
        return labels

    def around(self, rows: Columns, margin: int = 0) -> LabelWindow:
        """The labels around some tesserae."""
        return self.read(bounding_box(rows).grow(margin))

    def map(self, box: Box) -> NDArray[np.uint8]:
        """The stored map `(C, h, w)` over a box that lies inside of the working grid."""
        return np.ascontiguousarray(self.record.read_map(box))

    def name(self, mask: NDArray[np.bool_], box: Box, attributes: Attributes = (0, 0)) -> int:
        """An id for a new tessera, of known `attributes` (material, state)."""
        pixels = np.argwhere(mask) + np.array([box.y0, box.x0])
        id_, place = new_name(pixels, self.record.shape, self._is_taken)
        self._new[id_] = place
        self._attributes[id_] = attributes
        return id_

    def _is_taken(self, id_: int) -> bool:
        if id_ in self._new or id_ in self.record.journal.used:
            return True
        return not is_made(id_, self.record.shape) and len(self.known_rows(np.array([id_], np.uint64))["id"]) > 0

    def revive(self, id_: int, place: tuple[int, int], attributes: Attributes) -> None:
        """Let an edit bring in a tessera under an id that it had elsewhere; `place` is its seed."""
        self._new[id_] = place
        self._attributes[id_] = attributes

    def set_attributes(self, id_: int, attributes: Attributes) -> None:
        """Note material and state of a tessera, as codes."""
        self._attributes[id_] = attributes

    def commit(
        self,
        tool: str,
        params: Mapping[str, Any],
        window: LabelWindow,
        after: NDArray[Any],
        *,
        always: bool = False,
        **extra: Any,
    ) -> Edit | None:
        """Write the edit that turns the labels of `window` into `after`.

        None where it changes nothing; with `always`, tesserae of which something is said are marked all the same.
        """
        changed = window.labels != after
        touched = np.unique(np.concatenate([window.labels[changed], after[changed].astype(window.labels.dtype)]))
        touched = np.union1d(touched[touched > 0], self._with_attributes(window.labels, after))
        if len(touched) == 0:
            return None
        before_rows = self.known_rows(touched.astype(np.uint64))
        self._require_known(np.setdiff1d(touched, [*before_rows["id"], *self._new]))
        before, whole = self._widen(window, after, before_rows)
        mask = np.isin(before.labels, touched) | np.isin(whole, touched)
        box = mask_bounding_box(mask, before.box)
        self._require_finished([box, *bounding_boxes(before_rows)])
        cut = box.within(before.box)
        after_rows = self._figures(whole[cut], box, touched, before_rows)
        if not (always or changed.any()) and _same_attributes(before_rows, after_rows):
            return None
        inner = mask[cut]
        patch = Patch(
            box=box,
            mask=inner,
            before=before.labels[cut][inner],
            after=whole[cut][inner],
            rows_before=before_rows,
            rows_after=after_rows,
        )
        return enter(self.record, tool, params, patch, **extra)

    def _with_attributes(self, before: NDArray[Any], after: NDArray[Any]) -> Ids:
        ids = np.array(sorted(self._attributes), before.dtype)
        return ids[np.isin(ids, before) | np.isin(ids, after)]

    def _widen(self, window: LabelWindow, after: NDArray[Any], rows: Columns) -> tuple[LabelWindow, NDArray[Any]]:
        """The labels before and after in a window that holds all touched tesserae whole."""
        outer = window.box if len(rows["id"]) == 0 else union(window.box, bounding_box(rows))
        if outer == window.box:
            return window, after.astype(window.labels.dtype)
        before = self.read(outer)
        whole = before.labels.copy()
        whole[window.box.within(outer)] = after
        return before, whole

    def _require_known(self, missing: Ids) -> None:
        """Raise `RecordError` for a tessera that is seen, but whose seed lies where the run has not come to yet."""
        self._require(index for id_ in missing.tolist() for index in likely_parts(self.record, id_))

    def _require_finished(self, boxes: Sequence[Box]) -> None:
        """Raise `RecordError` where a box reaches into a part that was not finished when the edit began.

        The box in a tessera's row counts, not its pixels: those in such a part were not there yet.
        """
        shards = self.record.plan.shards
        self._require(index for box in boxes for index in shards.overlapping(box))

    def _require(self, indices: Iterable[Index]) -> None:
        for index in indices:
            if index not in self._finished:
                raise RecordError(
                    f"The part {tuple(self.record.plan.shards.tile(index).core)} of {self.record.path.name} is not "
                    "segmented yet, and what is edited there would be lost; edit another part, or go on with "
                    "segment --resume first."
                )

    def _figures(self, labels: NDArray[Any], box: Box, touched: Ids, before: Columns) -> Columns:
        """Rows of the touched tesserae as `labels` over `box` show them."""
        left, empty = np.intersect1d(touched, labels).astype(labels.dtype), tables.empty_columns()
        calibrated = temperature_scale_bytes(self.map(box)[0], self.record.plan.tesserae.temperature)
        grout = np.ascontiguousarray(calibrated)
        found = _flood.stone_figures(np.ascontiguousarray(labels), left, grout)
        names = ("id", "y", "x", "flags", "material", "state")
        known = {id_: rest for id_, *rest in zip(*(before[name].tolist() for name in names), strict=True)}
        height, width = self.record.shape
        inner, rows = Box(1, 1, height - 1, width - 1), []
        for id_, (area, *own, joint) in zip(left.tolist(), found.tolist(), strict=True):
            y, x, flags, *attributes = known.get(id_) or (*self._new[id_], 0, 0, 0)
            seed, place = seed_of(labels, id_, own, box, (y, x)), Box(*own).shift(box.y0, box.x0)
            flags = flags & ~int(Flag.EDGE) | int(Flag.EDITED) | (0 if inner.intersect(place) == place else Flag.EDGE)
            score = 1 - joint / max(area, 1) / 255
            rows.append((id_, *seed, *place, area, score, flags, *self._attributes.get(id_, attributes)))
        values = zip(*rows, strict=True) if rows else ((),) * len(empty)
        return {name: np.array(column, empty[name].dtype) for name, column in zip(empty, values, strict=True)}


@contextmanager
def editing(record: Record, *, replaying: bool = False) -> Iterator[Transaction]:
    """One edit at a time on a record that is open for writing."""
    record.edits.require_editable(replaying=replaying)
    with record.journal.lock:
        yield Transaction(record)


def _only(rows: Columns, ids: Ids) -> Columns:
    return tables.take_rows(rows, np.isin(rows["id"], ids))


def _same_attributes(before: Columns, after: Columns) -> bool:
    return all(np.array_equal(before[name], after[name]) for name in ("id", "material", "state"))
