"""What is drawn over the tesserae while they are edited: outlines under the mouse, of what is chosen, and strokes.

One decision: outlines are made from the picture that is on the screen, so they cost the same on any record; they are
lines of the canvas, not a layer, so nothing is added to a person's list of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_mosaic.widgets._gestures import lay_over
from napari_mosaic.widgets._napari import canvas_scene, shown_box, shown_labels

if TYPE_CHECKING:
    from napari import Viewer

Segments = NDArray[np.float64]
_ORDER = 10_000
"""Above everything of napari's own, whose orders count layers."""
_COLOURS = {"under": "#101418", "chosen": "#ffd54f", "hover": "#ffffff", "track": "#40c4ff"}
_WIDTHS = {"under": 5, "chosen": 3, "hover": 2, "track": 3}
"""Colours, and widths in pixels of the screen; not varied."""


class EditOverlay:
    """Lines over a tesserae layer in its viewer; `close` takes them away."""

    def __init__(self, viewer: Viewer, layer: Labels) -> None:
        from vispy.scene.visuals import Line, Markers

        self._layer = layer
        self._scene = canvas_scene(viewer)
        self._lines = {
            name: Line(color=colour, width=_WIDTHS[name], method="gl", connect="segments", parent=self._scene)
            for name, colour in _COLOURS.items()
        }
        self._points = Markers(parent=self._scene)
        lay_over((*self._lines.values(), self._points), _ORDER)
        self.drawn: dict[str, int] = dict.fromkeys((*_COLOURS, "points"), 0)

    def show_tesserae(self, hover: int, chosen: Sequence[int]) -> None:
        """Outline the tessera under the mouse (0 for none) and those that are chosen."""
        raw = shown_labels(self._layer)
        marked = self._placed(outlines(raw, chosen))
        self._draw("under", marked)
        self._draw("chosen", marked)
        self._draw("hover", self._placed(outlines(raw, [hover] if hover and hover not in chosen else [])))

    def show_track(self, track: Sequence[Sequence[float]], *, closed: bool = False, points: bool = False) -> None:
        """Show a stroke or corners, `(y, x)` in world coordinates; `closed` as an outline, `points` as dots alone."""
        places = np.array([place[-2:] for place in track], float).reshape(-1, 2)[:, ::-1]
        ring = np.vstack([places, places[:1]]) if closed and len(places) > 2 else places
        ends = np.repeat(ring, 2, axis=0)[1:-1] if len(ring) > 1 and not points else ring[:0]
        self._draw("track", ends)
        self._points.visible = points and len(places) > 0
        self.drawn["points"] = len(places) if points else 0
        if self._points.visible:
            self._points.set_data(
                places, size=11, face_color=_COLOURS["track"], edge_color=_COLOURS["under"], edge_width=2
            )

    def clear(self) -> None:
        """Show nothing."""
        for name in self._lines:
            self._draw(name, np.zeros((0, 2)))
        self.show_track(())

    def close(self) -> None:
        """Take all lines out of the canvas."""
        for node in (*self._lines.values(), self._points):
            node.parent = None

    def _draw(self, name: str, ends: Segments) -> None:
        line = self._lines[name]
        self.drawn[name] = len(ends) // 2
        line.visible = len(ends) > 0
        if line.visible:
            line.set_data(pos=ends.astype(np.float32))

    def _placed(self, corners: Segments) -> Segments:
        """Corners `(n, 2)` of pixels of the picture as places `(x, y)` of the canvas' scene."""
        if len(corners) == 0:
            return corners
        layer, tile = self._layer, shown_box(self._layer)
        step = np.asarray(layer.downsample_factors[layer.data_level][-2:])
        data = (corners + np.array([tile.y0, tile.x0]) - 0.5) * step
        origin, down, right = (np.asarray(layer.data_to_world(place)) for place in ((0, 0), (1, 0), (0, 1)))
        return np.asarray(data @ np.array([down - origin, right - origin]) + origin)[:, ::-1]


def outlines(labels: NDArray[Any], ids: Sequence[int]) -> Segments:
    """The edges of pixels around tesserae: pairs of corners `(y, x)`, `(2 n, 2)`, counted from the first pixel's."""
    wanted = np.array([id_ for id_ in ids if id_], labels.dtype)
    if len(wanted) == 0:
        return np.zeros((0, 2))
    mask = np.isin(labels, wanted) if len(wanted) > 1 else labels == wanted[0]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return np.zeros((0, 2))
    y0, x0 = rows[0], columns[0]
    part = (slice(y0, rows[-1] + 1), slice(x0, columns[-1] + 1))
    inner = np.pad(np.where(mask[part], labels[part], 0), 1)
    across, down = np.argwhere(inner[1:] != inner[:-1]), np.argwhere(inner[:, 1:] != inner[:, :-1])
    level = np.stack([across - np.array([0, 1]), across], axis=1)
    upright = np.stack([down - np.array([1, 0]), down], axis=1)
    return np.asarray(np.concatenate([level, upright]).reshape(-1, 2) + np.array([y0, x0], float))
