"""Area classes as shapes: a layer bound to the areas of a record.

One decision: the record leads. What a person draws, moves or deletes is compared with what the record held and asked
of the core; then the layer is made anew from the record, so undo needs nothing of its own here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from napari.layers import Labels, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal
from shapely.geometry.base import BaseGeometry

from napari_mosaic.areas import AREA_CLASSES, AreaSet
from napari_mosaic.editing import Edit, add_area, change_area, remove_area
from napari_mosaic.record import Record
from napari_mosaic.widgets._areas import (
    COLOURS,
    FIRST_DRAWN,
    STYLE,
    Drawn,
    colours_of,
    drawn_areas,
    place_of,
    shape_of,
    standing_areas,
)
from napari_mosaic.widgets._napari import is_being_drawn, is_being_moved
from napari_mosaic.widgets._sources import RECORD, shape_outline
from napari_mosaic.widgets._worker import when_idle

if TYPE_CHECKING:
    from napari import Viewer

REST_MS = 250
"""How long a person's changes rest before they are written; not varied."""

Change = Callable[[Record], Edit | None]


class AreaLayer(QObject):
    """The areas of a record as a Shapes layer; `asked(name, change)` is for `EditSession.change`."""

    asked = Signal(str, object)

    def __init__(self, viewer: Viewer, tesserae: Labels, factor: float, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._tesserae, self._factor = viewer, tesserae, factor
        self._drawn: list[Drawn] = []
        self._count = 0
        self._closed = False
        self._kind = AREA_CLASSES[FIRST_DRAWN]
        self._filling = False
        self.layer = self._take_layer()
        self._rest = when_idle(self, REST_MS, self._compare)
        self.layer.events.data.connect(self._touched)

    def _take_layer(self) -> Shapes:
        """The layer that shows the areas already, or a new one; from now on it can be drawn in."""
        standing = standing_areas(self._viewer, self._tesserae.metadata.get(RECORD))
        if standing:
            standing[0].editable = standing[0].visible = True
            return standing[0]
        layer = Shapes(name=f"{self._tesserae.name} areas", ndim=2, **STYLE, **place_of(self._tesserae))
        return self._viewer.add_layer(layer)

    @property
    def present(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def kind(self) -> str:
        """The class of what is drawn next."""
        return self._kind

    def draw(self, kind: str) -> None:
        """Draw areas of a class."""
        self._kind = kind
        self.layer.current_face_color = self.layer.current_edge_color = COLOURS[kind]
        self._viewer.layers.selection.active = self.layer
        self.layer.mode = "add_polygon"

    def reclass(self, kind: str) -> bool:
        """Ask for another class of the areas that are selected; whether there are any."""
        numbers = {self._drawn[place].number for place in self.layer.selected_data if place < len(self._drawn)} - {-1}
        for number in sorted(numbers):
            self.asked.emit("change_area", lambda record, n=number: change_area(record, n, kind=kind))
        return bool(numbers)

    def fill(self, areas: AreaSet) -> None:
        """Show the areas of a record; what a person is drawing or moving is finished first."""
        if self._closed:
            return
        if self._at_hand or self._rest.isActive():
            QTimer.singleShot(REST_MS, lambda: self.fill(areas))
            return
        self._count = len(areas)
        self._drawn = drawn_areas(areas, self._factor)
        colours = colours_of(self._drawn, areas)
        self._filling, mode = True, self.layer.mode
        self.layer.data = []
        if self._drawn:
            self.layer.add_polygons([drawn.ring for drawn in self._drawn], face_color=colours, edge_color=colours)
        self.layer.selected_data = set()
        self.layer.mode = mode
        self.layer.current_face_color = self.layer.current_edge_color = COLOURS[self._kind]
        self._filling = False

    def close(self) -> None:
        """Undo connections; the areas stay to be looked at, and can be drawn in no more."""
        self._closed = True
        self._rest.stop()
        self.layer.events.data.disconnect(self._touched)
        if self.present and not len(self.layer.data):
            self._viewer.layers.remove(self.layer)
        elif self.present:
            self.layer.selected_data = set()
            self.layer.mode = "pan_zoom"
            self.layer.editable = False

    def _touched(self, event: Any) -> None:
        if not self._filling and str(getattr(event, "action", "")).split(".")[-1].lower() in _ENDED:
            self._rest.start()

    @property
    def _at_hand(self) -> bool:
        """Whether a shape is being drawn or moved at this moment."""
        return is_being_drawn(self.layer) or is_being_moved(self.layer)

    def _compare(self) -> None:
        """Ask for what differs from the record: what is gone, what moved, what is new."""
        if self._at_hand:
            self._rest.start()
            return
        shapes = zip(self.layer.data, self.layer.shape_type, strict=True)
        rings = [shape_outline(np.asarray(ring), kind) for ring, kind in shapes]
        kept = _matching([drawn.ring for drawn in self._drawn], rings)
        gone = self._ask_for_known(rings, kept)
        self._count -= len(gone)
        left = {k: self._drawn[place] for place, k in kept.items()}
        found = []
        for k, ring in enumerate(rings):
            if k in left:
                number = left[k].number
                found.append(Drawn(number - sum(other < number for other in gone), ring, self._part(ring, left[k])))
            else:
                found.append(Drawn(self._ask_for_new(ring), ring, self._part(ring)))
        self._drawn = found

    def _ask_for_known(self, rings: list[NDArray[Any]], kept: dict[int, int]) -> list[int]:
        """Ask for changed outlines of areas and for the removal of those that are gone; the numbers of these."""
        gone = []
        for number in sorted({drawn.number for drawn in self._drawn} - {-1}, reverse=True):
            mine = [place for place, drawn in enumerate(self._drawn) if drawn.number == number]
            parts = [self._part(rings[kept[place]], self._drawn[place]) for place in mine if place in kept]
            same = all(place in kept and np.array_equal(rings[kept[place]], self._drawn[place].ring) for place in mine)
            if not parts:
                gone.append(number)
                self.asked.emit("remove_area", lambda record, n=number: remove_area(record, n))
            elif not same:
                shape = shapely.union_all(parts)
                self.asked.emit("change_area", lambda record, n=number, s=shape: change_area(record, n, geometry=s))
        return gone

    def _ask_for_new(self, ring: NDArray[Any]) -> int:
        """Ask for a new area; the number that it will have, -1 where the shape covers nothing."""
        shape, kind = self._part(ring), self._kind
        if not shape.area:
            return -1
        self.asked.emit("add_area", lambda record, s=shape, k=kind: add_area(record, k, s))
        self._count += 1
        return self._count - 1

    def _part(self, ring: NDArray[Any], before: Drawn | None = None) -> BaseGeometry:
        """A ring of the layer as a polygon in pixels of the photograph."""
        return shape_of(ring, self._factor, before)


_ENDED = {"added", "removed", "changed"}


def _matching(known: list[NDArray[Any]], rings: list[NDArray[Any]]) -> dict[int, int]:
    """Which ring of now is which of before: the same first, then, in order, those that are left."""
    free = list(range(len(rings)))
    found = {}
    for place, ring in enumerate(known):
        same = next((k for k in free if np.array_equal(rings[k], ring)), None)
        if same is not None:
            found[place] = same
            free.remove(same)
    lost = [place for place in range(len(known)) if place not in found]
    if len(rings) >= len(known):
        found |= dict(zip(lost, free, strict=False))
    return found
