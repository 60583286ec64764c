"""What is seen of a stone while SAM 2 is shown it: its mask, and points on it and off it, boxes, outlines.

One decision: the mask is one layer for as long as a person works with clicks, and only its pixels and place change;
adding a layer takes napari longer than a mask takes SAM 2. The rest are lines and marks of the canvas, not a layer, as
in the dock *Edit tesserae*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_mosaic.sam.clicks import Clicks, Point
from napari_mosaic.sam.masks import Piece
from napari_mosaic.widgets._gestures import lay_over
from napari_mosaic.widgets._napari import canvas_scene
from napari_mosaic.widgets._sources import corner_of, lying_like

if TYPE_CHECKING:
    from napari import Viewer

NAME = "SAM 2"
_COLOUR = "#40c4ff"
_NOTHING = np.zeros((2, 2), np.uint8)


class PreviewLayer:
    """The layer, in the viewer until `close`."""

    def __init__(self, viewer: Viewer, base: Labels) -> None:
        self._viewer, self._base = viewer, base
        self.layer = Labels(
            _NOTHING,
            name=NAME,
            opacity=0.6,
            **lying_like(base),
            colormap=DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: _COLOUR}),
        )
        viewer.add_layer(self.layer)

    @property
    def present(self) -> bool:
        """Whether it is still in the viewer: a person may take it out."""
        return self.layer in self._viewer.layers

    def show(self, piece: Piece | None) -> None:
        """Show a mask, or nothing."""
        layer, base = self.layer, self._base
        if piece is None or piece.area == 0:
            layer.data = _NOTHING
            return
        layer.data = piece.bits.astype(np.uint8)
        layer.translate = corner_of(base, piece.box)

    def close(self) -> None:
        """Take the layer out of the viewer."""
        if self.present:
            self._viewer.layers.remove(self.layer)


_ORDER = 10_100
"""Above the lines of the dock *Edit tesserae*."""
_INSIDE, _OUTSIDE, _EDGE, _TRACK = "#4cd07d", "#ff5c5c", "#101418", "#40c4ff"
_SIZE, _WIDTH = 12, 2
"""Colours, and sizes in pixels of the screen; not varied."""


class SamOverlay:
    """Marks over a tesserae layer in its viewer; `close` takes them away."""

    def __init__(self, viewer: Viewer, layer: Labels) -> None:
        from vispy.scene.visuals import Line, Markers

        self._layer = layer
        scene = canvas_scene(viewer)
        self._line = Line(color=_TRACK, width=_WIDTH, method="gl", connect="strip", parent=scene)
        self._marks = Markers(parent=scene)
        lay_over((self._line, self._marks), _ORDER)
        self._clicks: Clicks | None = None
        self._count = 0
        layer.events.scale.connect(self._rescaled)

    @property
    def drawn(self) -> tuple[int, bool]:
        """How many points are seen, and whether there is a line."""
        return (self._count if self._marks.visible else 0), bool(self._line.visible)

    def show(self, clicks: Clicks) -> None:
        """Show what is known of a stone."""
        self._clicks = clicks
        places = [*clicks.inside, *clicks.outside]
        self._count = len(places)
        self._marks.visible = bool(places)
        if places:
            colours = [_INSIDE] * len(clicks.inside) + [_OUTSIDE] * len(clicks.outside)
            self._marks.set_data(
                self._scene(places), size=_SIZE, face_color=colours, edge_color=_EDGE, edge_width=_WIDTH
            )
        if clicks.box is not None:
            self.show_track((clicks.box[:2], clicks.box[2:]), box=True)
        else:
            self.show_track(clicks.outline, box=False)

    def show_track(self, track: tuple[Point, ...], *, box: bool) -> None:
        """Show what is being drawn: the box between its ends, or a closed outline."""
        places = list(track)
        if box and len(track) > 1:
            (y0, x0), (y1, x1) = track[0], track[-1]
            places = [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]
        self._line.visible = len(places) > 1
        if self._line.visible:
            self._line.set_data(pos=self._scene([*places, places[0]]))

    def close(self) -> None:
        """Take everything out of the canvas."""
        self._layer.events.scale.disconnect(self._rescaled)
        for node in (self._line, self._marks):
            node.parent = None

    def _rescaled(self, _: Any = None) -> None:
        """The layer got another size: the marks stay on their stone."""
        if self._clicks is not None:
            self.show(self._clicks)

    def _scene(self, places: list[Point]) -> NDArray[np.float32]:
        """Places of the working grid as `(x, y)` of the canvas' scene."""
        world = [np.asarray(self._layer.data_to_world(np.asarray(place) - 0.5))[-2:][::-1] for place in places]
        return np.array(world, np.float32)
