"""How soon an edit is seen on a gigapixel, against napari's own refresh of the same layer; and memory over many edits.

    xvfb-run -a python benchmarks/edits.py                      makes the record (benchmarks/floor_of_many.py) first
    xvfb-run -a python benchmarks/edits.py --record F.mosaic.zarr --rounds 50 --edits 2000

A record of which only parts are found, as `benchmarks/view.py --keep` leaves one of ten gigapixels, is edited there.

In every round, at full zoom and at overview: the bare `layer.refresh()` of the unchanged layer, then merge, split,
delete and undo through the session of the dock, each from the call until the canvas has drawn what changed. One line of
JSON a view, then one for memory.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from floor_of_many import make_floor
from qtpy.QtCore import QEventLoop, QTimer

from napari_mosaic.record import open_record
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._napari import camera_of, shown_box

PATIENCE = 120.0
Line = list[list[float]]


class Stage:
    """A viewer with the record, the session that edits it, and a count of what the canvas has drawn."""

    def __init__(self, path: Path) -> None:
        import napari
        from napari.layers import Layer
        from qtpy.QtWidgets import QApplication

        from napari_mosaic.widgets import EditDock
        from napari_mosaic.widgets._layers import record_data

        self.viewer = napari.Viewer(show=True)
        self.app = QApplication.instance()
        with open_record(path) as record:
            data, _ = record_data(record)
            self.found = found_place(record)
        for values in data:
            layer = self.viewer.add_layer(Layer.create(*values))
        self.layer: Any = layer
        self.viewer.window.resize(1200, 900)
        self.drawn, self.failure = 0, ""
        self.canvas = self.viewer.window._qt_viewer.canvas
        self.canvas._scene_canvas.events.draw.connect(self._count)
        self._tick = QTimer()
        self._tick.start(20)
        self.layer.events.labels_update.connect(self._note)
        self.layer.events.set_data.connect(self._note)
        self.dock = EditDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Edit tesserae", area="right")
        self.session = self.dock.session
        self.changed: int | None = None
        self.outcome: Any = None
        self.session.edited.connect(self._take)
        self.session.failed.connect(self._fail)
        self.wait(lambda: self.session.record is not None and not self.session.busy)
        self.rest()

    def _count(self, _: Any) -> None:
        self.drawn += 1

    def _note(self, _: Any) -> None:
        """The picture of the layer has changed; the next draw shows it."""
        if self.changed is None:
            self.changed = self.drawn

    def _take(self, outcome: Any) -> None:
        self.outcome = outcome

    def _fail(self, failure: Any) -> None:
        self.failure = str(failure)

    def wait(self, ready: Callable[[], bool]) -> None:
        """Sleep between events as a viewer does, so that waiting takes nothing from the thread that edits."""
        end = time.perf_counter() + PATIENCE
        while not ready():
            self.app.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
            if self.failure:
                raise SystemExit(f"An edit failed: {self.failure}")
            if time.perf_counter() > end:
                raise SystemExit("The viewer did not answer within two minutes.")

    def rest(self) -> None:
        """Let the viewer come to rest; the smaller levels may be made meanwhile, as they are while a person works."""
        self.wait(lambda: not self.session.editing)
        end = time.perf_counter() + 0.05
        self.wait(lambda: time.perf_counter() > end)

    def look(self, *, full: bool) -> None:
        """Full zoom: one pixel of the record on one of the screen, in the middle; or the whole floor."""
        self.viewer.reset_view()
        if full:
            middle = [(self.found[k] + self.found[k + 2]) / 2 for k in (0, 1)]
            camera_of(self.viewer).zoom = 1.0
            camera_of(self.viewer).center = (0.0, *self.layer.data_to_world(middle)[-2:])
        self.rest()

    def view(self) -> tuple[Box, int]:
        """What is seen and found, in pixels of level 0, and how many of them the picture shows one of."""
        step = 2**self.layer.data_level
        return Box(*(step * edge for edge in shown_box(self.layer))).grow(-step).intersect(self.found), step

    def refresh(self) -> float:
        """Seconds of the bare refresh of the layer, drawn."""
        before, start = self.drawn, time.perf_counter()
        self.layer.refresh()
        self.wait(lambda: self.drawn > before)
        return time.perf_counter() - start

    def edit(self, ask: Callable[[], None]) -> float:
        """Seconds from the call of an edit until the canvas has drawn what it changed."""
        self.changed, start = None, time.perf_counter()
        ask()
        self.outcome = None
        self.wait(lambda: self.changed is not None and self.drawn > self.changed)
        seconds = time.perf_counter() - start
        self.wait(lambda: self.outcome is not None)
        if self.outcome.edit is None:
            raise SystemExit("An edit changed nothing.")
        return seconds

    def tools(self, ids: list[int], line: Line, third: int) -> Iterator[tuple[str, Callable[[], None]]]:
        """Merge, split what was merged, delete: names, and what asks the session for each."""
        ask = self.session.edit
        yield "merge", lambda: ask({"tool": "merge", "ids": ids})
        yield "split", lambda: ask({"tool": "split_line", "line": line, "ids": list(self.outcome.edit.kept)})
        yield "delete", lambda: ask({"tool": "delete", "ids": [third]})

    def picture(self) -> np.ndarray:
        """The pixels of the canvas."""
        return np.asarray(self.viewer.screenshot(canvas_only=True, flash=False))


def found_place(record: Any) -> Box:
    """Where there are stones to edit: all of a record that is complete, else the finished shard with the most."""
    done = record.ledger.done("tesserae")
    if len(done) == len(record.plan.shards):
        return Box(0, 0, *record.shape)
    best: Box = record.plan.shards.tile(max(done, key=lambda index: len(record.tesserae.read_rows(index)["id"]))).core
    return best


def pair(record: Any, rng: np.random.Generator, around: Box, step: int = 1) -> tuple[list[int], Line, int]:
    """Two neighbours to merge, a line that parts what they become, and a third tessera to delete.

    Each of them has a pixel in the picture that shows every `step`-th.
    """
    side = max(160, 6 * step)
    half = side // 2 // step * step
    while True:
        y, x = (int(rng.integers(around[k], around[k + 2] - side)) // step * step for k in (0, 1))
        labels = record.read_labels(Box(y, x, y + side, x + side))
        first, row = labels[half, half], labels[half, half:]
        seen, counts = np.unique(labels[::step, ::step], return_counts=True)
        others = row[(row != first) & (row > 0)]
        least = 200 // step**2
        third = next((int(i) for i, n in zip(seen, counts, strict=True) if n > least and i not in (0, first)), 0)
        if first == 0 or len(others) == 0 or third in (0, int(others[0])):
            continue
        middle = float(np.argwhere(labels == first)[:, 1].mean() + x + 0.3)
        line = [[float(y + half - 70), middle], [float(y + half + 70), middle]]
        return [int(first), int(others[0])], line, third


def time_view(stage: Stage, rounds: int, *, full: bool) -> None:
    """One line for a view: medians in milliseconds, and how many times the bare refresh they are."""
    stage.look(full=full)
    record, rng = stage.session.record, np.random.default_rng(1)
    around, step = stage.view()
    times: dict[str, list[float]] = {name: [] for name in ("refresh", "merge", "split", "delete", "undo")}
    seen = 0
    for _ in range(rounds + 2):
        ids, line, third = pair(record, rng, around, step)
        stage.rest()
        times["refresh"].append(stage.refresh())
        before = stage.picture()
        for name, ask in stage.tools(ids, line, third):
            stage.rest()
            times[name].append(stage.edit(ask))
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
    """One line: resident size after every tenth of many edits in one view, undos among them."""
    stage.look(full=True)
    record, rng = stage.session.record, np.random.default_rng(2)
    around, _ = stage.view()
    sizes, done, started = [], 0, time.perf_counter()
    while done < edits:
        ids, line, third = pair(record, rng, around)
        for _, ask in stage.tools(ids, line, third):
            stage.edit(ask)
        for _ in range(3):
            stage.edit(stage.session.undo)
        done += 6
        if done % max(6, edits // 10 // 6 * 6) == 0:
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
    parser.add_argument("--rounds", type=int, default=50, help="in each view; 0 leaves them out")
    parser.add_argument("--edits", type=int, default=2000, help="for memory; 0 leaves it out")
    arguments = parser.parse_args()
    path = arguments.record or Path(tempfile.mkdtemp()) / "floor.mosaic.zarr"
    if not path.exists():
        make_floor(path, arguments.side).close()
    with open_record(path) as record:
        print(json.dumps({"gigapixels": round(record.shape[0] * record.shape[1] / 1e9, 2), "tesserae": record.count}))
    stage = Stage(path.absolute())
    for full in (True, False) if arguments.rounds else ():
        time_view(stage, arguments.rounds, full=full)
    if arguments.edits:
        watch_memory(stage, arguments.edits)
    stage.dock.close()
    stage.viewer.close()


if __name__ == "__main__":
    main()
