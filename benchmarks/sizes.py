"""F1 against the size that stones are shown at, for each crop of a photograph and for drawings: a line of JSON each.

    python benchmarks/sizes.py --data ../shared/data [--models grout-lite FILE …] [--sizes 13 16 19 22 28]
        [--together 16+22+28 …] [--drawings 20] [--precision fp32]

A crop is seen with 110 px of its photograph around it, at the scale at which its true stones have the size: as the
program tells sizes, the root of the median area and 2.5 px. Drawings are of seeds from 800 000, which no training uses.
Sizes joined by + are fused as `--quality best` fuses them: each lying another way, averaged as log-odds at 15.8 px.
`mean` is that of all crops (or of all drawings of a kind), each weighing the same.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from quality import read_truth

from napari_mosaic.engine.planning import sized
from napari_mosaic.engine.resample import read_resampled
from napari_mosaic.engine.views import WAYS_TO_LIE, fuse, turned, turned_back
from napari_mosaic.evaluation.files import enlarge
from napari_mosaic.image import MosaicImage, open_image
from napari_mosaic.inference import GroutNetwork, load_network
from napari_mosaic.metrics import evaluate_labels
from napari_mosaic.tesserae import TesseraParams, find_in_window
from napari_mosaic.tiling import Box
from napari_mosaic.training.pool import draw_one

CROPS = ("rabbit", "bull", "griffin1", "griffin2", "griffin3", "onager", "lionbull")
SEED = 800_000
_AROUND = 110
_WORKING = 15.8
_JOINT = 2.5


@dataclass(frozen=True)
class Case:
    """A place with truth: `labels` and `ignore` are `zoom` times as fine as the `box` of the image."""

    name: str
    image: MosaicImage
    box: Box
    zoom: int
    labels: NDArray[np.integer]
    ignore: NDArray[np.bool_]

    @property
    def side(self) -> float:
        """Root of the median area of the stones that count, in pixels of the image."""
        area = np.bincount(np.where(self.ignore, 0, self.labels).ravel())[1:]
        return float(np.sqrt(np.median(area[area > 0]))) / self.zoom


def crops(data: Path) -> Iterator[Case]:
    """The crops with truth, each with its photograph."""
    for name in CROPS:
        place, truth, ignore = read_truth(data, name)
        yield Case(name, open_image(data / place.photograph), place.box, place.zoom, truth, ignore)


def drawings(kind: str, count: int) -> Iterator[Case]:
    """Drawn mosaics; what they do not show counts neither way. One without stones is left out."""
    for number in range(count):
        drawing = draw_one(320, SEED + number, kind)
        if len(np.unique(drawing.labels[drawing.valid])) > 5:
            box = Box(0, 0, *drawing.labels.shape)
            yield Case(f"{kind}{number}", open_image(drawing.image), box, 1, drawing.labels, ~drawing.valid)


def seen(case: Case, network: GroutNetwork, size: float, way: tuple[int, bool]) -> NDArray[np.uint8]:
    """The map of a case and its surroundings, shown at a size and lying some way."""
    factor = (size - _JOINT) / case.side
    core = [round(side * factor) for side in case.box.shape]
    margin = round(_AROUND * factor)
    whole = [-(-(side + 2 * margin) // 32) * 32 for side in core]
    corner = (case.box.y0 - margin / factor, case.box.x0 - margin / factor)
    pixels = turned(read_resampled(case.image, corner, factor, (whole[0], whole[1])), *way, (0, 1))
    return turned_back(network.predict(pixels[None])[0], *way, (1, 2))


def score(case: Case, network: GroutNetwork, sizes: tuple[float, ...]) -> float:
    """F1 at IoU 0.5 of the stones found at a size, or at several that are fused."""
    maps = [seen(case, network, size, WAYS_TO_LIE[k]) for k, size in enumerate(sizes)]
    working = sizes[0] if len(sizes) == 1 else _WORKING
    factor = (working - _JOINT) / case.side
    margin = round(_AROUND * factor)
    shape = tuple(round(side * factor) + 2 * margin for side in case.box.shape)
    if len(sizes) > 1:
        maps = [_brought(map_, case, size, (shape[0], shape[1])) for map_, size in zip(maps, sizes, strict=True)]
    map_ = fuse(maps)
    grid = Box(0, 0, *map_.shape[1:])
    found = find_in_window(map_, grid, grid, grid.shape, sized(TesseraParams(), working)).labels
    rows, columns = (
        np.minimum(np.floor(margin + (np.arange(side) + 0.5) * factor).astype(int), limit - 1)
        for side, limit in zip(case.box.shape, found.shape, strict=True)
    )
    labels = enlarge(found[rows[:, None], columns], case.zoom)
    return evaluate_labels(labels, case.labels, ignore=case.ignore).at(0.5).f1


def _brought(map_: NDArray[np.uint8], case: Case, size: float, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """A map at one size on the grid at another."""
    factor, working = (size - _JOINT) / case.side, (_WORKING - _JOINT) / case.side
    scale = factor / working
    shift = round(_AROUND * factor) - round(_AROUND * working) * scale
    frame = tuple(
        float(v) for v in np.clip((shift, shift, shift + shape[1] * scale, shift + shape[0] * scale), 0,
                                  (map_.shape[2], map_.shape[1]) * 2)
    )  # fmt: skip
    planes = [
        np.asarray(Image.fromarray(plane).resize(shape[::-1], Image.Resampling.BILINEAR, box=frame)) for plane in map_
    ]
    return np.stack(planes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--models", nargs="+", default=["grout-lite"])
    parser.add_argument("--sizes", type=float, nargs="*", default=[13, 14.5, 15.8, 17.5, 19, 22, 25, 28])
    parser.add_argument("--together", nargs="*", default=[])
    parser.add_argument("--drawings", type=int, default=0)
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()
    kinds = {kind: list(drawings(kind, arguments.drawings)) for kind in ("mix", "floors") if arguments.drawings}
    if arguments.data is not None:
        kinds = {"crops": list(crops(arguments.data)), **kinds}
    ways = [(size,) for size in arguments.sizes]
    ways += [tuple(float(size) for size in joined.split("+")) for joined in arguments.together]
    for model in arguments.models:
        network = load_network(model, device="cpu", precision=arguments.precision)
        for kind, cases in kinds.items():
            for sizes in ways:
                figures = {case.name: round(score(case, network, sizes), 4) for case in cases}
                line = {"benchmark": "sizes", "model": Path(model).stem, "set": kind,
                        "size": "+".join(f"{size:g}" for size in sizes),
                        "mean": round(float(np.mean(list(figures.values()))), 4)}  # fmt: skip
                print(json.dumps(line | (figures if kind == "crops" else {})), flush=True)


if __name__ == "__main__":
    main()
