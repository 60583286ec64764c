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

from napari_mosaic.errors import MosaicError
from napari_mosaic.inference import unused_gpu
from napari_mosaic.progress import Progress
from napari_mosaic.record.plan import SHARD
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.params import SamParams
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _dialogs, _knowing, _runs, _sources
from napari_mosaic.widgets._area_files import area_layer
from napari_mosaic.widgets._docks import PANEL
from napari_mosaic.widgets._facts import RecordFacts, SizeFacts, SourceFacts
from napari_mosaic.widgets._guard import keep_out_triton, read_units, warm_canvas
from napari_mosaic.widgets._measured import MeasuredFloor
from napari_mosaic.widgets._napari import real
from napari_mosaic.widgets._panel.connections import connect_view
from napari_mosaic.widgets._panel.costs import PanelCosts, asked_params
from napari_mosaic.widgets._panel.known import KnownThings
from napari_mosaic.widgets._panel.limits import PanelLimits
from napari_mosaic.widgets._panel.method import PanelMethod
from napari_mosaic.widgets._panel.pixel_size import PanelSize
from napari_mosaic.widgets._panel.record import RecordPanel
from napari_mosaic.widgets._sketch import Sketcher
from napari_mosaic.widgets._viewer import ViewerLink


class MosaicPanel(RecordPanel):
    """The panel *Mosaic* of a viewer.

    Parameters
    ----------
    napari_viewer
        The viewer that it works on.
    params
        Method, model and device to begin with; scale and thresholds come from the panel.
    """

    stopped_words = "Cancelled. What is finished is kept; the next run goes on from there."
    manifest_id = PANEL

    def __init__(self, napari_viewer: Viewer, params: SegmentParams | None = None) -> None:
        super().__init__(napari_viewer, params)
        self._adding = self._resumes = self._deserted = False
        self._waiting: Layer | None = None
        self._sketcher: Sketcher | None = None
        self._link = ViewerLink(self.viewer, self)
        self.sizes, self.limits, self.costs = PanelSize(self), PanelLimits(self), PanelCosts(self)
        self.known = KnownThings(self)
        self.methods = PanelMethod(self)
        self._looker, self._warmer = self._requests(self._looked), self._requests(self._warmed)
        self._areas = self._requests(self.limits.opened)
        self._fill()
        keep_out_triton()
        read_units()
        _dialogs.claim_records()
        _dialogs.claim_large_pictures()
        _dialogs.offer_samples(self.view.sample_menu, self.open_photograph)
        _dialogs.offer_formats(self.view.format)
        connect_view(self.view, self)
        for signal, slot in (
            (self._link.listed, self._list_layers),
            (self._link.added, self._added),
            (self._link.removed, self._removed),
            (self._link.moved, self._moved),
        ):
            signal.connect(slot)
        self._update()
        self._warmer.ask(_runs.warm_up, self.params)
        self._begin_with_layers()

    # what a person can do -------------------------------------------------------------------------

    def open_photograph(self, source: str | Path) -> None:
        """Open a photograph in the background and add it to the viewer."""
        if not self._occupied():
            self._start(lambda: _runs.photograph_steps(str(source)), "Opening the photograph")

    def run_rectify(self, make: Callable[[], Any]) -> None:
        """Make a rectified picture in the background; it is opened as the photograph."""
        if self._occupied():
            return
        slanted = self.layer
        self._start(make, "Rectifying")
        if slanted is not None and self.job is not None:
            self.job.returned.connect(lambda _: setattr(slanted, "visible", False))

    def open_record(self, path: str | Path) -> None:
        """Open a record with its photograph in the background."""
        if self._occupied():
            return
        self.choose(None)
        self._start(lambda: _runs.restore_steps(Path(path)), "Opening the record")

    def open_area(self, path: str | Path) -> None:
        """Read the areas of a file in the background, show them as shapes, and stay within them."""
        if self.photograph is not None:
            self.tell(message="")
            self._areas.ask(area_layer, path, self.photograph)

    def choose(self, layer: Layer | None) -> None:
        """Work on a layer; None for no photograph."""
        layer = real(layer)
        if layer is self.layer or self._occupied():
            self._list_layers()
            return
        self._leave_record()
        self.layer = layer
        self.sizes.begin()
        self.known.begin()
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
        if self.layer is not None:
            box = _sources.view_box(self.viewer, self.layer)
            self._find("Finding in view", tile_size=SHARD, only=box, focus=_sources.middle(box))

    def find_all(self) -> None:
        """Find tesserae everywhere, the middle of the view first."""
        if self.layer is not None:
            self._find("Finding everywhere", focus=_sources.middle(_sources.view_box(self.viewer, self.layer)))

    def cancel(self) -> None:
        """End the run; what is finished stays."""
        self.stop()

    def set_size(self, size: SizeFacts) -> None:
        """Take a pixel size or an analysis size from a person."""
        old = self.state.size
        self.tell(size=size)
        if replace(size, analysis_px=old.analysis_px) != old:
            self.sizes.say(size)
        if size.analysis_px != old.analysis_px:
            self.costs.ask()

    def use_method(self, method: str) -> None:
        """Find tesserae by another method from now on; a record that is shown keeps its own."""
        self.methods.use(method)

    def use_model(self, model: str | Path) -> None:
        """Find tesserae with another model from now on; a record that is shown keeps its own."""
        self.methods.use_model(model)

    def use_sam(self, settings: SamParams) -> None:
        """Ask SAM 2 with another model or like this from now on; a record that is shown keeps its own."""
        self.methods.use_sam(settings)

    def seen(self) -> tuple[Path, Box] | None:
        """The record that is shown and what the canvas shows of it, in pixels of the photograph."""
        if self.layer is None or self.state.record is None or self.job is not None:
            return None
        return self.state.record.path, _sources.view_box(self.viewer, self.layer)

    def _end(self) -> None:
        self._link.close()
        for part in (self.known, self.sizes, self.limits, self.costs, self.methods):
            part.close()
        super()._end()
        if self.shown is not None:
            self.shown.close()

    # jobs -----------------------------------------------------------------------------------------

    def _find(self, title: str, *, tile_size: int | None = None, **part: Any) -> None:
        """Begin a run; small tiles are seen sooner, large ones take less in all."""
        if self.layer is None or self.state.place is None or self.job is not None:
            return
        sketcher = Sketcher(_sources.view_box(self.viewer, self.layer))
        try:
            params = asked_params(self.params, self.state)
            request = _runs.FindRequest(
                layer=self.layer,
                place=self.state.place,
                params=params if tile_size is None else replace(params, tile_size=min(tile_size, params.tile_size)),
                sam=self.methods.asked,
                **self.limits.asked(),
                elsewhere=True,
                shown=self.shown is not None,
                sketcher=sketcher,
                **self.sizes.asked(self.state.place),
                **part,
            )
        except MosaicError as error:
            self.tell(message=str(error))
            return
        self.costs.forget()
        self._sketcher = sketcher
        if self.shown is not None:
            self.shown.follow(sketcher)
        self._start(lambda: _runs.find_steps(request), title, writes=True)

    def _step(self, event: Any) -> None:
        if self._deserted:
            return  # its photograph is gone: what it still tells concerns nothing that is shown
        if isinstance(event, Progress):
            if self.shown is not None:
                self.shown.note(event.phase, event.region)
            super()._step(event)
        elif isinstance(event, _runs.Opened):
            self._show(event)
            if self.shown is not None and self._sketcher is not None:
                self.shown.follow(self._sketcher)
        elif isinstance(event, _runs.Joined) and self.shown is not None:
            self.shown.join(event)
        elif isinstance(event, _runs.Elsewhere):
            self._go_elsewhere(event)
        elif isinstance(event, _runs.Restored):
            self._restore(event)
        elif isinstance(event, _runs.Saved) and self.layer is not None:
            self.layer.metadata[_sources.SOURCE] = str(event.path)

    def _returned(self, value: Any) -> None:
        if self._deserted:
            return
        if isinstance(value, RecordFacts):
            self._take(value)
        elif isinstance(value, _runs.Elsewhere):
            self._go_elsewhere(value)
            self._resumes = True
        elif isinstance(value, MeasuredFloor):
            self._measured(value)
        elif isinstance(value, Path):
            self.tell(message=f"Saved {value.name}.")

    def _go_elsewhere(self, found: Any) -> None:
        """What is shown has a record of its own: leave that of another photograph."""
        self._leave_record()
        self.tell(place=found.place, message=found.message)

    def _stopped(self, message: str) -> None:
        if self.state.record is not None:
            self._reader.ask(_knowing.read_facts, self.state.record.path)
        super()._stopped(message)

    def _ended(self) -> None:
        self._sketcher = None
        if self.shown is not None and self._writes:
            self.shown.settle()
        super()._ended()
        self._deserted = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting in self.viewer.layers and self.layer is None:
            self.choose(waiting)
        if self._resumes:
            self._resumes = False
            self._resume()
        stale = self.state.estimate is None or self._writes
        if self.state.source is not None and stale and not self._looker.busy:
            self.costs.ask()

    # answers --------------------------------------------------------------------------------------

    def _looked(self, answer: tuple[SourceFacts, SizeFacts]) -> None:
        source, size = answer
        self.tell(source=source, message=source.note or self.state.message)
        self.sizes.found(source, size)
        self.costs.ask()

    def _warmed(self, layer: Layer | None) -> None:
        """The network is there; what napari itself does only once is done under the same sign."""
        warm_canvas(self.viewer, layer, self._ready)

    def _ready(self) -> None:
        offer = unused_gpu() if self.params.device == "auto" else None
        self.tell(busy="", message=self.state.message or offer or "")
        self.costs.ask()

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
        self.layer = layer
        self.sizes.begin()
        self.known.begin()
        self._list_layers()
        self._look_at(layer, event.record or _sources.default_place(layer))
        self._resumes = event.record is None

    def _look_at(self, layer: Layer, place: Path) -> None:
        facts = SourceFacts(name=layer.name, shape=_sources.plane_shape(layer))
        self.costs.forget()
        self.tell(source=facts, size=SizeFacts(), place=place, estimate=None, message="")
        self.tell(view_share=1.0, view_cost=None)
        self._looker.ask(_knowing.look_at, layer)

    def _resume(self) -> None:
        """Show the record that is already at the place."""
        layer, place = self.layer, self.state.place
        if layer is not None and place is not None and _dialogs.is_record(place):
            self._start(lambda: _runs.open_steps(place, layer), "Opening the record")

    # the viewer -----------------------------------------------------------------------------------

    def _begin_with_layers(self) -> None:
        self._list_layers()
        photographs = self._link.photographs()
        selected = [layer for layer in photographs if layer in self.viewer.layers.selection]
        if photographs:
            self.choose((selected or photographs)[0])

    def _added(self, layer: Layer) -> None:
        self.limits.take(layer)
        if self._adding or self.layer is not None or not _sources.is_photograph(layer):
            return
        if self.job is None:
            self.choose(layer)
        elif self._deserted:
            self._waiting = layer

    def _removed(self, layer: Layer) -> None:
        self.known.forget(layer)
        if layer is self.layer:
            self.cancel()
            self._deserted = self.job is not None
            self.layer = None
            self.sizes.begin()
            self.known.begin()
            self._leave_record()
            self.tell(source=None, size=SizeFacts(), place=None, estimate=None)

    def _list_layers(self) -> None:
        self.view.offer_photographs(self._link.photographs(), self.layer)
        self.limits.offer(self._link.drawings())

    def _moved(self) -> None:
        self.costs.moved()
        if self.state.tuning != self.state.applied:
            self._preview()

    # the frame ------------------------------------------------------------------------------------

    def _show_state(self) -> None:
        self.view.size_form.set_value(self.state.size)
        super()._show_state()
