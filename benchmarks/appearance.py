"""How drawn mosaics differ from photographs: figures of stones and joints, one line of JSON a crop or set of drawings.

    python benchmarks/appearance.py --data ../shared/data [--sets mix floors] [--count 60] [--plot appearance.png]

Everything is brought to 16 px a stone. Each figure is told by its 10 %, 50 % and 90 % quantiles over all stones (or
pictures): `native_px` side of a stone in the picture's own pixels; `joint_part` part of the area round stones that is
joint; `joint_contrast` levels (of 255) between a stone and its joint; `joint_seen` the same in deviations of the
stone's texture; `texture` deviation in a stone; `neighbour` levels between the colours of two stones side by side;
`fine`, `middle` and `coarse` parts of the picture's power at wavelengths under 4 px, 4 to 8 px, 8 to 16 px. Nothing is
fitted to them; they are for looking at what a drawing lacks.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.image import open_image
from napari_mosaic.tiling import Box
from napari_mosaic.training.pool import draw_one

CROPS = ("rabbit", "bull", "griffin1", "griffin2", "griffin3", "onager", "lionbull")
SIDE = 16.0
_FIRST_SEED = 700_000
_RING, _LEAST = 2.5, 12
Figures = dict[str, list[float]]


def figures(image: NDArray[np.uint8], labels: NDArray[np.integer], known: NDArray[np.bool_]) -> Figures:
    """The figures of one picture (Y, X, 3) with labels and what is known of it, at its own size."""
    whole = np.where(known, labels, 0)
    area = np.bincount(whole.ravel())
    area[0] = 0
    sizes = area[area >= _LEAST]
    if len(sizes) < 5:
        return {}
    native = float(np.sqrt(np.median(sizes))) * 1.12
    factor = SIDE / native
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA))
    labels = cv2.resize(labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST).astype(np.int32)
    known = cv2.resize(known.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return {"native_px": [native]} | _stones(image.astype(np.float64), labels, known) | _power(image, known)


def _stones(image: NDArray[np.float64], labels: NDArray[np.int32], known: NDArray[np.bool_]) -> Figures:
    grey = image.mean(axis=2)
    joint = (labels == 0).astype(np.uint8)
    distance, nearest = cv2.distanceTransformWithLabels(joint, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    number = np.zeros(int(nearest.max()) + 1, np.int64)
    number[nearest[joint == 0]] = labels[joint == 0]
    owner, n = number[nearest], int(labels.max()) + 1
    edge = cv2.erode(labels.astype(np.float32), np.ones((3, 3))) != cv2.dilate(
        labels.astype(np.float32), np.ones((3, 3))
    )
    ring = known & (((joint > 0) & (distance <= _RING)) | edge)
    inside = known & (cv2.distanceTransform(1 - (joint | edge), cv2.DIST_L2, 5) >= 1.5)
    near = known & (distance <= 4)
    mean, count = _mean(grey, labels, inside, n)
    line, line_count = _mean(grey, owner, ring & (distance <= _RING), n)
    texture = np.sqrt(np.maximum(_mean(grey**2, labels, inside, n)[0] - mean**2, 0))
    good = (count > _LEAST) & (line_count > _LEAST)
    good[0] = False
    contrast = np.abs(mean - line)[good]
    colour = np.stack([_mean(image[..., k], labels, inside, n)[0] for k in range(3)], axis=1)
    pairs = _neighbours(owner, near)
    pairs = pairs[(count[pairs] > _LEAST).all(axis=1)] if len(pairs) else pairs
    apart = np.sqrt(((colour[pairs[:, 0]] - colour[pairs[:, 1]]) ** 2).mean(axis=1)) if len(pairs) else np.zeros(0)
    return {
        "joint_part": [float(joint[near].mean())],
        "joint_contrast": contrast.tolist(),
        "joint_seen": (contrast / np.maximum(texture[good], 1)).tolist(),
        "texture": texture[good].tolist(),
        "neighbour": apart.tolist(),
    }


def _mean(
    values: NDArray[np.float64], owner: NDArray[np.integer], where: NDArray[np.bool_], n: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    count = np.bincount(owner[where], minlength=n)
    return np.bincount(owner[where], values[where], n) / np.maximum(count, 1), count


def _neighbours(owner: NDArray[np.integer], near: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pairs (N, 2) of stones whose grounds meet."""
    found = []
    for a, b, ok in ((owner[:, 1:], owner[:, :-1], near[:, 1:] & near[:, :-1]),
                     (owner[1:], owner[:-1], near[1:] & near[:-1])):  # fmt: skip
        meet = ok & (a != b) & (a > 0) & (b > 0)
        found.append(np.sort(np.stack([a[meet], b[meet]], axis=1), axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _power(image: NDArray[np.uint8], known: NDArray[np.bool_]) -> Figures:
    grey = image.mean(axis=2)
    part = known.mean()
    if part < 0.3:
        return {}
    grey = np.where(known, grey - grey[known].mean(), 0) * np.outer(
        np.hanning(grey.shape[0]), np.hanning(grey.shape[1])
    )
    power = np.abs(np.fft.fft2(grey)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(grey.shape[0]), np.fft.fftfreq(grey.shape[1]), indexing="ij"))
    whole = power[(frequency > 1 / 32) & (frequency <= 0.5)].sum() + 1e-9
    bands = {"fine": (0.25, 0.5), "middle": (0.125, 0.25), "coarse": (0.0625, 0.125)}
    return {name: [float(power[(frequency > a) & (frequency <= b)].sum() / whole)] for name, (a, b) in bands.items()}


def read_crop(data: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.bool_]]:
    """Photograph, labels and what is known of a crop, in the photograph's pixels enlarged by its zoom."""
    note = json.loads((data / f"{name}.json").read_text(encoding="utf-8"))
    zoom, size = int(note["zoom"]), int(note["size"])
    with open_image(data / note["file"]) as picture:
        box = Box(note["y"], note["x"], note["y"] + size, note["x"] + size)
        image = picture.read(box)
    labels = cv2.imread(str(data / f"{name}.png"), cv2.IMREAD_UNCHANGED).astype(np.float32)
    known = np.ones(labels.shape, np.uint8)
    for x0, y0, x1, y1 in note["ignore"]:
        known[y0:y1, x0:x1] = 0
    half = zoom // 2
    return image, labels[half::zoom, half::zoom].astype(np.int32), known[half::zoom, half::zoom] > 0


def gather(pictures: list[Figures]) -> Figures:
    """All figures of several pictures together."""
    together: Figures = {}
    for picture in pictures:
        for name, values in picture.items():
            together.setdefault(name, []).extend(values)
    return together


def draw_set(geometry: str, count: int) -> Figures:
    """The figures of so many drawings that no training uses."""
    drawings = (draw_one(320, _FIRST_SEED + number, geometry) for number in range(count))
    return gather([figures(drawing.image, drawing.labels, drawing.valid) for drawing in drawings])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=["mix"])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--plot", type=Path, default=None)
    arguments = parser.parse_args()
    groups = {name: figures(*read_crop(arguments.data, name)) for name in CROPS}
    groups["all crops"] = gather(list(groups.values()))
    groups |= {f"drawings: {name}": draw_set(name, arguments.count) for name in arguments.sets}
    for group, found in groups.items():
        told = {
            name: [round(float(v), 3) for v in np.quantile(values, (0.1, 0.5, 0.9))] for name, values in found.items()
        }
        print(json.dumps({"benchmark": "appearance", "group": group, **told}), flush=True)
    if arguments.plot:
        plot(groups, arguments.plot)


def plot(groups: dict[str, Figures], path: Path) -> None:
    """The distributions of all crops and of the sets of drawings, side by side."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = {name: found for name, found in groups.items() if name == "all crops" or name.startswith("drawings")}
    names = list(groups["all crops"])
    _, axes = plt.subplots(3, 3, figsize=(12, 9), constrained_layout=True)
    for axis, name in zip(axes.ravel(), names, strict=False):
        axis.boxplot(
            [found.get(name, [0]) for found in shown.values()],
            orientation="horizontal",
            whis=(10, 90),
            showfliers=False,
        )
        axis.set_yticks(range(1, len(shown) + 1), list(shown))
        axis.set_title(name.replace("_", " "))
    plt.savefig(path, dpi=80)
    plt.close()


if __name__ == "__main__":
    main()
