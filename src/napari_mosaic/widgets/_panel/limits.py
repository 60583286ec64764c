"""The layers that a run is kept to, or out of, followed while a person draws in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer, Signal

REST_MS = 800
"""How long a drawing rests before a run within it is measured anew."""


class LimitWatch(QObject):
    """Says `changed` once what is drawn in some layers has come to rest."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers: list[Layer] = []
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.changed)

    def follow(self, layers: Iterable[Layer]) -> None:
        """Follow these layers and no others."""
        self.close()
        self._layers = list(layers)
        for layer in self._layers:
            layer.events.data.connect(self._touched)

    def close(self) -> None:
        """Follow no layer."""
        self._rest.stop()
        for layer in self._layers:
            layer.events.data.disconnect(self._touched)
        self._layers = []

    def _touched(self, _: Any = None) -> None:
        self._rest.start()
