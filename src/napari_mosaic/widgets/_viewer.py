"""The viewer itself, and what the panel hears from it.

One decision: all connections to the viewer are made here and undone by `close`, so a panel that goes leaves nothing
behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer, Shapes
from qtpy.QtCore import QObject, Signal

from napari_mosaic.widgets._napari import camera_of
from napari_mosaic.widgets._sources import RECORD, is_photograph
from napari_mosaic.widgets._worker import when_idle

if TYPE_CHECKING:
    from napari import Viewer

CAMERA_MS = 250
"""How long the camera rests before the view counts as changed; not varied."""


class ViewerLink(QObject):
    """Layers and camera of a viewer as signals."""

    listed = Signal()
    added = Signal(object)
    removed = Signal(object)
    moved = Signal()

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._rest = when_idle(self, CAMERA_MS, self.moved.emit)
        self._pairs: tuple[tuple[Any, Any], ...] = (
            (viewer.layers.events.inserted, self._inserted),
            (viewer.layers.events.removed, self._removed),
            (viewer.layers.events.reordered, self._listed),
            (camera_of(viewer).events.center, self._turned),
            (camera_of(viewer).events.zoom, self._turned),
        )
        for emitter, slot in self._pairs:
            emitter.connect(slot)

    def close(self) -> None:
        """Undo all connections."""
        self._rest.stop()
        for emitter, slot in self._pairs:
            emitter.disconnect(slot)
        self._pairs = ()
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._listed)

    def photographs(self) -> list[Layer]:
        """The layers that can be photographs."""
        return [layer for layer in self.viewer.layers if is_photograph(layer)]

    def drawings(self) -> list[str]:
        """Names of the layers that can hold areas to work in; those of a record are not."""
        return [
            layer.name for layer in self.viewer.layers if isinstance(layer, Shapes) and RECORD not in layer.metadata
        ]

    def _inserted(self, event: Any) -> None:
        event.value.events.name.connect(self._listed)
        self.listed.emit()
        self.added.emit(event.value)

    def _removed(self, event: Any) -> None:
        event.value.events.name.disconnect(self._listed)
        self.removed.emit(event.value)
        self.listed.emit()

    def _listed(self, _: Any = None) -> None:
        self.listed.emit()

    def _turned(self, _: Any = None) -> None:
        self._rest.start()
