"""The one place that reaches into napari, where it offers no public way.

One decision: each function here hides one private thing of napari, says why there is no other way, and has a test of
its own (`tests/gui/test_widgets_napari.py`) that calls it on a real viewer. No other module touches a name of napari
that begins with an underscore (`tests/test_widgets_private.py`); so when napari changes, one file and one test do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from napari.layers import Labels, Layer, Shapes
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from pydantic import PrivateAttr
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    from napari import Viewer
    from napari.components import Camera

T = TypeVar("T")

_ZOOM = "double_click_to_zoom"
"""Name of napari's own answer to a double click on the canvas."""


# the viewer ---------------------------------------------------------------------------------------


def real(thing: T) -> T:
    """A viewer or layer without the proxy that napari puts around it.

    Docks from the menus get the viewer itself; those that `add_plugin_dock_widget`, `napari -w` or a command opens get
    a proxy, through which `layer in viewer.layers` and `layer is other` are False for the same layer, and whose events
    bring layers without one. Every dock and command calls this first, and nothing behind it knows of proxies. napari
    offers no way out of its proxy; `__wrapped__` is that of wrapt, which it is made with.
    """
    while hasattr(type(thing), "__wrapped__"):
        thing = thing.__wrapped__  # type: ignore[attr-defined]
    return thing


def camera_of(viewer: Viewer) -> Camera:
    """The camera: a part of the scene since napari 0.9, which gives up `viewer.camera`; before, the viewer's own."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def canvas_size(viewer: Viewer) -> tuple[int, int]:
    """Height and width of the canvas on the screen, in pixels of the screen.

    `viewer.fit_to_view` fits whole layers, not a part of one, and nothing public tells the size without drawing a
    screenshot.
    """
    height, width = viewer.window._qt_viewer.canvas.size
    return int(height), int(width)


def canvas_widget(viewer: Viewer) -> QWidget:
    """The widget of Qt that the canvas is: parent of what shall go when the window goes. napari hands none out."""
    return viewer.window._qt_viewer.canvas.native  # type: ignore[no-any-return]


def main_window(viewer: Viewer) -> QMainWindow:
    """The window of a viewer: `viewer.close` deletes it, and napari has no event for that."""
    return viewer.window._qt_window


def focus_canvas(viewer: Viewer) -> None:
    """Let the canvas hear the keys that are pressed next; napari does so only when it is clicked."""
    canvas_widget(viewer).setFocus()


def canvas_scene(viewer: Viewer) -> Any:
    """The node of vispy that the layers are drawn in, in world coordinates `(x, y)`: parent of what we draw over them.

    napari's public overlays are its own (scale bar, text, axes …); lines of a plugin need a layer, which would stand
    in a person's list of layers.
    """
    return viewer.window._qt_viewer.canvas.view.scene


def without_zoom(viewer: Viewer) -> list[Callable[..., Any]]:
    """Take napari's zoom by double click away and return it: whoever puts it back into the list gives it back.

    The list, `mouse_double_click_callbacks`, is public, but what stands in it has no public name.
    """
    callbacks = viewer.mouse_double_click_callbacks
    zooms = [callback for callback in callbacks if getattr(callback, "__name__", "") == _ZOOM]
    for callback in zooms:
        callbacks.remove(callback)
    return zooms


# layers -------------------------------------------------------------------------------------------


def is_being_drawn(layer: Shapes) -> bool:
    """Whether a person draws a shape at this moment.

    `events.data` comes for each corner, alike for one that is half drawn and one that is done; whoever replaces the
    data in between takes the shape out of a person's hand.
    """
    return bool(getattr(layer, "_is_creating", False))


def is_being_moved(layer: Shapes) -> bool:
    """Whether a person moves a shape or its corner at this moment; as for `is_being_drawn`, no event tells the end."""
    return bool(getattr(layer, "_is_moving", False))


def shown_box(layer: Layer) -> Box:
    """The part of the current level that the layer holds ready for the screen, in pixels of that level.

    `corner_pixels` tell what was asked for last; the picture is cut from what it showed when it was read last.
    """
    tile = layer._transforms["tile2data"]
    y, x = (round(float(place / step)) for place, step in zip(tile.translate[-2:], tile.scale[-2:], strict=True))
    height, width = shown_labels(layer).shape
    return Box(y, x, y + height, x + width)


def shown_labels(layer: Layer) -> NDArray[Any]:
    """The pixels of the current level that the layer holds ready for the screen, `(h, w)`, over `shown_box`.

    `layer.data` would be read anew, from the disk where it is lazy, and at a size that is not the screen's.
    """
    return layer._slice.image.raw  # type: ignore[no-any-return]


def patch_shown(layer: Labels, part: Box) -> bool:
    """Bring a part of the current level, given in its pixels, from `layer.data` to the screen.

    False where napari does not let us: then `layer.refresh` is due, the only public way, which reads, colours and
    uploads the whole picture; on a gigapixel that is felt at every stroke.
    """
    try:
        if not layer.loaded or layer._slice.empty:
            return False
        tile = shown_box(layer)
        part = part.intersect(tile)
        if part.area == 0:
            return True
        raw, view = layer._slice.image.raw, layer._slice.image.view
        raw[part.within(tile)] = layer.data[layer.data_level][part.slices]
        wide = part.grow(max(0, int(layer.contour)) + 1).intersect(tile).within(tile)
        view[wide] = shown = layer._raw_to_displayed(raw, wide)
        layer.events.labels_update(data=np.ascontiguousarray(shown), offset=[wide[0].start, wide[1].start])
    except (AttributeError, KeyError, TypeError, ValueError):  # a napari that keeps its picture otherwise
        return False
    return True


class IdColormap(DirectLabelColormap):
    """Colours of sparse ids, of which there may be millions: made by `of`.

    napari's own keeps a dictionary of labels, made and checked label by label on the main thread: 3.0 s for 100,000
    until the first picture, and again at each change. This one looks ids up in a sorted array and hands napari the few
    colours: 0.3 s for a million and a picture of 1200 x 1800 px (the same machine of 2 cores).
    """

    _ids: NDArray[Any] = PrivateAttr(default_factory=lambda: np.zeros(0, np.uint64))
    _codes: NDArray[np.uint16] = PrivateAttr(default_factory=lambda: np.zeros(0, np.uint16))
    _texels: NDArray[Any] = PrivateAttr(default_factory=lambda: np.zeros(1, np.uint8))

    @classmethod
    def of(cls, ids: NDArray[Any], codes: NDArray[Any], colours: NDArray[Any]) -> IdColormap:
        """Colours `(k, 4)`, 0 to 1, of ids `(n,)`, by the place of each among them, `codes` `(n,)`."""
        shown: dict[int | None, Any] = dict(enumerate(colours, start=1))
        made = cls(color_dict={**shown, None: np.zeros(4), 0: np.zeros(4)})
        order = np.argsort(ids, kind="stable")
        made._ids = np.asarray(ids, np.uint64)[order]
        made._codes = (np.asarray(codes)[order] + 1).astype(np.uint16)
        made._texels = DirectLabelColormap._data_to_texture(made, np.arange(len(colours) + 1, dtype=np.uint32))
        return made

    def codes_of(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Places of the colours of labels, from 1; 0 for those that have none. Runs of one label are looked up once."""
        flat = np.asarray(values).ravel()
        if len(flat) == 0 or len(self._ids) == 0:
            return np.zeros(np.shape(values), np.uint16)
        starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
        heads = flat[starts].astype(np.uint64)
        place = np.searchsorted(self._ids, heads).clip(max=len(self._ids) - 1)
        found = np.where(self._ids[place] == heads, self._codes[place], 0).astype(np.uint16)
        return np.repeat(found, np.diff(starts, append=len(flat))).reshape(np.shape(values))

    def _data_to_texture(self, values: Any) -> Any:
        if self.use_selection:
            return (np.asarray(values) == self.selection).astype(self._texels.dtype)
        return self._texels[self.codes_of(np.atleast_1d(values)).reshape(np.shape(values))]

    def _selection_as_minimum_dtype(self, dtype: Any) -> int:
        return int(self._data_to_texture(np.array([self.selection]))[0])

    def _values_mapping_to_minimum_values_set(self, apply_selection: bool = True) -> Any:
        if self.use_selection and apply_selection:
            return {self.selection: 1, None: 0}, {0: np.zeros(4), 1: self.map(int(self.selection))}
        return super()._values_mapping_to_minimum_values_set(apply_selection)

    def map(self, values: Any) -> Any:
        """Colours of labels, `(..., 4)`."""
        table = np.array([self.color_dict[k] for k in range(len(self.color_dict) - 1)], np.float32)
        colours = table[self.codes_of(np.atleast_1d(values))]
        if self.use_selection:
            colours[np.atleast_1d(values) != self.selection] = 0
        return colours.reshape(*np.shape(values), 4)
