"""Mouse and keys on the preview layer of SAM 2.

One decision: they belong to that layer alone and work while it is the active one, so no tool of another layer is in
the way, and none of theirs is taken from them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_mosaic.sam.clicks import Clicks
from napari_mosaic.widgets._edit.keys import LayerKeys
from napari_mosaic.widgets._edit.mouse import CLICK_PX
from napari_mosaic.widgets._sam.overlay import SamOverlay
from napari_mosaic.widgets._sam.tools import BY_NAME, KEYS, TOOLS, Gesture

Track = tuple[tuple[float, float], ...]
_SHORTEST = 3.0
"""Pixels of the working grid that something drawn around a stone is wide at least."""


class Prompting(LayerKeys):
    """The gestures on a preview layer over a tesserae layer, until `close`.

    `clicked((y, x), bool)` is a point on the stone or off it, `drawn(Gesture, track)` something around it, both on
    the working grid; `picked(Gesture)` and `pressed(str)`, a name of `KEYS`, are keys.
    """

    clicked = Signal(object, bool)
    drawn = Signal(object, object)

    def __init__(self, viewer: Any, layer: Labels, base: Labels, parent: QObject | None = None) -> None:
        super().__init__(layer, parent)
        self._base = base
        self.tool: Gesture | None = None
        self.overlay = SamOverlay(viewer, base)
        self._bind({tool.key: tool.name for tool in TOOLS}, KEYS)
        layer.mouse_drag_callbacks.append(self._press)
        layer.mouse_double_click_callbacks.append(self._double)

    def close(self) -> None:
        """Undo all connections."""
        self._unbind()
        self.layer.mouse_drag_callbacks.remove(self._press)
        self.layer.mouse_double_click_callbacks.remove(self._double)
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

    def _press(self, _: Labels, event: Any) -> Generator[None, None, None]:
        if self.tool is None or self._moving or event.button not in (1, 2) or "Alt" in event.modifiers:
            return
        start, outside = np.asarray(event.pos), event.button == 2 or "Shift" in event.modifiers
        track, dragged = [self._place(event.position)], False
        yield
        while event.type == "mouse_move":
            dragged = dragged or bool(np.abs(np.asarray(event.pos) - start).max() > CLICK_PX)
            if dragged and self.tool != "points":
                track.append(self._place(event.position))
                self.overlay.show_track(tuple(track), box=self.tool == "box")
            yield
        if dragged and self.tool != "points":
            self.overlay.show_track((), box=False)
            if min(np.ptp(np.array(track), axis=0)) >= _SHORTEST:
                self.drawn.emit(self.tool, tuple(track))
        elif not dragged:
            self.clicked.emit(track[0], not outside)

    def _double(self, _: Labels, event: Any) -> None:
        """The second of two quick clicks is a click too; napari does not zoom."""
        if self.tool is not None and event.button == 1:
            event.handled = True
            self.clicked.emit(self._place(event.position), "Shift" not in event.modifiers)

    def _place(self, position: Any) -> tuple[float, float]:
        """World coordinates as a place of the working grid, counted from the corner of its first pixel."""
        y, x = np.asarray(self._base.world_to_data(position))[-2:] + 0.5
        return round(float(y), 3), round(float(x), 3)
