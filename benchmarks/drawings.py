"""A model on drawn mosaics that no training uses, by size and layout: one line of JSON a group.

    python benchmarks/drawings.py [--model FILE] [--count 100] [--size 320] [--seed 500000]

Maps are thresholded at 0.5 at the drawing's own scale, and stones that a drawing does not show count neither way. A
stone is found if exactly one blob of the core map lies on it; `false` are blobs on no stone, or second ones, as a part
of the number of stones.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch

from napari_mosaic.grout import read_model
from napari_mosaic.synthetic import Drawing, draw_mosaic
from napari_mosaic.training.data import Crop
from napari_mosaic.training.network import Recipe
from napari_mosaic.training.validation import validate
from napari_mosaic.weights import find_weights

SIZES = ((8, 16), (16, 22), (22, 28), (28, 51))


def crop_of(drawing: Drawing) -> Crop:
    return Crop(drawing.image, np.where(drawing.valid, drawing.labels, 0), drawing.valid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="grout-lite")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--seed", type=int, default=500_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, card = read_model(find_weights(arguments.model))
    recipe = Recipe(card.architecture, len(card.channels), card.tessera_px, card.mean, card.std, card.halo)
    drawings = [draw_mosaic(arguments.size, arguments.seed + number) for number in range(arguments.count)]
    groups = {"all": drawings}
    groups |= {f"{a}-{b} px": [d for d in drawings if a <= d.tessera_px < b] for a, b in SIZES}
    groups |= {g: [d for d in drawings if d.geometry == g] for g in sorted({d.geometry for d in drawings})}
    for name, members in groups.items():
        figures = validate(model, [crop_of(d) for d in members], recipe) if members else {}
        line = {"benchmark": "drawings", "group": name, "drawings": len(members)}
        print(json.dumps(line | {key: round(value, 3) for key, value in figures.items()}), flush=True)


if __name__ == "__main__":
    main()
