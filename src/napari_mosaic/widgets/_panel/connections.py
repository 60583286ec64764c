"""Buttons and forms of the face, connected to what the panel can do.

One decision: dialogs open here and nowhere else, so every verb of the panel can be called without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_mosaic.widgets import _dialogs
from napari_mosaic.widgets._dock import press
from napari_mosaic.widgets._docks import CHECK, find_dock
from napari_mosaic.widgets._panel.face import PanelFace

if TYPE_CHECKING:
    from napari_mosaic.widgets._panel.dock import MosaicPanel


def connect_view(face: PanelFace, panel: MosaicPanel) -> None:
    """Connect a face to a `MosaicPanel`."""
    press(
        (face.open_image, lambda: _use(_dialogs.ask_image(face), panel.open_photograph)),
        (face.open_record, lambda: _use(_dialogs.ask_record(face), panel.open_record)),
        (face.change_place, lambda: _use(_dialogs.ask_place(face, panel.state.place), panel.set_place)),
        (face.find_view, panel.find_in_view),
        (face.find_all, panel.find_all),
        (face.cancel, panel.cancel),
        (face.apply_all, panel.apply_to_all),
        (face.reset, lambda: panel.tune(panel.state.applied)),
        (face.area_form.draw, panel.limits.draw),
        (face.save, lambda: _export(face, panel)),
        (face.how_good, lambda: find_dock(panel.viewer, CHECK, make=True)),
    )
    face.photograph.activated.connect(lambda index: panel.choose(face.photograph.itemData(index)))
    face.size_form.changed.connect(lambda: panel.set_size(face.size_form.value()))
    face.line_form.drawn.connect(panel.sizes.draw_line)
    face.line_form.given.connect(panel.sizes.use_line)
    face.area_form.changed.connect(lambda: panel.limits.choose(face.area_form.value()))
    face.look_form.changed.connect(lambda: panel.look(face.look_form.value()))
    face.tuning_form.settled.connect(lambda: panel.tune(face.tuning_form.value()))


def _export(face: PanelFace, panel: MosaicPanel) -> None:
    record, name = panel.state.record, face.format.currentData()
    if record is not None:
        _use(_dialogs.ask_export(face, name, record.path), lambda path: panel.save_as(path, name))


def _use(path: str, verb: Callable[[str], None]) -> None:
    if path:
        verb(path)
