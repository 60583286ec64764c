"""What is known of the floor, in the panel: lines, a scale bar and a rectangle, and what follows from them.

One decision: one line sets the size and asks for another; what is measured in two directions that disagree is set, too,
but nobody can confirm it, and the rectangle that shows it is what the photograph is rectified by.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from napari_mosaic.drawn_sizes import ASK_SECOND, KnownLine, size_of_line, size_of_lines, size_of_rectangle
from napari_mosaic.errors import MosaicError
from napari_mosaic.image import PixelSize
from napari_mosaic.image.pixel_size import is_oblique, oblique_words
from napari_mosaic.progress import Steps
from napari_mosaic.rectifying import RectifyParams, rectify_steps
from napari_mosaic.scale_bars import BarEnds, find_bar_ends
from napari_mosaic.widgets import _runs, _sources
from napari_mosaic.widgets._panel.line import LineLayer
from napari_mosaic.widgets._panel.rectangle import CLICKS, CORNERS, Marks, Sides
from napari_mosaic.widgets._worker import Requests

if TYPE_CHECKING:
    from napari_mosaic.widgets._panel.dock import MosaicPanel


class KnownThings:
    """Lines, scale bar and rectangle over the photograph of a `MosaicPanel`."""

    def __init__(self, panel: MosaicPanel) -> None:
        self._panel = panel
        self._line: LineLayer | None = None
        self._clicks: Marks | None = None
        self._corners: Marks | None = None
        self._lines: list[KnownLine] = []
        self._finder = Requests(panel)
        self._finder.answered.connect(self._found)
        self._finder.failed.connect(panel.complain)

    @property
    def busy(self) -> bool:
        """Whether the ends of a scale bar are being looked for."""
        return self._finder.busy

    def begin(self) -> None:
        """Another photograph: nothing is known of its floor."""
        self._finder.forget()
        self._lines = []
        self._drop()
        self._panel.view.line_form.length.setValue(0.0)
        self._panel.view.rectangle_form.set_value(Sides())

    def close(self) -> None:
        """Let go of the viewer."""
        self._finder.close()
        for thing in (self._line, self._clicks, self._corners):
            if thing is not None:
                thing.let_go()

    def forget(self, layer: Any) -> None:
        """A layer was removed from the viewer: perhaps one of these."""
        if self._line is not None and layer is self._line.layer:
            _close(self._line)
            self._line = None
        if self._clicks is not None and layer is self._clicks.layer:
            _close(self._clicks)
            self._clicks = None
        if self._corners is not None and layer is self._corners.layer:
            _close(self._corners)
            self._corners = None
        self._measured()

    # lines and the scale bar ----------------------------------------------------------------------

    def draw_line(self) -> None:
        """Add a layer to draw a line of known length in, or let another be drawn in it."""
        photograph = self._panel.photograph
        if photograph is None:
            return
        self._line_over(photograph).draw()
        self._measured()

    def click_bar(self) -> None:
        """Let both ends of a scale bar be clicked; the line between them follows."""
        photograph = self._panel.photograph
        if photograph is None:
            return
        _close(self._clicks)
        self._clicks = None
        shape = _sources.plane_shape(photograph)
        self._clicks = Marks(self._panel.viewer, photograph, shape, CLICKS, 2, self._clicked)
        self._panel.tell(message="Click on both ends of the scale bar.")

    def use_line(self, length_mm: float) -> None:
        """Take the size from the line that was drawn, and from the one before it where they run crosswise."""
        ends = None if self._line is None else self._line.ends()
        if ends is None:
            self._measured()
            self._panel.tell(message="Draw a line along a known length first, then give its length in mm.")
            return
        line = KnownLine(start=ends[0], end=ends[1], length_mm=length_mm)
        before = [other for other in self._lines if other.crosses(line)][-1:]
        try:
            size = size_of_line(*ends, length_mm)
            size = size_of_lines(before[0], line) if before else size
        except MosaicError as error:
            self._panel.tell(message=str(error))
            return
        self._lines = [*before, line]
        self._drop()
        self._panel.view.line_form.length.setValue(0.0)
        self._take(size, "" if before else ASK_SECOND)

    def _line_over(self, photograph: Layer) -> LineLayer:
        if self._line is None or not self._line.present:
            shape = _sources.plane_shape(photograph)
            self._line = LineLayer(self._panel.viewer, photograph, shape, self._measured)
        return self._line

    def _clicked(self) -> None:
        places = [] if self._clicks is None else self._clicks.places()
        if len(places) == 2 and self._panel.photograph is not None:
            self._finder.ask(find_ends, self._panel.photograph, places)

    def _found(self, ends: BarEnds) -> None:
        _close(self._clicks)
        self._clicks = None
        photograph = self._panel.photograph
        if photograph is None:
            return
        self._line_over(photograph).show(ends.start, ends.end)
        self._measured()
        found = sum(ends.found)
        words = ("No edge was found near the clicks, so they stand as they are", "One end was moved to the edge there",
                 "Both ends were moved to the edges of the bar")[found]  # fmt: skip
        self._panel.tell(message=f"{words}; give its length in mm.")

    # the rectangle --------------------------------------------------------------------------------

    def mark_rectangle(self) -> None:
        """Add a layer to click the corners of a rectangle in, or let them be clicked anew."""
        photograph = self._panel.photograph
        if photograph is None:
            return
        _close(self._corners)
        self._corners = None
        shape = _sources.plane_shape(photograph)
        self._corners = Marks(self._panel.viewer, photograph, shape, CORNERS, 4, self._measured)
        self._panel.tell(message="Click the four corners of the rectangle, going round; then give its sides in mm.")

    def use_rectangle(self, sides: Sides) -> None:
        """Take the size from the rectangle; where it shows a slant, it stays for rectifying."""
        photograph, places = self._panel.photograph, self.corners()
        if photograph is None:
            return
        try:
            shape = _sources.plane_shape(photograph)
            size = size_of_rectangle(places, (sides.first_mm, sides.next_mm), shape)
        except MosaicError as error:
            self._panel.tell(message=str(error))
            return
        if not is_oblique(size):
            self._drop()
        self._take(size, "")

    def corners(self) -> list[tuple[float, float]]:
        """The corners that were marked, `(y, x)` in the photograph."""
        return [] if self._corners is None else self._corners.places()

    def rectify(self, path: str | Path) -> None:
        """Write the rectified picture in the background, and open it as the photograph."""
        photograph, sides = self._panel.photograph, self._panel.view.rectangle_form.value()
        if photograph is None:
            return
        try:
            params = RectifyParams(points=self.corners(), sides_mm=(sides.first_mm, sides.next_mm))
            params.floor(_sources.plane_shape(photograph))
        except MosaicError as error:
            self._panel.tell(message=str(error))
            return
        self._panel.run_rectify(lambda: rectified_steps(photograph, Path(path), params))

    def _take(self, size: PixelSize, message: str) -> None:
        slant = is_oblique(size)
        self._panel.tell(message=oblique_words(size.origin) if slant else message)
        self._panel.sizes.measured(size)

    def _measured(self) -> None:
        ends = None if self._line is None else self._line.ends()
        pixels = 0.0 if ends is None else sum((a - b) ** 2 for a, b in zip(*ends, strict=True)) ** 0.5
        drawn = self._line is not None and self._line.present
        self._panel.tell(line_px=pixels if drawn else None, corners=len(self.corners()))

    def _drop(self) -> None:
        """Take the layers out of the viewer."""
        there = [thing for thing in (self._line, self._clicks, self._corners) if thing is not None]
        _close(self._line)
        self._line = None
        _close(self._clicks)
        self._clicks = None
        _close(self._corners)
        self._corners = None
        if there and self._panel.photograph is not None and self._panel.photograph in self._panel.viewer.layers:
            self._panel.viewer.layers.selection.active = self._panel.photograph
        self._panel.tell(line_px=None, corners=0)


def _close(thing: LineLayer | Marks | None) -> None:
    """Close what is there."""
    if thing is not None:
        thing.close()


def find_ends(layer: Layer, clicks: list[tuple[float, float]]) -> BarEnds:
    """The ends of a scale bar in the photograph of a layer; for a worker's thread."""
    with _sources.open_layer(layer) as image:
        return find_bar_ends(image, *clicks)


def rectified_steps(layer: Layer, path: Path, params: RectifyParams) -> Steps[Any]:
    """Rectify the photograph of a layer; yields `Progress`, then what opening the picture yields. The dialog has
    asked.
    """
    with _sources.open_layer(layer) as image:
        made = yield from rectify_steps(image, path, params, overwrite=path.exists())
    return (yield from _runs.photograph_steps(str(made)))
