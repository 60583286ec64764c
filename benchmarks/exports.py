"""What does each export cost? Seconds and peak memory for N drawn stones: a line each, each in a process of its own.

python benchmarks/exports.py                          # 20,000 stones, all formats and the delivery folder
python benchmarks/exports.py --stones 100000 delivery geopackage dxf
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from napari_mosaic.area_files import Grid
from napari_mosaic.cli import main as command
from napari_mosaic.export import FORMATS, export_record
from napari_mosaic.export.delivery import deliver
from napari_mosaic.export.region import grid_of
from napari_mosaic.image import open_image
from napari_mosaic.importing import import_edits_steps, import_record_steps, read_outlines
from napari_mosaic.progress import drain
from napari_mosaic.record import open_record

PITCH, SIDE, RECORD = 24, 20, "floor.mosaic.zarr"


def draw(count: int, folder: Path) -> None:
    """A record of `count` square stones."""
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    numbers = np.arange(rows * columns).reshape(rows, columns) + 1
    numbers[numbers > count] = 0
    labels = np.kron(numbers.astype(np.uint32), np.pad(np.ones((SIDE, SIDE), np.uint32), (0, PITCH - SIDE)))
    np.save(folder / "labels.npy", labels)
    Image.fromarray((labels > 0).astype(np.uint8) * 200).save(folder / "floor.png", compress_level=1)
    path = folder / RECORD
    with open_image(folder / "floor.png") as image:
        outlines = read_outlines(folder / "labels.npy", Grid(shape=image.shape), shows="labels")
        drain(import_record_steps(image, outlines, path)).close()
    command(["pixel-size", str(path), "0.5"])


def perform(path: Path, name: str) -> None:
    """One export, and where it is read back what that costs."""
    out = path.parent / f"{name}{FORMATS[name].suffixes[0] if name in FORMATS else ''}"
    began = time.perf_counter()
    with open_record(path) as record:
        made = deliver(record, out) if name == "delivery" else export_record(record, name, out)
        line = {"benchmark": "exports", "format": name, "tesserae": record.count}
        line |= {"s": round(time.perf_counter() - began, 1), "peak_mb": _peak_mb()}
        if name in ("geopackage", "dxf", "geojson", "coco", "shapefile", "tiff"):
            began = time.perf_counter()
            done = drain(import_edits_steps(record, read_outlines(made, grid_of(record)), dry_run=True))
            line |= {"back_s": round(time.perf_counter() - began, 1), "back_peak_mb": _peak_mb(), "same": done.same}
    print(json.dumps(line), flush=True)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", help="names of formats, or delivery")
    parser.add_argument("--stones", type=int, default=20_000)
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.record is not None:
        if asked.formats:
            perform(asked.record, asked.formats[0])
        else:
            draw(asked.stones, asked.record)
        return
    with tempfile.TemporaryDirectory() as folder:
        # Linux counts what a parent holds as its children's peak, so this process draws nothing itself.
        path = Path(folder) / RECORD
        again = [sys.executable, __file__, "--stones", str(asked.stones), "--record"]
        subprocess.run([*again, folder], check=True, stdout=subprocess.DEVNULL)
        for name in asked.formats or [*FORMATS, "delivery"]:
            subprocess.run([*again, str(path), name], check=False)


if __name__ == "__main__":
    main()
