"""What a seam costs: tesserae named by place beside blocks whose labels are merged where they touch.

    python benchmarks/merging.py [--side 4096] [--block 1024] [--overlap 64]

One map of drawn stones, cut in blocks. `placed` is how this package does it: each block sees the halo that exact labels
need, and nothing is joined afterwards. `merged` is how distributed Cellpose does it: each block sees the overlap, its
labels are numbered on, and labels that touch across a face of two blocks, after a pixel has been taken off their rims
there, become one. A stone that lies across a seam of the labels of the whole map is wrong where no label covers it by
IoU 0.9. One line of JSON each: core-seconds of all, of them for joining, stones across seams, wrong ones.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from napari_mosaic import draw_mosaic
from napari_mosaic.inference import load_network
from napari_mosaic.tesserae import TesseraParams, find_in_window, find_tesserae
from napari_mosaic.tiling import Box

Labels = NDArray[np.int64]


def map_of(side: int) -> NDArray[np.uint8]:
    """The map of drawn stones, by windows that do not see each other: seams are those of the labels alone."""
    network, block = load_network("grout-lite", device="cpu"), 1024
    maps = np.zeros((2, side, side), np.uint8)
    for number, (y, x) in enumerate(product(range(0, side, block), repeat=2)):
        picture = draw_mosaic(block + 128, seed=number % 4 + 1, damaged=False).image
        maps[:, y : y + block, x : x + block] = network.predict(picture[None])[0][:, 64:-64, 64:-64]
    return maps


def placed(map_: NDArray[np.uint8], block: int, _: int) -> tuple[Labels, float]:
    """Labels by blocks that see what they need; seconds of joining."""
    shape, params = map_.shape[1:], TesseraParams()
    labels = np.zeros(shape, np.int64)
    for y, x in product(range(0, shape[0], block), range(0, shape[1], block)):
        core = Box(y, x, y + block, x + block).clip(shape)
        window = core.grow(params.halo).clip(shape)
        found = find_in_window(map_[:, window.slices[0], window.slices[1]], window, core, shape, params)
        labels[core.slices] = found.labels
    return labels, 0.0


def merged(map_: NDArray[np.uint8], block: int, overlap: int) -> tuple[Labels, float]:
    """Labels by blocks with an overlap, joined where they touch; seconds of joining."""
    shape = map_.shape[1:]
    labels, count = np.zeros(shape, np.int64), 0
    for y, x in product(range(0, shape[0], block), range(0, shape[1], block)):
        core = Box(y, x, y + block, x + block).clip(shape)
        window = core.grow(overlap).clip(shape)
        found = find_tesserae(np.ascontiguousarray(map_[:, window.slices[0], window.slices[1]]))
        _, numbers = np.unique(found[core.within(window)], return_inverse=True)
        numbers = numbers.reshape(core.shape)
        zero = int(found[core.within(window)].min() > 0)
        labels[core.slices] = np.where(numbers + zero > 0, numbers + zero + count, 0)
        count += int(numbers.max()) + 1
    began = time.process_time()
    down = [_touching(labels[seam - 1], labels[seam]) for seam in range(block, shape[0], block)]
    right = [_touching(labels[:, seam - 1], labels[:, seam]) for seam in range(block, shape[1], block)]
    edges = np.concatenate([np.zeros((0, 2), np.int64), *down, *right])
    graph = coo_matrix((np.ones(len(edges)), edges.T), (count + 1, count + 1))
    _, joined = connected_components(graph, directed=False)
    joined[0] = 0
    first = np.full(joined.max() + 1, -1)
    names = np.arange(len(joined))
    first[joined[::-1]] = names[::-1]
    labels = first[joined][labels]
    return labels, time.process_time() - began


def _touching(one: Labels, other: Labels) -> Labels:
    """Labels that lie opposite each other on the two sides of a face, without the rim of each."""
    kept = [np.where(_inner(line), line, 0) for line in (one, other)]
    both = np.stack(kept, 1)
    return np.unique(both[(both > 0).all(1)], axis=0)


def _inner(line: Labels) -> NDArray[np.bool_]:
    low, high = (f(line, size=3, mode="nearest") for f in (ndimage.minimum_filter1d, ndimage.maximum_filter1d))
    return np.asarray((low == line) & (high == line))


def wrong_at_seams(found: Labels, whole: Labels, block: int) -> tuple[int, int]:
    """Stones of `whole` across a seam, and those that no label of `found` covers by IoU 0.9."""
    across = [np.zeros(0, np.int64)]
    for axis, length in enumerate(whole.shape):
        for seam in range(block, length, block):
            one, other = np.take(whole, seam - 1, axis), np.take(whole, seam, axis)
            across.append(one[(one == other) & (one > 0)])
    stones = np.unique(np.concatenate(across))
    bad, boxes = (
        0,
        ndimage.find_objects(np.searchsorted(stones, whole) * np.isin(whole, stones) + np.isin(whole, stones)),
    )
    areas = dict(zip(*np.unique(found, return_counts=True), strict=True))
    for stone, box in zip(stones, boxes, strict=True):
        true = whole[box] == stone
        names, counts = np.unique(found[box][true], return_counts=True)
        ious = [n / (areas[name] + true.sum() - n) for name, n in zip(names, counts, strict=True) if name]
        bad += max(ious, default=0.0) < 0.9
    return len(stones), int(bad)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--block", type=int, default=1024)
    parser.add_argument("--overlap", type=int, default=64)
    asked = parser.parse_args()
    map_ = map_of(asked.side)
    whole = find_tesserae(map_).astype(np.int64)
    ways: dict[str, Callable[..., tuple[Labels, float]]] = {"placed": placed, "merged": merged}
    for name, way in ways.items():
        began = time.process_time()
        found, joining = way(map_, asked.block, asked.overlap)
        spent = time.process_time() - began
        across, wrong = wrong_at_seams(found, whole, asked.block)
        line = {"benchmark": "merging", "way": name, "megapixels": round(asked.side**2 / 1e6, 1), "block": asked.block}
        line |= {"core_s": round(spent, 2), "joining_s": round(joining, 2), "across": across, "wrong": wrong}
        print(json.dumps(line | {"exact": bool(np.array_equal(found > 0, whole > 0))}), flush=True)


if __name__ == "__main__":
    main()
