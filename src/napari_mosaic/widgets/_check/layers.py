"""Squares and marks in the viewer: three layers that lie on the photograph.

One decision: a mark is a point, and belongs to the square that holds it, as a tessera to that which holds
its centre; so marks may be set in any order, and moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Points, Shapes

from napari_mosaic.evaluation.floor import Square
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._napari import camera_of, canvas_size
from napari_mosaic.widgets._sources import RECORD, placement

if TYPE_CHECKING:
    from napari import Viewer

SQUARES, MISSED, WRONG = "squares", "missed", "wrong"
MARK = "check"
_LOOKS = {MISSED: ("+", "#ffd54f"), WRONG: ("x", "#ff5252")}
"""Symbols and colours of marks; not varied."""


class CheckLayers:
    """The layers of one check; `changed` is called when marks were set, moved or taken away."""

    def __init__(
        self, viewer: Viewer, photograph: Layer, squares: Sequence[Square], changed: Callable[[], None]
    ) -> None:
        self._viewer = viewer
        self._boxes = [square.box for square in squares]
        self._changed = changed
        place = placement(photograph, 1.0)
        common: dict[str, Any] = {**place, "metadata": {RECORD: MARK}}
        names = {"letter": [square.name for square in squares]}
        text = {"string": "{letter}", "color": "#4da3ff", "size": 14, "anchor": "upper_left"}
        edge = max(1.0, self._boxes[0].shape[0] / 120)
        self.squares = Shapes(
            [_corners(box) for box in self._boxes], shape_type="rectangle", name=SQUARES, edge_color="#4da3ff",
            face_color="transparent", edge_width=edge, features=names, text=text, **common,
        )  # fmt: skip
        self.marks = {name: self._points(name, common) for name in _LOOKS}
        self._closed = False
        for layer in (self.squares, *self.marks.values()):
            viewer.add_layer(layer)
        for layer in self.marks.values():
            layer.events.data.connect(self._told)

    def mark(self, name: str) -> None:
        """Let the next clicks set marks of a kind."""
        layer = self.marks[name]
        if layer in self._viewer.layers:
            self._viewer.layers.selection.active = layer
            layer.mode = "add"

    def count(self, name: str) -> tuple[int, ...]:
        """How many marks of a kind lie in each square."""
        places = np.asarray(self.marks[name].data, float).reshape(-1, 2) + 0.5
        return tuple(int(_holds(box, places).sum()) for box in self._boxes)

    def show(self, at: int) -> None:
        """Bring a square into the middle of the view, with some room around it."""
        box = self._boxes[at]
        middle = self.squares.data_to_world(((box.y0 + box.y1 - 1) / 2, (box.x0 + box.x1 - 1) / 2))
        ends = [np.asarray(self.squares.data_to_world(corner)) for corner in _corners(box)[[0, 2]]]
        camera = camera_of(self._viewer)
        camera.center = tuple(middle)
        camera.zoom = 0.8 * min(canvas_size(self._viewer)) / max(float(np.abs(ends[1] - ends[0]).max()), 1e-9)

    def close(self) -> None:
        """Take the layers out of the viewer."""
        if self._closed:
            return
        self._closed = True
        for layer in self.marks.values():
            layer.events.data.disconnect(self._told)
        for layer in (self.squares, *self.marks.values()):
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _points(self, name: str, common: dict[str, Any]) -> Points:
        symbol, colour = _LOOKS[name]
        size = max(3.0, self._boxes[0].shape[0] / 25)
        empty = np.zeros((0, 2))
        return Points(
            empty, ndim=2, name=name, symbol=symbol, face_color=colour, border_color=colour, size=size, **common
        )

    def _told(self, _: Any = None) -> None:
        self._changed()


def _corners(box: Box) -> Any:
    """Corners of a box in data coordinates, where a pixel's middle is a whole number."""
    y0, x0, y1, x1 = (edge - 0.5 for edge in box)
    return np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])


def _holds(box: Box, places: Any) -> Any:
    y, x = places.T
    return (y >= box.y0) & (y < box.y1) & (x >= box.x0) & (x < box.x1)
