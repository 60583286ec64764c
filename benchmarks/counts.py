"""How often does the count's interval hold the truth? Drawn floors, segmented by the usual method: a line each; a sum.

python benchmarks/counts.py                              # 100 drawings, seeds from 5200, none of which the table knows
python benchmarks/counts.py --seed 5225 --drawings 25    # a part of them: lines of several runs are joined by hand
python benchmarks/counts.py --seed 5000 --drawings 200 --fit    # the table of measurement/counting.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from napari_mosaic.measurement.counting import count_by_confidence
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.synthetic.floors import draw_floor

SIZE = 640
LEAST_FOUND, LEAST_TRUE = 20, 5
"""Drawings with hardly a tessera are left out: there is nothing to count."""


def count_drawing(seed: int) -> tuple[np.ndarray, int]:
    """Scores of what is found, and how many are there, both where the drawing shows its tesserae."""
    drawing = (draw_mosaic if seed % 2 else draw_floor)(SIZE, seed)
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(drawing.image).save(Path(folder) / "a.png")
        params = SegmentParams()
        with segment(Path(folder) / "a.png", Path(folder) / "a.mosaic.zarr", params=params) as record:
            columns = read_tesserae(record).columns
            y, x = (
                ((columns[f"{axis}0"] + columns[f"{axis}1"]) / 2 / record.plan.factor).astype(int).clip(0, SIZE - 1)
                for axis in "yx"
            )
    size = np.bincount(drawing.labels.ravel())[1:]
    shown = np.bincount(drawing.labels.ravel(), drawing.valid.ravel())[1:]
    return columns["score"][drawing.valid[y, x]], int(((shown > 0.5 * size) & (size > 0)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=int, default=100)
    parser.add_argument("--seed", type=int, default=5200)
    parser.add_argument("--fit", action="store_true")
    asked = parser.parse_args()
    told, counts = [], []
    for seed in range(asked.seed, asked.seed + asked.drawings):
        scores, true = count_drawing(seed)
        if len(scores) < LEAST_FOUND or true < LEAST_TRUE:
            print(json.dumps({"benchmark": "counts", "seed": seed, "found": len(scores), "true": true}), flush=True)
            continue
        count = count_by_confidence(scores)
        told.append((scores, true))
        counts.append((count, true))
        line: dict[str, int] = {"found": count.found, "low": count.low, "high": count.high, "true": true}
        line["held"] = count.low <= true <= count.high
        print(json.dumps({"benchmark": "counts", "seed": seed} | line), flush=True)
    held = sum(count.low <= true <= count.high for count, true in counts)
    width = float(np.median([(count.high - count.low) / count.found for count, _ in counts]))
    print(json.dumps({"benchmark": "counts", "drawings": len(counts), "held": held, "usual_width": round(width, 3)}))
    if asked.fit:
        doubt = np.array([1 - scores.mean() for scores, _ in told])
        share = np.array([true / len(scores) for scores, true in told])
        for part in np.array_split(np.argsort(doubt), 5):
            print(
                round(float(np.median(doubt[part])), 3), np.quantile(share[part], (0.04, 0.5, 0.96)).round(3).tolist()
            )


if __name__ == "__main__":
    main()
