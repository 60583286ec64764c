"""Does the queue find the wrong stones? What its first tenth holds, and how far what it says is from the truth.

    python benchmarks/suspects.py --data ../shared/data --out suspects [--drawings 50] [--model grout-lite] [--fit 60]

Stones are found as the program does, ordered by `severity`, and compared with the truth: wrong is what matches no true
stone above IoU 0.5. `first_tenth` is how many of the wrong ones are among the first tenth of all stones that count, as
a part of what a perfect order would put there, and `by_score` the same in the order of the score; `listed` the part of
the wrong ones that the queue lists at all; `score_ece` and `ece` the expected calibration errors (ten bins) of score
and of one minus the severity, as probabilities that a stone is right. Crops and drawings (worn floors, of seeds from
900 000) are each judged as one queue. `--fit N` prints coefficients for `editing/wrongness.py`, fitted on N drawings of
seeds from 950 000 alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from quality import read_truth

from napari_mosaic import SegmentParams, open_image, segment
from napari_mosaic.editing import QueueParams, suspects
from napari_mosaic.editing.queue import measured_rows
from napari_mosaic.editing.wrongness import FEATURES, doubts
from napari_mosaic.evaluation.files import enlarge
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.metrics import count_overlaps, sort_stones
from napari_mosaic.record import Record, open_record
from napari_mosaic.synthetic import draw_floor
from napari_mosaic.tiling import Box

PHOTOGRAPHS = {
    "rabbit_cat18.jpg": ("rabbit",),
    "bull_flowers_cat14.jpg": ("bull",),
    "griffin_cat8_print.png": ("griffin1", "griffin2", "griffin3"),
    "lion_onager_cat5_detail.jpg": ("onager",),
    "lion_bull_cat19.jpg": ("lionbull",),
}
_TEST, _FIT = 900_000, 950_000
_WEIGHT = 1.0
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """Stones that count: what the queue says of them (0 where it does not list them), their score and doubts, truth."""

    name: str
    severity: Floats
    score: Floats
    doubts: Floats
    wrong: NDArray[np.bool_]


@dataclass(frozen=True)
class Looked:
    """What is told of the stones of a record by id: severity where they are listed, score, doubts."""

    said: dict[int, float]
    score: dict[int, float]
    doubts: dict[int, Floats]


def look(record: Record) -> Looked:
    """Look at all stones of a record."""
    looked = Looked({one.id: one.severity for one in suspects(record, QueueParams(most=1_000_000))}, {}, {})
    with record.open_source() as image:
        for row, around in measured_rows(record, image):
            looked.score.update(zip(row["id"].tolist(), row["score"].tolist(), strict=True))
            looked.doubts.update(zip(row["id"].tolist(), doubts(row, around), strict=True))
    return looked


def judge(looked: Looked, name: str, found: NDArray[Any], truth: NDArray[Any], ignore: NDArray[np.bool_]) -> Judged:
    """The stones of `found` that count beside a truth on the same grid."""
    sorted_ = sort_stones(count_overlaps(found, truth, ignore=ignore))
    ids = np.concatenate([sorted_.right, sorted_.false]).tolist()
    wrong = np.arange(len(ids)) >= len(sorted_.right)
    return Judged(
        name, np.array([looked.said.get(id_, 0.0) for id_ in ids]), np.array([looked.score[id_] for id_ in ids]),
        np.array([looked.doubts[id_] for id_ in ids]).reshape(len(ids), len(FEATURES)), wrong,
    )  # fmt: skip


def of_crops(data: Path, out: Path, model: str) -> Iterator[Judged]:
    """The crops, each in its whole photograph."""
    for photograph, names in PHOTOGRAPHS.items():
        path = out / f"{photograph.split('.')[0]}.mosaic.zarr"
        if not path.exists():
            segment(data / photograph, path, params=SegmentParams(model=model)).close()
        with open_record(path) as record:
            looked = look(record)
            for name in names:
                place, truth, ignore = read_truth(data, name)
                found = enlarge(read_source_labels(record, place.box), place.zoom)
                yield judge(looked, name, found, truth, ignore)


def of_drawings(count: int, first: int, out: Path, model: str) -> Iterator[Judged]:
    """Drawn worn floors at the scale of their stones."""
    for seed in range(first, first + count):
        drawing = draw_floor(320, seed)
        if len(np.unique(drawing.labels[drawing.valid])) < 12:
            continue
        file, path = out / f"{seed}.png", out / f"{seed}.mosaic.zarr"
        Image.fromarray(drawing.image).save(file)
        scale = max(1.0, 15.8 / drawing.tessera_px)
        if not path.exists():
            segment(file, path, params=SegmentParams(model=model, scale=scale)).close()
        with open_record(path) as record, open_image(file):
            found = read_source_labels(record, Box(0, 0, *drawing.labels.shape))
            yield judge(look(record), str(seed), found, drawing.labels, ~drawing.valid)


def join(parts: list[Judged], name: str) -> Judged:
    """All stones as one queue."""
    fields = ("severity", "score", "doubts", "wrong")
    return Judged(name, *(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


def figures(judged: Judged) -> dict[str, Any]:
    """What is told of a queue."""
    tenth = -(-len(judged.wrong) // 10)
    order = np.argsort(-judged.severity, kind="stable")[:tenth]
    wrong = int(judged.wrong.sum())
    hits = int(judged.wrong[order][judged.severity[order] > 0].sum())
    return {
        "stones": len(judged.wrong), "wrong": wrong, "first_tenth": round(hits / max(1, min(wrong, tenth)), 3),
        "by_score": round(float(judged.wrong[np.argsort(judged.score, kind="stable")[:tenth]].sum())
                          / max(1, min(wrong, tenth)), 3),
        "listed": round(float((judged.severity[judged.wrong] > 0).mean()) if wrong else 1.0, 3),
        "score_ece": ece(judged.score, ~judged.wrong), "ece": ece(1 - judged.severity, ~judged.wrong),
    }  # fmt: skip


def ece(said: Floats, right: NDArray[np.bool_]) -> float:
    """Mean distance between what is said and what is right, over ten bins, by their stones."""
    place = np.minimum((said * 10).astype(int), 9)
    count = np.bincount(place, minlength=10)
    apart = np.abs(np.bincount(place, said, 10) - np.bincount(place, right, 10))
    return round(float(apart.sum() / count.sum()), 4)


def fit(judged: Judged) -> Floats:
    """Coefficients, the constant last, of the logistic regression of wrong on the doubts (ridge, Newton's steps)."""
    x = np.column_stack([judged.doubts, np.ones(len(judged.wrong))])
    ridge = np.full(x.shape[1], _WEIGHT)
    ridge[-1] = 0
    w = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge) + 1e-9 * np.eye(len(w))
        w = w - np.linalg.solve(hessian, x.T @ (p - judged.wrong) + ridge * w)
    return w


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="grout-lite")
    parser.add_argument("--drawings", type=int, default=50)
    parser.add_argument("--fit", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.fit:
        learned = join(list(of_drawings(arguments.fit, _FIT, arguments.out, arguments.model)), "fit")
        told = {name: round(float(value), 3) for name, value in zip((*FEATURES, "one"), fit(learned), strict=True)}
        print(
            json.dumps({"benchmark": "suspects", "group": "fitted", "wrong": int(learned.wrong.sum()), **told}),
            flush=True,
        )
    sets: dict[str, list[Judged]] = {}
    if arguments.data is not None:
        sets["crops"] = list(of_crops(arguments.data, arguments.out, arguments.model))
    if arguments.drawings:
        sets["drawings"] = list(of_drawings(arguments.drawings, _TEST, arguments.out, arguments.model))
    for name, parts in sets.items():
        for judged in [*(parts if name == "crops" else []), join(parts, f"all {name}")]:
            print(json.dumps({"benchmark": "suspects", "group": judged.name, **figures(judged)}), flush=True)


if __name__ == "__main__":
    main()
