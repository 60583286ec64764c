"""The walk through the tesserae that need a look: where one stands, and how one flies there.

One decision: the list and what was said of each are the core's; this keeps only the place in it, as a value.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_mosaic.editing import progress_of_queue, suspects_steps
from napari_mosaic.editing.queue import Suspect, read_suspects
from napari_mosaic.record import Record, open_record
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._napari import canvas_size

AROUND = 6.0
"""How many times its own size one sees around a tessera that one flies to."""

_LEAST_PX = 24


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

    def without(self, ids: Sequence[int]) -> Walk:
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


def fly_to(viewer: Any, layer: Labels, box: Box) -> None:
    """Bring a box of the working grid into the middle of the view, with what is around it."""
    middle = ((box.y0 + box.y1) / 2 - 0.5, (box.x0 + box.x1) / 2 - 0.5)
    side = max(*box.shape, _LEAST_PX) * AROUND
    ends = [np.asarray(layer.data_to_world(place)) for place in (middle, (middle[0] + side, middle[1]))]
    canvas = min(canvas_size(viewer))
    viewer.camera.center = tuple(ends[0])
    viewer.camera.zoom = canvas / max(float(np.linalg.norm(ends[1] - ends[0])), 1e-9)
