"""From the model's result to the truth with the tools alone: how many edits a person needs on a development crop.

    python benchmarks/correct.py --data ../shared/data --crops rabbit griffin1 --records quality

`--records` is a folder with records made by benchmarks/quality.py; without it the photographs are segmented first. A
copy of the record is corrected as a person would: what is false is deleted, what the truth has as one is merged, what
it has as two is split (by seeds, then by a line), what is missing is added (by a click, then by an outline), and where
an outline is bad (IoU below `--good`) it is snapped, then painted. Every edit that stays counts as one, one tessera at
a time; those that a look showed to be no good are taken back and counted as tries. `left` are true stones that are
still worse than `--good` on the working grid; tesserae that the crop's edge cuts are left alone, as a person would
leave them, though the truth may leave them out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from PIL import Image
from rasterio.features import shapes
from scipy import ndimage

from napari_mosaic import SegmentParams, editing, segment
from napari_mosaic.editing import Edit
from napari_mosaic.errors import InputError
from napari_mosaic.evaluation import EvaluationParams, evaluate_files
from napari_mosaic.record import Record, open_record
from napari_mosaic.tiling import Box

SEEN = 0.3
Request = dict[str, Any]


class Crop:
    """The truth of one crop on a record's working grid, and the record's tesserae beside it."""

    def __init__(self, record: Record, data: Path, name: str) -> None:
        self.record = record
        about = json.loads((data / f"{name}.json").read_text())
        truth = np.asarray(Image.open(data / f"{name}.png")).astype(np.int64)
        for x0, y0, x1, y1 in about["ignore"]:
            truth[y0:y1, x0:x1] *= -1
            truth[y0:y1, x0:x1][truth[y0:y1, x0:x1] == 0] = -1
        factor, zoom = record.plan.factor, about["zoom"]
        low = [int(np.ceil(about[axis] * factor)) for axis in "yx"]
        high = [int((about[axis] + about["size"]) * factor) for axis in "yx"]
        self.box = Box(*low, *high).clip(record.shape)
        rows, columns = (
            np.clip(((np.arange(a, b) + 0.5) / factor - about[axis]) * zoom, 0, truth.shape[k] - 1).astype(int)
            for k, (axis, a, b) in enumerate(zip("yx", self.box[:2], self.box[2:], strict=True))
        )
        grid = truth[np.ix_(rows, columns)]
        self.unsure = grid < 0
        self.truth = np.abs(np.where(grid == -1, 0, grid))
        areas = np.bincount(self.truth.ravel())
        unsure = np.bincount(self.truth.ravel(), self.unsure.ravel(), len(areas))
        least = 0.04 * np.median(areas[1:][areas[1:] > 0])
        self.stones = [t for t in range(1, len(areas)) if areas[t] > least and unsure[t] <= areas[t] / 2]
        self.areas = areas

    def found(self) -> np.ndarray:
        """Ids in the crop as they are now."""
        return np.asarray(self.record.read_labels(self.box)).astype(np.int64)

    def mask(self, t: int) -> np.ndarray:
        """The pixels of a true stone."""
        return np.asarray(self.truth == t)

    def best(self, t: int, found: np.ndarray) -> tuple[int, float]:
        """The id that covers most of a true stone, and their IoU."""
        own = self.mask(t)
        ids, counts = np.unique(found[own], return_counts=True)
        counts = np.where(ids > 0, counts, 0)
        if not counts.any():
            return 0, 0.0
        k = int(np.argmax(counts))
        return int(ids[k]), counts[k] / (own.sum() + (found == ids[k]).sum() - counts[k])

    def inner(self, mask: np.ndarray) -> list[float]:
        """The place in a mask that is farthest from its edge, `[y, x]` on the working grid."""
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(np.argmax(depth)), mask.shape)
        return [float(y + self.box.y0) + 0.5, float(x + self.box.x0) + 0.5]

    def outline(self, t: int) -> list[list[float]]:
        """The outline of a true stone as a person clicks it: corners, to within a pixel."""
        mask = self.mask(t)
        parts = [shapely.geometry.shape(g) for g, _ in shapes(mask.astype(np.uint8), mask=mask)]
        line = shapely.simplify(max(parts, key=lambda part: part.area).exterior, 1.0)
        return [[y + self.box.y0, x + self.box.x0] for x, y in shapely.get_coordinates(line)[:-1].tolist()]


class Hand:
    """Edits a crop and counts: what stays, by tool, and what was tried and taken back; `good` is the IoU to reach."""

    def __init__(self, crop: Crop, good: float) -> None:
        self.crop, self.good = crop, good
        self.kept: Counter[str] = Counter()
        self.tries = 0

    def do(self, request: Request, stones: list[int], least: float) -> bool:
        """Make an edit; keep it where every one of some true stones is better and none below `least`."""
        crop = self.crop
        before = min(crop.best(t, crop.found())[1] for t in stones) if stones else 0.0
        edit = self._apply(request)
        if edit is None:
            return False
        found = crop.found()
        after = min(crop.best(t, found)[1] for t in stones) if stones else 1.0
        alone = len({crop.best(t, found)[0] for t in stones}) == len(stones)
        if alone and after >= least and (not stones or after > before):
            self.kept[request["tool"]] += 1
            return True
        editing.undo(crop.record)
        self.tries += 1
        return False

    def _apply(self, request: Request) -> Edit | None:
        try:
            return editing.apply_request(self.crop.record, request)
        except InputError:
            return None


def delete_false(hand: Hand) -> None:
    """Take away what is no stone in the truth."""
    crop, found = hand.crop, hand.crop.found()
    rim = set(np.unique(np.concatenate([found[0], found[-1], found[:, 0], found[:, -1]])).tolist())
    for id_ in np.unique(found[found > 0]).tolist():
        own = found == id_
        true = np.bincount(crop.truth[own], minlength=len(crop.areas))
        covers = (true[1:] > 0.5 * np.maximum(crop.areas[1:], 1)).any()
        on_stone, unsure = true[1:].max(initial=0) / own.sum(), crop.unsure[own].mean()
        if on_stone < 0.25 and not covers and unsure < 0.5 and id_ not in rim:
            hand.do({"tool": "delete", "ids": [id_]}, [], 0.0)


def merge_parts(hand: Hand) -> None:
    """Join what the truth has as one."""
    crop = hand.crop
    for t in crop.stones:
        found = crop.found()
        ids, counts = np.unique(found[crop.mask(t)], return_counts=True)
        parts = [
            int(id_)
            for id_, count in zip(ids, counts, strict=True)
            if id_ > 0 and count > 0.6 * (found == id_).sum() and count > 0.1 * crop.areas[t]
        ]
        if len(parts) > 1:
            hand.do({"tool": "merge", "ids": parts}, [t], 0.0)


def split_joined(hand: Hand) -> None:
    """Part what the truth has as several: by a point in each, else by lines between them."""
    crop = hand.crop
    for id_ in np.unique(crop.found()).tolist():
        own = crop.found() == id_
        stones = [t for t in crop.stones if id_ and (own & crop.mask(t)).sum() > 0.5 * crop.areas[t]]
        if len(stones) < 2:
            continue
        points = [crop.inner(own & crop.mask(t)) for t in stones]
        if hand.do({"tool": "split_seeds", "points": points}, stones, 0.5):
            continue
        for line in lines_between(crop, own, stones):
            hand.do({"tool": "split_line", "line": line, "ids": [id_]}, [], 0.0)


def lines_between(crop: Crop, own: np.ndarray, stones: list[int]) -> Iterator[list[list[float]]]:
    """A line across a tessera between each true stone in it and the nearest next one."""
    centres = np.array([np.argwhere(own & crop.mask(t)).mean(axis=0) for t in stones])
    for k in range(1, len(stones)):
        other = centres[:k][np.argmin(((centres[:k] - centres[k]) ** 2).sum(axis=1))]
        middle, along = (centres[k] + other) / 2, centres[k] - other
        along = np.array([along[1], -along[0]]) / max(float(np.hypot(*along)), 1e-6)
        ends = [middle - along * 60, middle + along * 60]
        yield [[float(y) + crop.box.y0 + 0.5, float(x) + crop.box.x0 + 0.5] for y, x in ends]


def add_missing(hand: Hand) -> None:
    """Add the stones that were not seen: by a click, else by the outline."""
    crop = hand.crop
    for t in crop.stones:
        found = crop.found()
        if crop.best(t, found)[1] >= SEEN:
            continue
        free = crop.mask(t) & (found == 0)
        click = {"tool": "add_click", "point": crop.inner(free)}
        if free.sum() <= 0.3 * crop.areas[t] or not hand.do(click, [t], hand.good):
            hand.do({"tool": "add_outline", "outline": crop.outline(t), "over": True}, [t], 0.0)


def mend_outlines(hand: Hand) -> None:
    """Where an outline is bad: snap it to the joint, else paint over it."""
    crop = hand.crop
    for t in crop.stones:
        id_, iou = crop.best(t, crop.found())
        if id_ == 0 or iou >= hand.good:
            continue
        if not hand.do({"tool": "snap", "ids": [id_]}, [t], hand.good):
            found = crop.found()
            painted = np.where(found == id_, 0, found)
            painted[crop.mask(t)] = id_
            hand.do({"tool": "replace_window", "box": list(crop.box), "labels": painted}, [t], 0.0)


STEPS = (delete_false, merge_parts, split_joined, add_missing, mend_outlines)


def score(path: Path, data: Path, name: str) -> dict[str, float]:
    metrics = evaluate_files(path, data / f"{name}.json", params=EvaluationParams()).metrics
    half = metrics.at(0.5)
    figures = {"f1_50": half.f1, "precision_50": half.precision, "recall_50": half.recall, "f1_75": metrics.at(0.75).f1}
    return {key: round(float(value), 3) for key, value in figures.items()}


def correct(path: Path, data: Path, name: str, good: float) -> dict[str, Any]:
    before = score(path, data, name)
    with open_record(path, writable=True) as record:
        crop = Crop(record, data, name)
        hand = Hand(crop, good)
        for step in (*STEPS, *STEPS):
            step(hand)
        count, stones, found = sum(hand.kept.values()), len(crop.stones), crop.found()
        left = sum(bool(crop.best(t, found)[1] < good) for t in crop.stones)
    return {
        "crop": name,
        "good": good,
        "stones": stones,
        "edits": count,
        "edits_per_100": round(100 * count / stones, 1),
        "tries_taken_back": hand.tries,
        "by_tool": dict(hand.kept.most_common()),
        "left": left,
        "before": before,
        "after": score(path, data, name),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--crops", nargs="+", default=["rabbit", "griffin1"])
    parser.add_argument("--good", type=float, default=0.75, help="IoU from which an outline is left as it is")
    parser.add_argument("--records", type=Path, help="folder of records made by benchmarks/quality.py")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.crops:
            photograph = json.loads((arguments.data / f"{name}.json").read_text())["file"]
            path = Path(folder) / f"{name}.mosaic.zarr"
            made = arguments.records and arguments.records / f"{photograph.split('.')[0]}.mosaic.zarr"
            if made and made.exists():
                shutil.copytree(made, path)
            else:
                segment(arguments.data / photograph, path, params=SegmentParams()).close()
            print(json.dumps(correct(path, arguments.data, name, arguments.good)), flush=True)


if __name__ == "__main__":
    main()
