"""Free painting: a window of the record as an ordinary layer of napari, with all of its brushes.

One decision: what was painted is compared with what the window began with, so only what a person changed is written,
and a number that is new in the window is a new tessera whatever stone elsewhere has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_mosaic.editing import Edit, replace_window
from napari_mosaic.errors import InputError
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._sources import corner_of

MOST_PX = 16_000_000
"""Most pixels of a window that is painted on."""

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

    def __init__(self, viewer: Any, tesserae: Labels, box: Box, labels: NDArray[Any]) -> None:
        self.box = box
        self.start = labels
        self._viewer, self._tesserae = viewer, tesserae
        self._shown = tesserae.visible
        self.layer = viewer.add_labels(labels.copy(), name=f"{tesserae.name} (painting)", **_place(tesserae, box))
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


def _place(tesserae: Labels, box: Box) -> dict[str, Any]:
    """Keywords of a layer that lies and looks like a box of the tesserae."""
    return {
        "scale": tesserae.scale[-2:],
        "translate": corner_of(tesserae, box),
        "rotate": tesserae.rotate,
        "shear": tesserae.shear,
        "affine": tesserae.affine,
        "units": tesserae.units[-2:],
        "opacity": tesserae.opacity,
        "colormap": tesserae.colormap,
    }
