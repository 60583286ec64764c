"""What napari does once for the first Labels layer, done while the panel says that it is loading.

One decision: napari 0.9 compiles shaders and kernels and builds the controls of labels when the first such
layer is added, half a second on a slow machine, in a viewer without us as well. A layer of two pixels takes
that upon itself and is gone before the panel is ready; whatever a person had selected stays selected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QTimer

SHOWN_MS = 60
"""How long the layer is there: it must be drawn once."""

_warm = False


def warm_canvas(viewer: Any, layer: Labels | None, then: Callable[[], None]) -> None:
    """Show a tiny layer for a moment, once in a session, and call `then` when it is gone."""
    global _warm
    if layer is None or _warm or any(isinstance(other, Labels) for other in viewer.layers):
        then()
        return
    _warm = True
    if len(viewer.layers):
        corner = viewer.layers[0]
        layer.scale, layer.translate, layer.units = corner.scale[-2:], corner.translate[-2:], corner.units[-2:]
    selected, active = set(viewer.layers.selection), viewer.layers.selection.active
    viewer.add_layer(layer)
    viewer.layers.selection = selected
    viewer.layers.selection.active = active

    def remove() -> None:
        if layer in viewer.layers:
            viewer.layers.remove(layer)
        then()

    QTimer.singleShot(SHOWN_MS, remove)
