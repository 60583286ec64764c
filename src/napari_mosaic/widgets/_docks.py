"""How docks find each other, and stay one of a kind in a viewer, whichever ways they are opened.

One decision: a dock knows others by their manifest ids and verbs alone, never by importing them, so any of them may be
opened first, and a panel and the docks beside it make no circle of imports. napari knows the entry of its menus and
`add_plugin_dock_widget` by two names, so it makes a second dock where one is open; two would fight over one record.
What it gets for the second brings the first to the front and goes. A dock comes as a tab over those that stand beside
it: napari puts them below each other, where none keeps a height that it can be used at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDockWidget, QVBoxLayout, QWidget

from napari_mosaic.widgets._napari import main_window
from napari_mosaic.widgets._view import note

if TYPE_CHECKING:
    from napari import Viewer

PLUGIN = "napari-mosaic"
PANEL = f"{PLUGIN}.panel"
CHECK = f"{PLUGIN}.check"
EDIT = f"{PLUGIN}.edit"
SAM2 = f"{PLUGIN}.sam2"
TRAIN = f"{PLUGIN}.train"
TUNE = f"{PLUGIN}.tune"
EVALUATE = f"{PLUGIN}.evaluate"
MEASURE = f"{PLUGIN}.measure"

TITLES = {
    PANEL: "Mosaic",
    EDIT: "Edit tesserae",
    SAM2: "SAM 2",
    TRAIN: "Advanced: Train",
    TUNE: "Advanced: Tune",
    EVALUATE: "Advanced: Evaluate",
    CHECK: "How good is it?",
    MEASURE: "Measure",
}
"""Names that the menus show, by manifest id: napari opens a dock by its name alone."""


def find_dock(viewer: Viewer, manifest_id: str, *, make: bool = False) -> Any:
    """The dock of a viewer that has a manifest id, whoever opened it; None where there is none and `make` is not asked.

    A dock that was closed but is not deleted yet is none.
    """
    for widget in viewer.window.dock_widgets.values():
        if getattr(widget, "manifest_id", None) == manifest_id and not widget.closed:
            return widget
    return viewer.window.add_plugin_dock_widget(PLUGIN, TITLES[manifest_id])[1] if make else None


def open_dock(viewer: Viewer, manifest_id: str) -> Any:
    """The dock of a viewer that has a manifest id, made where there is none, and brought to the front."""
    dock = find_dock(viewer, manifest_id, make=True)
    bring_to_front(dock)
    return dock


def standing_dock(viewer: Viewer, kind: type[QWidget]) -> Any:
    """The dock of just this kind that is open in a viewer; None where there is none."""
    window = getattr(viewer, "window", None)
    docks = getattr(window, "dock_widgets", None) or {}
    return next((dock for dock in docks.values() if type(dock) is kind and not dock.closed), None)


class StandIn(QWidget):
    """What stands for a dock that is open already: whoever asks it for something asks that dock."""

    def __init__(self, standing: Any) -> None:
        super().__init__()
        self._standing = standing
        column = QVBoxLayout(self)
        column.addWidget(note("This is open in the viewer already."))
        column.addStretch(1)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._standing, name)

    def showEvent(self, event: QShowEvent) -> None:
        """Give way, once napari has done with adding this."""
        super().showEvent(event)
        QTimer.singleShot(0, self._give_way)

    def _give_way(self) -> None:
        own = frame_of(self)
        if own is not None:
            self._standing.viewer.window.remove_dock_widget(own)
            self.deleteLater()
        bring_to_front(self._standing)


def bring_to_front(dock: QWidget) -> None:
    """Show a dock, and of tabs its own."""
    frame = frame_of(dock)
    if frame is not None:
        frame.show()
        frame.raise_()


def come_as_tab(viewer: Viewer, dock: QWidget) -> None:
    """Lay a dock, in front, over those that stand in its area; one at the left, where napari's own are, stays there."""
    window, own = main_window(viewer), frame_of(dock)
    if own is None or own.isFloating() or window.dockWidgetArea(own) == Qt.DockWidgetArea.LeftDockWidgetArea:
        return
    area = window.dockWidgetArea(own)
    for frame in window.findChildren(QDockWidget):
        shown = frame.toggleViewAction().isChecked() and not frame.isFloating()  # a tab that is behind is not visible
        tabs = window.tabifiedDockWidgets(own)
        if frame is not own and frame not in tabs and shown and window.dockWidgetArea(frame) == area:
            pair = (own, frame) if tabs else (frame, own)  # the second comes to where the first is, and in front
            window.tabifyDockWidget(*pair)
    own.show()
    own.raise_()


def frame_of(widget: QWidget) -> QDockWidget | None:
    """The frame of napari's window that a widget is in."""
    parent = widget.parent()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent
