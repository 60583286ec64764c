"""Docks that work on the record of one tesserae layer at a time.

One decision: such a dock takes the first such layer by itself, lets go of one that is removed, and borrows the
viewer's one editing session of the record.
"""

from __future__ import annotations

from typing import Any

from napari import Viewer
from napari.layers import Labels

from napari_mosaic.widgets._dock import Dock
from napari_mosaic.widgets._edit.session import EditSession
from napari_mosaic.widgets._edited import tessera_layers


class RecordDock(Dock):
    """A dock that works on the record of one tesserae layer."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.layer: Labels | None = None
        self.session: EditSession | None = None

    def bind(self, layer: Labels | None) -> None:
        """Work on the record of a tesserae layer; None for none."""
        raise NotImplementedError

    def _may_leave(self) -> bool:
        """Whether another layer may be taken; asks where something would be lost."""
        return True

    def _check_present(self) -> None:
        """Let go of own layers that somebody removed."""

    def _follow_layers(self) -> None:
        layers = self.viewer.layers.events
        for emitter in (layers.inserted, layers.removed, layers.reordered):
            self._hear(emitter, self._list_layers)
        self.face.layer.activated.connect(self._choose_layer)
        self._list_layers()

    def _list_layers(self, _: Any = None) -> None:
        """Find what can be worked on; take the first where nothing is yet."""
        layers = tessera_layers(self.viewer)
        if self.layer is not None and self.layer not in layers:
            self.bind(None)
        self._check_present()
        self.tell(records=tuple(layer.name for layer in layers))
        active = self.viewer.layers.selection.active
        if self.layer is None and layers:
            self.bind(active if active in layers else layers[0])

    def _choose_layer(self, index: int) -> None:
        layers = tessera_layers(self.viewer)
        if 0 <= index < len(layers) and self._may_leave():
            self.bind(layers[index])
        self._update()
