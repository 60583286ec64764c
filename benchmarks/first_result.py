"""From the command to the first result, cold and warm: one line of JSON for each tree that is compared.

    python benchmarks/first_result.py --rounds 7
    python benchmarks/first_result.py --tree ../before/src --tree src --rounds 7

Each start is a process of its own that segments a small picture and draws its preview, as the README's first command
does. Cold: nothing compiled is kept. Warm: the start before kept it. With several trees, starts take turns, so that a
busy machine troubles all alike; core-seconds bear that better than seconds by the clock, of which the least counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MAIN = "import sys; from napari_mosaic.cli import main; sys.exit(main(sys.argv[1:]))"


def start(tree: str, source: str, folder: Path) -> tuple[float, float]:
    """Seconds and core-seconds of one start."""
    caches = {"NAPARI_MOSAIC_CACHE": str(folder / "cache"), "NUMBA_CACHE_DIR": str(folder / "numba")}
    path = os.pathsep.join(part for part in (tree, os.environ.get("PYTHONPATH", "")) if part)
    record, preview = folder / "first.mosaic.zarr", folder / "first.png"
    words = ["segment", source, "-o", str(record), "--preview", str(preview), "--overwrite"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", MAIN, *words],
        env={**os.environ, **caches, "PYTHONPATH": path},
        check=True,
        capture_output=True,
    )
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample:brick", help="the picture")
    parser.add_argument("--rounds", type=int, default=5, help="warm starts of each tree")
    parser.add_argument("--tree", action="append", help="a folder that holds the package; the installed one by default")
    arguments = parser.parse_args()
    trees = arguments.tree or [""]
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(number) for number in range(len(trees))]
        for folder in folders:
            folder.mkdir()
        pairs = list(zip(trees, folders, strict=True))
        cold = [start(tree, arguments.source, folder) for tree, folder in pairs]
        warm = [[start(tree, arguments.source, folder) for tree, folder in pairs] for _ in range(arguments.rounds)]
    for number, tree in enumerate(trees):
        seconds, cores = zip(*(turn[number] for turn in warm), strict=True)
        line = {
            "benchmark": "first result",
            "tree": tree or "installed",
            "source": arguments.source,
            "cold_s": round(cold[number][0], 2),
            "cold_core_s": round(cold[number][1], 2),
            "warm_s": round(min(seconds), 2),
            "warm_median_s": round(statistics.median(seconds), 2),
            "warm_core_s": round(statistics.median(cores), 2),
            "warm_core_s_least": round(min(cores), 2),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
