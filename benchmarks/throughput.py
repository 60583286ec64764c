"""How fast and how large is a run at 0.1, 1 and 4 gigapixels? From the file to labels on disk, a line each.

    python benchmarks/throughput.py                        # 0.1 and 1
    python benchmarks/throughput.py --gigapixels 0.1 1 4   # the last wants 25 GB of disk

Each floor is a tiled TIFF of drawn stones, one block repeated, segmented at factor 1 by the command line in a process
of its own. `core_s_per_mp` is the processor's time of all its processes, `peak_gb` the most memory that is theirs alone
or their part of what they share (PSS of the tree, looked at five times a second), start-up and all included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from napari_mosaic import draw_mosaic
from napari_mosaic.runtimes import processor, usable_cores

BLOCK, TILE = 1024, 512


def write_floor(path: Path, gigapixels: float) -> float:
    """A TIFF of stones; its megapixels. Its tiles are encoded once."""
    block = draw_mosaic(BLOCK, seed=1).image
    side = max(1, round((gigapixels * 1e9) ** 0.5 / BLOCK)) * BLOCK
    encoded = {}
    for y in (0, 1):
        for x in (0, 1):
            part = np.ascontiguousarray(block[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE])
            encoded[y, x] = tifffile.TIFF.COMPRESSORS[8](part.tobytes(), level=1)

    def tiles() -> Iterator[bytes]:
        for row in range(side // TILE):
            for column in range(side // TILE):
                yield encoded[row % 2, column % 2]

    layout = {"tile": (TILE, TILE), "compression": "zlib", "photometric": "rgb", "bigtiff": True}
    tifffile.imwrite(path, tiles(), shape=(side, side, 3), dtype=np.uint8, **layout)
    return side * side / 1e6


def tree(root: int) -> list[int]:
    """A process and all below it."""
    found, parents = [root], {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def pss_gb(root: int) -> float:
    """Memory of a process and all below it, what is shared counted once."""
    total = 0
    for process in tree(root):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1e6


def measure(words: list[str]) -> tuple[float, float, float]:
    """Seconds, core-seconds and peak memory of a command."""
    before, began = os.times(), time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.2):
            peak = max(peak, pss_gb(child.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    failed = child.wait()
    done.set()
    watcher.join()
    if failed:
        raise SystemExit(f"{' '.join(words)} ended with {failed}.")
    after = os.times()
    core = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, core, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigapixels", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    asked = parser.parse_args()
    for gigapixels in asked.gigapixels:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            floor, record = Path(folder) / "floor.tif", Path(folder) / "floor.mosaic.zarr"
            megapixels = write_floor(floor, gigapixels)
            segment = ["segment", str(floor), "-o", str(record), "--scale", "1"]
            seconds, core, peak = measure([sys.executable, "-m", "napari_mosaic", *segment])
            stored = sum(file.stat().st_size for file in record.rglob("*") if file.is_file())
        line = {"benchmark": "throughput", "gigapixels": round(megapixels / 1e3, 3), "seconds": round(seconds, 1)}
        line |= {"mp_per_s": round(megapixels / seconds, 2), "core_s_per_mp": round(core / megapixels, 3)}
        line |= {"peak_gb": round(peak, 2), "record_gb": round(stored / 1e9, 2)}
        print(json.dumps(line | {"cores": len(usable_cores()), "processor": processor()[0]}), flush=True)


if __name__ == "__main__":
    main()
