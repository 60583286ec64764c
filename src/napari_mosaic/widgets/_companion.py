"""Docks that work beside the panel: on the record that it shows, and with what it can do.

One decision: such a dock speaks to the panel of its viewer through the verbs of `Panel` alone, and finds it anew when
it was closed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from napari import Viewer
from napari.layers import Layer

from napari_mosaic.sam.params import SamParams
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._dock import Dock, RunningDock
from napari_mosaic.widgets._docks import PANEL, find_dock
from napari_mosaic.widgets._guard import keep_out_triton
from napari_mosaic.widgets._layers import LookValue
from napari_mosaic.widgets._state import PanelState
from napari_mosaic.widgets._worker import Worker


class Panel(Protocol):
    """What a dock beside the panel may know and ask of it."""

    state: PanelState
    sam: SamParams
    job: Worker | None

    @property
    def closed(self) -> bool:
        """Whether it was shut down."""

    @property
    def photograph(self) -> Layer | None:
        """The layer that is worked on, while it is in the viewer."""

    @property
    def labels(self) -> str | None:
        """Which labels of the record count; None where it has tesserae alone."""

    def seen(self) -> tuple[Path, Box] | None:
        """The record that is shown and what the canvas shows of it, in pixels of the photograph."""

    def look(self, look: LookValue) -> None:
        """Choose what of the record is seen."""

    def use_model(self, model: str | Path) -> None:
        """Find tesserae with another model from now on."""

    def use_sam(self, settings: SamParams) -> None:
        """Ask SAM 2 like this from now on."""

    def use_rules(self, rules: TesseraParams, **later: Any) -> None:
        """Redo the record that is shown by rules of a search."""


class PanelDock(Dock):
    """A dock beside the panel.

    Parameters
    ----------
    napari_viewer
        The viewer whose panel it works with.
    panel
        That panel; the dock looks for it where it is None.
    """

    def __init__(self, napari_viewer: Viewer, panel: Panel | None = None) -> None:
        super().__init__(napari_viewer)
        self._panel = panel

    def _find_panel(self, *, make: bool = False) -> Panel | None:
        """The panel of the viewer; `make` opens one where there is none."""
        if self._panel is None or self._panel.closed:
            self._panel = find_dock(self.viewer, PANEL, make=make)
        return self._panel

    def _seen(self, record: str) -> tuple[Path, Box] | None:
        """What the panel shows of a record; where it shows another or none, that is told."""
        panel = self._find_panel()
        seen = None if panel is None else panel.seen()
        if seen is None or str(seen[0]) != record:
            self.tell(message="Show this record in the panel “Mosaic” first, then look at what is finished.")
            return None
        return seen


class ProcessDock(PanelDock, RunningDock):
    """A dock beside the panel that runs one thing at a time, in a process of its own, which ends by itself."""

    close_s = 1.0

    def __init__(self, napari_viewer: Viewer, panel: Panel | None = None) -> None:
        super().__init__(napari_viewer, panel)
        keep_out_triton()
