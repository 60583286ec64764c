"""A line of known length, drawn over the photograph: its layer, and the fields beside it.

One decision: the line is a layer of napari's own, so it can be drawn, moved and removed like any other; what it
measures is asked of it when the length is given, on the photograph as it lies then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Shapes
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QVBoxLayout, QWidget

from napari_mosaic.widgets._napari import is_being_drawn
from napari_mosaic.widgets._sources import DRAWN_COLOUR, lying_like
from napari_mosaic.widgets._view import button_row, push_button, side_by_side

if TYPE_CHECKING:
    from napari import Viewer

NAME = "known length"
_WIDTH = 400
"""How often its width goes into the longer side of the photograph: the whole shows it, too; not varied."""


class LineForm(QWidget):
    """Draws a line, takes its length in mm and sets the size that follows."""

    drawn = Signal()
    bar_asked = Signal()
    given = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        tip = "Draw a line along something of known length: a scale bar, a rod, a side of the floor."
        self.draw, self.use = push_button("Draw a line", tip), push_button("Set")
        bar_tip = "Click on both ends of a scale bar in the photograph; the clicks move to its edges."
        self.bar = push_button("Scale bar", bar_tip)
        self.length = QDoubleSpinBox()
        self.length.setRange(0.0, 1e6)
        self.length.setDecimals(1)
        self.length.setSuffix(" mm")
        self.length.setSpecialValueText("length")
        self.length.setToolTip("Length of the line on the floor.")
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addLayout(button_row(self.draw, self.bar))
        rows.addLayout(side_by_side(self.length, self.use, wide=0))
        self.draw.clicked.connect(lambda _=False: self.drawn.emit())
        self.bar.clicked.connect(lambda _=False: self.bar_asked.emit())
        self.use.clicked.connect(lambda _=False: self._give())
        edit = self.length.lineEdit()
        if edit is not None:
            edit.returnPressed.connect(self._give)

    def _give(self) -> None:
        self.length.interpretText()
        if self.use.isEnabled():
            self.given.emit(self.length.value())


class LineLayer:
    """The layer of the line in a viewer; `changed` is called when the line was drawn, moved or removed."""

    def __init__(self, viewer: Viewer, photograph: Layer, shape: tuple[int, int], changed: Callable[[], None]) -> None:
        self._viewer, self._photograph, self._changed = viewer, photograph, changed
        layer = Shapes(
            name=NAME,
            ndim=2,
            edge_color=DRAWN_COLOUR,
            edge_width=max(1.0, max(shape) / _WIDTH),
            **lying_like(photograph),
        )
        self.layer = viewer.add_layer(layer)
        layer.events.data.connect(self._touched)
        self.draw()

    @property
    def present(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    def draw(self) -> None:
        """Let the next drag draw the line."""
        self._viewer.layers.selection.active = self.layer
        self.layer.mode = "add_line"

    def ends(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """The ends `(y, x)` of the line that was drawn last, in pixels of the photograph; None where there is none."""
        if not self.present or not self.layer.nshapes:
            return None
        corners = np.asarray(self.layer.data[-1], float)[:, -2:]
        first, last = (self._photograph.world_to_data(self.layer.data_to_world(corner)) for corner in corners[[0, -1]])
        return (float(first[-2]), float(first[-1])), (float(last[-2]), float(last[-1]))

    def show(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Let this be the line, its ends `(y, x)` in pixels of the photograph, outer corner of the first (0, 0)."""
        there = [
            self.layer.world_to_data(self._photograph.data_to_world((y - 0.5, x - 0.5)))[-2:] for y, x in (start, end)
        ]
        self.layer.data = []
        self.layer.add([np.array(there)], shape_type="line")

    def let_go(self) -> None:
        """Hear nothing of the layer any more; it stays."""
        self.layer.events.data.disconnect(self._touched)

    def close(self) -> None:
        """Take the layer out of the viewer."""
        self.let_go()
        if self.present:
            self._viewer.layers.remove(self.layer)

    def _touched(self, _: Any = None) -> None:
        QTimer.singleShot(0, self._settle)

    def _settle(self) -> None:
        """One line at a time: the one drawn last; napari is left alone while a person still draws."""
        if not self.present or is_being_drawn(self.layer):
            return
        if self.layer.nshapes > 1:
            self.layer.data, self.layer.mode = [self.layer.data[-1]], "add_line"
            return
        self._changed()
