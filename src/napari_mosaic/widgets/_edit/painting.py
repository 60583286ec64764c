"""Free painting: a window of the record as an ordinary layer of napari, with all of its brushes.

One decision: what was painted is compared with what the window began with, so only what a person changed is written,
and a number that is new in the window is a new tessera whatever stone elsewhere has it. Leaving asks wherever something
would be lost, whichever way a person leaves: by the button, by deleting the layer, by another record or by closing the
dock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_mosaic.editing import Edit, replace_window
from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _dialogs
from napari_mosaic.widgets._sources import lying_like, view_box

if TYPE_CHECKING:
    from napari import Viewer

    from napari_mosaic.widgets._edit.dock import EditDock

MOST_PX = 16_000_000
"""Most pixels of a window that is painted on; not varied."""

WINDOW = "mosaic_window"
"""Key of a layer's metadata: the box of the working grid that it shows."""


def require_small(box: Box) -> None:
    """Raise `InputError` where a window is too large to be painted on."""
    if box.area > MOST_PX:
        height, width = box.shape
        raise InputError(
            f"This window is {width:,} x {height:,} px, more than a brush can work on without waiting; "
            "zoom in until single stones are clear, and edit that."
        )


class PaintWindow:
    """A window that is painted on: its layer, over the tesserae, which are hidden meanwhile."""

    def __init__(self, viewer: Viewer, tesserae: Labels, box: Box, labels: NDArray[Any]) -> None:
        self.box = box
        self.start = labels
        self._viewer, self._tesserae = viewer, tesserae
        self._shown = tesserae.visible
        self.layer = viewer.add_labels(labels.copy(), name=f"{tesserae.name} (painting)", **lying_like(tesserae, box),
            opacity=tesserae.opacity, colormap=tesserae.colormap)  # fmt: skip
        self.layer.metadata[WINDOW] = tuple(box)
        self.layer.contour = tesserae.contour
        self.take_new_number()
        self.layer.mode = "paint"
        tesserae.visible = False

    @property
    def present(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def changed(self) -> bool:
        """Whether something was painted that is not applied."""
        return not np.array_equal(self.layer.data, self.start)

    def take_new_number(self) -> None:
        """Paint with a number that nothing in the window has."""
        self.layer.selected_label = int(max(self.layer.data.max(), self.start.max())) + 1

    def change(self) -> Callable[[Record], Edit | None]:
        """What writes the painting to a record, for `EditSession.change`."""
        box, painted, start = self.box, self.layer.data.copy(), self.start
        return lambda record: replace_window(record, box, painted, before=start)

    def renew(self, labels: NDArray[Any]) -> None:
        """Show the window as the record holds it now, with the numbers that it gave."""
        self.start = labels
        self.layer.data = labels.copy()
        self.take_new_number()

    def leave(self) -> None:
        """Take the layer away and show the tesserae again."""
        if self.present:
            self._viewer.layers.remove(self.layer)
        self._tesserae.visible = self._shown
        if self._tesserae in self._viewer.layers:
            self._viewer.layers.selection.active = self._tesserae


class Painting:
    """The verbs of free painting, for an `EditDock`."""

    def __init__(self, dock: EditDock) -> None:
        self._dock = dock
        self.window: PaintWindow | None = None

    def open(self) -> None:
        """Open what is seen at full resolution as an ordinary layer of napari."""
        dock = self._dock
        if not dock.view_model.paint.enabled or dock.layer is None:
            return
        box = view_box(dock.viewer, dock.layer)
        try:
            require_small(box)
        except MosaicError as error:
            dock.tell(message=str(error))
            return
        dock.ask(lambda record: record.read_labels(box), lambda labels: self._opened(box, labels))

    def apply(self) -> None:
        """Write what was painted; the window then shows the numbers that the record gave."""
        window, session = self.window, self._dock.session
        if window is not None and session is not None:
            session.change("window", window.change())
            session.ask(lambda record: record.read_labels(window.box), self._applied)

    def leave(self, *, stay: bool = True) -> bool:
        """End painting; asks where something is not applied. Returns whether it ended."""
        window, dock = self.window, self._dock
        if window is None:
            return True
        self.window = None  # whatever the question sets off finds nothing to ask again
        word = _dialogs.ask_unapplied(dock.view, stay=stay and window.present) if window.changed else "discard"
        if word == "stay":
            self.window = window
            return False
        if word == "apply" and dock.session is not None:
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
