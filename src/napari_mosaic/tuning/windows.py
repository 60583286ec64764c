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
MOST = 8


@dataclass(frozen=True)
class Window:
    """One window: its true labels and what is ignored on the truth's grid, and how to bring labels there.

    `box` is in source pixels, `core` and `read` on the working grid; `maps` are the maps over `read`.
    """

    box: Box
    zoom: int
    truth: NDArray[Any]
    ignore: NDArray[np.bool_] | None
    core: Box
    read: Box
    maps: dict[str, NDArray[np.uint8]]


def load_windows(record: Record, truths: list[str | Path], maps: Maps, halo: int, seed: int) -> list[Window]:
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
    windows = [] if truths else list(_finished(record))
    for path in truths:
        with ExitStack() as stack:
            truth = open_truth(path, EvaluationParams(), stack)
            windows += _windows_of(record, truth, str(path), seed)
    filled = [window for window in windows if window.truth.any()]
    if not filled:
        raise InputError("The truths hold no tessera, so no parameters are better than others; check the files.")
    return [_with_maps(record, window, maps, halo) for window in filled]


def _finished(record: Record) -> Iterator[Window]:
    """The windows that somebody has corrected, with the tesserae that they hold now."""
    nothing = Box(0, 0, 0, 0)
    for box in require_finished(record):
        yield Window(box, 1, read_source_labels(record, box), None, nothing, nothing, {})


def _windows_of(record: Record, truth: Truth, name: str, seed: int) -> Iterator[Window]:
    shape = record.plan.source_shape
    nothing = Box(0, 0, 0, 0)
    if truth.crop is not None:
        box = truth.crop.box
        if box.clip(shape) != box:
            raise InputError(f"{name} lies at {tuple(box)}, outside of the photograph; check that it belongs to it.")
        ignore = truth.ignored(None, shape)
        labels = truth.labels.read(Box(0, 0, *truth.labels.shape))
        yield Window(box, truth.crop.zoom, labels, ignore, nothing, nothing, {})
        return
    require_same(shape, truth.labels.shape, record.path.name, name)
    pieces = [tile.core for tile in Lattice(shape=shape, core=max(1, round(SIDE / record.plan.factor)))]
    taken = 0
    for k in np.random.default_rng(seed).permutation(len(pieces)):
        labels = np.array(truth.labels.read(pieces[k]))
        if labels.any() and taken < MOST:
            taken += 1
            yield Window(pieces[k], 1, labels, None, nothing, nothing, {})


def _with_maps(record: Record, window: Window, maps: Maps, halo: int) -> Window:
    factor, shape = record.plan.factor, record.plan.shape
    rows = places_under(window.box.y0, window.box.y1, factor, shape[0])
    columns = places_under(window.box.x0, window.box.x1, factor, shape[1])
    core = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    read = core.grow(halo).clip(shape)
    loaded = {name: np.ascontiguousarray(reader(read)) for name, reader in maps.items()}
    return Window(window.box, window.zoom, window.truth, window.ignore, core, read, loaded)


def judge(record: Record, window: Window, name: str, params: TesseraParams) -> Metrics:
    """How well the tesserae that the map `name` gives by `params` agree with a window's truth."""
    found = find_in_window(window.maps[name], window.read, window.core, record.plan.shape, params).labels
    factor, shape = record.plan.factor, record.plan.shape
    rows = places_under(window.box.y0, window.box.y1, factor, shape[0]) - window.core.y0
    columns = places_under(window.box.x0, window.box.x1, factor, shape[1]) - window.core.x0
    labels = enlarge(found[rows[:, None], columns], window.zoom)
    require_same((labels.shape[0], labels.shape[1]), window.truth.shape, "The crop of the record", "its truth")
    return evaluate_labels(labels, window.truth, ignore=window.ignore)
