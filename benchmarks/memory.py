"""Peak memory of `segment` on a BigTIFF of any size: one line of JSON.

    python benchmarks/memory.py --gigapixels 1
    python benchmarks/memory.py --gigapixels 4

The source is one drawn mosaic repeated, written by tile; the run is the command line in a process of
its own, whose peak resident size the operating system counts. `--probe` runs only a part of it (whole
rows of blocks, spread over the mosaic) where a whole gigapixel takes too long.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from napari_mosaic import draw_mosaic, open_record

TILE = 512


def write_floor(path: Path, side: int) -> None:
    block = np.concatenate(
        [np.concatenate([draw_mosaic(TILE, seed=2 * i + j).image for j in range(2)], 1) for i in range(2)]
    )
    tiles = [block[y : y + TILE, x : x + TILE] for y in (0, TILE) for x in (0, TILE)]

    def repeated():  # type: ignore[no-untyped-def]
        for i in range(-(-side // TILE)):
            for j in range(-(-side // TILE)):
                yield tiles[2 * (i % 2) + j % 2]

    tifffile.imwrite(
        path,
        repeated(),
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(TILE, TILE),
        bigtiff=True,
        photometric="rgb",
        compression="jpeg",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigapixels", type=float, default=1.0)
    parser.add_argument("--scale", default="1")
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    side = int(math.sqrt(arguments.gigapixels * 1e9))
    write_floor(folder / "floor.tif", side)
    started = time.perf_counter()
    command = [sys.executable, "-m", "napari_mosaic", "segment", str(folder / "floor.tif")]
    subprocess.run([*command, "-o", str(folder / "floor.mosaic.zarr"), "--scale", arguments.scale], check=True)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with open_record(folder / "floor.mosaic.zarr") as record:
        count = record.count
    size = sum(file.stat().st_size for file in (folder / "floor.mosaic.zarr").rglob("*") if file.is_file())
    print(
        json.dumps(
            {
                "benchmark": "memory",
                "gigapixels": side * side / 1e9,
                "peak_rss_gb": round(peak / 2**20, 3),
                "seconds": round(seconds),
                "megapixels_per_second": round(side * side / 1e6 / seconds, 2),
                "tesserae": count,
                "record_gb": round(size / 1e9, 2),
            }
        )
    )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
