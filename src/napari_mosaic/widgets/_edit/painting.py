"""Opening, applying and leaving a window that is painted on; see `_edit_window`.

One decision: leaving asks wherever something would be lost, whichever way a person leaves: by the button, by deleting
the layer, by another record or by closing the dock.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_mosaic.errors import MosaicError
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _places
from napari_mosaic.widgets._edit.state import resolve_edit
from napari_mosaic.widgets._edit.window import PaintWindow, require_small
from napari_mosaic.widgets._sources import view_box


class Painting:
    """The verbs of free painting, for an `EditDock`."""

    def __init__(self, dock: Any) -> None:
        self._dock = dock
        self.window: PaintWindow | None = None

    def open(self) -> None:
        """Open what is seen at full resolution as an ordinary layer of napari."""
        dock = self._dock
        if not resolve_edit(dock.state).window.enabled:
            return
        box = view_box(dock.layer)
        try:
            require_small(box)
        except MosaicError as error:
            dock.tell(message=str(error))
            return
        dock.session.ask(lambda record: record.read_labels(box), lambda labels: self._opened(box, labels))

    def apply(self) -> None:
        """Write what was painted; the window then shows the numbers that the record gave."""
        window, session = self.window, self._dock.session
        if window is not None:
            session.change("window", window.change())
            session.ask(lambda record: record.read_labels(window.box), self._applied)

    def leave(self, *, stay: bool = True) -> bool:
        """End painting; asks where something is not applied. Returns whether it ended."""
        window, dock = self.window, self._dock
        if window is None:
            return True
        self.window = None  # whatever the question sets off finds nothing to ask again
        word = _places.ask_unapplied(dock.face, stay=stay and window.present) if window.changed else "discard"
        if word == "stay":
            self.window = window
            return False
        if word == "apply":
            dock.session.change("window", window.change())
        window.leave()
        dock.tell(painting=False, message="")
        return True

    def check_present(self) -> None:
        """Leave where a person has deleted the layer."""
        if self.window is not None and not self.window.present:
            self.leave()

    def _opened(self, box: Box, labels: NDArray[Any]) -> None:
        dock = self._dock
        if self.window is None and dock.layer is not None:
            self.window = PaintWindow(dock.viewer, dock.layer, box, labels)
            dock.tell(painting=True, message="", last="")

    def _applied(self, labels: NDArray[Any]) -> None:
        if self.window is not None:
            self.window.renew(labels)
