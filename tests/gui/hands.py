"""A hand on napari's canvas: real Qt events of mouse and keys, at places of the working grid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QKeyEvent, QMouseEvent
from qtpy.QtWidgets import QApplication

Place = Sequence[float]
_LEFT, _NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
_KEYS = {
    "Enter": Qt.Key.Key_Return, "Escape": Qt.Key.Key_Escape, "Delete": Qt.Key.Key_Delete, "Space": Qt.Key.Key_Space,
    ".": Qt.Key.Key_Period, ",": Qt.Key.Key_Comma,
}  # fmt: skip
PAUSE_MS = 12
"""Longer than napari waits between two moves of the mouse that it looks at."""


class Hand:
    """Clicks, drags and types on the canvas of a viewer; places are `(y, x)` on the grid of `layer`."""

    def __init__(self, viewer: Any, layer: Any, qtbot: Any) -> None:
        self.layer = layer
        self._canvas = viewer.window._qt_viewer.canvas
        self._qtbot = qtbot

    def click(self, place: Place, modifiers: Any = Qt.KeyboardModifier.NoModifier) -> None:
        """Press and release at a place."""
        self.move(place)
        self._send(QEvent.Type.MouseButtonPress, place, _LEFT, modifiers)
        self._send(QEvent.Type.MouseButtonRelease, place, _LEFT, modifiers)

    def double_click(self, place: Place) -> None:
        """What Qt sends for the second of two quick clicks."""
        self._send(QEvent.Type.MouseButtonDblClick, place, _LEFT)
        self._send(QEvent.Type.MouseButtonRelease, place, _LEFT)

    def drag(self, *places: Place) -> None:
        """Press at the first place, move over the others, release at the last."""
        self.move(places[0])
        self._send(QEvent.Type.MouseButtonPress, places[0], _LEFT)
        for before, after in itertools.pairwise(places):
            for part in (0.25, 0.5, 0.75, 1.0):
                middle = [start + part * (end - start) for start, end in zip(before, after, strict=True)]
                self._send(QEvent.Type.MouseMove, middle, _NONE, held=_LEFT)
                self._qtbot.wait(PAUSE_MS)
        self._send(QEvent.Type.MouseButtonRelease, places[-1], _LEFT)

    def move(self, place: Place) -> None:
        """Move without a button."""
        self._send(QEvent.Type.MouseMove, place, _NONE)
        self._qtbot.wait(PAUSE_MS)

    def key(self, name: str, modifiers: Any = Qt.KeyboardModifier.NoModifier) -> None:
        """Press and release a key."""
        self.hold(name, modifiers)
        self.let_go(name, modifiers)

    def hold(self, name: str, modifiers: Any = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key."""
        self._type(QEvent.Type.KeyPress, name, modifiers)

    def let_go(self, name: str, modifiers: Any = Qt.KeyboardModifier.NoModifier) -> None:
        """Release a key."""
        self._type(QEvent.Type.KeyRelease, name, modifiers)

    def point(self, place: Place) -> QPointF:
        """Where a place of the grid is on the canvas, in its pixels."""
        world = self.layer.data_to_world((place[0] - 0.5, place[1] - 0.5))
        view = self._canvas.view
        x, y = (view.transform * view.scene.transform).map([world[-1], world[-2]])[:2]
        return QPointF(float(x), float(y))

    def _send(
        self,
        kind: Any,
        place: Place,
        button: Any,
        modifiers: Any = Qt.KeyboardModifier.NoModifier,
        held: Any = None,
    ) -> None:
        native, point = self._canvas.native, self.point(place)
        held = held or (button if kind != QEvent.Type.MouseButtonRelease else _NONE)
        event = QMouseEvent(kind, point, QPointF(native.mapToGlobal(point.toPoint())), button, held, modifiers)
        QApplication.sendEvent(native, event)
        QApplication.processEvents()

    def _type(self, kind: Any, name: str, modifiers: Any) -> None:
        code = _KEYS.get(name) or Qt.Key(ord(name.upper()))
        event = QKeyEvent(kind, int(code), modifiers, name if len(name) == 1 else "")
        QApplication.sendEvent(self._canvas.native, event)
        QApplication.processEvents()
