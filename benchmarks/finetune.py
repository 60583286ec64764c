"""What a few corrected windows of a hard mosaic gain: one line of JSON a mosaic, and the time it took.

    python benchmarks/finetune.py --data ../shared/data --out finetune

For each mosaic the bundled model is fine-tuned on some windows with truth and tested on another one, which
it has not seen, and on two easy mosaics, of which it should forget nothing. The model is thrown away.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

from napari_mosaic import SegmentParams, segment
from napari_mosaic.evaluation import evaluate_files
from napari_mosaic.grout import read_model
from napari_mosaic.training import FinetuneParams, finetune
from napari_mosaic.weights import find_weights

EXPERIMENTS = {"griffin": (["griffin1", "griffin2"], "griffin3"), "onager": (["onager-left"], "onager-right")}
EASY = ("rabbit", "bull")
PAD = 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="grout-lite")
    parser.add_argument("--only", nargs="*", default=list(EXPERIMENTS))
    parser.add_argument("--steps", type=int, default=FinetuneParams().steps)
    parser.add_argument("--rate", type=float, default=FinetuneParams().rate)
    parser.add_argument("--keep", type=float, default=FinetuneParams().keep)
    arguments = parser.parse_args()
    size = read_model(find_weights(arguments.model))[1].tessera_px
    before: dict[str, float] = {}
    for name in arguments.only:
        learned, tested = EXPERIMENTS[name]
        folder = arguments.out / name
        for crop in learned:
            write_pair(arguments.data, crop, folder / "data", size)
        tests = (tested, *EASY)
        for crop in tests:
            if crop not in before:
                before[crop] = score(arguments.data, crop, arguments.model, arguments.out / "records")
        started = time.perf_counter()
        params = FinetuneParams(model=arguments.model, steps=arguments.steps, rate=arguments.rate, keep=arguments.keep)
        weights = finetune(folder / "data", folder / f"{name}-model", params, resume=False)
        minutes = (time.perf_counter() - started) / 60
        after = {crop: score(arguments.data, crop, str(weights), arguments.out / "records") for crop in tests}
        table = {crop: [round(before[crop], 3), round(after[crop], 3)] for crop in tests}
        print(
            json.dumps({"benchmark": "finetune", "mosaic": name, "minutes": round(minutes, 1), "f1": table}), flush=True
        )


def read_crop(data: Path, crop: str) -> tuple[dict, np.ndarray, np.ndarray]:
    """Description, labels and what is known of a crop; `-left` and `-right` know one half of it only."""
    name, _, half = crop.partition("-")
    note = json.loads((data / f"{name}.json").read_text())
    labels = np.asarray(Image.open(data / f"{name}.png")).astype(np.int32)
    known = np.ones(labels.shape, bool)
    for x0, y0, x1, y1 in note["ignore"]:
        known[y0:y1, x0:x1] = False
    middle = labels.shape[1] // 2
    if half:
        known[:, middle:] &= half == "right"
        known[:, :middle] &= half == "left"
    return note, labels, known


def write_pair(data: Path, crop: str, folder: Path, tessera_px: float) -> None:
    """Picture, labels and what is known, at the size that a run works at for small stones, with some surroundings."""
    note, labels, known = read_crop(data, crop)
    areas = np.bincount(labels[labels > 0])
    factor = tessera_px / (np.sqrt(np.median(areas[areas > 0])) / note["zoom"] + 1.5)
    photograph = Image.open(data / note["file"]).convert("RGB")
    y, x, size = note["y"], note["x"], note["size"]
    around = (
        max(0, x - PAD),
        max(0, y - PAD),
        min(photograph.width, x + size + PAD),
        min(photograph.height, y + size + PAD),
    )
    shape = tuple(round((around[k + 2] - around[k]) * factor) for k in (1, 0))
    rows, columns = (
        ((np.arange(n) + 0.5) / factor + around[1 - k] - (y, x)[k]) * note["zoom"] for k, n in enumerate(shape)
    )
    inside = np.outer(
        *((place >= 0) & (place < side) for place, side in zip((rows, columns), labels.shape, strict=True))
    )
    places = np.ix_(*(np.clip(p.astype(int), 0, n - 1) for p, n in zip((rows, columns), labels.shape, strict=True)))
    picture = photograph.crop(around).resize(shape[::-1], Image.Resampling.BICUBIC)
    for name, image in (
        ("images", picture),
        ("labels", Image.fromarray(np.where(inside, labels[places], 0).astype(np.uint16))),
        ("known", Image.fromarray((inside & known[places]).astype(np.uint8) * 255)),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        image.save(folder / name / f"{crop}.png")


def score(data: Path, crop: str, model: str, records: Path) -> float:
    """F1 at IoU 0.5 on a crop, the whole photograph segmented at the scale found by itself."""
    note, _, known = read_crop(data, crop)
    name = crop.partition("-")[0]
    record = records / f"{Path(note['file']).stem}-{Path(model).stem}.mosaic.zarr"
    if not record.exists():
        segment(data / note["file"], record, params=SegmentParams(model=model)).close()
    truth = data / f"{name}.json"
    if "-" in crop:
        truth = half_truth(data, crop, known, records)
    return float(evaluate_files(record, truth).metrics.at(0.5).f1)


def half_truth(data: Path, crop: str, known: np.ndarray, folder: Path) -> Path:
    """The truth of half a crop: the other half is left out of the score."""
    name, _, half = crop.partition("-")
    note = json.loads((data / f"{name}.json").read_text())
    height, width = known.shape
    left_out = [0, 0, width // 2, height] if half == "right" else [width // 2, 0, width, height]
    note["ignore"] = [*note["ignore"], left_out]
    path = folder / f"{crop}.json"
    (folder / f"{crop}.png").write_bytes((data / f"{name}.png").read_bytes())
    path.write_text(json.dumps(note))
    return path


if __name__ == "__main__":
    main()
