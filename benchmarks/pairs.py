"""Two trees of the package against each other: core-seconds and peak memory of `segment`, in pairs that take turns.

    python benchmarks/pairs.py --tree ../before/src --tree src --rounds 7

Each run is a process of its own over one drawn picture. One line of JSON: the second tree by the first, the median of
the pairs' ratios with the interval that 90 % of resampled sets of pairs give. Core-seconds bear a busy machine better
than seconds by the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from napari_mosaic import draw_mosaic

RUN = """
import resource, sys
from napari_mosaic import SegmentParams, segment
segment(sys.argv[1], sys.argv[2], params=SegmentParams(scale=1.0), overwrite=True).close()
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6)
"""


def run(tree: str, picture: Path, record: Path) -> tuple[float, float]:
    """Core-seconds and peak memory in GB of one run."""
    path = os.pathsep.join(part for part in (tree, os.environ.get("PYTHONPATH", "")) if part)
    words = [sys.executable, "-c", RUN, str(picture), str(record)]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True, text=True)
    core_s, peak = done.stdout.split()[-2:]
    return float(core_s), float(peak)


def ratios(first: list[float], second: list[float]) -> dict[str, float]:
    """Median of the pairs' ratios, and the middle 90 % of it over resampled sets of pairs."""
    values = np.array(second) / np.array(first)
    picks = np.random.default_rng(0).integers(len(values), size=(4000, len(values)))
    low, high = np.quantile(np.median(values[picks], axis=1), [0.05, 0.95])
    return {"ratio": round(float(np.median(values)), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", action="append", required=True, help="folders that hold the package, twice")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--megapixels", type=float, default=9.0)
    arguments = parser.parse_args()
    cells = max(1, round((arguments.megapixels * 1e6) ** 0.5 / 1024))
    image = np.tile(draw_mosaic(1024, seed=1).image, (cells, cells, 1))
    with tempfile.TemporaryDirectory() as name:
        picture = Path(name) / "floor.png"
        Image.fromarray(image).save(picture)
        trees = [(tree, Path(name) / f"{number}.mosaic.zarr") for number, tree in enumerate(arguments.tree)]
        for tree, record in trees:
            run(tree, picture, record)  # compiled by now
        found = [[run(tree, picture, record) for tree, record in trees] for _ in range(arguments.rounds)]
    core, peak = ([[pair[k][value] for pair in found] for k in range(2)] for value in range(2))
    line = {"benchmark": "pairs", "megapixels": round(image.shape[0] * image.shape[1] / 1e6, 1), "rounds": len(found)}
    line |= {"core_s": [round(float(np.median(values)), 2) for values in core], "core": ratios(*core)}
    line |= {"peak_gb": [round(float(np.median(values)), 2) for values in peak], "peak": ratios(*peak)}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
