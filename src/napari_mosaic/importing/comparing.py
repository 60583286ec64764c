"""What a file changes of a record: outline by outline, against what an export would write now.

One decision: a tessera is unchanged where the file shows it as its format draws it; so straightened outlines and
rounded coordinates are no edits, and whoever exports and brings back at once changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.errors import InputError
from napari_mosaic.importing.outlines import SILENT, Outlines
from napari_mosaic.measurement.moments import centres
from napari_mosaic.measurement.outlines import trace_outlines
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.measurement.windows import TesseraWindow, tessera_windows
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import Record
from napari_mosaic.words import counted

SAME = 0.1
"""Source pixels that an unchanged outline may have moved by: programs round to hundredths. Not varied."""
ALIKE = 0.5
"""Share of a tessera that a shape must cover to be taken for it, where no id tells; at most one can. Not varied."""


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """What a file says and the record does not take over: whose outline, where `(y, x)` on the photograph, why."""

    id: int
    place: tuple[float, float]
    reason: str


@dataclass
class Differences:
    """What differs: positions in the file by id of those that changed, positions of new ones, ids that go."""

    changed: dict[int, int] = field(default_factory=dict)
    added: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    said: dict[int, int] = field(default_factory=dict)
    same: int = 0
    absent: int = 0
    disputes: list[Dispute] = field(default_factory=list)

    def dispute(self, outlines: Outlines, k: int, id_: int, reason: str) -> None:
        """Leave an outline of the file to a person."""
        self.disputes.append(Dispute(id=id_, place=place_of(outlines.shapes[k]), reason=reason))


def place_of(shape: BaseGeometry) -> tuple[float, float]:
    """The middle of a shape, `(y, x)`."""
    x0, y0, x1, y1 = shape.bounds
    return round((y0 + y1) / 2, 1), round((x0 + x1) / 2, 1)


def compare_steps(record: Record, outlines: Outlines, *, cover: BaseGeometry | None) -> Steps[Differences]:
    """Compare a file with a record, tile by tile.

    Parameters
    ----------
    record
        Open for reading.
    outlines
        What the file says.
    cover
        Where what is absent from the file was deleted, in source pixels; None for nowhere.

    Raises
    ------
    InputError
        The file's ids are those of another record.
    """
    match = _Matching(record, outlines)
    done = 0
    for window in tessera_windows(record, match.tesserae):
        match.take(window)
        done += len(window.rows)
        yield Progress(phase="compare", done=done, total=len(match.tesserae), unit="tesserae", region=window.tile)
    return match.result(cover)


class _Matching:
    """Outlines of a file and tesserae of a record, and which belong together."""

    def __init__(self, record: Record, outlines: Outlines) -> None:
        self.record, self.outlines, self.tesserae = record, outlines, read_tesserae(record)
        self.found = Differences()
        self._owner = np.zeros(len(outlines), np.uint64)
        self._apart = 0
        self._missing: list[tuple[int, tuple[float, float], bool]] = []
        self._candidates: list[tuple[float, int, int]] = []
        self._by_id = self._largest_by_id()
        self._loose = np.ones(len(outlines), bool)
        self._loose[list(self._by_id.values())] = False
        self._tree = shapely.STRtree(outlines.shapes)

    def _largest_by_id(self) -> dict[int, int]:
        """Position of each id; of parts that a program gave the same id, that of the largest."""
        order = np.argsort(shapely.area(self.outlines.shapes), kind="stable").tolist()
        known = set(self.tesserae.columns["id"].tolist())
        pairs = ((int(self.outlines.ids[k]), k) for k in order)
        return {id_: k for id_, k in pairs if id_ in known}

    def take(self, window: TesseraWindow) -> None:
        """Compare the tesserae of one window."""
        now = self.outlines.trace(self.record, window)
        ids = self.tesserae.columns["id"][window.rows].tolist()
        middles = centres(window) / self.record.plan.factor
        for row, id_, outline, middle in zip(window.rows.tolist(), ids, now, middles.tolist(), strict=True):
            k = self._by_id.get(id_)
            if k is None:
                self._look_around(row, id_, outline, (middle[0], middle[1]))
                continue
            self._owner[k] = id_
            self._note(row, id_, k, outline)
            self._apart += not outline.intersects(self.outlines.shapes[k])

    def _note(self, row: int, id_: int, k: int, outline: BaseGeometry) -> None:
        if is_same(outline, self.outlines.shapes[k]):
            self.found.same += 1
        else:
            self.found.changed[id_] = k
        for name in ("material", "state"):
            code = int(getattr(self.outlines, name)[k])
            if code not in (SILENT, int(self.tesserae.columns[name][row])):
                self.found.said[id_] = k

    def _look_around(self, row: int, id_: int, outline: BaseGeometry, middle: tuple[float, float]) -> None:
        """Of a tessera that no id names: what lies over it, best first; its centre, by which a part is exported."""
        near = self._tree.query(outline, predicate="intersects")
        loose = [int(k) for k in near if self._loose[k]]
        common = shapely.area(shapely.intersection(self.outlines.shapes[near], outline)) if len(near) else np.zeros(0)
        covered = bool(common.sum() >= ALIKE * outline.area)
        shares = {int(k): float(part) for k, part in zip(near, common, strict=True)}
        for k in loose:
            whole = self.outlines.shapes[k].area + outline.area - shares[k]
            same = is_same(outline, self.outlines.shapes[k])
            if same or shares[k] >= ALIKE * min(self.outlines.shapes[k].area, outline.area):
                self._candidates.append((2.0 if same else shares[k] / whole, row, k))
        self._missing.append((id_, middle, covered))

    def result(self, cover: BaseGeometry | None) -> Differences:
        """What differs, once all windows were taken."""
        known = len(self._by_id)
        if known and self._apart > ALIKE * known:
            raise InputError(
                f"{self.outlines.name} names {counted(known, 'tessera')} of {self.record.path.name}, and "
                f"{self._apart:,} of them lie elsewhere, so it was exported from another record; give that one."
            )
        if not known and self.outlines.ids.any() and not self._candidates:
            raise InputError(
                f"{self.outlines.name} names no tessera of {self.record.path.name} and shows none, so it was exported "
                "from another record; give that one."
            )
        self._pair_up()
        touched = touched_since(self.record, self.outlines.journal, but=self.outlines.name)
        self._settle_changed(touched)
        self._settle_loose(touched)
        self._settle_missing(touched, cover)
        return self.found

    def _pair_up(self) -> None:
        """Give what no id names to what it covers best, each once."""
        ids = self.tesserae.columns["id"]
        taken: set[int] = set()
        for share, row, k in sorted(self._candidates, key=lambda one: (-one[0], one[1], one[2])):
            id_ = int(ids[row])
            if id_ in taken or not self._loose[k]:
                continue
            taken.add(id_)
            self._loose[k] = False
            self._owner[k] = id_
            if share == 2.0:
                self.found.same += 1
            else:
                self.found.changed[id_] = k
            for name in ("material", "state"):
                code = int(getattr(self.outlines, name)[k])
                # The words of an annotation program are taken over, its silence is not.
                if code not in (SILENT, 0, int(self.tesserae.columns[name][row])):
                    self.found.said[id_] = k
        self._missing = [one for one in self._missing if one[0] not in taken]

    def _settle_changed(self, touched: dict[int, BaseGeometry | None]) -> None:
        """What was edited in the record since the export: kept where the file left it, else disputed."""
        for id_ in [id_ for id_ in self.found.changed if id_ in touched]:
            k = self.found.changed.pop(id_)
            if not _as_exported(touched[id_], self.outlines.shapes[k]):
                self.found.dispute(self.outlines, k, id_, "edited here since the export, too")
        for id_ in [id_ for id_ in self.found.said if id_ in touched]:
            k = self.found.said.pop(id_)
            self.found.dispute(
                self.outlines, k, id_, "its material or state may have been changed here since the export"
            )

    def _settle_loose(self, touched: dict[int, BaseGeometry | None]) -> None:
        for k in np.flatnonzero(self._loose).tolist():
            id_ = int(self.outlines.ids[k])
            if id_ == 0 or id_ in self._by_id:
                self.found.added.append(k)
            elif id_ not in touched:
                self.found.dispute(self.outlines, k, id_, "its id is that of no tessera here")
            elif not _as_exported(touched[id_], self.outlines.shapes[k]):
                self.found.dispute(self.outlines, k, id_, "deleted or merged here since the export")

    def _settle_missing(self, touched: dict[int, BaseGeometry | None], cover: BaseGeometry | None) -> None:
        """What the file does not have: it goes where other outlines lie over it, or where the file is complete."""
        shapely.prepare(cover)
        for id_, (y, x), covered in self._missing:
            inside = cover is not None and bool(shapely.contains_xy(cover, x, y))
            if id_ in touched:
                if covered or (inside and touched[id_] is not None):
                    reason = "absent from the file, and edited here since the export"
                    self.found.disputes.append(Dispute(id=id_, place=(round(y, 1), round(x, 1)), reason=reason))
            elif covered or inside:
                self.found.gone.append(id_)
            else:
                self.found.absent += 1


def is_same(first: BaseGeometry, second: BaseGeometry) -> bool:
    """Whether two outlines are one within `SAME`."""
    if not np.allclose(first.bounds, second.bounds, rtol=0, atol=SAME):
        return False
    return bool(shapely.hausdorff_distance(first, second) <= SAME and _rings(first) == _rings(second))


def _rings(shape: BaseGeometry) -> tuple[int, int]:
    polygons = shapely.get_parts(shape)
    return len(polygons), int(shapely.get_num_interior_rings(polygons).sum())


def touched_since(record: Record, journal: int | None, *, but: str = "") -> dict[int, BaseGeometry | None]:
    """The tesserae that were edited since the journal had so many entries, each as it was then; None where it was not.

    Undone and remade edits count: what they touch differs from what was exported. What an import of the file `but`
    alone touched does not: one that was interrupted is begun again with the same file.
    """
    found: dict[int, BaseGeometry | None] = {}
    if journal is None:
        return found
    others: set[int] = set()
    for number in range(journal, len(record.journal)):
        patch = record.journal.effect(number)
        rows = set(patch.rows_before["id"].tolist())
        if not but or record.journal.header(record.journal[number].of).get("params", {}).get("file") != but:
            others |= rows | set(patch.rows_after["id"].tolist())
        for id_ in [*rows, *patch.rows_after["id"].tolist()]:
            if id_ not in found:
                found[id_] = _shape_in(patch.labels(after=False), patch.box, id_, record) if id_ in rows else None
    return {id_: shape for id_, shape in found.items() if id_ in others}


def _shape_in(labels: NDArray[Any], box: Any, id_: int, record: Record) -> BaseGeometry:
    window = TesseraWindow(box, np.zeros(1, np.int64), box, (labels == id_).astype(np.int32))
    return trace_outlines(window, record.plan.factor)[0]


def _as_exported(then: BaseGeometry | None, shape: BaseGeometry) -> bool:
    return then is not None and is_same(then, shape)


__all__ = ["Differences", "Dispute", "compare_steps", "is_same", "touched_since"]
