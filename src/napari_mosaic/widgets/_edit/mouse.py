"""Mouse and keys on the tesserae layer while it is edited.

One decision: a gesture ends in one `Drawn` value and nothing is edited here; what is half-drawn is a frozen value
too, so leaving it is setting it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_mosaic.editing.tools import EditTool, Gesture
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._edit.overlay import EditOverlay
from napari_mosaic.widgets._edit.tools import CHOOSE, KEYS, TOOLS, Drawn, Place
from napari_mosaic.widgets._gestures import LayerGestures
from napari_mosaic.widgets._napari import shown_box, shown_labels, without_zoom
from napari_mosaic.widgets._session import stones
from napari_mosaic.widgets._sources import view_box
from napari_mosaic.words import counted

if TYPE_CHECKING:
    from napari import Viewer

_LOOKED_AT = 4_000_000
"""Most pixels that are looked through for what is chosen: a screen's; not varied."""
_DRAGS: tuple[Gesture, ...] = ("touch", "gather", "stroke", "outline")
Track = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Half:
    """What is chosen, and what is half-drawn: corners or a stroke in world coordinates."""

    ids: tuple[int, ...] = ()
    track: Track = ()


class Gestures(LayerGestures):
    """The tools' mouse and keys on one layer, until `close`.

    `drawn(EditTool, Drawn)` ends a gesture; `changed(Half)`, `picked(EditTool)`, `pressed(str)`, a name of `KEYS`, and
    `said(str)`, what keeps a gesture from ending, are for the dock.
    """

    drawn = Signal(object, object)
    changed = Signal(object)

    def __init__(self, viewer: Viewer, layer: Labels, parent: QObject | None = None) -> None:
        super().__init__(layer, {tool.key: tool for tool in TOOLS}, KEYS, parent)
        self.viewer = viewer
        self.half = Half()
        self.tool: EditTool = CHOOSE
        self.hover = 0
        self.enabled = True
        self.overlay = EditOverlay(viewer, layer)
        self._zooms: list[Any] = []
        self._help = layer.help
        layer.mouse_move_callbacks.append(self._move)
        layer.events.set_data.connect(self._redraw)
        layer.events.scale.connect(self._rescaled)
        viewer.layers.selection.events.active.connect(self._activated)
        self.use(CHOOSE)

    def close(self) -> None:
        """Undo all connections; the layer is an ordinary one again."""
        self.use(CHOOSE)
        self._restore_zoom()
        super().close()
        self.layer.mouse_move_callbacks.remove(self._move)
        self.layer.events.set_data.disconnect(self._redraw)
        self.layer.events.scale.disconnect(self._rescaled)
        self.viewer.layers.selection.events.active.disconnect(self._activated)
        self.layer.help = self._help
        self.overlay.close()

    def use(self, tool: EditTool) -> None:
        """Take a tool; what is half-drawn is left, what is chosen stays for tools that gather."""
        keep = self.half.ids if tool.gesture in ("choose", "gather") else ()
        self.tool = tool
        self.layer.mouse_pan = tool.gesture not in _DRAGS
        self.layer.cursor = tool.cursor
        self.layer.help = f"{tool.title}: {tool.how}" if tool is not CHOOSE else self._help
        self._set(Half(keep))
        self._activated()

    def confirm(self) -> None:
        """End what is half-drawn."""
        tool, half = self.tool, self.half
        if tool.gesture == "gather" and len(half.ids) >= tool.least:
            self._end(Drawn(ids=half.ids))
        elif tool.gesture in ("points", "stroke", "outline") and len(half.track) >= tool.least:
            self._end(Drawn(points=self._places(half.track)))
        elif tool.gesture in ("gather", "points", "stroke", "outline"):
            self.said.emit(f"{tool.title}: {tool.how}")

    def leave(self) -> None:
        """Leave what is half-drawn; then what is chosen; then the tool."""
        if self.half != Half():
            self._set(Half())
        elif self.tool is not CHOOSE:
            self.picked.emit(CHOOSE)

    def choose(self, ids: Sequence[int]) -> None:
        """Choose tesserae."""
        self._set(replace(self.half, ids=tuple(ids)))

    def refresh(self) -> None:
        """The picture changed under the lines."""
        self._redraw()

    def unseen(self) -> int:
        """How many of the chosen tesserae the canvas shows nothing of."""
        layer, view = self.layer, view_box(self.viewer, self.layer)
        level = next(k for k in range(len(layer.data)) if view.area / 4**k <= _LOOKED_AT or k == len(layer.data) - 1)
        seen = Box(*(edge >> level for edge in view[:2]), *(-(-edge // 2**level) for edge in view[2:]))
        part = np.asarray(layer.data[level][seen.slices])  # the screen may still show where one came from
        return int((~np.isin(np.array(self.half.ids, np.uint64), part)).sum())

    # the mouse ------------------------------------------------------------------------------------

    def _hears(self, event: Any) -> bool:
        return bool(event.button == 1 and self.enabled)

    def _draws(self) -> bool:
        return self.tool.gesture in _DRAGS

    def _double(self, _: Labels, event: Any) -> None:
        """The second of two quick clicks at one place: it ends corners, and counts again for tools that repeat."""
        if not self.enabled or event.button != 1:
            return
        if self.tool.gesture in ("stroke", "outline"):
            self.confirm()
        elif self.tool.gesture == "touch":
            self._click(tuple(event.position), set())

    def _move(self, _: Labels, event: Any) -> None:
        hover = self._id_at(event.position) if self.enabled else 0
        if hover != self.hover:
            self.hover = hover
            self._redraw()
        if self.half.track and self.tool.gesture in ("stroke", "outline"):
            self._show_track((*self.half.track, tuple(event.position)))

    def _click(self, place: tuple[float, ...], modifiers: set[str]) -> None:
        gesture, id_ = self.tool.gesture, self._id_at(place)
        if gesture == "choose":
            self._choose(id_, add="Shift" in modifiers)
        elif gesture == "gather" and id_:
            self._choose(id_, add=True)
        elif gesture == "touch" and id_:
            self._end(Drawn(ids=(id_,)))
        elif gesture in ("gather", "touch"):
            self.said.emit("There is no tessera here; click on a coloured one.")
        elif gesture == "place":
            self._end(Drawn(points=self._places([tuple(place)])))
        else:
            self._set(replace(self.half, track=(*self.half.track, tuple(place))))

    def _drag(self, track: Sequence[tuple[float, ...]]) -> None:
        if self.tool.gesture in ("touch", "gather"):
            self._set(replace(self.half, ids=self._swept(track[-2:], self.half.ids)))
        else:
            self._show_track(tuple(track))

    def _dragged(self, track: Sequence[tuple[float, ...]]) -> None:
        tool, ids = self.tool, self.half.ids
        if tool.gesture in ("touch", "gather"):
            if len(ids) >= tool.least:
                self._end(Drawn(ids=ids))
            elif not ids:
                self.said.emit("There is no tessera under the stroke; drag across coloured ones.")
            return
        self._end(Drawn(points=self._places(track)))

    def _choose(self, id_: int, *, add: bool) -> None:
        ids = self.half.ids
        if add:
            ids = tuple(other for other in ids if other != id_) if id_ in ids else (*ids, id_) if id_ else ids
        else:
            ids = (id_,) if id_ else ()
        self._set(replace(self.half, ids=ids))

    def _end(self, drawn: Drawn) -> None:
        self._set(Half())
        self.drawn.emit(self.tool, drawn)

    # places ---------------------------------------------------------------------------------------

    def _places(self, track: Sequence[Sequence[float]]) -> tuple[Place, ...]:
        """World coordinates as places of the working grid, counted from the corner of its first pixel."""
        found = [np.asarray(self.layer.world_to_data(place))[-2:] + 0.5 for place in track]
        return tuple((round(float(y), 3), round(float(x), 3)) for y, x in found)

    def _id_at(self, place: Sequence[float]) -> int:
        """The tessera that the screen shows at a place; 0 for none."""
        ids = self._ids_at(np.asarray(self.layer.world_to_data(place))[None, -2:])
        return int(ids[0]) if len(ids) else 0

    def _swept(self, ends: Sequence[Sequence[float]], before: tuple[int, ...]) -> tuple[int, ...]:
        """The tesserae chosen before and those under a piece of a stroke, in order."""
        first, last = (np.asarray(self.layer.world_to_data(end))[-2:] for end in (ends[0], ends[-1]))
        step = float(self.layer.downsample_factors[self.layer.data_level][-1])
        count = int(np.abs(last - first).max() / step) + 2
        found = self._ids_at(first + np.linspace(0, 1, count)[:, None] * (last - first))
        return tuple(dict.fromkeys([*before, *(int(id_) for id_ in found if id_)]))

    def _ids_at(self, data: NDArray[np.float64]) -> NDArray[Any]:
        """What the picture shows at places `(n, 2)` of level 0, whole at centres of pixels; outside of it nothing."""
        tile, raw = shown_box(self.layer), shown_labels(self.layer)
        step = np.asarray(self.layer.downsample_factors[self.layer.data_level][-2:])
        pixels = np.floor(data / step + 0.5).astype(np.int64) - np.array([tile.y0, tile.x0])
        inside = ((pixels >= 0) & (pixels < np.array(raw.shape))).all(axis=1)
        return np.asarray(raw[tuple(pixels[inside].T)])

    # lines and keys -------------------------------------------------------------------------------

    def _set(self, half: Half) -> None:
        if half != self.half:
            self.half = half
            self.changed.emit(half)
        self._redraw()
        self._show_track(half.track)

    def _redraw(self, _: Any = None) -> None:
        if self._shown:
            self.overlay.show_tesserae(self.hover, self.half.ids)
        else:
            self.overlay.clear()

    def _rescaled(self, _: Any = None) -> None:
        """The layer got another size: what is half-drawn was drawn over the old one."""
        self._set(Half(self.half.ids))

    @property
    def _shown(self) -> bool:
        """Whether lines belong on the canvas now."""
        return bool(self.enabled and self.layer.visible and self.viewer.layers.selection.active is self.layer)

    def _show_track(self, track: Track) -> None:
        gesture = self.tool.gesture
        self.overlay.show_track(track, closed=gesture == "outline", points=gesture == "points")

    def _activated(self, _: Any = None) -> None:
        """Quick clicks with a tool are clicks: napari's zoom by double click waits meanwhile."""
        if self._shown and self.tool is not CHOOSE:
            self._zooms += without_zoom(self.viewer)
        else:
            self._restore_zoom()
        self._redraw()

    def _restore_zoom(self) -> None:
        while self._zooms:
            self.viewer.mouse_double_click_callbacks.append(self._zooms.pop())


def chosen_words(tool: EditTool, half: Half) -> str:
    """What is chosen or half-drawn, and what ends it."""
    if tool.gesture == "points" and half.track:
        return f"{counted(len(half.track), 'point')} · Enter splits, Esc leaves"
    if tool.gesture in ("stroke", "outline") and half.track:
        return f"{counted(len(half.track), 'corner')} · Enter ends, Esc leaves"
    if tool.gesture == "gather" and half.ids:
        return f"{stones(len(half.ids))} chosen · Enter merges, Esc leaves"
    if half.ids:
        return f"{stones(len(half.ids))} chosen · press a tool, Esc leaves"
    return tool.how
