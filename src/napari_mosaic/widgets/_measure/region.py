"""A shape that somebody draws over the floor, and moves.

One decision: it is a layer of shapes, so it is drawn, moved and turned as any other in napari; what lies in it is told
at most so often while it moves, and once more when it rests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import shapely
from napari.layers import Labels, Shapes
from qtpy.QtCore import QObject
from shapely.geometry.base import BaseGeometry

from napari_mosaic.errors import InputError
from napari_mosaic.widgets._measure.drawn import MARK
from napari_mosaic.widgets._sources import DRAWN_COLOUR, RECORD, lying_like, polygons
from napari_mosaic.widgets._worker import when_idle

if TYPE_CHECKING:
    from napari import Viewer

FOLLOW_MS = 40
"""Least time between two looks at a shape that moves; not varied."""
REST_MS = 250
"""How long it rests before what lies in it is chosen; not varied."""


class DrawnPart:
    """The layer of shapes over a tesserae layer; `moved(region)` and `rested(region)` get px of the photograph.

    `region` is empty where nothing is drawn.
    """

    def __init__(
        self,
        viewer: Viewer,
        layer: Labels,
        factor: float,
        moved: Callable[[BaseGeometry], None],
        rested: Callable[[BaseGeometry], None],
        parent: QObject,
    ) -> None:
        self._viewer, self._layer, self._factor = viewer, layer, factor
        self._moved, self._rested = moved, rested
        self._follow = when_idle(parent, FOLLOW_MS, lambda: self._moved(self.region))
        self._rest = when_idle(parent, REST_MS, lambda: self._rested(self.region))
        self.shapes = Shapes(
            ndim=2,
            name=f"{layer.name} part",
            edge_color=DRAWN_COLOUR,
            face_color="transparent",
            edge_width=2.0,
            metadata={RECORD: MARK},
            **lying_like(layer),
        )
        viewer.add_layer(self.shapes)
        self._events = (self.shapes.events.data, self.shapes.events.set_data)
        for event in self._events:
            event.connect(self._told)

    @property
    def present(self) -> bool:
        """Whether the layer is in the viewer still."""
        return self.shapes in self._viewer.layers

    @property
    def region(self) -> BaseGeometry:
        """What is drawn, px of the photograph."""
        try:
            return shapely.transform(polygons(self.shapes, self._layer), lambda places: places / self._factor)
        except InputError:  # nothing is drawn, or a line
            return shapely.Polygon()

    def draw(self, kind: Literal["rectangle", "polygon"]) -> None:
        """Let the next drag or clicks draw one; what was drawn before goes."""
        if len(self.shapes.data):
            self.shapes.selected_data = set(range(len(self.shapes.data)))
            self.shapes.remove_selected()
        self._viewer.layers.selection.active = self.shapes
        self.shapes.mode = f"add_{kind}"

    def close(self) -> None:
        """Take the layer out of the viewer, and hear no more."""
        self._follow.stop()
        self._rest.stop()
        for event in self._events:
            event.disconnect(self._told)
        if self.present:
            self._viewer.layers.remove(self.shapes)

    def _told(self, _: Any = None) -> None:
        if not self._follow.isActive():
            self._follow.start()
        self._rest.start()
