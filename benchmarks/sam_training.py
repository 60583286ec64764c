"""How good SAM 2 models are on drawn mosaics that no training has seen: with a point a stone, and by themselves.

    python benchmarks/sam_training.py MODEL [MODEL ...] --geometry mix bricks --drawings 24

prints for each model and layout the mean overlap (IoU) of the mask that a point at a stone's centroid gives, and Dice
and F1 of these masks and of the automatic ones. Drawings have seeds of their own; crops show so many stones as the
model's file says it was trained with.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_mosaic.sam.network import load_sam
from napari_mosaic.training.data import Picture
from napari_mosaic.training.pool import draw_one
from napari_mosaic.training.sam.crops import fixed_places, take_place
from napari_mosaic.training.sam.params import SamTrainParams
from napari_mosaic.training.sam.validation import judge
from napari_mosaic.weights import is_safetensors, read_header

FIRST_SEED = 900_000
"""Beyond the seeds of validation, below those of training."""
SIDE = 320


@dataclass(frozen=True)
class Drawn:
    """Drawings of one layout by number."""

    geometry: str
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> Picture:
        drawing = draw_one(SIDE, FIRST_SEED + index, self.geometry)
        return Picture(drawing.image, np.where(drawing.valid, drawing.labels, 0), drawing.valid)


def main() -> None:
    """Print a line a model and layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--geometry", nargs="+", default=["mix"])
    parser.add_argument("--drawings", type=int, default=24)
    parser.add_argument("--automatic", action="store_true", help="also with the automatic generator")
    given = parser.parse_args()
    for geometry in given.geometry:
        pictures = Drawn(geometry, given.drawings)
        kept = [pictures[k] for k in range(len(pictures))]
        for path in given.models:
            show(path, geometry, kept, automatic=given.automatic)


def show(path: Path, geometry: str, pictures: list[Picture], *, automatic: bool) -> None:
    """One line: a model on the drawings of a layout, one crop of each."""
    network = load_sam(path, device="cpu")
    header = read_header(path) if is_safetensors(path) else {}
    stones = round((network.image_size / float(header.get("tessera_px", "100"))) ** 2)
    places = {place.picture: place for place in fixed_places(pictures, range(len(pictures)), stones)}
    samples = [take_place(pictures, place, 0, network.image_size) for place in places.values()]
    samples = [sample for sample in samples if sample.count]
    began = time.monotonic()
    params = replace(SamTrainParams(), judge="prompts")
    figures = judge(network, samples, params, automatic=automatic)
    values = "  ".join(f"{name} {value:.3f}" for name, value in figures.items() if name != "score")
    asked = sum(sample.count for sample in samples)
    print(f"{path.name:32} {geometry:8} {asked:5} stones  {values}  ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
