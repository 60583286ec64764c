"""How soon *Find in view* shows stones on a floor of ten gigapixels, beside the time of the network alone.

    xvfb-run -a -s "-screen 0 1600x1100x24" python benchmarks/view.py               # 98,304 px squared
    xvfb-run -a -s "-screen 0 1600x1100x24" python benchmarks/view.py --side 32768 --rounds 3

The floor is an OME-Zarr that holds drawn stones in its middle and nothing elsewhere, so it is made in seconds and
opened as any other. Every round finds a place of its own, 1500 x 1000 px; the first is told by itself as `cold`, for it
loads the network. One line of JSON: seconds until the canvas has drawn the first stones (`first_s`), until it has drawn
all of the view as it stays (`all_s`), and until the whole tiles under it are in the record (`finished_s`); and those of
the network by itself in this process, for the first window, for those that the stones of the view depend on, and for
those of the whole tiles. `--keep FOLDER` leaves the floor and its record there, for `benchmarks/edits.py --record`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_mosaic import SegmentParams, draw_mosaic, open_image
from napari_mosaic.engine.mapping import windows_under
from napari_mosaic.engine.windows import read_window
from napari_mosaic.record import open_record
from napari_mosaic.segmentation import load_method
from napari_mosaic.tiling import Box

VIEW = 1000, 1500
BLOCK = 1024
PATIENCE_S = 300.0


def make_floor(path: Path, side: int, painted: int) -> None:
    """A floor of `side` px squared as an OME-Zarr, stones in the `painted` px in its middle."""
    block = draw_mosaic(BLOCK, seed=1).image
    group = zarr.create_group(path, zarr_format=3)
    datasets, level = [], 0
    while side >> level >= BLOCK // 2:
        size, step = side >> level, 2**level
        array = group.create_array(
            str(level), shape=(size, size, 3), chunks=(512, 512, 3), dtype=np.uint8, fill_value=90
        )
        shrunk = block[::step, ::step] if step < BLOCK else block[:1, :1]
        first, count = (side - painted) // 2 // step, max(1, painted // step // len(shrunk))
        for row in range(count):
            top = first + row * len(shrunk)
            array[top : top + len(shrunk), first : first + count * len(shrunk)] = np.tile(shrunk, (1, count, 1))
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [step, step, 1]}]}
        )
        level += 1
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}, {"name": "c", "type": "channel"}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"name": "floor", "axes": axes, "datasets": datasets}]}


class Desk:
    """A viewer with the floor and the panel."""

    def __init__(self, floor: Path, record: Path) -> None:
        import napari
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QApplication

        from napari_mosaic.widgets._panel.dock import MosaicPanel

        self.viewer = napari.Viewer(show=True)
        self.app = QApplication.instance()
        self._tick = QTimer()
        self._tick.start(10)
        self.drawn = 0
        self.viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(self._count)
        self.viewer.window._qt_window.resize(1600, 1080)
        self.panel = MosaicPanel(self.viewer, SegmentParams(scale=1.0))
        self.viewer.window.add_dock_widget(self.panel, name="Mosaic", area="right")
        began = time.perf_counter()
        self.panel.open_photograph(floor)
        self.wait(lambda: self.panel.layer is not None and self.panel.view.find_view.isEnabled())
        self.opened_s = time.perf_counter() - began
        self.panel.set_place(record)
        self.rest()

    def _count(self, _: Any) -> None:
        self.drawn += 1

    def wait(self, ready: Callable[[], bool]) -> float:
        """Seconds until something is so."""
        began = time.perf_counter()
        while not ready():
            self.app.processEvents()
            time.sleep(0.002)
            if time.perf_counter() - began > PATIENCE_S:
                raise SystemExit(f"Nothing came of it: {self.panel.state.message}")
        return time.perf_counter() - began

    def rest(self) -> None:
        """Until nothing runs."""
        self.wait(lambda: self.panel.job is None and (self.panel.shown is None or not self.panel.shown.busy))

    def look_at(self, centre: tuple[float, float]) -> Box:
        """Show a part of the floor at full zoom; what of it the canvas shows."""
        from napari_mosaic.widgets._napari import camera_of
        from napari_mosaic.widgets._sources import view_box

        camera = camera_of(self.viewer)
        camera.zoom, camera.center = 1.0, (0.0, *centre)
        self.rest()
        end = time.perf_counter() + 4  # what the next run takes is estimated meanwhile, with the same network
        self.wait(lambda: time.perf_counter() > end)
        box: Box = view_box(self.viewer, self.panel.layer)
        return box

    def find(self, box: Box) -> tuple[float, float, float]:
        """Seconds until the first stones are drawn, until all of the view is drawn as it stays, and until the end."""
        pictures: list[tuple[float, Any]] = []
        began, drawn = time.perf_counter(), self.drawn

        def over() -> bool:
            nonlocal drawn
            layer = None if self.panel.shown is None else self.panel.shown.tesserae
            if layer is not None and drawn != self.drawn:
                drawn = self.drawn
                pictures.append((time.perf_counter() - began, self.seen(layer, box)))
            return self.panel.job is None

        self.panel.find_in_view()
        self.wait(over)
        finished = time.perf_counter() - began
        self.wait(lambda: over() and not self.panel.shown.busy)
        last = self.seen(self.panel.shown.tesserae, box)
        first = next(seconds for seconds, picture in pictures if picture.any())
        whole = next(
            seconds
            for k, (seconds, _) in enumerate(pictures)
            if all(np.array_equal(picture, last) for _, picture in pictures[k:])
        )
        with open_record(self.panel.state.record.path) as record:
            assert np.array_equal(last, record.read_labels(box)), "The picture is not what the record holds."
        return first, whole, finished

    def seen(self, layer: Any, box: Box) -> Any:
        """The ids of a box of the floor that the canvas is drawn from."""
        from napari_mosaic.widgets._napari import shown_box, shown_labels

        held = shown_box(layer)
        out = np.zeros(box.shape, np.uint32)
        part = held.intersect(box)
        if part.area:
            out[part.within(box)] = shown_labels(layer)[part.within(held)]
        return out


def network_alone(floor: Path, record: Path, box: Box) -> tuple[float, float, float]:
    """Seconds of the network for one window, for those that the stones of a view depend on, and those of its tiles."""
    segmenter = load_method(SegmentParams())
    with open_record(record) as opened, open_image(floor) as image:
        plan = opened.plan
        tiles = [plan.shards.tile(index) for index in plan.shards.overlapping(box)]
        windows = sorted({index for tile in tiles for index in windows_under(plan, tile)})
        needed = plan.lattice.overlapping(box.grow(plan.tesserae.halo).clip(plan.shape))
        seen = {index: read_window(image, plan, index)[0] for index in windows}
    one = seen[needed[0]]
    segmenter.predict(one[None])
    began = time.perf_counter()
    segmenter.predict(one[None])
    first = time.perf_counter() - began
    times = []
    for some in (needed, windows):
        began = time.perf_counter()
        with ThreadPoolExecutor(segmenter.streams) as pool:
            list(pool.map(lambda index: segmenter.predict(seen[index][None]), some))
        times.append(time.perf_counter() - began)
    return first, times[0], times[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=98304)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="leave the floor and its record in this folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        floor, record = folder / "floor.ome.zarr", folder / "floor.mosaic.zarr"
        painted = 4096 * (asked.rounds + 1)
        make_floor(floor, asked.side, min(asked.side, painted))
        desk = Desk(floor, record)
        times = []
        for k in range(asked.rounds + 1):
            corner = (asked.side - min(asked.side, painted)) // 2 + 4096 * k
            box = desk.look_at((corner + 1500.0, corner + 1500.0))
            times.append((*desk.find(box), *network_alone(floor, record, box)))
        cold, warm = times[0], [statistics.median(values) for values in zip(*times[1:], strict=True)]
        line: dict[str, Any] = {"benchmark": "view", "gigapixels": round(asked.side**2 / 1e9, 2), "view": box.shape}
        line |= {"opened_s": round(desk.opened_s, 2), "rounds": asked.rounds}
        names = ("first_s", "all_s", "finished_s", "network_first_s", "network_all_s", "network_tiles_s")
        line |= {name: round(value, 2) for name, value in zip(names, warm, strict=True)}
        line |= {f"cold_{name}": round(value, 2) for name, value in zip(names[:3], cold, strict=False)}
        line["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
        print(json.dumps(line), flush=True)
        desk.viewer.close()


if __name__ == "__main__":
    main()
