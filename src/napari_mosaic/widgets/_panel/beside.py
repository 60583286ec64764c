"""Docks that work beside the panel: on the record that it shows, and with what it can do.

One decision: such a dock speaks to the panel of its viewer through the panel's verbs alone, and finds it anew when it
was closed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari import Viewer

from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _places
from napari_mosaic.widgets._dock import Dock
from napari_mosaic.widgets._guard import keep_out_triton
from napari_mosaic.widgets._jobs import Job
from napari_mosaic.widgets._panel.dock import MosaicPanel

CLOSE_S = 1.0
"""How long a dock that closes waits for a process, which keeps what it has and ends by itself."""


class PanelDock(Dock):
    """A dock beside the panel.

    Parameters
    ----------
    napari_viewer
        The viewer whose panel it works with.
    panel
        That panel; the dock looks for it where it is None.
    """

    def __init__(self, napari_viewer: Viewer, panel: MosaicPanel | None = None) -> None:
        super().__init__(napari_viewer)
        self._panel = panel

    def _find_panel(self, *, make: bool = False) -> MosaicPanel | None:
        """The panel of the viewer; `make` opens one where there is none."""
        if self._panel is None or self._panel.closed:
            self._panel = _places.panel_of(self.viewer, MosaicPanel, make=make)
        return self._panel

    def _seen(self, record: str) -> tuple[Path, Box] | None:
        """What the panel shows of a record; where it shows another or none, that is told."""
        panel = self._find_panel()
        seen = None if panel is None else panel.seen()
        if seen is None or str(seen[0]) != record:
            self.tell(message="Show this record in the panel “Mosaic” first, then look at what is finished.")
            return None
        return seen


class RunDock(PanelDock):
    """A dock beside the panel that runs one thing at a time, in a process of its own."""

    def __init__(self, napari_viewer: Viewer, panel: MosaicPanel | None = None) -> None:
        super().__init__(napari_viewer, panel)
        self.job: Job | None = None
        self._started = 0.0
        keep_out_triton()

    def stop(self) -> None:
        """End at the next step; everything up to it is kept."""
        if self.job is not None and self.state.run is not None:
            self.job.cancel()
            self.tell(run=replace(self.state.run, stopping=True))

    def _end(self) -> None:
        if self.job is not None:
            self.job.abandon(timeout=CLOSE_S)
            self.job = None
