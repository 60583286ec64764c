"""A model on drawn mosaics that no training uses, by size and layout: one line of JSON a group.

    python benchmarks/drawings.py [--model FILE] [--precision fp32] [--count 100] [--size 320] [--seed 500000]
        [--geometry mix|floors|flat|grout] [--tessera PX]

Maps are thresholded at 0.5 at the drawing's own scale, and stones that a drawing does not show count neither way. A
stone is found if exactly one blob of the core map lies on it; `false` are blobs on no stone, or second ones, as a part
of the number of stones. `moved` is the part of joint pixels that are on the other side in single precision.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial

import numpy as np

from napari_mosaic.inference import load_network
from napari_mosaic.synthetic import Drawing, draw_floor, draw_mosaic
from napari_mosaic.synthetic.grout_recipe import draw_grout_like
from napari_mosaic.training.data import grout_target
from napari_mosaic.training.validation import count_blobs

SIZES = ((8, 16), (16, 22), (22, 28), (28, 51))


def count(drawing: Drawing, map_: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Pixels right, predicted and true; stones, found and false; joint pixels moved, and all."""
    height, width = map_.shape[1:]
    known = drawing.valid[:height, :width]
    labels = np.where(known, drawing.labels[:height, :width], 0)
    grout, core = (map_ > 127) & known
    truth = (grout_target(labels) > 0) & known
    moved = (map_[0] > 127) != (exact[0] > 127)
    stones = count_blobs(core, labels)
    return np.array([(grout & truth).sum(), grout.sum(), truth.sum(), *stones, moved.sum(), moved.size])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="grout-lite")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--seed", type=int, default=500_000)
    parser.add_argument("--geometry", choices=("mix", "floors", "flat", "grout"), default="mix")
    parser.add_argument("--tessera", type=float, default=None)
    arguments = parser.parse_args()
    if arguments.geometry == "grout" and arguments.tessera is not None:
        parser.error("GROUT's drawings have sizes of their own; leave --tessera out.")
    network = load_network(arguments.model, device="cpu", precision=arguments.precision)
    single = load_network(arguments.model, device="cpu", precision="fp32")
    draw: dict[str, Callable[..., Drawing]] = {"mix": draw_mosaic, "floors": draw_floor, "grout": draw_grout_like}
    draw["flat"] = partial(draw_floor, kind="flat")
    groups: dict[str, list[np.ndarray]] = {}
    for number in range(arguments.count):
        sized = {} if arguments.tessera is None else {"tessera_px": arguments.tessera}
        drawing = draw[arguments.geometry](arguments.size, arguments.seed + number, **sized)
        side = arguments.size // 32 * 32
        image = np.ascontiguousarray(drawing.image[None, :side, :side])
        found = count(drawing, network.predict(image)[0], single.predict(image)[0])
        size = next(f"{a}-{b} px" for a, b in SIZES if a <= drawing.tessera_px < b or b == SIZES[-1][1])
        for name in ("all", size, drawing.geometry):
            groups.setdefault(name, []).append(found)
    for name, members in sorted(groups.items()):
        right, grout, truth, stones, found, false, moved, pixels = np.sum(members, axis=0).tolist()
        figures = {
            "grout_dice": 2 * right / max(grout + truth, 1),
            "found": found / max(stones, 1),
            "false": false / max(stones, 1),
            "moved": moved / pixels,
        }
        line = {
            "benchmark": "drawings",
            "set": arguments.geometry,
            "group": name,
            "drawings": len(members),
            "stones": stones,
        }
        print(json.dumps(line | {key: round(value, 4) for key, value in figures.items()}), flush=True)


if __name__ == "__main__":
    main()
