"""How soon an edit is seen on a gigapixel, against napari's own refresh of the same layer; and memory over many edits.

    xvfb-run -a python benchmarks/edits.py                      makes the record (benchmarks/floor_of_many.py) first
    xvfb-run -a python benchmarks/edits.py --record F.mosaic.zarr --rounds 50 --edits 2000

In every round, at full zoom and at overview: the bare `layer.refresh()` of the unchanged layer, then merge, split,
delete and undo through the session that the dock uses, each from the call until the canvas has drawn what changed. One
line of JSON a view, then one for memory.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from floor_of_many import make_floor

from napari_mosaic.record import open_record
from napari_mosaic.tiling import Box

PATIENCE = 900.0


class Stage:
    """A viewer with the record, the session that edits it, and a count of what the canvas has drawn."""

    def __init__(self, path: Path) -> None:
        import napari
        from napari.layers import Layer
        from qtpy.QtWidgets import QApplication

        from napari_mosaic.widgets._edit_session import EditSession
        from napari_mosaic.widgets._layers import record_data

        self.viewer = napari.Viewer(show=True)
        self.app = QApplication.instance()
        with open_record(path) as record:
            data, _ = record_data(record)
        for values in data:
            layer = self.viewer.add_layer(Layer.create(*values))
        self.layer: Any = layer
        self.viewer.window.resize(1200, 900)
        self.drawn = 0
        self.canvas = self.viewer.window._qt_viewer.canvas
        self.canvas._scene_canvas.events.draw.connect(self._count)
        self.session = EditSession(self.viewer, path)
        self.outcome: Any = None
        self.session.edited.connect(self._take)
        self.session.failed.connect(self._fail)
        self.wait(lambda: self.session.record is not None and not self.session.busy)
        self.rest()

    def _count(self, _: Any) -> None:
        self.drawn += 1

    def _take(self, outcome: Any) -> None:
        self.outcome = outcome

    def _fail(self, failure: Any) -> None:
        raise SystemExit(f"An edit failed: {failure}")

    def wait(self, ready: Callable[[], bool]) -> None:
        end = time.perf_counter() + PATIENCE
        while not ready():
            self.app.processEvents()
            if time.perf_counter() > end:
                raise SystemExit("The viewer did not answer within a quarter of an hour.")

    def rest(self) -> None:
        """Let everything settle that waits."""
        self.wait(lambda: not self.session.busy)
        for _ in range(10):
            self.app.processEvents()
            time.sleep(0.005)

    def look(self, *, full: bool) -> None:
        """Full zoom: one pixel of the record on one of the screen, in the middle; or the whole floor."""
        self.viewer.reset_view()
        if full:
            self.viewer.camera.zoom = 1.0
        self.rest()

    def refresh(self) -> float:
        """Seconds of the bare refresh of the layer, drawn."""
        before, start = self.drawn, time.perf_counter()
        self.layer.refresh()
        self.wait(lambda: self.drawn > before)
        return time.perf_counter() - start

    def edit(self, ask: Callable[[], None]) -> float:
        """Seconds from the call of an edit until the canvas has drawn what it changed."""
        self.outcome, start = None, time.perf_counter()
        ask()
        self.wait(lambda: self.outcome is not None)
        if self.outcome.edit is None:
            raise SystemExit("An edit changed nothing.")
        before = self.drawn - (1 if getattr(self, "_eager", False) else 0)
        self.wait(lambda: self.drawn > before)
        return time.perf_counter() - start

    def picture(self) -> np.ndarray:
        """The pixels of the canvas."""
        return np.asarray(self.viewer.screenshot(canvas_only=True, flash=False))


def pair(record: Any, rng: np.random.Generator, around: Box) -> tuple[list[int], dict[str, Any], int]:
    """Two neighbours to merge, a line that parts what they become, and a third tessera to delete."""
    while True:
        y = int(rng.integers(around.y0, around.y1 - 160))
        x = int(rng.integers(around.x0, around.x1 - 160))
        labels = record.read_labels(Box(y, x, y + 160, x + 160))
        ids, counts = np.unique(labels, return_counts=True)
        first = labels[80, 80]
        if first == 0:
            continue
        row = labels[80, 80:]
        others = row[(row != first) & (row > 0)]
        third = next((int(i) for i, n in zip(ids, counts, strict=True) if n > 200 and i not in (0, first)), 0)
        if len(others) == 0 or third in (0, int(others[0])):
            continue
        own = np.argwhere(labels == first)
        middle = own[:, 1].mean() + x + 0.3
        line = [[float(own[:, 0].min() + y - 3), middle], [float(own[:, 0].max() + y + 4), middle]]
        return [int(first), int(others[0])], {"tool": "split_line", "line": line}, third


def time_view(stage: Stage, rounds: int, *, full: bool) -> None:
    """One line for a view: medians in milliseconds, and how many times the bare refresh they are."""
    stage.look(full=full)
    record, rng = stage.session.record, np.random.default_rng(1)
    middle = record.shape[0] // 2
    around = Box(middle - 400, middle - 500, middle + 400, middle + 500) if full else Box(500, 500, *record.shape)
    around = around if full else Box(500, 500, record.shape[0] - 500, record.shape[1] - 500)
    times: dict[str, list[float]] = {name: [] for name in ("refresh", "merge", "split", "delete", "undo")}
    seen = 0
    for _ in range(rounds + 2):
        ids, split, third = pair(record, rng, around)
        stage.rest()
        times["refresh"].append(stage.refresh())
        before = stage.picture()
        for name, request in (
            ("merge", {"tool": "merge", "ids": ids}),
            ("split", split),
            ("delete", {"tool": "delete", "ids": [third]}),
        ):
            stage.rest()
            times[name].append(stage.edit(lambda request=request: stage.session.edit(request)))
        seen += int((stage.picture() != before).any())
        stage.rest()
        times["undo"].append(stage.edit(stage.session.undo))
        for _ in range(2):
            stage.edit(stage.session.undo)
    medians = {name: float(np.median(values[2:])) * 1e3 for name, values in times.items()}
    bare = medians.pop("refresh")
    print(
        json.dumps(
            {
                "benchmark": "edits",
                "view": "full zoom" if full else "overview",
                "level": int(stage.layer.data_level),
                "rounds": rounds,
                "refresh_ms": round(bare, 1),
                **{f"{name}_ms": round(value, 1) for name, value in medians.items()},
                **{f"{name}_ratio": round(value / bare, 2) for name, value in medians.items()},
                "pictures_changed": f"{seen}/{rounds + 2}",
            }
        ),
        flush=True,
    )


def watch_memory(stage: Stage, edits: int) -> None:
    """One line: resident size after a tenth of many edits in one place, and after all."""
    stage.look(full=True)
    record, rng = stage.session.record, np.random.default_rng(2)
    middle = record.shape[0] // 2
    around = Box(middle - 1000, middle - 1000, middle + 1000, middle + 1000)
    sizes, done, started = [], 0, time.perf_counter()
    while done < edits:
        ids, split, third = pair(record, rng, around)
        for request in ({"tool": "merge", "ids": ids}, split, {"tool": "delete", "ids": [third]}):
            stage.edit(lambda request=request: stage.session.edit(request))
        for _ in range(2):
            stage.edit(stage.session.undo)
        done += 5
        if done % max(5, edits // 10 // 5 * 5) == 0:
            stage.rest()
            sizes.append(resident_mb())
    stage.rest()
    print(
        json.dumps(
            {
                "benchmark": "edits memory",
                "edits": done,
                "seconds": round(time.perf_counter() - started, 1),
                "resident_mb": sizes,
                "grown_mb": round(resident_mb() - sizes[0], 1),
                "journal_mb": round((record.path / "journal" / "edits.log").stat().st_size / 2**20, 1),
            }
        ),
        flush=True,
    )


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="one that may be edited; made where it is not there")
    parser.add_argument("--side", type=int, default=32768, help="pixels of the record that is made")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--edits", type=int, default=2000, help="for memory; 0 leaves it out")
    arguments = parser.parse_args()
    path = arguments.record or Path(tempfile.mkdtemp()) / "floor.mosaic.zarr"
    if not path.exists():
        make_floor(path, arguments.side).close()
    with open_record(path) as record:
        print(json.dumps({"gigapixels": round(record.shape[0] * record.shape[1] / 1e9, 2), "tesserae": record.count}))
    stage = Stage(path.absolute())
    for full in (True, False):
        time_view(stage, arguments.rounds, full=full)
    if arguments.edits:
        watch_memory(stage, arguments.edits)
    stage.session.close()
    stage.viewer.close()


if __name__ == "__main__":
    main()
