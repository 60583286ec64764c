"""The layers that a run is kept to, or out of, followed while a person draws in them and renames them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_mosaic.widgets._jobs import when_idle

REST_MS = 800
"""How long a drawing rests before a run within it is measured anew."""


class LimitWatch(QObject):
    """Says `changed` once what is drawn in some layers has come to rest."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._within: tuple[Layer | None, Layer | None] = (None, None)
        self._rest = when_idle(self, REST_MS, self.changed.emit)

    def follow(self, include: Layer | None, exclude: Layer | None) -> None:
        """Follow these layers and no others."""
        self.close()
        self._within = (include, exclude)
        for layer in self._layers:
            layer.events.data.connect(self._touched)

    def name(self, place: int, offered: Collection[str]) -> str:
        """What the layer to stay within (0) or to leave out (1) is called now; empty where it is not offered."""
        layer = self._within[place]
        return layer.name if layer is not None and layer.name in offered else ""

    @property
    def _layers(self) -> list[Layer]:
        return list({id(layer): layer for layer in self._within if layer is not None}.values())

    def close(self) -> None:
        """Follow no layer."""
        self._rest.stop()
        for layer in self._layers:
            layer.events.data.disconnect(self._touched)
        self._within = (None, None)

    def _touched(self, _: Any = None) -> None:
        self._rest.start()
