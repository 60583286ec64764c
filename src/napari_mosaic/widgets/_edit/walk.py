"""The section *Check*: the walk through the tesserae that need a look, and what is said of each.

One decision: the list and what was said of each are the core's; here is only the place in it, as a value. What a person
says of a tessera is written at once, in line with the edits, and the walk goes on without waiting for it.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_mosaic.editing import suspects_steps
from napari_mosaic.editing.numbers import Named, find_tessera
from napari_mosaic.editing.queue import Suspect, decide, progress_of_queue, read_suspects
from napari_mosaic.record import Record, open_record
from napari_mosaic.record.finished import finished_boxes, mark_finished
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._napari import camera_of, canvas_size
from napari_mosaic.widgets._sources import view_box

if TYPE_CHECKING:
    from napari import Viewer

    from napari_mosaic.widgets._edit.dock import EditDock

AROUND = 6.0
"""How many times its own size one sees around a tessera that one flies to; not varied."""

_LEAST_PX = 24
"""Side of the smallest tessera that this is reckoned from, in px of the working grid; not varied."""


@dataclass(frozen=True)
class Walk:
    """The tesserae that wait, worst first, which of them one looks at (-1 for none yet), and how many are checked."""

    waiting: tuple[Suspect, ...] = ()
    place: int = -1
    checked: int = 0
    total: int = 0

    @property
    def current(self) -> Suspect | None:
        """The one that is looked at."""
        return self.waiting[self.place] if 0 <= self.place < len(self.waiting) else None

    def moved(self, by: int) -> Walk:
        """One further, or back; round at the ends."""
        if not self.waiting:
            return self
        return replace(self, place=(max(self.place, -1) + by) % len(self.waiting) if self.place >= 0 else 0)

    def without(self, ids: Collection[int]) -> Walk:
        """The walk without some tesserae; the next one takes the place of the one that was looked at."""
        left = tuple(suspect for suspect in self.waiting if suspect.id not in ids)
        before = sum(suspect.id not in ids for suspect in self.waiting[: max(self.place, 0)])
        place = -1 if self.place < 0 or not left else min(before, len(left) - 1)
        return replace(self, waiting=left, place=place)

    def at(self, other: Walk) -> Walk:
        """The walk at the tessera that another looks at, or at its place where that one is not in the list."""
        known = [suspect.id for suspect in self.waiting]
        if other.current is not None and other.current.id in known:
            return replace(self, place=known.index(other.current.id))
        return replace(self, place=min(other.place, len(known) - 1))

    def counted(self, progress: tuple[int, int]) -> Walk:
        """The walk with what the core counts."""
        return replace(self, checked=progress[0], total=progress[1])


def look_steps(record: Record) -> Generator[Any, None, Walk]:
    """Look for tesserae that need a look, on a thread of its own; returns the walk."""
    if record.writable:
        found = yield from suspects_steps(record)
    else:
        with open_record(record.path) as own:
            found = yield from suspects_steps(own)
    return Walk(tuple(found)).counted(progress_of_queue(record))


def known_walk(record: Record) -> Walk | None:
    """The walk through the list that was made last, or None."""
    found = read_suspects(record)
    return None if found is None else Walk(tuple(found)).counted(progress_of_queue(record))


def fly_to(viewer: Viewer, layer: Labels, box: Box) -> None:
    """Bring a box of the working grid into the middle of the view, with what is around it."""
    middle = ((box.y0 + box.y1) / 2 - 0.5, (box.x0 + box.x1) / 2 - 0.5)
    side = max(*box.shape, _LEAST_PX) * AROUND
    ends = [np.asarray(layer.data_to_world(place)) for place in (middle, (middle[0] + side, middle[1]))]
    camera = camera_of(viewer)
    camera.center = tuple(ends[0])
    camera.zoom = min(canvas_size(viewer)) / max(float(np.linalg.norm(ends[1] - ends[0])), 1e-9)


class Check:
    """The verbs of checking, for an `EditDock`."""

    def __init__(self, dock: EditDock) -> None:
        self._dock = dock

    def begin(self) -> None:
        """Take up the walk that was begun before, and count what is finished."""
        self._dock.ask(lambda record: (known_walk(record), len(finished_boxes(record))), self._known)

    def look(self) -> None:
        """Look at every tessera for those that need a look."""
        dock = self._dock
        record = None if dock.session is None else dock.session.record
        if record is not None and dock.view_model.look.enabled:
            dock.run_steps(lambda: look_steps(record), "looking")

    def step(self, by: int) -> None:
        """Fly to the next tessera that needs a look, or the one before."""
        dock = self._dock
        if dock.view_model.step and dock.state.walk is not None:
            dock.tell(walk=dock.state.walk.moved(by))
            self._fly()

    def decide(self, word: str) -> None:
        """Say of the tessera that one looks at that it is fine, fixed or ignored; and fly to the next."""
        dock, walk = self._dock, self._dock.state.walk
        if dock.view_model.decide and walk is not None and walk.current is not None:
            if dock.layer is None or view_box(dock.viewer, dock.layer).intersect(walk.current.box).area == 0:
                self._fly()
                dock.tell(message="It was out of sight, so nothing was said of it; here it is.")
                return
            id_ = walk.current.id
            dock.tell(walk=walk.without([id_]))
            dock.ask(lambda record: _decided(record, id_, word), self._counted)
            self._fly()

    def edited(self, ids: set[int]) -> None:
        """Tesserae were edited: they count as fixed."""
        dock = self._dock
        if dock.state.walk is not None:
            dock.tell(walk=dock.state.walk.without(ids))
            dock.ask(progress_of_queue, self._counted)

    def reread(self) -> None:
        """An edit was taken back or made again: what it fixed may need a look once more, and the other way round."""
        if self._dock.state.walk is not None:
            self._dock.ask(known_walk, self._taken_up)

    def go_to(self, number: str) -> None:
        """Fly to the tessera of a number of the exports, or of an id."""
        self._dock.ask(lambda record: find_tessera(record, number), self._found)

    def mark_finished(self) -> None:
        """Say that all that is seen is right."""
        dock = self._dock
        if dock.view_model.finish.enabled and dock.layer is not None:
            box = view_box(dock.viewer, dock.layer)
            dock.ask(lambda record: _mark(record, box), self._marked)

    def _known(self, found: tuple[Walk | None, int]) -> None:
        self._dock.tell(walk=found[0], finished=found[1])

    def _taken_up(self, walk: Walk | None) -> None:
        """Go on where one stood, in a list that was read again."""
        before = self._dock.state.walk
        if walk is not None and before is not None:
            self._dock.tell(walk=walk.at(before))

    def _counted(self, progress: tuple[int, int]) -> None:
        if self._dock.state.walk is not None:
            self._dock.tell(walk=self._dock.state.walk.counted(progress))

    def _marked(self, count: int) -> None:
        self._dock.tell(finished=count, last=f"This window is finished; {count:,} in all to learn from.", message="")

    def _found(self, found: Named) -> None:
        self._dock.show_tessera(found.id, found.box)
        self._dock.tell(last=found.words)

    def _fly(self) -> None:
        walk = self._dock.state.walk
        if walk is not None and walk.current is not None:
            self._dock.show_tessera(walk.current.id, walk.current.box)


def _decided(record: Record, id_: int, word: str) -> tuple[int, int]:
    decide(record, id_, word)
    return progress_of_queue(record)


def _mark(record: Record, box: Box) -> int:
    """Mark a box of the working grid; how many windows are finished."""
    factor = record.plan.factor
    return len(mark_finished(record, Box(*(round(edge / factor) for edge in box))))
