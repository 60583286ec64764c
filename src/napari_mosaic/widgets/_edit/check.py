"""The section *Check*: look for tesserae that need a look, walk through them, say what they are.

One decision: what a person says of a tessera is written at once, in line with the edits, and the walk goes on without
waiting for it.
"""

from __future__ import annotations

from typing import Any

from napari_mosaic.editing.drafts import Draft
from napari_mosaic.editing.extents import box_of
from napari_mosaic.editing.queue import decide, progress_of_queue
from napari_mosaic.record import Record
from napari_mosaic.record.finished import finished_boxes, mark_finished
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._edit.queue import Walk, known_walk, look_steps
from napari_mosaic.widgets._edit.state import resolve_edit
from napari_mosaic.widgets._sources import view_box


class Check:
    """The verbs of checking, for an `EditDock`."""

    def __init__(self, dock: Any) -> None:
        self._dock = dock

    def begin(self) -> None:
        """Take up the walk that was begun before, and count what is finished."""
        self._dock.session.ask(lambda record: (known_walk(record), len(finished_boxes(record))), self._known)

    def look(self) -> None:
        """Look at every tessera for those that need a look."""
        dock = self._dock
        if not resolve_edit(dock.state).look.enabled:
            return
        record = dock.session.record
        dock.run_steps(lambda: look_steps(record), "looking")

    def step(self, by: int) -> None:
        """Fly to the next tessera that needs a look, or the one before."""
        dock = self._dock
        if resolve_edit(dock.state).step:
            dock.tell(walk=dock.state.walk.moved(by))
            self._fly()

    def decide(self, word: str) -> None:
        """Say of the tessera that one looks at that it is fine, fixed or ignored; and fly to the next."""
        dock = self._dock
        if not resolve_edit(dock.state).decide:
            return
        walk: Walk = dock.state.walk
        assert walk.current is not None
        id_ = walk.current.id
        dock.tell(walk=walk.without([id_]))
        dock.session.ask(lambda record: _decided(record, id_, word), self._counted)
        self._fly()

    def edited(self, ids: set[int]) -> None:
        """Tesserae were edited: they count as fixed."""
        dock = self._dock
        if dock.state.walk is not None:
            dock.tell(walk=dock.state.walk.without(ids))
            dock.session.ask(progress_of_queue, self._counted)

    def reread(self) -> None:
        """An edit was taken back or made again: what it fixed may need a look once more, and the other way round."""
        if self._dock.state.walk is not None:
            self._dock.session.ask(known_walk, self._taken_up)

    def go_to(self, number: str) -> None:
        """Fly to the tessera of a number."""
        dock, digits = self._dock, number.replace(",", "").replace(" ", "")
        if not digits.isdecimal():
            dock.tell(message=f"“{number}” is no number of a tessera; give one as it stands in the table.")
        elif dock.session is not None:
            id_ = int(digits)
            dock.session.ask(lambda record: _box_of(record, id_), lambda box: dock.show_stone(id_, box))

    def mark_finished(self) -> None:
        """Say that all that is seen is right."""
        dock = self._dock
        if resolve_edit(dock.state).finish.enabled:
            box = view_box(dock.layer)
            dock.session.ask(lambda record: _mark(record, box), self._marked)

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

    def _fly(self) -> None:
        current = self._dock.state.walk.current
        if current is not None:
            self._dock.show_stone(current.id, current.box)


def _decided(record: Record, id_: int, word: str) -> tuple[int, int]:
    decide(record, id_, word)
    return progress_of_queue(record)


def _box_of(record: Record, id_: int) -> Box:
    return box_of(Draft(record).rows([id_]))


def _mark(record: Record, box: Box) -> int:
    """Mark a box of the working grid; how many windows are finished."""
    factor = record.plan.factor
    return len(mark_finished(record, Box(*(round(edge / factor) for edge in box))))
