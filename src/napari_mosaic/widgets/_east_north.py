"""East and north of the mouse in the status bar, where the photograph has a coordinate system.

One decision: napari writes its own status in a thread of its own whenever the mouse moves; ours is added to what it
wrote, when it has written it, so nothing of napari's is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer

from napari_mosaic.widgets._sources import plane_shape
from napari_mosaic.widgets._worker import when_idle

if TYPE_CHECKING:
    from napari import Viewer

Affine = tuple[float, ...]
_GAP = "   "


class EastNorth:
    """Adds map coordinates to the status of a viewer, until `close`."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Layer | None = None
        self._affine: Affine | None = None
        self._degrees = False
        self._adding = False
        self._soon = when_idle(None, 0, self._add)
        viewer.events.status.connect(self._told)

    def follow(self, layer: Layer | None, affine: Affine | None, *, degrees: bool = False) -> None:
        """Tell the places of a photograph's layer; no `affine` where its file has no coordinate system."""
        self._layer, self._affine, self._degrees = layer, affine, degrees

    def close(self) -> None:
        """Add nothing any more."""
        self._soon.stop()
        self._viewer.events.status.disconnect(self._told)

    def words(self) -> str:
        """The place under the mouse; empty outside of the photograph and where nothing is known."""
        layer, affine = self._layer, self._affine
        if layer is None or affine is None or layer not in self._viewer.layers:
            return ""
        data = layer.world_to_data(np.asarray(self._viewer.cursor.position)[-layer.ndim :])
        y, x = (float(place) + 0.5 for place in data[-2:])  # from the middle of a pixel to its corner
        height, width = plane_shape(layer)
        if not (0 <= y <= height and 0 <= x <= width):
            return ""
        return describe_place(affine, y, x, degrees=self._degrees)

    def _told(self, _: Any) -> None:
        if not self._adding and self._affine is not None:
            self._soon.start()  # a model of napari that is set while it tells of a change tells of it for ever

    def _add(self) -> None:
        words, status = self.words(), self._viewer.status
        if not words:
            return
        self._adding = True
        try:
            if isinstance(status, str):
                self._viewer.status = f"{status}{_GAP}{words}"
            else:
                self._viewer.status = {**status, "coordinates": f"{status.get('coordinates', '')}{_GAP}{words}"}
        finally:
            self._adding = False


def describe_place(affine: Affine, y: float, x: float, *, degrees: bool = False) -> str:
    """A place `(y, x)`, counted from the corner of the first pixel, in the coordinate system of the photograph.

    Projected systems are told as E and N, degrees as longitude and latitude, to about a tenth of a pixel.
    """
    a, b, c, d, e, f = affine
    east, north = a * x + b * y + c, d * x + e * y + f
    step = max(abs(a), abs(b), abs(d), abs(e), 1e-12)
    decimals = int(np.clip(np.ceil(-np.log10(step)), 0, 9))
    names = ("lon", "lat") if degrees else ("E", "N")
    return f"{names[0]} {east:.{decimals}f}  {names[1]} {north:.{decimals}f}"
