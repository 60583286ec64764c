"""Buttons and forms of the view, connected to what the panel can do.

One decision: dialogs open here and nowhere else, so every verb of the panel can be called without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_mosaic.widgets import _dialogs, _sources
from napari_mosaic.widgets._dock import press
from napari_mosaic.widgets._docks import CHECK, EDIT, MEASURE, open_dock
from napari_mosaic.widgets._panel.view import PanelView

if TYPE_CHECKING:
    from napari_mosaic.widgets._panel.dock import MosaicPanel


def connect_view(view: PanelView, panel: MosaicPanel) -> None:
    """Connect a view to a `MosaicPanel`."""
    press(
        (view.open_record, lambda: _use(_dialogs.ask_record(view), panel.open_record)),
        (view.change_place, lambda: _use(_dialogs.ask_place(view, panel.state.place), panel.set_place)),
        (view.find_view, panel.find_in_view),
        (view.find_all, panel.find_all),
        (view.cancel, panel.cancel),
        (view.apply_all, panel.apply_to_all),
        (view.reset, lambda: panel.tune(panel.state.applied)),
        (view.area_form.draw, panel.limits.draw),
        (view.save, lambda: _export(view, panel)),
        (view.rectify, lambda: _rectify(view, panel)),
        (view.hand_in, lambda: _hand_in(view, panel)),
        (view.area_form.file, lambda: _use(_dialogs.ask_area(view), panel.open_area)),
        (view.correct, lambda: open_dock(panel.viewer, EDIT)),
        (view.measure, panel.measure),
        (view.plots, lambda: open_dock(panel.viewer, MEASURE)),
        (view.how_good, lambda: open_dock(panel.viewer, CHECK)),
    )
    for action, ask in (
        (view.open_image, _dialogs.ask_image),
        (view.open_folder, _dialogs.ask_photo_folder),
        (view.open_address, _dialogs.ask_address),
    ):
        action.triggered.connect(lambda _=False, ask=ask: _use(ask(view), panel.open_photograph))
    view.photograph.activated.connect(lambda index: panel.choose(view.photograph.itemData(index)))
    view.size_form.changed.connect(lambda: panel.set_size(view.size_form.value()))
    view.line_form.drawn.connect(panel.known.draw_line)
    view.line_form.bar_asked.connect(panel.known.click_bar)
    view.line_form.given.connect(panel.known.use_line)
    view.rectangle_form.marked.connect(panel.known.mark_rectangle)
    view.rectangle_form.given.connect(panel.known.use_rectangle)
    view.area_form.changed.connect(lambda: panel.limits.choose(view.area_form.value()))
    view.look_form.changed.connect(lambda: panel.look(view.look_form.value()))
    view.tuning_form.settled.connect(lambda: panel.tune(view.tuning_form.value()))


def _export(view: PanelView, panel: MosaicPanel) -> None:
    record, name = panel.state.record, view.format.currentData()
    if record is not None:
        _use(_dialogs.ask_export(view, name, record.path), lambda path: panel.save_as(path, name))


def _rectify(view: PanelView, panel: MosaicPanel) -> None:
    if panel.photograph is not None:
        place = _sources.default_place(panel.photograph)
        _use(_dialogs.ask_rectified(view, place), panel.known.rectify)


def _hand_in(view: PanelView, panel: MosaicPanel) -> None:
    record = panel.state.record
    said = None if record is None else _dialogs.ask_delivery_words(view)
    if record is not None and said is not None:
        _use(_dialogs.ask_delivery(view, record.path), lambda path: panel.hand_in(path, **said))


def _use(path: str, verb: Callable[[str], None]) -> None:
    if path:
        verb(path)
