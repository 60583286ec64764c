"""The widgets of the dock *Measure* in their places, and how a view is applied to them; see `_view`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from magicgui.widgets import CheckBox
from qtpy.QtWidgets import QScrollArea, QWidget

from napari_mosaic.dependencies import missing_of
from napari_mosaic.measuring import NOT_PRESERVED
from napari_mosaic.record.tables import MATERIALS, STATES
from napari_mosaic.widgets._forms import ValueForm
from napari_mosaic.widgets._measure.state import MeasureViewModel
from napari_mosaic.widgets._view import (
    RecordView,
    add_rows,
    button_row,
    note,
    progress_bar,
    push_button,
    show_progress,
    told,
)

if TYPE_CHECKING:
    from napari_mosaic.widgets._measure.plots import FloorPlot, Legend

_LIST_PX = 96
"""Height of the list of columns, in pixels of the screen: five lines; not varied."""

Choices = Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class ColourValue:
    """The column that stones are coloured by; "" for their own colours."""

    colour: Annotated[str, {"label": "Colour by", "choices": [("their own", "")]}] = ""


@dataclass(frozen=True)
class PlotValue:
    """What is plotted."""

    kind: Annotated[
        str,
        {
            "label": "Plot",
            "choices": [("Histogram", "histogram"), ("Scatter", "scatter"), ("Rose of directions", "rose")],
        },
    ] = "histogram"
    x: Annotated[str, {"label": "Of", "choices": [("–", "")]}] = ""
    y: Annotated[str, {"label": "Against", "choices": [("–", "")]}] = ""
    squares: Annotated[
        bool,
        {
            "label": "Modulo 90°, as squares lie",
            "tooltip": "A square that is turned by 90° lies as before; a row only when it is turned by 180°.",
        },
    ] = False


@dataclass(frozen=True)
class LinesValue:
    """Which layers of what was measured are shown."""

    directions: Annotated[bool, {"label": "Directions"}] = False
    rows: Annotated[bool, {"label": "Rows"}] = False
    joints: Annotated[bool, {"label": "Width of the joints"}] = False
    lost: Annotated[bool, {"label": "Lost stones, estimated"}] = False


@dataclass(frozen=True)
class TableValue:
    """Which measured columns the features of the layer hold."""

    columns: Annotated[
        list[str],
        {
            "label": "Columns",
            "widget_type": "Select",
            "choices": [],
            "tooltip": "For the status bar and napari's table of features; hold Ctrl to choose several.",
        },
    ] = field(default_factory=list)


@dataclass(frozen=True)
class SaidValue:
    """What is said of the stones that are chosen; "" to leave it as it is."""

    material: Annotated[str, {"choices": [("as it is", ""), *((word, word) for word in MATERIALS if word)]}] = ""
    state: Annotated[str, {"choices": [("as it is", ""), *((word, word) for word in STATES if word)]}] = ""


@dataclass(frozen=True)
class BareValue:
    """What bare ground is."""

    kind: Annotated[str, {"label": "As", "choices": NOT_PRESERVED}] = "outside"


class ChoiceForm(ValueForm):
    """A form whose fields are chosen from lists that a record gives; a box to tick says once what it is."""

    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind)
        for name, field_ in self.fields.items():
            if isinstance(field_, CheckBox):
                self._labels[name].setText("")

    def offer(self, value: Any, **choices: Choices) -> None:
        """Offer these in some fields, and show a value without a signal."""
        for name, offered in choices.items():
            with self.fields[name].changed.blocked():
                self.fields[name].choices = lambda _, offered=offered: list(offered)  # a function, or magicgui resets
        self.set_value(value)


class MeasureView(RecordView):
    """Everything that is seen of the dock; `plot` and `legend` are None without matplotlib."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(("Record", "Colours", "Plot", "A part", "Chosen", "Layers and columns", "The whole"), parent)
        self.plot: FloorPlot | None = None
        self.legend: Legend | None = None
        for build in (self._record, self._plots, self._chosen, self._part, self._layers, self._whole):
            build()
        self._leave_keys()

    def show_part(self) -> None:
        """Bring the figures of the part that is drawn into sight."""
        scroll = self.findChild(QScrollArea)
        assert isinstance(scroll, QScrollArea)
        scroll.ensureWidgetVisible(self.sections["A part"])

    def _show(self, model: MeasureViewModel, old: MeasureViewModel | None) -> None:
        super()._show(model, old)
        for form in (self.colour_form, self.plot_form, self.lines_form, self.table_form):
            form.setEnabled(model.usable)
        self.stop.setVisible(model.progress is not None)
        show_progress(self.bar, self.bar_text, model.progress)

    def _record(self) -> None:
        self.changed, self.measure, self.stop = told(), push_button("Measure", primary=True), push_button("Stop")
        self.bar, self.bar_text = progress_bar(), note()
        add_rows(
            self.sections["Record"].rows, self.changed, button_row(self.measure, self.stop), self.bar, self.bar_text
        )

    def _plots(self) -> None:
        self.colour_form, self.plot_form = ChoiceForm(ColourValue), ChoiceForm(PlotValue)
        self.plain = push_button("Own colours", "Give the stones the colours back that they had.")
        self.how = note("Drag over the plot to choose stones.")
        add_rows(self.sections["Colours"].rows, self.colour_form)
        add_rows(self.sections["Plot"].rows, self.plot_form)
        if missing_of("matplotlib") is None:
            from napari_mosaic.widgets._measure.plots import FloorPlot, Legend

            self.plot, self.legend = FloorPlot(), Legend()
            add_rows(self.sections["Colours"].rows, self.legend)
            add_rows(self.sections["Plot"].rows, self.plot)
        add_rows(self.sections["Colours"].rows, self.plain)
        add_rows(self.sections["Plot"].rows, self.how)

    def _chosen(self) -> None:
        self.chosen, self.clear = note(), push_button("Choose none")
        self.save = push_button("Save these …", "As CSV with all that was measured of them, or as GeoPackage.")
        self.said_form = ValueForm(SaidValue)
        self.assign = push_button("Assign", "Say this material or state of the stones that are chosen.")
        add_rows(
            self.sections["Chosen"].rows,
            self.chosen,
            button_row(self.clear, self.save),
            self.said_form,
            self.assign,
            self.last,
        )

    def _part(self) -> None:
        self.rectangle = push_button("Draw a rectangle", "Its figures follow it while you move it.")
        self.polygon = push_button("Draw a polygon", "Click its corners, the last one twice.")
        self.part = note()
        add_rows(self.sections["A part"].rows, button_row(self.rectangle, self.polygon), self.part)

    def _layers(self) -> None:
        self.lines_form, self.table_form = ChoiceForm(LinesValue), ChoiceForm(TableValue)
        self.table_form.fields["columns"].native.setMaximumHeight(_LIST_PX)
        add_rows(self.sections["Layers and columns"].rows, self.lines_form, self.table_form)

    def _whole(self) -> None:
        self.whole, self.bare_form = note(), ValueForm(BareValue)
        self.bare = push_button(
            "Mark bare ground",
            "Make an area of the ground without a stone that counts as preserved; the dock Edit tesserae undoes it.",
        )
        add_rows(self.sections["The whole"].rows, self.whole, self.bare_form, self.bare)
