"""The bundled model beside the methods of the literature, on drawn mosaics: one line of JSON a method, and a table.

    python benchmarks/methods.py [--count 6] [--size 512] [--seed 900000] [--methods grout ...] [--dis FILE.onnx]
        [--table FILE.md]

Every method goes through the same lattice and tessera pass at the drawing's own scale. The drawings are of seeds that
no training uses; a third of them is damaged. Stones that a drawing does not show are left out. `dis` is among the
methods where the network's file is given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_mosaic import SegmentParams, draw_mosaic, segment
from napari_mosaic.evaluation.files import evaluate_files
from napari_mosaic.evaluation.folders import figures

METHODS = ("grout", "grout-augmented", "unet-watershed", "gradient-watershed", "quadrangles", "edges")
GEOMETRIES = ("grid", "bond", "rows", "cells", "figure", "mixed")
SHOWN = ("f1_50", "f1_75", "pq_50", "cnt", "prec", "rec", "fm", "pixel_iou")


def draw(count: int, size: int, seed: int, folder: Path) -> list[tuple[np.ndarray, Path, Path | None]]:
    """Drawings, and as files their truths and what to leave out."""
    drawn = []
    for k in range(count):
        drawing = draw_mosaic(size, seed + k, GEOMETRIES[k % len(GEOMETRIES)], tessera_px=24, damaged=k % 3 == 2)
        truth, unseen = folder / f"truth{k}.npy", folder / f"unseen{k}.png"
        np.save(truth, drawing.labels)
        Image.fromarray(~drawing.valid).save(unseen)
        drawn.append((drawing.image, truth, None if drawing.valid.all() else unseen))
    return drawn


def report(params: SegmentParams, drawn: list[tuple[np.ndarray, Path, Path | None]], folder: Path) -> dict[str, Any]:
    """Mean figures of a method, and its seconds for a megapixel."""
    method = params.method
    rows, seconds, pixels = [], 0.0, 0
    for k, (image, truth, unseen) in enumerate(drawn):
        record = folder / f"{method}-{k}.mosaic.zarr"
        started = time.perf_counter()
        segment(image, record, params=params).close()
        seconds += time.perf_counter() - started
        pixels += image.shape[0] * image.shape[1]
        rows.append(figures(str(k), evaluate_files(record, truth, ignore=unseen)))
    means = {name: round(statistics.fmean(float(row[name] or 0) for row in rows), 4) for name in SHOWN}
    return {"method": method, **means, "seconds_per_mp": round(seconds / pixels * 1e6, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=900_000)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--dis", help="ONNX file of a network for dichotomous segmentation")
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = draw(arguments.count, arguments.size, arguments.seed, folder)
        found = []
        asked = [SegmentParams(method=method, scale=1.0) for method in arguments.methods]
        if arguments.dis:
            asked.append(SegmentParams(method="dis", scale=1.0, model=arguments.dis))
        for params in asked:
            found.append(report(params, drawn, folder))
            print(json.dumps(found[-1]), flush=True)
    if arguments.table is not None:
        columns = ["method", *SHOWN, "seconds_per_mp"]
        lines = [columns, ["---"] * len(columns), *([str(row[name]) for name in columns] for row in found)]
        arguments.table.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


if __name__ == "__main__":
    main()
