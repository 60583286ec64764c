"""Mouse and keys of tools on a layer, for as long as their dock is open, and what they draw over it.

One decision: they are bound to the layer itself, so they work while it is the active one and are its own no longer
than the dock is there; what they draw is nodes of the canvas, so nothing is added to a person's list of layers. While
dock or layer is out of sight nothing hears the keys: what nobody sees is not edited.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

CLICK_PX = 4
"""How far the mouse may move on the canvas between press and release of a click; not varied."""

Place = tuple[float, ...]
RIGHT = "Right"
"""Among the modifiers of a click: it was made with the right button."""


class LayerGestures(QObject):
    """Tools and verbs of a layer as keys, and its mouse, until `close`; Space moves the view.

    `picked(tool)` and `pressed(str)`, the name of a verb, come from keys, `said(str)` where one has no effect. A
    subclass says which presses it hears, whether it is drawn with, and what becomes of clicks and drags; places are
    world coordinates.
    """

    picked = Signal(object)
    pressed = Signal(str)
    said = Signal(str)

    def __init__(
        self,
        layer: Labels,
        tools: Mapping[str, Any],
        verbs: Mapping[str, Iterable[str]],
        parent: QObject | None = None,
    ) -> None:
        """Bind keys to tools, and names of verbs to keys."""
        super().__init__(parent)
        self.layer = layer
        self._moving = False
        self._keys: dict[str, Callable[[Labels], Any]] = {
            key: self._if_seen(self.picked.emit, tool) for key, tool in tools.items()
        }
        for name, keys in verbs.items():
            self._keys |= dict.fromkeys(keys, self._if_seen(self.pressed.emit, name))
        self._keys["Space"] = self._hold
        self.asleep = True
        self.wake()

    def wake(self) -> None:
        """Bind keys and mouse, where they are not."""
        if self.asleep:
            self.asleep = False
            for key, function in self._keys.items():
                self.layer.bind_key(key, function, overwrite=True)
            self.layer.mouse_drag_callbacks.append(self._press)
            self.layer.mouse_double_click_callbacks.append(self._double)

    def sleep(self) -> None:
        """Leave keys and mouse to others until `wake`."""
        if not self.asleep:
            self.asleep = True
            for key in self._keys:
                self.layer.bind_key(key, None)
            self.layer.mouse_drag_callbacks.remove(self._press)
            self.layer.mouse_double_click_callbacks.remove(self._double)

    def close(self) -> None:
        """Unbind keys and mouse."""
        self.sleep()

    # for subclasses -------------------------------------------------------------------------------

    def _hears(self, event: Any) -> bool:
        """Whether a press of the mouse is for the tool in hand."""
        raise NotImplementedError

    def _draws(self) -> bool:
        """Whether the tool in hand is dragged."""
        raise NotImplementedError

    def _click(self, place: Place, modifiers: set[str]) -> None:
        """A place was clicked."""

    def _double(self, _: Labels, event: Any) -> None:
        """It is the second of two quick clicks at one place."""

    def _drag(self, track: Sequence[Place]) -> None:
        """It is being drawn so far."""

    def _dragged(self, track: Sequence[Place]) -> None:
        """It was drawn."""

    def _press(self, _: Labels, event: Any) -> Generator[None, None, None]:
        if not (self.layer.visible and self._hears(event)) or self._moving or "Alt" in event.modifiers:
            return
        start, modifiers = np.asarray(event.pos), {*event.modifiers, *([RIGHT] if event.button == 2 else [])}
        track, dragged = [tuple(event.position)], False
        yield
        while event.type == "mouse_move":
            dragged = dragged or bool(np.abs(np.asarray(event.pos) - start).max() > CLICK_PX)
            if dragged and self._draws():
                track.append(tuple(event.position))
                self._drag(track)
            yield
        if dragged and self._draws():
            self._dragged(track)
        elif not dragged:
            self._click(track[0], modifiers)

    def _if_seen(self, function: Callable[[Any], None], value: Any) -> Callable[[Labels], None]:
        """What a key does while its layer is seen."""

        def press(_: Labels) -> None:
            if self.layer.visible:
                function(value)
            else:
                self.said.emit(f"“{self.layer.name}” is hidden: show it first, by its eye in the list of layers.")

        return press

    def _hold(self, _: Labels) -> Generator[None, None, None]:
        """While the key is held the mouse moves the view, as with napari's own brushes."""
        self._moving, pan = True, self.layer.mouse_pan
        self.layer.mouse_pan = True
        yield
        self._moving = False
        self.layer.mouse_pan = pan


def lay_over(nodes: Sequence[Any], order: int) -> None:
    """Let nodes of the canvas lie over everything else, hidden until there is something to show."""
    for place, node in enumerate(nodes):
        node.order = order + place
        node.set_gl_state("translucent", depth_test=False)
        node.visible = False
