"""Zero-shot quality on the development photographs: one line of JSON a truth, and the previews.

    python benchmarks/quality.py --data ../shared/data --out quality [--model FILE] [--scale auto] [--only rabbit]

Every photograph is segmented with the scale that the program finds by itself, and compared with
`evaluate`. Look at the previews too: the truth has faults of its own (see the data's README).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from napari_mosaic import SegmentParams, open_image, segment
from napari_mosaic.evaluation import EvaluationParams, evaluate_files
from napari_mosaic.evaluation.files import TruthPlace, read_crop, read_label_image
from napari_mosaic.export.preview import draw_preview

PHOTOGRAPHS = {
    "rabbit_cat18.jpg": ["rabbit"],
    "butterfly.jpg": ["butterfly"],
    "bull_flowers_cat14.jpg": ["bull"],
    "griffin_cat8_print.png": ["griffin1", "griffin2", "griffin3"],
    "lion_onager_cat5_detail.jpg": ["onager"],
    "lion_bull_cat19.jpg": ["lionbull"],
    "peacock_cat10.jpg": [],
    "donkey_cat11.jpg": [],
}


def read_truth(data: Path, name: str) -> tuple[TruthPlace, np.ndarray, np.ndarray]:
    """The place of a crop in its photograph, its labels, and which pixels do not count."""
    place, labels = read_crop(data / f"{name}.json")
    assert place is not None
    truth = read_label_image(labels)
    ignore = np.zeros(truth.shape, bool)
    for box in place.ignore:
        ignore[box.slices] = True
    return place, truth, ignore


def report(data: Path, record: Path, truth: str) -> dict[str, object]:
    path = data / ("butterfly_mask.png" if truth == "butterfly" else f"{truth}.json")
    params = EvaluationParams(min_area=25 if truth == "butterfly" else 0)
    metrics = evaluate_files(record, path, params=params).metrics
    figures = {
        "truth": metrics.truth,
        "found": metrics.predicted,
        "cnt": metrics.cnt,
        "prec": metrics.prec,
        "rec": metrics.rec,
        "fm": metrics.fm,
        "f1_50": metrics.at(0.5).f1,
        "f1_75": metrics.at(0.75).f1,
        "pixel_iou": metrics.pixels.iou,
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="grout-lite")
    parser.add_argument("--scale", default="auto")
    parser.add_argument("--quality", choices=("quick", "best"), default="quick")
    parser.add_argument("--only", nargs="*", default=None)
    arguments = parser.parse_args()
    scale = arguments.scale if arguments.scale == "auto" else float(arguments.scale)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for photograph, truths in PHOTOGRAPHS.items():
        name = photograph.split(".")[0]
        if arguments.only is not None and not {name, *truths} & set(arguments.only):
            continue
        path, started = arguments.out / f"{name}.mosaic.zarr", time.perf_counter()
        params = SegmentParams(model=arguments.model, scale=scale, quality=arguments.quality)
        with segment(arguments.data / photograph, path, params=params, overwrite=True) as record:
            seconds = time.perf_counter() - started
            with open_image(arguments.data / photograph) as image:
                draw_preview(record, image, arguments.out / f"{name}.png")
            known = {"photograph": name, "factor": round(record.plan.factor, 3), "count": record.count}
            if record.plan.zones:
                known["zones"] = sorted({value for row in record.plan.zones for value in row})
            print(json.dumps({**known, "seconds": round(seconds, 1)}), flush=True)
        for truth in truths:
            print(json.dumps({"crop": truth, **report(arguments.data, path, truth)}), flush=True)


if __name__ == "__main__":
    main()
