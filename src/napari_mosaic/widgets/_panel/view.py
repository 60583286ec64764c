"""The panel's widgets in their places, and how a view model is applied to them.

One decision: this knows no viewer, no job and no state; it shows a `PanelViewModel` and lends its buttons.
"""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QLabel, QMenu, QToolButton, QWidget

from napari_mosaic.widgets._forms import AreaForm, LookForm, SizeForm, TuningForm
from napari_mosaic.widgets._panel.line import LineForm
from napari_mosaic.widgets._panel.method_form import MethodForm
from napari_mosaic.widgets._panel.rectangle import RectangleForm
from napari_mosaic.widgets._state import STEPS, PanelViewModel
from napari_mosaic.widgets._view import (
    FigureGrid,
    PathLabel,
    StepsView,
    add_rows,
    button_row,
    dots,
    narrow_combo,
    note,
    progress_bar,
    push_button,
    show_progress,
    side_by_side,
)


class PanelView(StepsView):
    """Everything that is seen of the panel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(STEPS, parent)
        self.size_form, self.area_form, self.line_form = SizeForm(), AreaForm(), LineForm()
        self.rectangle_form = RectangleForm()
        self.look_form, self.tuning_form, self.method_form = LookForm(), TuningForm(), MethodForm()
        for build in (
            self._open,
            self._size,
            self._area,
            self._find,
            self._check,
            self._measure,
            self._deliver,
        ):
            build()

    def offer_photographs(self, layers: Sequence[Layer], chosen: Layer | None) -> None:
        """Offer layers to work on."""
        with QSignalBlocker(self.photograph):
            self.photograph.clear()
            for layer in layers:
                self.photograph.addItem(layer.name, layer)
            self.photograph.setCurrentIndex(next((at for at, layer in enumerate(layers) if layer is chosen), -1))
            self.photograph.setPlaceholderText("choose a layer" if layers else "no photograph yet")

    def _show(self, model: PanelViewModel, old: PanelViewModel | None) -> None:
        self.confirm.setVisible(model.size_confirmable)
        self.reset.setEnabled(model.apply_all.enabled)
        self.cancel.setVisible(model.progress is not None)
        self.method_form.setEnabled(model.progress is None)
        self.look_form.show_masks(shown=model.masks_shown)
        show_progress(self.bar, self.bar_text, model.progress)

    def _open(self) -> None:
        self.photograph = narrow_combo()
        self.photo, self.samples = _menu_button("Photo …"), _menu_button("Sample")
        self.open_record = push_button("Record …")
        self.photo_menu, self.sample_menu = self.photo.menu(), self.samples.menu()
        self.open_image = self.photo_menu.addAction("A file …")
        self.open_folder = self.photo_menu.addAction("A folder of georeferenced blocks, or an OME-Zarr …")
        self.open_address = self.photo_menu.addAction("An address (IIIF, Deep Zoom, OME-Zarr, picture) …")
        buttons = button_row(self.photo, self.open_record, self.samples)
        add_rows(self.steps[0].rows, self.photograph, buttons)

    def _size(self) -> None:
        self.size_note, self.floor_note = note(), note()
        self.confirm, self.use_line = self.size_form.confirm, self.line_form.use
        self.use_rectangle, self.rectify = self.rectangle_form.use, self.rectangle_form.rectify
        forms = self.size_form, self.line_form, self.rectangle_form
        add_rows(self.steps[1].rows, *forms, self.floor_note, self.size_note)

    def _area(self) -> None:
        self.steps[2].rows.addWidget(self.area_form)

    def _find(self) -> None:
        self.place = PathLabel()
        self.change_place = dots("Keep the record in another place.")
        self.cost = note()
        self.find_view, self.find_all = push_button("Find in view", primary=True), push_button("Whole mosaic")
        self.bar, self.bar_text, self.cancel = progress_bar(), note(), push_button("Cancel")
        add_rows(
            self.steps[3].rows,
            self.method_form,
            side_by_side(QLabel("Record"), self.place, self.change_place, wide=1),
            self.cost,
            button_row(self.find_view, self.find_all),
            self.bar,
            side_by_side(self.bar_text, self.cancel, wide=0),
        )

    def _check(self) -> None:
        self.apply_all, self.reset = push_button("Apply to all"), push_button("Reset")
        self.smallest_note = note()
        below = side_by_side(self.apply_all, self.reset, wide=0)
        tip = "Merge, split, delete and draw tesserae, in the dock Edit tesserae."
        self.correct = push_button("Correct by hand …", tip)
        rows = self.look_form, self.tuning_form, self.smallest_note, below, self.correct
        add_rows(self.steps[4].rows, *rows)

    def _measure(self) -> None:
        self.measures, self.whole = FigureGrid("No tesserae yet."), note()
        self.whole.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.measure = push_button(
            "Measure the floor", "Every stone and the whole: sizes, joints, rows, colours, opus."
        )
        self.plots = push_button("Plots …", "Colours by what was measured, plots, and figures of a part.")
        tip = "Count a few random squares, and get the error with its interval in one sentence."
        self.how_good = push_button("How good is it? …", tip)
        buttons = button_row(self.measure, self.plots)
        add_rows(self.steps[5].rows, self.measures, buttons, self.whole, self.how_good)

    def _deliver(self) -> None:
        self.format, self.save = narrow_combo(), push_button("Save …")
        tip = "One folder: a GeoPackage, a DXF, the table, a drawing at scale, and what they are and what was checked."
        self.hand_in = push_button("A folder to hand in …", tip)
        add_rows(self.steps[6].rows, side_by_side(self.format, self.save, wide=0), self.hand_in)


def _menu_button(text: str) -> QToolButton:
    """A button that opens a menu."""
    button = QToolButton()
    button.setText(text)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    button.setMenu(QMenu(button))
    return button
