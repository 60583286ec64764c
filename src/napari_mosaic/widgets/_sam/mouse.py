"""Mouse and keys on the preview layer of SAM 2.

One decision: they belong to that layer alone and work while it is the active one, so no tool of another layer is in
the way, and none of theirs is taken from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_mosaic.sam.clicks import Clicks, Point
from napari_mosaic.widgets._gestures import RIGHT, LayerGestures, Place
from napari_mosaic.widgets._sam.preview import SamOverlay
from napari_mosaic.widgets._sam.tools import BY_NAME, KEYS, TOOLS, Gesture

_SHORTEST = 3.0
"""Pixels of the working grid that something drawn around a stone is wide at least; not varied."""


class Prompting(LayerGestures):
    """The gestures on a preview layer over a tesserae layer, until `close`.

    `clicked((y, x), bool)` is a point on the stone or off it, `drawn(Gesture, track)` something around it, both on
    the working grid; `picked(Gesture)` and `pressed(str)`, a name of `KEYS`, are keys.
    """

    clicked = Signal(object, bool)
    drawn = Signal(object, object)

    def __init__(self, viewer: Viewer, layer: Labels, base: Labels, parent: QObject | None = None) -> None:
        super().__init__(layer, {tool.key: tool.name for tool in TOOLS}, KEYS, parent)
        self._base = base
        self.tool: Gesture | None = None
        self.overlay = SamOverlay(viewer, base)

    def close(self) -> None:
        """Undo all connections."""
        super().close()
        self.overlay.close()

    def use(self, tool: Gesture | None) -> None:
        """Take a tool, or none."""
        self.tool = tool
        self.layer.mouse_pan = tool in (None, "points")
        self.layer.cursor = "standard" if tool is None else "cross"
        self.layer.help = "" if tool is None else BY_NAME[tool].how

    def show(self, clicks: Clicks) -> None:
        """Mark what was shown so far."""
        self.overlay.show(clicks)

    def _hears(self, event: Any) -> bool:
        return self.tool is not None and event.button in (1, 2)

    def _draws(self) -> bool:
        return self.tool != "points"

    def _drag(self, track: Sequence[Place]) -> None:
        self.overlay.show_track(self._places(track), box=self.tool == "box")

    def _dragged(self, track: Sequence[Place]) -> None:
        places = self._places(track)
        self.overlay.show_track((), box=False)
        if min(np.ptp(np.array(places), axis=0)) >= _SHORTEST:
            self.drawn.emit(self.tool, places)

    def _click(self, place: Place, modifiers: set[str]) -> None:
        self.clicked.emit(self._places([place])[0], not modifiers & {RIGHT, "Shift"})

    def _double(self, _: Labels, event: Any) -> None:
        """The second of two quick clicks is a click too; napari does not zoom."""
        if self.tool is not None and event.button == 1:
            event.handled = True
            self._click(tuple(event.position), set(event.modifiers))

    def _places(self, track: Sequence[Place]) -> tuple[Point, ...]:
        """World coordinates as places of the working grid, counted from the corner of its first pixel."""
        found = (np.asarray(self._base.world_to_data(place))[-2:] + 0.5 for place in track)
        return tuple((round(float(y), 3), round(float(x), 3)) for y, x in found)
