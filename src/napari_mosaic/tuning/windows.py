"""Windows with a truth, held in memory with the map around them, to be cut again and again.

One decision: the map around a window is as wide as the widest rule that may be tried needs, so what a
trial finds is exactly what the record would hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.evaluation.files import EvaluationParams, Truth, enlarge, open_truth, require_same
from napari_mosaic.measurement.source_grid import places_under, read_source_labels
from napari_mosaic.metrics import Metrics, evaluate_labels
from napari_mosaic.record import Record
from napari_mosaic.record.finished import require_finished
from napari_mosaic.tesserae import TesseraParams, find_in_window
from napari_mosaic.tiling import Box, Lattice

Maps = dict[str, Callable[[Box], NDArray[np.uint8]]]
"""Readers of maps `(C, h, w)` uint8 by box of the working grid, by name."""
SIDE = 768
"""Side of the pieces that the truth of a whole photograph is parted into, working pixels. *Not varied.*"""
MOST = 8
"""Most of these pieces that are compared with. *Not varied.*"""


@dataclass(frozen=True)
class TruthWindow:
    """One window: its true labels and what is ignored on the truth's grid, and how to bring labels there.

    `box` is in source pixels; `core` and `read` lie on the working grid, where `rows` and `columns` are under its
    pixels; `maps` are the maps over `read`.
    """

    box: Box
    zoom: int
    truth: NDArray[Any]
    ignore: NDArray[np.bool_] | None
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    core: Box
    read: Box
    maps: dict[str, NDArray[np.uint8]]


DrawnWindow = tuple[Box, int, NDArray[Any], NDArray[np.bool_] | None]
"""What somebody drew of a window: the first four fields of it."""


def load_windows(record: Record, truths: list[str | Path], maps: Maps, halo: int, seed: int) -> list[TruthWindow]:
    """All windows of some truths: a crop is one, a whole photograph is parted and at most 8 pieces are taken.

    Parameters
    ----------
    record
        Of the photograph that the truths belong to.
    truths
        Of any form that `evaluate_files` takes; none for the record's own windows that are marked as finished.
    maps
        Readers of the maps to try.
    halo
        Working pixels that the rules to be tried need around a window.
    seed
        Chooses the pieces.

    """
    drawn: list[DrawnWindow] = []
    if not truths:  # those that somebody has corrected, with the tesserae that they hold now
        drawn += [(box, 1, read_source_labels(record, box), None) for box in require_finished(record)]
    for path in truths:
        with ExitStack() as stack:
            truth = open_truth(path, EvaluationParams(), stack)
            drawn += _windows_of(record, truth, str(path), seed)
    filled = [one for one in drawn if one[2].any()]
    if not filled:
        raise InputError("The truths hold no tessera, so no parameters are better than others; check the files.")
    return [_with_maps(record, one, maps, halo) for one in filled]


def _windows_of(record: Record, truth: Truth, name: str, seed: int) -> Iterator[DrawnWindow]:
    shape = record.plan.source_shape
    if truth.crop is not None:
        box = truth.crop.box
        if box.clip(shape) != box:
            raise InputError(f"{name} lies at {tuple(box)}, outside of the photograph; check that it belongs to it.")
        ignore = truth.ignored(None, shape)
        labels = truth.labels.read(Box(0, 0, *truth.labels.shape))
        yield box, truth.crop.zoom, labels, ignore
        return
    require_same(shape, truth.labels.shape, record.path.name, name)
    pieces = [tile.core for tile in Lattice(shape=shape, core=max(1, round(SIDE / record.plan.factor)))]
    taken = 0
    for k in np.random.default_rng(seed).permutation(len(pieces)):
        labels = np.array(truth.labels.read(pieces[k]))
        if labels.any() and taken < MOST:
            taken += 1
            yield pieces[k], 1, labels, None


def _with_maps(record: Record, drawn: DrawnWindow, maps: Maps, halo: int) -> TruthWindow:
    box, (height, width), factor = drawn[0], record.plan.shape, record.plan.factor
    rows = places_under(box.y0, box.y1, factor, height)
    columns = places_under(box.x0, box.x1, factor, width)
    core = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    read = core.grow(halo).clip((height, width))
    loaded = {name: np.ascontiguousarray(reader(read)) for name, reader in maps.items()}
    return TruthWindow(*drawn, rows, columns, core, read, loaded)


def judge(record: Record, window: TruthWindow, name: str, params: TesseraParams) -> Metrics:
    """How well the tesserae that the map `name` gives by `params` agree with a window's truth."""
    core, truth = window.core, window.truth
    found = find_in_window(window.maps[name], window.read, core, record.plan.shape, params).labels
    labels = enlarge(found[(window.rows - core.y0)[:, None], window.columns - core.x0], window.zoom)
    require_same((labels.shape[0], labels.shape[1]), truth.shape, "The crop of the record", "its truth")
    return evaluate_labels(labels, truth, ignore=window.ignore)
