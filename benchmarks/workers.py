"""Do two worker processes of a dask cluster halve the time of one? A line for each number, then the ratios.

    python benchmarks/workers.py [--megapixels 26] [--rounds 2]

Every worker has one thread and a core of its own, which its network keeps to. A run is segmented at factor 1 by the
command line with --scheduler; `seconds` are those of the run alone (workers are up before), `core_s` of all processes.
The records are compared pixel by pixel.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from throughput import write_floor

from napari_mosaic import open_record
from napari_mosaic.engine.cluster import connect
from napari_mosaic.runtimes import processor, usable_cores


def start(command: str, *words: str, core: int | None = None) -> subprocess.Popen[bytes]:
    """A scheduler or a worker, kept to one core where one is given."""
    script = f"from distributed.cli.dask_{command} import main; main()"
    if core is not None:
        script = f"import os; os.sched_setaffinity(0, {{{core}}}); {script}"
    return subprocess.Popen([sys.executable, "-c", script, *words, "--no-dashboard"], stderr=subprocess.DEVNULL)


def run(floor: Path, record: Path, folder: Path, workers: int) -> tuple[float, float]:
    """Seconds and core-seconds of a run on so many workers."""
    file, cores, before = folder / f"{record.stem}.json", sorted(usable_cores()), os.times()
    processes = [start("scheduler", "--port", "0", "--scheduler-file", str(file))]
    options = ("--scheduler-file", str(file), "--nthreads", "1", "--no-nanny")
    processes += [start("worker", *options, core=cores[number]) for number in range(workers)]
    while not file.is_file():
        time.sleep(0.1)
    with connect(str(file)) as client:
        client.wait_for_workers(workers, timeout=120)
    words = ["segment", str(floor), "-o", str(record), "--scale", "1", "--scheduler", str(file)]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "napari_mosaic", *words], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    for process in processes:
        process.terminate()
        process.wait()
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, spent


def same(first: Path, second: Path) -> bool:
    """Whether two records have the same map and tesserae."""
    with open_record(first) as one, open_record(second) as two:
        arrays = [(record.map.levels[0], record.tesserae.levels[0]) for record in (one, two)]
        return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(*arrays, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=26.0)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        floor = folder / "floor.tif"
        megapixels = write_floor(floor, asked.megapixels / 1e3)
        for number in range(asked.rounds):
            for workers in (1, 2):
                record = folder / f"{number}-{workers}.mosaic.zarr"
                found[workers].append(run(floor, record, folder, workers))
        alike = same(folder / "0-1.mosaic.zarr", folder / "0-2.mosaic.zarr")
    best = {workers: tuple(min(values) for values in zip(*times, strict=True)) for workers, times in found.items()}
    for workers, (seconds, spent) in best.items():
        line = {"benchmark": "workers", "workers": workers, "megapixels": round(megapixels, 1)}
        print(json.dumps(line | {"seconds": round(seconds, 1), "core_s": round(spent, 1)}), flush=True)
    line = {"benchmark": "workers", "faster": round(best[1][0] / best[2][0], 2), "same": alike}
    print(json.dumps(line | {"cpu": round(best[2][1] / best[1][1], 2), "processor": processor()[0]}), flush=True)


if __name__ == "__main__":
    main()
