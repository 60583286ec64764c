"""A panel that shows one record: its layers, what it holds, and the sliders that its tesserae are cut by.

One decision: what a record holds is told by the record alone; a panel takes that over whenever the record is at rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from napari import Viewer
from napari.layers import Layer

from napari_mosaic.record.label_layer import SAM2, TESSERAE
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.params import SamParams
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.widgets import _knowing, _runs
from napari_mosaic.widgets._dock import RunningDock
from napari_mosaic.widgets._docks import MEASURE, open_dock
from napari_mosaic.widgets._facts import RecordFacts, Tuning
from napari_mosaic.widgets._layers import LookValue, Opened, RecordLayers
from napari_mosaic.widgets._measured import MeasuredFloor, measure_record_steps, open_measured
from napari_mosaic.widgets._panel.method import PanelMethod
from napari_mosaic.widgets._panel.pixel_size import PanelSize
from napari_mosaic.widgets._panel.view import PanelView
from napari_mosaic.widgets._state import PanelState, resolve
from napari_mosaic.widgets._tuning import tuning_like


class RecordPanel(RunningDock):
    """A panel with a record that it shows; `layer` is the photograph that is worked on."""

    resolve = staticmethod(resolve)
    state: PanelState
    view: PanelView
    sizes: PanelSize
    methods: PanelMethod

    def __init__(self, napari_viewer: Viewer, params: SegmentParams | None = None) -> None:
        super().__init__(napari_viewer)
        self.params = params or SegmentParams()
        self.sam = SamParams()
        self.layer: Layer | None = None
        self.shown: RecordLayers | None = None
        self._writes = False
        usual = tuning_like(self.params)
        self.state = PanelState(busy="Loading the network …", tuning=usual, applied=usual)
        self.view = PanelView(self)
        self._reader, self._counter = self._requests(self._take), self._requests(self._recounted)
        self._surveyor = self._requests(self._surveyed)

    @property
    def photograph(self) -> Layer | None:
        """The layer that is worked on, while it is in the viewer."""
        return self.layer if self.layer in self.viewer.layers else None

    @property
    def labels(self) -> str | None:
        """Whose figures are told and whose files are written: SAM 2's masks while they are seen, else the tesserae.

        None for a record that has tesserae alone.
        """
        record = self.state.record
        if record is None or record.masks is None:
            return None
        look = self.view.look_form.value()
        return SAM2 if look.masks or not look.tesserae else TESSERAE

    def tune(self, tuning: Tuning) -> None:
        """Move the sliders and preview the view."""
        self.view.tuning_form.set_value(tuning)
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
            labels = self.labels
            self._start(lambda: _runs.export_steps(record.path, name, Path(path), labels), "Saving a copy")

    def hand_in(self, folder: str | Path, **said: Any) -> None:
        """Write a folder to hand in: vectors, table, drawing at scale and what they are; `said` is as for `deliver`."""
        record = self.state.record
        if record is not None and not self._occupied():
            steps = partial(_runs.hand_in_steps, record.path, Path(folder), **{"labels": self.labels, **said})
            self._start(steps, "Writing the folder to hand in")

    def measure(self) -> None:
        """Measure every stone and the whole floor, keep it in the record, and open the dock *Measure*."""
        record = self.state.record
        if record is not None and not self._occupied():
            self._start(partial(measure_record_steps, record.path, self.labels), "Measuring")

    def look(self, look: LookValue) -> None:
        """Choose what of the record is seen; figures and files are of that."""
        self.view.look_form.set_value(look)
        if self.shown is not None:
            self.shown.look(look)
        record = self.state.record
        if record is not None and self.labels is not None and self.labels != record.labels and self.job is None:
            self._counter.ask(_knowing.read_facts, record.path, self.labels)

    def use_rules(self, rules: TesseraParams, **later: Any) -> None:
        """Redo the record that is shown by rules of a search; `later` are the fields of `params` for the next ones."""
        self.params = replace(self.params, **later)
        record = self.state.record
        if record is not None and not self._occupied():
            self._start(lambda: _runs.apply_rules_steps(record.path, rules), "Applying to all", writes=True)

    def recount(self, path: Path) -> None:
        """Tesserae of a record were edited: show what it holds now, unless a run will say so anyway.

        Where SAM 2's masks lie over them, these go out of sight: what was edited is what counts.
        """
        record = self.state.record
        if record is None or record.path.absolute() != path or self.job is not None:
            return
        if self.labels == SAM2:
            self.look(replace(self.view.look_form.value(), tesserae=True, masks=False))
            words = "You edited the joints' tesserae: figures and files are of these now."
            self.tell(message=f"{words} Tick “SAM 2” for its masks.")
        self._counter.ask(_knowing.read_facts, path, self.labels)

    # for subclasses -------------------------------------------------------------------------------

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

    def _take(self, facts: RecordFacts) -> None:
        """The record is at rest, as `facts` say."""
        applied = facts.tuning
        if self.shown is not None:
            self.shown.end_preview()
        self.view.tuning_form.set_value(applied)
        self.tell(record=facts, tuning=applied, applied=applied)
        if self.labels not in (None, facts.labels):
            self._counter.ask(_knowing.read_facts, facts.path, self.labels)
        self._surveyor.ask(open_measured, facts.path, self.labels)
        self.sizes.adopt(facts)
        self.methods.adopt(facts)

    def _recounted(self, facts: RecordFacts) -> None:
        """What the record holds after edits; rules that a person tries out stay as they are."""
        record = self.state.record
        if record is not None and record.path.absolute() == facts.path.absolute() and self.job is None:
            self.tell(record=replace(facts, path=record.path))
            self._surveyor.ask(open_measured, record.path, self.labels)
            self.sizes.adopt(facts)

    def _surveyed(self, floor: MeasuredFloor) -> None:
        """What the record keeps of its measurement, and what has changed since."""
        record = self.state.record
        if record is not None and record.path == floor.record:
            self.tell(whole=floor.whole, whole_changed=floor.changed)

    def _measured(self, floor: MeasuredFloor) -> None:
        """It was measured just now: show the figures, and the plots beside them."""
        self._surveyed(floor)
        open_dock(self.viewer, MEASURE).renew()

    def _show(self, event: Opened) -> None:
        """Add the layers of a record."""
        self._take(event.facts)
        if self.shown is not None:
            return
        self.shown = RecordLayers(self.viewer, event, self)
        self.shown.failed.connect(self.complain)
        if self.photograph is not None:
            self.shown.lie_on(self.photograph)
        self.look(self.view.look_form.value())

    def _preview(self) -> None:
        if self.shown is not None and self.job is None:
            self.shown.preview(self.state.tuning)

    def _leave_record(self) -> None:
        """Stop following the record that is shown; its layers go."""
        if self.shown is not None:
            self.shown.remove()
            self.shown = None
        usual = tuning_like(self.params)
        self.view.tuning_form.set_value(usual)
        self.tell(record=None, tuning=usual, applied=usual, whole={}, whole_changed="")
