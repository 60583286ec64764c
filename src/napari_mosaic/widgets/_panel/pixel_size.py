"""The pixel size in the panel: what a person says goes into the record, and what the record says is shown.

One decision: where there is a record it alone knows the pixel size. What a person says is written to it at once, also
during a run, and comes back from it; only what is said while there is no record yet waits here for one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosaic.errors import MosaicError
from napari_mosaic.image.pixel_size import LAYER, size_of_line
from napari_mosaic.record import open_record
from napari_mosaic.widgets import _dialogs, _knowing, _sources
from napari_mosaic.widgets._east_north import EastNorth
from napari_mosaic.widgets._facts import RecordFacts, SizeFacts, SourceFacts
from napari_mosaic.widgets._panel.line import KnownLine
from napari_mosaic.widgets._worker import Requests, WorkFailure
from napari_mosaic.widgets._world import layer_mm, rescale_world

if TYPE_CHECKING:
    from napari_mosaic.widgets._panel.dock import MosaicPanel


class PanelSize:
    """The verbs of the pixel size, for a `MosaicPanel`."""

    def __init__(self, panel: MosaicPanel) -> None:
        self._panel = panel
        self._said: SizeFacts | None = None
        self._found = SizeFacts()
        self._line: KnownLine | None = None
        self._writer = Requests(panel)
        self._writer.answered.connect(self._written)
        self._writer.failed.connect(self._refused)
        self._status = EastNorth(panel.viewer)

    @property
    def busy(self) -> bool:
        """Whether what a person said is still being written."""
        return self._writer.busy

    def begin(self) -> None:
        """Another photograph, or none: nothing is said or known of it yet."""
        self._said, self._found = None, SizeFacts()
        self._status.follow(None, None)
        self._drop_line()
        self._panel.view.line_form.length.setValue(0.0)

    def close(self) -> None:
        """Let go of the viewer."""
        self._writer.close()
        self._status.close()
        if self._line is not None:
            self._line.let_go()

    def found(self, source: SourceFacts, size: SizeFacts) -> None:
        """What the photograph's own file or layer says."""
        self._found = size
        self._status.follow(self._panel.photograph, source.affine, degrees=source.degrees)
        record = self._panel.state.record
        if record is not None:
            self.adopt(record)
        elif self._said is None and self._panel.state.size.pixel_mm is None:
            self._tell(size)

    def say(self, size: SizeFacts) -> None:
        """What a person says: it counts from now on, for the record that is there or for the one to come."""
        self._said = size
        if self._found.origin == LAYER:
            self._found = SizeFacts()  # the layer has been told otherwise
        self._tell(size)
        place = self._panel.state.place
        if place is not None and _dialogs.is_record(place):
            self._write(place)

    def adopt(self, facts: RecordFacts) -> None:
        """A record is shown or was read again: it knows the size, unless a person has just said another."""
        known = SizeFacts(pixel_mm=facts.pixel_mm, confirmed=facts.pixel_confirmed, origin=facts.pixel_origin)
        if self._said is None and self._found.origin == LAYER and self._found.confirmed and not known.confirmed:
            self._said = self._found
        if self._said is None:
            self._tell(known)
        elif not _same(self._said, known):
            self._write(facts.path)
        else:
            self._said = None
            self._tell(known)

    def asked(self, place: Path) -> dict[str, Any]:
        """What a run is asked for: a size that was said, or that the file gives to a record that is not there yet."""
        size = self._said
        if size is None and not _dialogs.is_record(place):
            size = self._panel.state.size
        if size is None or size.pixel_mm is None or not size.confirmed:
            return {}
        return {"pixel_mm": size.pixel_mm, "pixel_origin": size.origin}

    # the line -------------------------------------------------------------------------------------

    def draw_line(self) -> None:
        """Add a layer to draw a line of known length in, or let another be drawn in it."""
        panel, photograph = self._panel, self._panel.photograph
        if photograph is None:
            return
        if self._line is None or not self._line.present:
            self._line = KnownLine(panel.viewer, photograph, _sources.plane_shape(photograph), self._measured)
        else:
            self._line.draw()
        self._measured()

    def use_line(self, length_mm: float) -> None:
        """Take the size from the line that was drawn."""
        ends = None if self._line is None else self._line.ends()
        if ends is None:
            self._measured()
            self._panel.tell(message="Draw a line along a known length first, then give its length in mm.")
            return
        try:
            size = size_of_line(*ends, length_mm)
        except MosaicError as error:
            self._panel.tell(message=str(error))
            return
        self._drop_line()
        self._panel.view.line_form.length.setValue(0.0)
        self._panel.tell(message="")
        self.say(replace(self._panel.state.size, pixel_mm=size.mm, confirmed=True, origin=size.origin))

    def forget_line(self, layer: Any) -> None:
        """A layer was removed from the viewer: perhaps that of the line."""
        if self._line is not None and layer is self._line.layer:
            self._drop_line()

    def _measured(self) -> None:
        ends = None if self._line is None else self._line.ends()
        pixels = 0.0 if ends is None else sum((a - b) ** 2 for a, b in zip(*ends, strict=True)) ** 0.5
        self._panel.tell(line_px=pixels if self._line is not None and self._line.present else None)

    def _drop_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
            if self._panel.photograph is not None:
                self._panel.viewer.layers.selection.active = self._panel.photograph
            self._panel.tell(line_px=None)

    # the record and the layers --------------------------------------------------------------------

    def _write(self, place: Path) -> None:
        said = self._said
        if said is not None:
            self._writer.ask(write_size, place, said)

    def _written(self, facts: RecordFacts) -> None:
        self._said = None
        state = self._panel.state
        if state.place is not None and state.place.absolute() == facts.path.absolute():
            if state.record is not None and self._panel.job is None:
                self._panel.tell(record=replace(facts, path=state.record.path, tuning=state.record.tuning))
            self.adopt(facts)

    def _refused(self, failure: WorkFailure) -> None:
        """It was not written: show what is true."""
        self._said = None
        record = self._panel.state.record
        if record is not None:
            self.adopt(record)
        else:
            self._tell(self._found)
        self._panel.complain(failure)

    def _tell(self, size: SizeFacts) -> None:
        """Show a size, and scale what is seen by it where somebody vouches for it."""
        panel = self._panel
        panel.tell(size=replace(size, analysis_px=panel.state.size.analysis_px))
        layer = panel.photograph
        if layer is None:
            return
        theirs = _sources.SOURCE not in layer.metadata and layer_mm(layer) is not None
        if size.mm is None and theirs and self._said is None:
            return  # somebody scaled this layer, and nobody has taken that back
        record = panel.state.record
        rescale_world(panel.viewer, layer, size.mm, "" if record is None else str(record.path))
        if size.mm is None or size.origin != LAYER:
            _sources.note_size(layer, size.mm, size.origin)
        if panel.shown is not None:
            panel.shown.lie_on(layer)


def write_size(place: Path, size: SizeFacts) -> RecordFacts:
    """Write what a person said into a record; what it holds then. For a worker's thread."""
    with open_record(place, writable=True) as record:
        record.set_pixel_size(size.pixel_mm, confirmed=size.confirmed, origin=size.origin)
        return _knowing.record_facts(record)


def _same(one: SizeFacts, other: SizeFacts) -> bool:
    return (one.pixel_mm, one.confirmed, one.origin) == (other.pixel_mm, other.confirmed, other.origin)
