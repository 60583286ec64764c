"""The pixel size in the panel: what a person says goes into the record, and what the record says is shown.

One decision: where there is a record it alone knows the pixel size. What a person says is written to it at once, also
during a run, and comes back from it; only what is said while there is no record yet waits here for one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosaic.image import PixelSize
from napari_mosaic.image.pixel_size import LAYER
from napari_mosaic.record import open_record
from napari_mosaic.widgets import _dialogs, _knowing, _sources
from napari_mosaic.widgets._east_north import EastNorth
from napari_mosaic.widgets._facts import RecordFacts, SizeFacts, SourceFacts
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

    def close(self) -> None:
        """Let go of the viewer."""
        self._writer.close()
        self._status.close()

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

    def measured(self, size: PixelSize) -> None:
        """A size that follows from what a person drew."""
        now = self._panel.state.size
        self.say(replace(now, pixel_mm=size.mm, confirmed=size.confirmed, origin=size.origin))

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
