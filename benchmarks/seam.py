"""How much a map depends on the lattice of windows: one line of JSON a halo.

    python benchmarks/seam.py --side 1536 --core 512

The map of a drawn mosaic is made with windows of one core size and the model's halo, and again with
twice and four times the halo. What differs is the error at the borders of windows.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from napari_mosaic import draw_mosaic, find_tesserae
from napari_mosaic.engine.resample import mirror
from napari_mosaic.engine.segmenters import load_segmenter
from napari_mosaic.tiling import Lattice


def map_with(picture: np.ndarray, segmenter, core: int, halo: int) -> np.ndarray:
    shape = picture.shape[:2]
    out = np.zeros((segmenter.channels, *shape), np.uint8)
    for tile in Lattice(shape=shape, core=core, halo=halo):
        rows = mirror(np.arange(tile.read.y0, tile.read.y1), shape[0])
        columns = mirror(np.arange(tile.read.x0, tile.read.x1), shape[1])
        map_ = segmenter.predict(np.ascontiguousarray(picture[rows[:, None], columns])[None])[0]
        out[(slice(None), *tile.core.slices)] = map_[(slice(None), *tile.core.within(tile.read))]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1536)
    parser.add_argument("--core", type=int, default=512)
    parser.add_argument("--model", default="grout-lite")
    arguments = parser.parse_args()
    segmenter = load_segmenter("grout", arguments.model)
    picture = draw_mosaic(arguments.side, seed=11).image
    reference = map_with(picture, segmenter, arguments.core, 4 * segmenter.halo)
    labels = find_tesserae(reference)
    for halo in (segmenter.halo, 2 * segmenter.halo):
        map_ = map_with(picture, segmenter, arguments.core, halo)
        changed = find_tesserae(map_)
        print(
            json.dumps(
                {
                    "benchmark": "seam",
                    "halo": halo,
                    "against": 4 * segmenter.halo,
                    "mean_difference": round(float(np.abs(map_.astype(int) - reference).mean()) / 255, 6),
                    "joint_pixels_changed": round(float(((map_[0] > 127) != (reference[0] > 127)).mean()), 6),
                    "label_pixels_changed": round(float((changed != labels).mean()), 6),
                    "tesserae": [len(np.unique(changed)) - 1, len(np.unique(labels)) - 1],
                }
            )
        )


if __name__ == "__main__":
    main()
