"""Where do the core-seconds of a run go? Each part by itself, per megapixel of the working grid: a line each.

    python benchmarks/parts.py                      # 26 MP of drawn stones, as a PNG
    python benchmarks/parts.py floor.tif --scale 1 --window 512

The parts are done one after the other in this process, so that what is counted is theirs alone: the processor's time of
all threads. A run does them side by side.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_mosaic import SegmentParams, draw_mosaic, segment
from napari_mosaic.engine import mapping, schedule
from napari_mosaic.engine import resample as resampling
from napari_mosaic.engine.schedule import Finished
from napari_mosaic.image import MosaicImage
from napari_mosaic.record import Record, label_layer, map_layer, tables
from napari_mosaic.record import pyramid as pyramids
from napari_mosaic.record.label_layer import LabelLayer
from napari_mosaic.record.map_layer import MapLayer
from napari_mosaic.tiling import Tile


class Parts:
    """Core-seconds by part; what a part calls of another part is counted there."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inside: list[float] = []
        self._closed = False

    def count(self, name: str, function: Callable[..., Any], *, whole: bool = False) -> Callable[..., Any]:
        """The function, whose core-seconds are added to a part; `whole` with those of the parts that it calls."""

        @functools.wraps(function)
        def counted(*arguments: Any, **options: Any) -> Any:
            if self._closed:
                return function(*arguments, **options)
            self._closed, began = whole, time.process_time()
            self._inside.append(0.0)
            try:
                return function(*arguments, **options)
            finally:
                self._closed, took = False, time.process_time() - began
                self.spent[name] += took - self._inside.pop()
                if self._inside:
                    self._inside[-1] += took

        return counted

    def watch(self, owner: Any, function: str, name: str, *, whole: bool = False) -> None:
        """Count what a function of a module or class takes."""
        setattr(owner, function, self.count(name, getattr(owner, function), whole=whole))


class OneByOne:
    """An executor that does each piece in this thread when it is begun."""

    windows_at_once = tiles_at_once = tiles_at_end = 1

    def __init__(self, work: Any, workers: int) -> None:
        self._maker, self._done = work.maker, list[Finished]()

    def group(self, work: Any) -> Any:
        return ([window] for window in work.windows)

    def start_windows(self, windows: Any) -> None:
        inputs = [(window, functools.partial(self._maker.read, window)) for window in windows]
        answers, failed = schedule.predict_windows(self._maker, inputs)
        for window, answer in answers:
            self._maker.keep(window, answer)
        self._done.append(Finished(windows=[window for window, _ in answers], failed=failed))

    def start_tile(self, tile: Tile) -> None:
        self._done.append(Finished(tile=tile, shards=self._maker.write(tile.core)))

    def wait(self) -> Finished:
        return self._done.pop(0)

    def close(self) -> list[Finished]:
        return []


def watch_all() -> Parts:
    """Every part of a run, counted."""
    from napari_mosaic.engine import cluster

    parts = Parts()
    cluster.Threads = OneByOne  # type: ignore[attr-defined]
    parts.watch(MosaicImage, "read", "decode")
    parts.watch(resampling, "read_resampled", "resample")
    parts.watch(mapping, "predict_maps", "network")
    parts.watch(mapping, "find_in_window", "tesserae")
    parts.watch(Record, "read_map", "read map")
    parts.watch(map_layer, "write_array", "write map")
    parts.watch(label_layer, "write_array", "write labels")
    parts.watch(tables, "write_part", "table")
    pyramids._THREADS = 1
    for layer in (MapLayer, LabelLayer):
        parts.watch(layer, "halve", "pyramid", whole=True)
    return parts


def draw(megapixels: float, path: Path) -> None:
    """A picture of drawn stones, one block repeated."""
    cells = max(1, round((megapixels * 1e6) ** 0.5 / 1024))
    Image.fromarray(np.tile(draw_mosaic(1024, seed=1).image, (cells, cells, 1))).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", type=Path)
    parser.add_argument("--megapixels", type=float, default=26)
    parser.add_argument("--scale", type=float, default=1.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = asked.picture or Path(folder) / "floor.png"
        if asked.picture is None:
            draw(asked.megapixels, picture)
        out, params = Path(folder) / "run.mosaic.zarr", SegmentParams(scale=asked.scale)
        segment("sample:brick", Path(folder) / "first.mosaic.zarr").close()  # compiled and loaded by now
        parts, began = watch_all(), time.process_time()
        with segment(picture, out, params=params, overwrite=True) as record:
            taken, megapixels = time.process_time() - began, record.plan.shape[0] * record.plan.shape[1] / 1e6
        parts.spent["all else"] = taken - sum(parts.spent.values())
        for name, core_s in parts.spent.most_common():
            line = {"benchmark": "parts", "part": name, "core_s_per_mp": round(core_s / megapixels, 4)}
            print(json.dumps(line | {"share": round(core_s / taken, 3)}), flush=True)
        line = {"benchmark": "parts", "part": "all", "core_s_per_mp": round(taken / megapixels, 4)}
        print(json.dumps(line | {"megapixels": round(megapixels, 1)}), flush=True)


if __name__ == "__main__":
    main()
