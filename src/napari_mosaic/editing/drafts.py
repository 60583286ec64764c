"""From a change of labels in a window to an edit: names, figures, journal.

One decision: a tool only says what the labels of a window are afterwards. Which tesserae that touches, their rows,
flags and whole shapes are found here, alike for every tool, so undo and replay never ask which tool it was.

What is finished is asked once, before the first pixel is read. A shard that a run finishes between the reading and
the writing of an edit would otherwise count as seen, though the edit has read it empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from napari_mosaic import _flood
from napari_mosaic.confidence import temperature_scale_bytes
from napari_mosaic.editing.entries import Edit, enter, likely_parts
from napari_mosaic.editing.extents import box_of, boxes_of, extent, seed_of, union
from napari_mosaic.editing.names import is_made, new_name
from napari_mosaic.errors import InputError, RecordError
from napari_mosaic.record import Record, tables
from napari_mosaic.record.edits import require_editable
from napari_mosaic.record.patches import Patch
from napari_mosaic.record.tables import Columns
from napari_mosaic.tesserae import Flag
from napari_mosaic.tiling import Box

Ids = NDArray[Any]
Said = tuple[int, int]
_LARGEST = 128_000_000
_FIGURES = ("y0", "x0", "y1", "x1", "area")


@dataclass(frozen=True)
class Window:
    """The labels of a box of the working grid as they are before an edit."""

    box: Box
    labels: NDArray[Any]

    @property
    def free(self) -> NDArray[np.bool_]:
        """Where there is no tessera."""
        return np.asarray(self.labels == 0)


class Draft:
    """One edit in the making, on a record that nobody else edits meanwhile."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._finished = record.ledger.done("tesserae")
        self._new: dict[int, tuple[int, int]] = {}
        self._said: dict[int, Said] = {}
        self._parts: dict[tuple[int, int], Columns] = {}

    def rows(self, ids: Sequence[int] | Ids) -> Columns:
        """The rows of some tesserae, sorted by id; `InputError` where one does not exist."""
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
            if np.isin(missing, pq.read_table(path, columns=["id"], partitioning=None)["id"].to_numpy()).any():
                i, j = path.stem.split("_")
                rows = tables.join_rows(rows, _only(self._part((int(i), int(j))), missing))
        return rows

    def _part(self, index: tuple[int, int]) -> Columns:
        if index not in self._parts:
            self._parts[index] = tables.read_rows(self.record.tables, index)
        return self._parts[index]

    def read(self, box: Box) -> Window:
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
            return Window(inside, self._read_finished(inside))
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

    def around(self, rows: Columns, margin: int = 0) -> Window:
        """The labels around some tesserae."""
        return self.read(box_of(rows).grow(margin))

    def map(self, box: Box) -> NDArray[np.uint8]:
        """The stored map `(C, h, w)` over a box that lies inside of the working grid."""
        return np.ascontiguousarray(self.record.read_map(box))

    def name(self, mask: NDArray[np.bool_], box: Box, said: Said = (0, 0)) -> int:
        """An id for a new tessera, of which `said` (material, state) is known."""
        pixels = np.argwhere(mask) + np.array([box.y0, box.x0])
        id_, place = new_name(pixels, self.record.shape, self._is_taken)
        self._new[id_] = place
        self._said[id_] = said
        return id_

    def _is_taken(self, id_: int) -> bool:
        if id_ in self._new or id_ in self.record.journal.used:
            return True
        return not is_made(id_, self.record.shape) and len(self.known_rows(np.array([id_], np.uint64))["id"]) > 0

    def revive(self, id_: int, place: tuple[int, int], said: Said) -> None:
        """Let an edit bring in a tessera under an id that it had elsewhere; `place` is its seed."""
        self._new[id_] = place
        self._said[id_] = said

    def say(self, id_: int, said: Said) -> None:
        """Note material and state of a tessera, as codes."""
        self._said[id_] = said

    def commit(
        self,
        tool: str,
        params: Mapping[str, Any],
        window: Window,
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
        touched = np.union1d(touched[touched > 0], self._spoken_of(window.labels, after))
        if len(touched) == 0:
            return None
        before_rows = self.known_rows(touched.astype(np.uint64))
        self._require_known(np.setdiff1d(touched, [*before_rows["id"], *self._new]))
        before, whole = self._widen(window, after, before_rows)
        mask = np.isin(before.labels, touched) | np.isin(whole, touched)
        box = extent(mask, before.box)
        self._require_finished([box, *boxes_of(before_rows)])
        cut = box.within(before.box)
        after_rows = self._figures(whole[cut], box, touched, before_rows)
        if not (always or changed.any()) and _same_said(before_rows, after_rows):
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

    def _spoken_of(self, before: NDArray[Any], after: NDArray[Any]) -> Ids:
        said = np.array(sorted(self._said), before.dtype)
        return said[np.isin(said, before) | np.isin(said, after)]

    def _widen(self, window: Window, after: NDArray[Any], rows: Columns) -> tuple[Window, NDArray[Any]]:
        """The labels before and after in a window that holds all touched tesserae whole."""
        outer = window.box if len(rows["id"]) == 0 else union(window.box, box_of(rows))
        if outer == window.box:
            return window, after.astype(window.labels.dtype)
        before = self.read(outer)
        whole = before.labels.copy()
        whole[window.box.within(outer)] = after
        return before, whole

    def _require_known(self, missing: Ids) -> None:
        """Raise `RecordError` for a tessera that is seen, but whose seed lies where the run has not come to yet."""
        for id_ in missing.tolist():
            for index in likely_parts(self.record, id_):
                if index not in self._finished:
                    raise self._unfinished(index)

    def _require_finished(self, boxes: Sequence[Box]) -> None:
        """Raise `RecordError` where a box reaches into a part that was not finished when the edit began.

        The box in a tessera's row counts, not its pixels: those in such a part were not there yet.
        """
        for box in boxes:
            for index in self.record.plan.shards.overlapping(box):
                if index not in self._finished:
                    raise self._unfinished(index)

    def _unfinished(self, index: tuple[int, int]) -> RecordError:
        place = tuple(self.record.plan.shards.tile(index).core)
        return RecordError(
            f"The part {place} of {self.record.path.name} is not segmented yet, and what is edited there "
            "would be lost; edit another part, or go on with segment --resume first."
        )

    def _figures(self, labels: NDArray[Any], box: Box, touched: Ids, before: Columns) -> Columns:
        """Rows of the touched tesserae as `labels` over `box` show them."""
        left = np.intersect1d(touched, labels).astype(labels.dtype)
        told = temperature_scale_bytes(self.map(box)[0], self.record.plan.tesserae.temperature)
        grout = np.ascontiguousarray(told)
        found = _flood.stone_figures(np.ascontiguousarray(labels), left, grout)
        rows = tables.empty_columns()
        columns = {"area": found[:, 0], **{name: found[:, k + 1] for k, name in enumerate(_FIGURES[:4])}}
        for name, shift in zip(_FIGURES[:4], (box.y0, box.x0) * 2, strict=True):
            columns[name] = columns[name] + shift
        columns["score"] = 1 - found[:, 5] / np.maximum(found[:, 0], 1) / 255
        known = {int(id_): k for k, id_ in enumerate(before["id"])}
        seeds, rest = [], []
        for id_, area_box in zip(left.tolist(), found[:, 1:5], strict=True):
            k = known.get(id_)
            old = self._new[id_] if k is None else (int(before["y"][k]), int(before["x"][k]))
            seeds.append(seed_of(labels, id_, area_box, box, old))
            rest.append(self._flags_and_said(id_, k, before))
        columns |= {"id": left, "y": np.array([y for y, _ in seeds]), "x": np.array([x for _, x in seeds])}
        edge = self._on_edge(columns)
        flags, materials, states = (np.array([row[i] for row in rest], np.uint8) for i in range(3))
        columns |= {"flags": flags | edge, "material": materials, "state": states}
        return tables.join_rows(rows, columns) if len(left) else rows

    def _flags_and_said(self, id_: int, k: int | None, before: Columns) -> tuple[int, int, int]:
        old = (0, 0) if k is None else (int(before["material"][k]), int(before["state"][k]))
        flags = 0 if k is None else int(before["flags"][k]) & ~int(Flag.EDGE)
        return (flags | int(Flag.EDITED), *self._said.get(id_, old))

    def _on_edge(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
        height, width = self.record.shape
        low = (columns["y0"] == 0) | (columns["x0"] == 0)
        edge = low | (columns["y1"] == height) | (columns["x1"] == width)
        return np.where(edge, int(Flag.EDGE), 0).astype(np.uint8)


@contextmanager
def editing(record: Record, *, replaying: bool = False) -> Iterator[Draft]:
    """One edit at a time on a record that is open for writing."""
    require_editable(record, replaying=replaying)
    with record.journal.lock:
        yield Draft(record)


def _only(rows: Columns, ids: Ids) -> Columns:
    kept = np.isin(rows["id"], ids)
    return {name: values[kept] for name, values in rows.items()}


def _same_said(before: Columns, after: Columns) -> bool:
    return all(np.array_equal(before[name], after[name]) for name in ("id", "material", "state"))
