"""Buttons and forms of the face, connected to what the panel can do.

One decision: dialogs open here and nowhere else, so every verb of the panel can be called without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_mosaic.widgets import _places
from napari_mosaic.widgets._dock import press
from napari_mosaic.widgets._panel.face import PanelFace


def connect_face(face: PanelFace, panel: Any) -> None:
    """Connect a face to a `MosaicPanel`."""
    press(
        (face.open_image, lambda: _use(_places.ask_image(face), panel.open_photograph)),
        (face.open_record, lambda: _use(_places.ask_record(face), panel.open_record)),
        (face.change_place, lambda: _use(_places.ask_place(face, panel.state.place), panel.set_place)),
        (face.find_view, panel.find_in_view),
        (face.find_all, panel.find_all),
        (face.cancel, panel.cancel),
        (face.apply_all, panel.apply_to_all),
        (face.reset, lambda: panel.tune(panel.state.applied)),
        (face.save, lambda: _export(face, panel)),
        (face.how_good, panel.open_check),
    )
    face.photograph.activated.connect(lambda index: panel.choose(face.photograph.itemData(index)))
    face.size_form.changed.connect(panel.set_size)
    face.line_form.drawn.connect(panel.sizes.draw_line)
    face.line_form.given.connect(panel.sizes.use_line)
    face.area_form.changed.connect(panel.limit)
    face.area_form.drawn.connect(panel.draw_area)
    face.look_form.changed.connect(panel.look)
    face.tuning_form.changed.connect(panel.tune)


def _export(face: PanelFace, panel: Any) -> None:
    record, name = panel.state.record, face.format.currentData()
    if record is not None:
        _use(_places.ask_export(face, name, record.path), lambda path: panel.save_as(path, name))


def _use(path: str, verb: Callable[[str], None]) -> None:
    if path:
        verb(path)
