"""SAM 2 guided by the joints on drawn mosaics that no training has seen, beside the joints alone: one line a layout.

    python benchmarks/sam2_drawings.py MODEL --geometry bond grid mix --drawings 6

Every drawing goes the whole way of `segment`, at the scale that the program finds. *points*: mean overlap (IoU) of the
mask that one point at a stone's centroid gives, with that stone; *guided*, *joints*: mean over the true stones of the
overlap of the best tessera (0 where there is none), mean over those found (IoU above 0.5), and F1, as `evaluate` tells
them. Left out is what a drawing does not show, and scraps of less than a tenth of the median stone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mosaic import SegmentParams, segment
from napari_mosaic.metrics import Metrics, evaluate_labels
from napari_mosaic.record import Record
from napari_mosaic.sam.network import load_sam
from napari_mosaic.sam.params import SamParams
from napari_mosaic.synthetic import Drawing
from napari_mosaic.tiling import Box
from napari_mosaic.training.data import Picture
from napari_mosaic.training.pool import draw_one
from napari_mosaic.training.sam.crops import fixed_places, take_place
from napari_mosaic.training.sam.params import SamTrainParams
from napari_mosaic.training.sam.validation import guided_labels

FIRST_SEED = 800_000
"""Seeds from here on belong to no training and no validation."""
SIDE = 320
FEWEST = 8
"""Drawings with fewer stones show no mosaic."""


def main() -> None:
    """Print a line a layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--geometry", nargs="+", default=["bond", "grid", "mix"])
    parser.add_argument("--drawings", type=int, default=6)
    given = parser.parse_args()
    for geometry in given.geometry:
        show(given.model, geometry, given.drawings)


def show(model: Path, geometry: str, count: int) -> None:
    """One line: all drawings of a layout."""
    network = load_sam(model, device="cpu", precision="fp32")
    began, points, fallen = time.monotonic(), [], []
    judged: dict[str, list[Metrics]] = {"guided": [], "joints": []}
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        drawing = draw_one(SIDE, seed, geometry)
        truth = np.where(drawing.valid, drawing.labels, 0)
        if len(np.unique(truth)) <= FEWEST:
            continue
        pictures = [Picture(drawing.image, truth, drawing.valid)]
        places = fixed_places(pictures, [0], round((network.image_size / network.tessera_px) ** 2))
        sample = take_place(pictures, places[0], 0, network.image_size)
        points += guided_labels(network, sample, SamTrainParams())[1] if sample.count else []
        ignore = ~drawing.valid | np.isin(truth, scraps(truth))
        with tempfile.TemporaryDirectory() as folder:
            for name, method in (("joints", "grout"), ("guided", "grout+sam2")):
                params, sam = SegmentParams(method=method), replace(SamParams(), model=str(model))
                with segment(drawing.image, Path(folder) / f"{name}.mosaic.zarr", params=params, sam=sam) as record:
                    judged[name].append(evaluate_labels(at_source(record, drawing), truth, ignore=ignore))
                    if name == "guided":
                        fallen += record.label_layer("sam2").table()["fallback"].to_pylist()
    stones, guided, joints = (sum(one.truth for one in judged["guided"]), *map(figures, judged.values()))
    print(
        f"{geometry:8} {stones} stones  points {np.mean(points):.3f} of {len(points)}  guided {guided}, fallen back "
        f"{np.mean(fallen):.3f}  joints {joints}  ({time.monotonic() - began:.0f} s)",
        flush=True,
    )


def scraps(truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Stones of less than a tenth of the median area."""
    ids, areas = np.unique(truth[truth > 0], return_counts=True)
    return ids[areas < 0.1 * np.median(areas)]


def at_source(record: Record, drawing: Drawing) -> NDArray[np.int64]:
    """The tesserae at the pixels of the drawing."""
    labels = record.read_labels(Box(0, 0, *record.shape))
    y, x = (
        np.minimum(((np.arange(side) + 0.5) * record.plan.factor).astype(int), length - 1)
        for side, length in zip(drawing.labels.shape, labels.shape, strict=True)
    )
    return np.asarray(labels[np.ix_(y, x)], np.int64)


def figures(metrics: list[Metrics]) -> str:
    """Mean overlap over all stones, over those found; mean F1 over the drawings."""
    overlap = sum(one.mean_best_iou * one.truth for one in metrics) / sum(one.truth for one in metrics)
    pairs = [one.at(0.5) for one in metrics]
    found = sum(pair.mean_matched_iou * pair.true_positives for pair in pairs) / sum(
        pair.true_positives for pair in pairs
    )
    return f"{overlap:.3f}, found ones {found:.3f}, F1 {np.mean([pair.f1 for pair in pairs]):.3f}"


if __name__ == "__main__":
    main()
