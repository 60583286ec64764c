"""The main panel: it leads from a photograph to a record.

One decision: every event changes the frozen state and shows the view that follows from it; whatever
takes longer than a blink is a job. Closing the panel ends its jobs and undoes its connections.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import QSignalBlocker

from napari_mosaic.errors import MosaicError
from napari_mosaic.inference import unused_gpu
from napari_mosaic.progress import Progress
from napari_mosaic.request import SegmentParams
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _places, _runs, _sources
from napari_mosaic.widgets._dock import RunningDock
from napari_mosaic.widgets._docks import CHECK, PANEL, find_dock
from napari_mosaic.widgets._forms import AreaValue, LookValue
from napari_mosaic.widgets._guard import keep_out_triton, read_units
from napari_mosaic.widgets._layers import RecordLayers
from napari_mosaic.widgets._napari import real
from napari_mosaic.widgets._panel.face import PanelFace
from napari_mosaic.widgets._panel.limits import LimitWatch
from napari_mosaic.widgets._panel.pixel_size import PanelSize
from napari_mosaic.widgets._panel.warming import warm_canvas
from napari_mosaic.widgets._panel.wiring import connect_face
from napari_mosaic.widgets._state import (
    EstimateFacts,
    PanelState,
    RecordFacts,
    SizeFacts,
    SourceFacts,
    Tuning,
    resolve,
)
from napari_mosaic.widgets._tuning import thresholds, tuning_like
from napari_mosaic.widgets._viewer import ViewerLink


class MosaicPanel(RunningDock):
    """The panel *Mosaic* of a viewer.

    Parameters
    ----------
    napari_viewer
        The viewer that it works on.
    params
        Method, model and device; scale and thresholds come from the panel.
    """

    stopped_words = "Cancelled. What is finished is kept; the next run goes on from there."
    manifest_id = PANEL
    state: PanelState
    face: PanelFace

    def __init__(self, napari_viewer: Viewer, params: SegmentParams | None = None) -> None:
        super().__init__(napari_viewer)
        self.params = params or SegmentParams()
        usual = tuning_like(self.params)
        self.state = PanelState(busy="Loading the network …", tuning=usual, applied=usual)
        self.face = PanelFace(self)
        self.shown: RecordLayers | None = None
        self._layer: Layer | None = None
        self._adding = False
        self._writes = self._resumes = self._deserted = False
        self._waiting: Layer | None = None
        self._link, self._limits = ViewerLink(self.viewer, self), LimitWatch(self)
        self._limits.changed.connect(self._estimate)
        self.sizes = PanelSize(self)
        self._looker, self._reader = self._worker(self._looked), self._worker(self._take)
        self._warmer, self._counter = self._worker(self._warmed), self._worker(self._recounted)
        self._estimator, self._pricer = self._worker(self._estimated), self._worker(self._priced)
        self._fill()
        keep_out_triton()
        read_units()
        _places.claim_records()
        _places.offer_samples(self.face.sample_menu, self.open_photograph)
        _places.offer_formats(self.face.format)
        connect_face(self.face, self)
        self._connect_viewer()
        self._update()
        self._warmer.ask(_runs.ask(_runs.warm_up, self.params))
        self._begin_with_layers()

    # what a person can do -------------------------------------------------------------------------

    def open_photograph(self, source: str | Path) -> None:
        """Open a photograph in the background and add it to the viewer."""
        if not self._occupied():
            self._start(lambda: _runs.photograph_steps(str(source)), "Opening the photograph")

    def open_record(self, path: str | Path) -> None:
        """Open a record with its photograph in the background."""
        if self._occupied():
            return
        self.choose(None)
        self._start(lambda: _runs.restore_steps(Path(path)), "Opening the record")

    def choose(self, layer: Layer | None) -> None:
        """Work on a layer; None for no photograph."""
        layer = real(layer)
        if layer is self._layer or self._occupied():
            self._list_layers()
            return
        self._leave_record()
        self._layer = layer
        self.sizes.begin()
        self._list_layers()
        if layer is None:
            self.tell(source=None, size=SizeFacts(), place=None, estimate=None)
            return
        self._look_at(layer, _sources.default_place(layer))
        self._resume()

    def set_place(self, path: str | Path) -> None:
        """Keep the record there, or go on with the one that is there."""
        if self._occupied():
            return
        path = Path(path)
        if not path.name.endswith(".mosaic.zarr"):
            path = path.with_name(f"{path.name}.mosaic.zarr")
        self._leave_record()
        self.tell(place=path)
        self._resume()

    def find_in_view(self) -> None:
        """Find tesserae in what the canvas shows, the middle first."""
        if self._layer is not None:
            box = _sources.view_box(self._layer)
            self._find("Finding in view", only=box, focus=_sources.middle(box))

    def find_all(self) -> None:
        """Find tesserae everywhere, the middle of the view first."""
        if self._layer is not None:
            self._find("Finding everywhere", focus=_sources.middle(_sources.view_box(self._layer)))

    def cancel(self) -> None:
        """End the run; what is finished stays."""
        self.stop()

    def tune(self, tuning: Tuning) -> None:
        """Move the sliders and preview the view."""
        self.face.tuning_form.set_value(tuning)
        self.tell(tuning=tuning)
        if tuning != self.state.applied:
            self._preview()
        elif self.shown is not None:
            self.shown.end_preview()

    def apply_to_all(self) -> None:
        """Redo all tesserae of the record as the sliders say."""
        record, tuning = self.state.record, self.state.tuning
        if record is not None and not self._occupied():
            self._start(lambda: _runs.apply_tuning_steps(record.path, tuning), "Applying to all", writes=True)

    def save_as(self, path: str | Path, name: str | None = None) -> None:
        """Export the record to a file."""
        record = self.state.record
        if record is not None and not self._occupied():
            self._start(lambda: _runs.export_steps(record.path, name, Path(path)), "Saving a copy")

    def draw_area(self) -> None:
        """Add a layer to draw an area in, and stay within it."""
        place = {} if self._layer is None else _sources.lying_like(self._layer)
        layer = self.viewer.add_shapes(name="area", ndim=2, face_color="transparent", edge_color="#ffd54f", **place)
        layer.mode = "add_polygon"
        self.limit(replace(self.face.area_form.value(), include=layer.name))

    def limit(self, areas: AreaValue) -> None:
        """Work within one drawn layer and leave out another."""
        self.face.area_form.set_value(areas)
        self.tell(include=areas.include, exclude=areas.exclude)
        self._limits.follow(*(self._named(name) for name in (areas.include, areas.exclude)))
        self._estimate()

    def set_size(self, size: SizeFacts) -> None:
        """Take a pixel size or an analysis size from a person."""
        old = self.state.size
        self.tell(size=size)
        if replace(size, analysis_px=old.analysis_px) != old:
            self.sizes.say(size)
        if size.analysis_px != old.analysis_px:
            self._estimate()

    def look(self, look: LookValue) -> None:
        """Choose what of the record is seen."""
        self.face.look_form.set_value(look)
        if self.shown is not None:
            self.shown.look(joints=look.joints, tesserae=look.tesserae, outlines=look.outlines)

    def use_rules(self, rules: TesseraParams, **later: Any) -> None:
        """Redo the record that is shown by rules of a search; `later` are the fields of `params` for the next ones."""
        self.params = replace(self.params, **later)
        record = self.state.record
        if record is not None and not self._occupied():
            self._start(lambda: _runs.apply_rules_steps(record.path, rules), "Applying to all", writes=True)

    def use_model(self, model: str | Path) -> None:
        """Find tesserae with another model from now on; a record that is shown keeps its own."""
        self.params = replace(self.params, method="grout", model=str(model), temperature="auto")
        self.tell(model=Path(model).stem, estimate=None)
        record = self.state.record
        if record is not None:
            stem = record.path.name.removesuffix(".mosaic.zarr")
            self.set_place(record.path.with_name(f"{stem} {Path(model).stem}.mosaic.zarr"))
        self._estimator.forget()
        self._estimate()

    def open_check(self) -> None:
        """Open the dock that asks how good the record is."""
        find_dock(self.viewer, CHECK, make=True)

    def recount(self, path: Path) -> None:
        """Tesserae of a record were edited: show what it holds now, unless a run will say so anyway."""
        record = self.state.record
        if record is not None and record.path.absolute() == path and self.job is None:
            self._counter.ask(_runs.ask(_runs.read_facts, path))

    def seen(self) -> tuple[Path, Box] | None:
        """The record that is shown and what the canvas shows of it, in pixels of the photograph."""
        if self._layer is None or self.state.record is None or self.job is not None:
            return None
        return self.state.record.path, _sources.view_box(self._layer)

    @property
    def photograph(self) -> Layer | None:
        """The layer that is worked on, while it is in the viewer."""
        return self._layer if self._layer in self.viewer.layers else None

    def _end(self) -> None:
        self._link.close()
        self.sizes.close()
        self._limits.close()
        super()._end()
        if self.shown is not None:
            self.shown.close()

    # jobs -----------------------------------------------------------------------------------------

    def _occupied(self) -> bool:
        """Whether something runs, which is then told: nothing that a person asks for is left out in silence."""
        if self.job is None:
            return False
        title = self.state.run.title if self.state.run is not None else "Something"
        self.tell(message=f"“{title}” is still going on: wait for its end or cancel it, then ask again.")
        return True

    def _start(self, make: Callable[[], Any], title: str, *, writes: bool = False) -> None:
        """Run steps as the panel's one long job; what `writes` changes the record that is shown."""
        if self.job is not None:
            return
        self._writes = writes
        self.run_steps(make, title)

    def _find(self, title: str, **part: Any) -> None:
        if self._layer is None or self.state.place is None or self.job is not None:
            return
        try:
            request = _runs.FindRequest(
                layer=self._layer,
                place=self.state.place,
                params=self._params(),
                region=self._polygons(self.state.include),
                exclude=self._polygons(self.state.exclude),
                elsewhere=True,
                **self.sizes.asked(self.state.place),
                **part,
            )
        except MosaicError as error:
            self.tell(message=str(error))
            return
        self._estimator.forget()
        self._start(lambda: _runs.find_steps(request), title, writes=True)

    def _step(self, event: Any) -> None:
        if self._deserted:
            return  # its photograph is gone: what it still tells concerns nothing that is shown
        if isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, _runs.Opened):
            self._show(event)
        elif isinstance(event, _runs.Elsewhere):
            self._go_elsewhere(event)
        elif isinstance(event, _runs.Restored):
            self._restore(event)
        elif isinstance(event, _runs.Saved) and self._layer is not None:
            self._layer.metadata[_sources.SOURCE] = str(event.path)

    def _progress(self, progress: Progress) -> None:
        if self.shown is not None:
            self.shown.note(progress.phase, progress.region)
        self.tell(run=self._gone_on(progress))

    def _returned(self, value: Any) -> None:
        if self._deserted:
            return
        if isinstance(value, RecordFacts):
            self._take(value)
        elif isinstance(value, _runs.Elsewhere):
            self._go_elsewhere(value)
            self._resumes = True
        elif isinstance(value, Path):
            self.tell(message=f"Saved {value.name}.")

    def _go_elsewhere(self, found: Any) -> None:
        """What is shown has a record of its own: leave that of another photograph."""
        self._leave_record()
        self.tell(place=found.place, message=found.message)

    def _stopped(self, message: str) -> None:
        if self.state.record is not None:
            self._reader.ask(_runs.ask(_runs.read_facts, self.state.record.path))
        super()._stopped(message)

    def _ended(self) -> None:
        if self.shown is not None and self._writes:
            self.shown.settle()
        super()._ended()
        self._deserted = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting in self.viewer.layers and self._layer is None:
            self.choose(waiting)
        if self._resumes:
            self._resumes = False
            self._resume()
        stale = self.state.estimate is None or self._writes
        if self.state.source is not None and stale and not self._looker.busy:
            self._estimate()

    # answers --------------------------------------------------------------------------------------

    def _looked(self, answer: tuple[SourceFacts, SizeFacts]) -> None:
        source, size = answer
        self.tell(source=source, message=source.note or self.state.message)
        self.sizes.found(source, size)
        self._estimate()

    def _warmed(self, layer: Layer | None) -> None:
        """The network is there; what napari itself does only once is done under the same sign."""
        warm_canvas(self.viewer, layer, self._ready)

    def _ready(self) -> None:
        offer = unused_gpu() if self.params.device == "auto" else None
        self.tell(busy="", message=self.state.message or offer or "")
        self._estimate()

    def _estimate(self) -> None:
        ready = self.job is None and not self.state.busy
        if ready and self._layer is not None and self.state.place is not None:
            limits = [self._drawn_in(name) for name in (self.state.include, self.state.exclude)]
            self._estimator.ask(_runs.ask(_runs.estimate, self._layer, self._params(), self.state.place, *limits))

    def _estimated(self, facts: EstimateFacts) -> None:
        self.tell(estimate=facts, view_cost=None)
        self._price()

    def _price(self) -> None:
        """Ask what the view alone would cost."""
        layer, facts = self.photograph, self.state.estimate
        if layer is not None and facts is not None and facts.costs is not None:
            self._pricer.ask(_runs.ask(_runs.cost_of, facts, _sources.view_box(layer)))

    def _priced(self, cost: tuple[float, int]) -> None:
        self.tell(view_cost=cost)

    def _drawn_in(self, name: str) -> Any:
        """The polygons of a layer, None while nothing is drawn in it."""
        try:
            return self._polygons(name)
        except MosaicError:
            return None

    def _take(self, facts: RecordFacts) -> None:
        """The record is at rest, as `facts` say."""
        applied = facts.tuning
        if self.shown is not None:
            self.shown.end_preview()
        self.face.tuning_form.set_value(applied)
        self.tell(record=facts, tuning=applied, applied=applied)
        self.sizes.adopt(facts)

    def _recounted(self, facts: RecordFacts) -> None:
        """What the record holds after edits; rules that a person tries out stay as they are."""
        record = self.state.record
        if record is not None and record.path.absolute() == facts.path.absolute() and self.job is None:
            self.tell(record=replace(facts, path=record.path))
            self.sizes.adopt(facts)

    def _show(self, event: Any) -> None:
        """Add the layers of a record."""
        self._take(event.facts)
        if self.shown is not None:
            return
        self.shown = RecordLayers(self.viewer, event, self)
        self.shown.failed.connect(self.complain)
        if self.photograph is not None:
            self.shown.lie_on(self.photograph)
        self.look(self.face.look_form.value())

    def _restore(self, event: Any) -> None:
        """Add a photograph; of a record, its layers follow."""
        if event.photograph is None:
            self.tell(message=event.message)
            return
        data, meta, _ = event.photograph
        self._adding = True
        layer = self.viewer.add_image(data, **meta)
        self._adding = False
        self._leave_record()
        self._layer = layer
        self.sizes.begin()
        self._list_layers()
        self._look_at(layer, event.record or _sources.default_place(layer))
        self._resumes = event.record is None

    def _look_at(self, layer: Layer, place: Path) -> None:
        facts = SourceFacts(name=layer.name, shape=_sources.plane_shape(layer))
        self._estimator.forget()
        self.tell(source=facts, size=SizeFacts(), place=place, estimate=None, message="")
        self.tell(view_share=1.0, view_cost=None)
        self._looker.ask(_runs.ask(_runs.look_at, layer))

    def _resume(self) -> None:
        """Show the record that is already at the place."""
        layer, place = self._layer, self.state.place
        if layer is not None and place is not None and _places.is_record(place):
            self._start(lambda: _runs.open_steps(place, layer), "Opening the record")

    def _preview(self) -> None:
        if self.shown is not None and self.job is None:
            self.shown.preview(self.state.tuning)

    def _leave_record(self) -> None:
        """Stop following the record that is shown; its layers go."""
        if self.shown is not None:
            self.shown.remove()
            self.shown = None
        usual = tuning_like(self.params)
        self.face.tuning_form.set_value(usual)
        self.tell(record=None, tuning=usual, applied=usual)

    # forms ----------------------------------------------------------------------------------------

    def _params(self) -> SegmentParams:
        size, estimate, rules = self.state.size, self.state.estimate, thresholds(self.state.tuning)
        scale: Any = self.params.scale
        if size.analysis_px and estimate is not None and estimate.stone_px and self.state.record is None:
            scale = size.analysis_px / estimate.stone_px
        return replace(self.params, scale=scale, **rules)

    def _polygons(self, name: str) -> Any:
        if not name or self._layer is None or name not in self.viewer.layers:
            return None
        return _sources.polygons(self.viewer.layers[name], self._layer)

    # the viewer -----------------------------------------------------------------------------------

    def _begin_with_layers(self) -> None:
        self._list_layers()
        photographs = self._link.photographs()
        selected = [layer for layer in photographs if layer in self.viewer.layers.selection]
        if photographs:
            self.choose((selected or photographs)[0])

    def _added(self, layer: Layer) -> None:
        if self._adding or self._layer is not None or not _sources.is_photograph(layer):
            return
        if self.job is None:
            self.choose(layer)
        elif self._deserted:
            self._waiting = layer

    def _removed(self, layer: Layer) -> None:
        self.sizes.forget_line(layer)
        if layer is self._layer:
            self.cancel()
            self._deserted = self.job is not None
            self._layer = None
            self.sizes.begin()
            self._leave_record()
            self.tell(source=None, size=SizeFacts(), place=None, estimate=None)

    def _list_layers(self) -> None:
        box = self.face.photograph
        with QSignalBlocker(box):
            box.clear()
            for layer in self._link.photographs():
                box.addItem(layer.name, layer)
            index = next((i for i in range(box.count()) if box.itemData(i) is self._layer), -1)
            box.setCurrentIndex(index)
            box.setPlaceholderText("choose a layer" if box.count() else "no photograph yet")
        self._list_limits()

    def _list_limits(self) -> None:
        """Offer what can be worked in; what is chosen keeps its layer under a new name, and ends with it."""
        names = self._link.drawings()
        self.face.area_form.set_choices(names)
        chosen = AreaValue(*(self._limits.name(place, names) for place in (0, 1)))
        if chosen != AreaValue(self.state.include, self.state.exclude):
            self.limit(chosen)
        elif chosen != self.face.area_form.value():
            self.face.area_form.set_value(chosen)

    def _named(self, name: str) -> Layer | None:
        return self.viewer.layers[name] if name and name in self.viewer.layers else None

    def _moved(self) -> None:
        if self._layer is None or self._layer not in self.viewer.layers:
            return
        height, width = _sources.plane_shape(self._layer)
        self.tell(view_share=max(_sources.view_box(self._layer).area / (height * width), 1e-6))
        self._price()
        if self.state.tuning != self.state.applied:
            self._preview()

    # the frame ------------------------------------------------------------------------------------

    def _connect_viewer(self) -> None:
        link = self._link
        for signal, slot in (
            (link.listed, self._list_layers),
            (link.added, self._added),
            (link.removed, self._removed),
            (link.moved, self._moved),
        ):
            signal.connect(slot)

    def _show_state(self) -> None:
        self.face.size_form.set_value(self.state.size)
        self.face.apply(resolve(self.state))
