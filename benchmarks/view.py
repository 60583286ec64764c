"""How soon *Find in view* shows stones on a floor of ten gigapixels, beside the time of the network alone.

    xvfb-run -a -s "-screen 0 1600x1100x24" python benchmarks/view.py               # 98,304 px squared
    xvfb-run -a -s "-screen 0 1600x1100x24" python benchmarks/view.py --side 32768 --rounds 3

The floor is an OME-Zarr that holds drawn stones in its middle and nothing elsewhere, so it is made in seconds and
opened as any other. Every round finds a place of its own, 1500 x 1000 px; the first is told by itself as `cold`, for it
loads the network. One line of JSON: seconds until the first stones are seen and until the view is done, and those of
the network's windows computed by themselves in this process.
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
        self.viewer.window._qt_window.resize(1600, 1080)
        self.panel = MosaicPanel(self.viewer, SegmentParams(scale=1.0))
        self.viewer.window.add_dock_widget(self.panel, name="Mosaic", area="right")
        began = time.perf_counter()
        self.panel.open_photograph(floor)
        self.wait(lambda: self.panel.layer is not None and self.panel.view.find_view.isEnabled())
        self.opened_s = time.perf_counter() - began
        self.panel.set_place(record)
        self.rest()

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

    def find(self, box: Box) -> tuple[float, float]:
        """Seconds until the first stones are in the picture of the layer, and until all of the view is done."""
        first: list[float] = []
        began = time.perf_counter()

        def seen() -> bool:
            layer = None if self.panel.shown is None else self.panel.shown.tesserae
            if not first and layer is not None and np.any(np.asarray(layer._slice.image.raw)):
                first.append(time.perf_counter() - began)
            return self.panel.job is None and bool(first)

        self.panel.find_in_view()
        self.wait(seen)
        return first[0], time.perf_counter() - began


def network_alone(floor: Path, record: Path, box: Box) -> tuple[float, float]:
    """Seconds of the network for the first window of a view, and for all windows under it."""
    segmenter = load_method(SegmentParams())
    with open_record(record) as opened, open_image(floor) as image:
        plan = opened.plan
        tiles = [plan.shards.tile(index) for index in plan.shards.overlapping(box)]
        windows = sorted({index for tile in tiles for index in windows_under(plan, tile)})
        seen = [read_window(image, plan, index)[0] for index in windows]
    segmenter.predict(seen[0][None])
    began = time.perf_counter()
    segmenter.predict(seen[0][None])
    first = time.perf_counter() - began
    began = time.perf_counter()
    with ThreadPoolExecutor(segmenter.streams) as pool:
        list(pool.map(lambda pixels: segmenter.predict(pixels[None]), seen))
    return first, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=98304)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        floor, record = Path(folder) / "floor.ome.zarr", Path(folder) / "floor.mosaic.zarr"
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
        names = ("first_s", "all_s", "network_first_s", "network_all_s")
        line |= {name: round(value, 2) for name, value in zip(names, warm, strict=True)}
        line |= {f"cold_{name}": round(value, 2) for name, value in zip(names[:2], cold, strict=False)}
        line["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
        print(json.dumps(line), flush=True)
        desk.viewer.close()


if __name__ == "__main__":
    main()
