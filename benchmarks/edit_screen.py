"""How long an edit takes from the click to the changed picture, beside napari's own refresh of the same layer.

xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/edit_screen.py RECORD.mosaic.zarr [COUNT]

Works on the record itself: give a copy. Medians in milliseconds, at full zoom and at overview.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_mosaic.tiling import Box
from napari_mosaic.widgets import EditDock
from napari_mosaic.widgets._edited import tessera_layers

SIZE = (1440, 900)


class Desk:
    """A viewer that shows a record, and the dock."""

    def __init__(self, path: Path) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(*SIZE)
        self.viewer.open(str(path), plugin="napari-mosaic")
        self.layer = tessera_layers(self.viewer)[0]
        self.viewer.layers.selection.active = self.layer
        self.dock = EditDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Edit tesserae", area="right")
        self.wait(lambda: self.dock.state.ready)
        self.rest()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Keep the viewer alive until something is so."""
        while not condition():
            QApplication.processEvents()
            time.sleep(0.001)

    def rest(self) -> None:
        """Wait until nothing is written any more."""
        self.wait(lambda: not self.dock.session.busy)

    def paint(self) -> None:
        """Draw the canvas, as Qt would at its next turn."""
        self.viewer.window._qt_viewer.canvas.native.repaint()

    def look(self, zoom: float) -> None:
        """Look at the middle, `zoom` canvas pixels to a pixel of the working grid."""
        height, width = self.dock.session.record.shape
        middle, beside = (self.layer.data_to_world((height / 2 + dy, width / 2)) for dy in (0, 1))
        self.viewer.scene.camera.center = tuple(middle)
        self.viewer.scene.camera.zoom = zoom / float(np.linalg.norm(np.subtract(beside, middle)))
        self.wait_ms(500)

    def wait_ms(self, duration: float) -> None:
        """Keep the viewer alive for a while."""
        end = time.monotonic() + duration / 1000
        self.wait(lambda: time.monotonic() > end)

    def bare(self) -> float:
        """Seconds of napari's own refresh."""
        start = time.perf_counter()
        self.layer.refresh()
        self.paint()
        return time.perf_counter() - start

    def edit(self, ask: Callable[[], Any]) -> float:
        """Seconds from asking for an edit to the picture."""
        session = self.dock.session
        start = time.perf_counter()
        ask()
        while session.editing:
            QApplication.processEvents()
        self.paint()
        return time.perf_counter() - start


def neighbours(desk: Desk, count: int) -> list[tuple[int, int]]:
    """Pairs of tesserae side by side near the middle, no tessera twice."""
    record = desk.dock.session.record
    height, width = record.shape
    labels = record.read_labels(Box(height // 2 - 700, width // 2 - 700, height // 2 + 700, width // 2 + 700))
    used: set[int] = set()
    found = []
    for row in labels[::9]:
        ids = [int(id_) for id_ in dict.fromkeys(row.tolist()) if id_]
        for left, right in zip(ids[::2], ids[1::2], strict=False):
            if not {left, right} & used:
                used |= {left, right}
                found.append((left, right))
    return found[:count]


def measure(desk: Desk, count: int) -> dict[str, float]:
    """Medians in milliseconds."""
    session = desk.dock.session
    times: dict[str, list[float]] = {name: [] for name in ("refresh", "merge", "undo", "delete")}
    for left, right in neighbours(desk, count):
        times["refresh"].append(desk.bare())
        for name, request in (("merge", {"ids": [left, right]}), ("delete", {"ids": [left]})):
            times[name].append(desk.edit(lambda name=name, request=request: session.edit({"tool": name, **request})))
            times["undo"].append(desk.edit(session.undo))
    return {name: round(1000 * median(values), 1) for name, values in times.items() if values}


def main(path: str, count: str = "50") -> None:
    """Print the medians at full zoom and at overview."""
    desk = Desk(Path(path))
    height, width = desk.dock.session.record.shape
    for name, zoom in (("full zoom", 2.0), ("overview", min(SIZE[1] / height, SIZE[0] / width) * 0.8)):
        desk.look(zoom)
        print(name, "level", desk.layer.data_level, measure(desk, int(count)))
    desk.dock.close()
    desk.viewer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
