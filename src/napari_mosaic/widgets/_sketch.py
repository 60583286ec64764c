"""Stones seen as soon as the network has looked at the windows that they depend on, before their tile can be cut.

One decision: what is shown so is in the memory of the viewer alone, and cut by the thread that computed the last window
which it needs, so that nothing else waits for a core. The part of the view in a window is a sketch, cut as if the
picture ended there, until all windows within reach of it are there; then it is what the record will hold. The tile,
when it is finished, and the end of every run put what the record holds in its place.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.mapping import compute_tile
from napari_mosaic.record import Plan, Record
from napari_mosaic.record.ledger import Index
from napari_mosaic.tesserae import GROUT, Tesserae, find_in_window
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._levels import Level, put_pixels

MOST = 16 << 20
"""Pixels in view up to which windows are sketched: in a wider view a stone is too small to be looked at. Not varied."""

LOADED = 3
"""Levels that show what is not on the disk yet: a view of `MOST` px is drawn from one of these. Not varied."""

Map = NDArray[np.uint8]
Maps = Mapping[Index, Map]


@dataclass(frozen=True)
class Shown:
    """What a viewer holds of a record in memory: the levels of its joints and of its tesserae."""

    joints: Sequence[Level]
    tesserae: Sequence[Level]


class Sketcher:
    """Shows the windows near the view of one run; `take` is the run's `seen`.

    Parameters
    ----------
    view
        What is looked at, in pixels of the photograph, until `look` says otherwise.
    """

    def __init__(self, view: Box) -> None:
        self._start = view
        self._view: Box | None = None
        self._shown: Shown | None = None
        self._maps: dict[Index, Map] = {}
        self._taken: set[Index] = set()
        self._exact: set[Box] = set()
        self._news: set[bool] = set()
        self._waiting: list[tuple[bool, Box, NDArray[Any]]] = []
        self._lock = threading.Lock()

    def look(self, view: Box) -> None:
        """What is looked at now, in pixels of the working grid."""
        self._view = view

    def show_in(self, shown: Shown | None) -> None:
        """Where windows are shown from now on; what was taken before is put there, too."""
        with self._lock:
            self._shown = shown
            if shown is not None:
                for joints, box, pixels in self._waiting:
                    self._put_in(shown, joints, box, pixels)
                self._waiting.clear()

    def take_news(self) -> tuple[bool, bool]:
        """Whether joints, and tesserae, have changed in memory since this was asked last."""
        with self._lock:
            news, self._news = self._news, set()
        return True in news, False in news

    def has(self, window: Index) -> bool:
        """Whether a window is shown already."""
        return window in self._taken

    def is_near(self, plan: Plan, window: Index) -> bool:
        """Whether stones in view depend on a window, and the view is near enough to see them."""
        view = self._view_of(plan)
        around = view.grow(plan.tesserae.halo)
        return view.area <= MOST and plan.lattice.tile(window).core.intersect(around).area > 0

    def take(self, record: Record, window: Index, map_: Map) -> None:
        """Show the map of a window, and the stones in view that are known better by it; on any thread."""
        plan = record.plan
        if not self.is_near(plan, window):
            return
        view, core = self._view_of(plan), plan.lattice.tile(window).core
        with self._lock:
            self._taken.add(window)
            self._maps[window] = map_
            self._maps = maps = {index: kept for index, kept in self._maps.items() if self.is_near(plan, index)}
            whole = self._newly_exact(record, view, core, record.ledger.done("map") | maps.keys())
        for part in whole:
            cut = compute_tile(partial(_read_map, record, maps), plan, part)
            self._put(False, part, _with_stored(record, part, cut))
        seen = core.intersect(view)
        if seen.area and not any(seen.intersect(part) == seen for part in whole) and _is_open(record, seen):
            box = seen.grow(plan.tesserae.flooded).intersect(core)
            cut = find_in_window(map_[(slice(None), *box.within(core))], box, seen, plan.shape, plan.tesserae)
            self._put(False, seen, _with_stored(record, seen, cut), sketch=True)
        self._put(True, core, map_[GROUT])

    def _view_of(self, plan: Plan) -> Box:
        return (self._view or self._start.scale(plan.factor)).clip(plan.shape)

    def _newly_exact(self, record: Record, view: Box, core: Box, known: AbstractSet[Index]) -> list[Box]:
        """Parts of the view near a window whose stones depend on known windows alone, and are to be cut now.

        All of them at once where that can be: it takes less than one by one.
        """
        plan, parts = record.plan, []
        for index in plan.lattice.overlapping(view):
            part = plan.lattice.tile(index).core.intersect(view)
            within_reach = core.intersect(part.grow(plan.tesserae.halo)).area > 0
            if part not in self._exact and within_reach and known >= _windows_within_reach(plan, part):
                self._exact.add(part)
                if _is_open(record, part):
                    parts.append(part)
        if len(parts) > 1:
            ends = list(zip(*parts, strict=True))
            hull = Box(min(ends[0]), min(ends[1]), max(ends[2]), max(ends[3]))
            if known >= _windows_within_reach(plan, hull):
                return [hull]
        return parts

    def _put(self, joints: bool, box: Box, pixels: NDArray[Any], *, sketch: bool = False) -> None:
        with self._lock:
            if sketch and box in self._exact:
                return  # another thread has cut it better meanwhile
            if self._shown is None:
                self._waiting.append((joints, box, np.array(pixels)))
            else:
                self._put_in(self._shown, joints, box, pixels)

    def _put_in(self, shown: Shown, joints: bool, box: Box, pixels: NDArray[Any]) -> None:
        if any(put_pixels(shown.joints if joints else shown.tesserae, box, pixels, load=LOADED)):
            self._news.add(joints)


def _windows_within_reach(plan: Plan, part: Box) -> set[Index]:
    """The windows that the stones of a box depend on."""
    return set(plan.lattice.overlapping(part.grow(plan.tesserae.halo).clip(plan.shape)))


def _is_open(record: Record, part: Box) -> bool:
    """Whether the tiles under a box are still to be cut; what the record has is not ours to change."""
    return not record.ledger.done("tesserae").issuperset(record.plan.shards.overlapping(part))


def _with_stored(record: Record, part: Box, found: Tesserae) -> NDArray[Any]:
    """Stones of a box with those that the record holds there over them, such as are drawn by hand."""
    stored = record.read_labels(part)
    return np.where(stored > 0, stored, found.labels)


def _read_map(record: Record, maps: Maps, box: Box) -> Map:
    """The map over a box, of windows in memory and on disk."""
    plan = record.plan
    out = np.zeros((plan.channels, *box.shape), np.uint8)
    for index in plan.lattice.overlapping(box):
        core = plan.lattice.tile(index).core
        part = core.intersect(box)
        found = maps[index][(slice(None), *part.within(core))] if index in maps else record.read_map(part)
        out[(slice(None), *part.within(box))] = found
    return out
