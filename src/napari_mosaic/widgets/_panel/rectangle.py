"""A rectangle of known sides, its corners clicked on the photograph: its layer, and the form beside it.

One decision: as for a known line, the corners are a layer of napari's own, and are asked for when they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from napari.layers import Layer, Points
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout

from napari_mosaic.widgets._forms import ValueForm
from napari_mosaic.widgets._sources import DRAWN_COLOUR, lying_like
from napari_mosaic.widgets._view import button_row, push_button

if TYPE_CHECKING:
    from napari import Viewer

CORNERS, CLICKS = "corners of a rectangle", "ends of a scale bar"
_WIDTH = 80
"""How often a mark goes into the longer side of the photograph: the whole shows it, too; not varied."""


@dataclass(frozen=True)
class Sides:
    """Sides of a rectangle on the floor, in mm."""

    first_mm: Annotated[
        float,
        {
            "label": "First side (mm)", "decimals": 1, "max": 1e6,
            "tooltip": "Length on the floor from the first corner to the second.",
        },
    ] = 0.0  # fmt: skip
    next_mm: Annotated[
        float,
        {
            "label": "Next side (mm)", "decimals": 1, "max": 1e6,
            "tooltip": "Length on the floor from the second corner to the third.",
        },
    ] = 0.0  # fmt: skip


class RectangleForm(ValueForm):
    """Marks the corners of a rectangle, takes its sides in mm, and sets the size that follows or rectifies."""

    marked = Signal()
    given = Signal(object)

    def __init__(self) -> None:
        tip = "Click the four corners of something rectangular, going round: a frame, a grid of string, a panel."
        self.mark, self.use = push_button("Rectangle", tip), push_button("Set")
        self.rectify = push_button(
            "Rectify …", "Make of the photograph a picture from straight above, with pixels of one size, and open it."
        )
        super().__init__(Sides)
        column = self.layout()
        assert isinstance(column, QVBoxLayout)
        column.addLayout(button_row(self.mark, self.use, self.rectify))
        self.mark.clicked.connect(lambda _=False: self.marked.emit())
        self.use.clicked.connect(lambda _=False: self.given.emit(self.value()))


class Marks:
    """A layer of up to `most` points over the photograph; `changed` is called when one came, moved or went."""

    def __init__(
        self,
        viewer: Viewer,
        photograph: Layer,
        shape: tuple[int, int],
        name: str,
        most: int,
        changed: Callable[[], None],
    ) -> None:
        self._viewer, self._photograph, self._most, self._changed = viewer, photograph, most, changed
        layer = Points(
            np.empty((0, 2)),
            name=name,
            ndim=2,
            size=max(3.0, max(shape) / _WIDTH),
            face_color="transparent",
            border_color=DRAWN_COLOUR,
            border_width=0.2,
            **lying_like(photograph),
        )
        self.layer = viewer.add_layer(layer)
        layer.events.data.connect(self._touched)
        self.mark()

    @property
    def present(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    def mark(self) -> None:
        """Let the next clicks be points."""
        self._viewer.layers.selection.active = self.layer
        self.layer.mode = "add"

    def places(self) -> list[tuple[float, float]]:
        """The points `(y, x)` in pixels of the photograph, outer corner of the first (0, 0), in order of the clicks."""
        if not self.present:
            return []
        there = (self._photograph.world_to_data(self.layer.data_to_world(point)) for point in self.layer.data)
        return [(float(place[-2]) + 0.5, float(place[-1]) + 0.5) for place in there]

    def close(self) -> None:
        """Take the layer out of the viewer."""
        self.let_go()
        if self.present:
            self._viewer.layers.remove(self.layer)

    def let_go(self) -> None:
        """Hear nothing of the layer any more; it stays."""
        self.layer.events.data.disconnect(self._touched)

    def _touched(self, _: Any = None) -> None:
        QTimer.singleShot(0, self._settle)

    def _settle(self) -> None:
        """No more points than are wanted: the last ones stay; then they are moved, not added to."""
        if not self.present:
            return
        if len(self.layer.data) > self._most:
            self.layer.data = self.layer.data[-self._most :]
            return
        if len(self.layer.data) == self._most and self.layer.mode == "add":
            self.layer.mode = "select"
        self._changed()
