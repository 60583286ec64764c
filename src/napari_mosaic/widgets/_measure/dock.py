"""The dock *Measure*: colours, plots and figures of a part, by what a record keeps of its measurement.

One decision: events change a frozen state and the view follows, as in all docks; the one selection of stones, `(n,)`,
is the dock's, and colours and plots are told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from napari.layers import Labels, Layer
from napari.viewer import Viewer
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.measuring import mark_bare_ground
from napari_mosaic.widgets import _dialogs
from napari_mosaic.widgets._dock import RunningDock, press
from napari_mosaic.widgets._docks import MEASURE
from napari_mosaic.widgets._features import follow_features
from napari_mosaic.widgets._gestures import CLICK_PX
from napari_mosaic.widgets._measure import runs
from napari_mosaic.widgets._measure.colouring import Colouring, Scale, scale_of, title_of
from napari_mosaic.widgets._measure.drawn import NAMES, Kind, joint_layer, line_layer, lines_of, lost_layer
from napari_mosaic.widgets._measure.local import LocalFigures
from napari_mosaic.widgets._measure.region import DrawnPart
from napari_mosaic.widgets._measure.runs import Loaded
from napari_mosaic.widgets._measure.state import MeasureState, resolve_measure
from napari_mosaic.widgets._measure.view import ColourValue, LinesValue, MeasureView, PlotValue, TableValue
from napari_mosaic.widgets._measured import COLUMNS, MeasuredFloor, measure_record_steps
from napari_mosaic.widgets._napari import camera_of
from napari_mosaic.widgets._record_dock import RecordDock
from napari_mosaic.widgets._session import EditSession, Outcome
from napari_mosaic.widgets._sources import LABELS, view_box
from napari_mosaic.widgets._style import plot_colours
from napari_mosaic.widgets._viewer import CAMERA_MS
from napari_mosaic.widgets._worker import WorkFailure, when_idle

Chosen = NDArray[np.bool_]

_FIRST = ("rectangle_length", "area")
"""Columns that are plotted first, by how their names begin."""


class MeasureDock(RecordDock, RunningDock):
    """The dock *Measure* of a viewer; it works on the record of one tesserae layer at a time."""

    needs = ("matplotlib",)
    manifest_id = MEASURE
    stopped_words = "Stopped; what was measured before is kept."
    resolve = staticmethod(resolve_measure)
    state: MeasureState
    view: MeasureView

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.state = MeasureState()
        self.floor: MeasuredFloor | None = None
        self.chosen: Chosen = np.zeros(0, bool)
        self.part: DrawnPart | None = None
        self.drawn: dict[Kind, Layer] = {}
        self._local: LocalFigures | None = None
        self._colouring: Colouring | None = None
        self._scale: Scale | None = None
        self._heard_on: Layer | None = None
        self.view = MeasureView(self)
        self._loader, self._asker = self._requests(self._loaded), self._requests(self._told_changed)
        self._saver = self._requests(lambda path: self.tell(saving=False, message=f"Saved {path.name}."))
        self._rest = when_idle(self, CAMERA_MS, self._follow_view)
        self._fill()
        self._connect()
        self._follow_layers()

    # what a person can do -------------------------------------------------------------------------

    def measure(self) -> None:
        """Measure every stone and the whole floor; the record keeps it."""
        session = self.session
        if session is not None and self.view_model.measure.enabled:
            self.run_steps(lambda: measure_record_steps(session.path), "Measuring")

    def renew(self) -> None:
        """Read again what the record keeps: somebody has measured it."""
        if self.session is not None:
            self.tell(reading=True)
            self._loader.ask(runs.load, self.session.path)

    def colour_by(self, column: str) -> None:
        """Colour the stones by a measured column; "" for the colours that they had."""
        if self.floor is None or self._colouring is None:
            return
        self._scale = scale_of(self.floor, column) if column else None
        self.view.colour_form.set_value(ColourValue(column))
        self._colouring.show(self._scale)
        if self.view.legend is not None:
            self.view.legend.show_scale(self._scale)
        self.tell(coloured=self._scale is not None)
        if self.view.plot_form.value().kind == "scatter":
            self.plot(self.view.plot_form.value())

    def plot(self, value: PlotValue) -> None:
        """Show a plot; a column that this floor has not is replaced by the first that it has."""
        canvas, floor = self.view.plot, self.floor
        if floor is not None and len(floor):
            first = floor.numbers[0]
            x, y = (name if name in floor.numbers else first for name in (value.x, value.y))
            value = replace(value, x=x, y=y)
            self.view.plot_form.set_value(value)
        for name, shown in (("y", "scatter"), ("squares", "rose")):
            self.view.plot_form.show_field(name, value.kind == shown)
        if canvas is None or floor is None or not len(floor):
            return
        self.view.how.setText(_HOW[value.kind])
        if value.kind == "rose":
            name = value.x if value.x.endswith("_deg") else "row_direction_deg"
            canvas.rose(name, floor.column(name), 90 if value.squares else 180)
        elif value.kind == "scatter":
            canvas.scatter((value.x, value.y), floor.column(value.x), floor.column(value.y), self._scale)
        else:
            canvas.histogram(value.x, floor.column(value.x))
        canvas.choose(self.chosen)

    def choose(self, chosen: Chosen) -> None:
        """Let `(n,)` stones stand out in the viewer and in the plot."""
        if self.floor is None or self._colouring is None:
            return
        self.chosen = chosen
        self._colouring.choose(chosen)
        if self.view.plot is not None:
            self.view.plot.choose(chosen)
        self.tell(chosen=int(chosen.sum()))

    def choose_none(self) -> None:
        """Let no stone stand out."""
        self.choose(np.zeros(len(self.chosen), bool))

    def draw(self, kind: Literal["rectangle", "polygon"]) -> None:
        """Let a person draw a part, of which the figures are told at once."""
        layer = self.shown_layer
        if layer is None or self.floor is None or not self.view_model.rectangle.enabled:
            return
        if self.part is None or not self.part.present:
            self._leave_part()
            self.part = DrawnPart(self.viewer, layer, self.floor.factor, self._part_moved, self._part_rests, self)
        self.part.draw(kind)
        self.view.show_part()

    def show_lines(self, value: LinesValue) -> None:
        """Show layers of directions, rows and joints, and take away those that are not asked for."""
        self.view.lines_form.set_value(value)
        for kind in NAMES:
            wanted = getattr(value, kind)
            standing = self.drawn.get(kind)
            if not wanted and standing is not None:
                self._take_away(kind)
            elif wanted and (standing is None or standing not in self.viewer.layers):
                self._draw_layer(kind)

    def use_columns(self, columns: tuple[str, ...]) -> None:
        """Let the features of the tesserae layer hold these measured columns beside their own."""
        if self.layer is not None:
            self.layer.metadata[COLUMNS] = columns
            follow_features(self.viewer, self.layer).renew()

    def save(self, path: str | Path) -> None:
        """Write the stones that are chosen as CSV or GeoPackage."""
        if self.floor is not None and self.view_model.save.enabled:
            self.tell(saving=True, message="")
            self._saver.ask(runs.save_chosen, self.floor, self.floor.ids[self.chosen], Path(path))

    def assign(self) -> None:
        """Say a material or a state of the stones that are chosen: one edit, which can be undone."""
        if self.session is None or self.floor is None or not self.view_model.assign.enabled:
            return
        said = {name: word for name, word in vars(self.view.said_form.value()).items() if word}
        if not said:
            self.tell(message="Choose a material or a state first.")
            return
        self.session.edit({"tool": "assign", "ids": self.floor.ids[self.chosen].tolist(), **said})

    def mark_bare(self) -> None:
        """Make an area of the ground without a stone that counts as preserved: one edit, which can be undone."""
        if self.session is not None and self.view_model.bare.enabled:
            kind, labels = self.view.bare_form.value().kind, self.state.labels
            self.session.change("add_area", lambda record: mark_bare_ground(record, kind, labels=labels)[0])

    @property
    def shown_layer(self) -> Labels | None:
        """The layer of the labels that were measured."""
        if self.floor is None or self.layer is None or self.floor.labels == "tesserae":
            return self.layer
        own = str(self.floor.record)
        for layer in self.viewer.layers:
            known = layer.metadata
            if isinstance(layer, Labels) and known.get(LABELS) == self.floor.labels and own in str(known):
                return layer
        return None

    # answers --------------------------------------------------------------------------------------

    def _bound(self, layer: Labels, session: EditSession) -> None:
        self.renew()

    def _release(self) -> None:
        self._leave_floor()
        super()._release()

    def _edited(self, outcome: Outcome) -> None:
        super()._edited(outcome)
        if self.floor is not None and self.session is not None:
            self._asker.ask(runs.changed, self.session.path, self.floor.labels)

    def _told_changed(self, words: str) -> None:
        self.tell(changed=words if self.state.whole else "")

    def _returned(self, _: MeasuredFloor) -> None:
        self.renew()

    def _loaded(self, found: Loaded) -> None:
        if self.session is None or found.floor.record != self.session.path:
            return
        columns = self.view.table_form.value().columns
        self._leave_floor()
        floor, layer = found.floor, None
        self.floor, self._local = floor, found.local
        layer = self.shown_layer
        measured = len(floor)
        if measured and layer is None:
            self.tell(message="The layer of the measured labels is not in the viewer; open the record again.")
            measured = 0
        self.chosen = np.zeros(len(floor), bool)
        self.tell(
            reading=False, ready=True, whole=dict(floor.whole), changed=floor.changed, measured=measured,
            labels=floor.labels, chosen=0, part="",
        )  # fmt: skip
        if measured and layer is not None:
            self._colouring = Colouring(layer, floor.ids)
            self._offer_columns(floor, columns)
            self._listen(layer)
        elif self.view.plot is not None:
            self.view.plot.clear("Nothing was measured yet." if not floor.whole else "There is no stone to plot.")

    def _offer_columns(self, floor: MeasuredFloor, columns: list[str]) -> None:
        """Offer the columns of a floor, and show its first colours and plot."""
        figures = [(title_of(name), name) for name in floor.numbers]
        classes = [(title_of(name), name) for name in floor.classes]
        colour = "palette_class" if "palette_class" in floor.classes else ""
        first = [next(name for _, name in figures if name.startswith(start)) for start in _FIRST]
        self.view.colour_form.offer(ColourValue(colour), colour=[("their own", ""), *classes, *figures])
        plot = PlotValue(kind=self.view.plot_form.value().kind, x=first[0], y=first[1])
        self.view.plot_form.offer(plot, x=figures, y=figures)
        kept = [name for name in columns if name in floor.schema.names]
        self.view.table_form.offer(TableValue(kept), columns=[*figures, *classes])
        self.colour_by(colour)
        self.plot(plot)

    def _part_moved(self, region: BaseGeometry) -> None:
        if self._local is not None:
            self.view.show_part()
            self.tell(part="" if region.is_empty else self._local.of(region)[0].words)

    def _part_rests(self, region: BaseGeometry) -> None:
        if self._local is not None and not region.is_empty:
            local, inside = self._local.of(region)
            self.tell(part=local.words)
            self.choose(inside)

    def complain(self, failure: WorkFailure) -> None:
        """Say what went wrong."""
        self.tell(message=str(failure), saving=False, reading=False)

    # the viewer -----------------------------------------------------------------------------------

    def _click(self, layer: Labels, event: Any) -> Iterator[None]:
        """A click on a stone chooses it, with Shift also it, or no longer; beside all stones it chooses none."""
        start, place, shift = np.asarray(event.pos), tuple(event.position), "Shift" in event.modifiers
        if event.button != 1 or layer.mode != "pan_zoom":
            return
        yield
        while event.type == "mouse_move":
            if np.abs(np.asarray(event.pos) - start).max() > CLICK_PX:
                return
            yield
        self._choose_at(layer, place, add=shift)

    def _choose_at(self, layer: Labels, place: tuple[float, ...], *, add: bool) -> None:
        if self.floor is None:
            return
        value = layer.get_value(place, world=True)
        id_ = value[1] if isinstance(value, tuple) else value
        at = self.floor.ids == (id_ or 0)
        self.choose(self.chosen ^ at if add else at)

    def _listen(self, layer: Layer) -> None:
        """Hear clicks on a layer while the dock is in sight."""
        self._leave_mouse()
        if not self.out_of_sight:
            layer.mouse_drag_callbacks.append(self._click)
            self._heard_on = layer

    def _leave_mouse(self) -> None:
        if self._heard_on is not None and self._click in self._heard_on.mouse_drag_callbacks:
            self._heard_on.mouse_drag_callbacks.remove(self._click)
        self._heard_on = None

    def _sight_changed(self) -> None:
        layer = self.shown_layer
        if self._colouring is not None and layer is not None:
            self._listen(layer)

    def _follow_view(self) -> None:
        """Draw lines of what is in view now."""
        layer = self.shown_layer
        for kind, lines in self.drawn.items():
            if kind not in _WHOLE and lines in self.viewer.layers and layer is not None and self.floor is not None:
                data, colours = lines_of(self.floor, kind, view_box(self.viewer, layer))
                lines.data = data
                if len(data):
                    lines.edge_color = colours

    def _draw_layer(self, kind: Kind) -> None:
        layer, floor = self.shown_layer, self.floor
        if layer is None or floor is None:
            return
        if kind in _WHOLE:
            make, missing = _WHOLE[kind]
            made = make(floor, layer)
            self.tell(message="" if made is not None else missing)
        else:
            made = line_layer(floor, layer, kind, view_box(self.viewer, layer))
        if made is None:
            return
        active = self.viewer.layers.selection.active
        self.drawn[kind] = self.viewer.add_layer(made)
        self.viewer.layers.selection.active = active

    def _take_away(self, kind: Kind) -> None:
        layer = self.drawn.pop(kind)
        if layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def _leave_part(self) -> None:
        if self.part is not None:
            self.part.close()
            self.part = None

    def _leave_floor(self) -> None:
        """Take all that we have put into the viewer out of it."""
        self._leave_mouse()
        self._leave_part()
        for kind in tuple(self.drawn):
            self._take_away(kind)
        if self._colouring is not None:
            self._colouring.close()
        self._colouring = self._scale = self.floor = self._local = None
        self.view.lines_form.set_value(LinesValue())
        if self.view.legend is not None:
            self.view.legend.show_scale(None)
        self.tell(coloured=False, chosen=0, part="", measured=0, whole={}, changed="")

    # the frame ------------------------------------------------------------------------------------

    def _connect(self) -> None:
        view = self.view
        press(
            (view.measure, self.measure),
            (view.stop, self.stop),
            (view.plain, lambda: self.colour_by("")),
            (view.clear, self.choose_none),
            (view.save, self._ask_file),
            (view.assign, self.assign),
            (view.bare, self.mark_bare),
            (view.rectangle, lambda: self.draw("rectangle")),
            (view.polygon, lambda: self.draw("polygon")),
        )
        view.colour_form.changed.connect(lambda: self.colour_by(view.colour_form.value().colour))
        view.plot_form.changed.connect(lambda: self.plot(view.plot_form.value()))
        view.lines_form.changed.connect(lambda: self.show_lines(view.lines_form.value()))
        view.table_form.changed.connect(lambda: self.use_columns(tuple(view.table_form.value().columns)))
        if view.plot is not None:
            view.plot.chose.connect(self.choose)
        camera = camera_of(self.viewer).events
        for emitter in (camera.center, camera.zoom):
            self._hear(emitter, lambda _=None: self._rest.start())

    def _ask_file(self) -> None:
        path = _dialogs.ask_chosen(self.view)
        if path:
            self.save(path)

    def _restyle(self, _: Any = None) -> None:
        super()._restyle()
        for canvas in (self.view.plot, self.view.legend):
            if canvas is not None:
                canvas.paint(*plot_colours(self.viewer.theme))
        if self.view.legend is not None and self.floor is not None:
            self.view.legend.show_scale(self._scale)
            self.plot(self.view.plot_form.value())


_WHOLE: dict[Kind, tuple[Callable[[MeasuredFloor, Labels], Layer | None], str]] = {
    "joints": (joint_layer, "No joint of this floor was measured, so there is no map of their width."),
    "lost": (
        lost_layer,
        "No lacuna is drawn in this floor, so nothing is estimated; draw one in the dock Edit tesserae.",
    ),
}
"""Layers of the whole floor, and why there is none."""

_HOW = {
    "histogram": "Drag over a span to choose the stones in it.",
    "scatter": "Drag a rectangle, or with the right button a free line, to choose the stones in it.",
    "rose": "Drag from one edge of a sector to the other to choose its stones.",
}
