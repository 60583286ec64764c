"""Keys of tools on a layer, for as long as its dock is open.

One decision: keys are bound to the layer itself, so they work while it is the active one and are its own no longer
than the dock is there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal


class LayerKeys(QObject):
    """Tools and verbs of a layer as keys: `picked(tool)`, `pressed(str)`, the name of a verb; Space moves the view."""

    picked = Signal(object)
    pressed = Signal(str)

    def __init__(self, layer: Labels, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.layer = layer
        self._moving = False
        self._bound: list[str] = []

    def _bind(self, tools: Mapping[str, Any], verbs: Mapping[str, Iterable[str]]) -> None:
        """Bind keys to tools, and names of verbs to keys."""
        bound: dict[str, Callable[[Labels], Any]] = {key: _call(self.picked.emit, tool) for key, tool in tools.items()}
        for name, keys in verbs.items():
            bound |= dict.fromkeys(keys, _call(self.pressed.emit, name))
        bound["Space"] = self._hold
        for key, function in bound.items():
            self.layer.bind_key(key, function, overwrite=True)
        self._bound = list(bound)

    def _unbind(self) -> None:
        for key in self._bound:
            self.layer.bind_key(key, None)
        self._bound = []

    def _hold(self, _: Labels) -> Generator[None, None, None]:
        """While the key is held the mouse moves the view, as with napari's own brushes."""
        self._moving, pan = True, self.layer.mouse_pan
        self.layer.mouse_pan = True
        yield
        self._moving = False
        self.layer.mouse_pan = pan


def _call(function: Callable[[Any], None], value: Any) -> Callable[[Labels], None]:
    return lambda _: function(value)
