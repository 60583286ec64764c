"""The smaller levels of a record, from the level below, where it has changed.

One decision: a shard of a level is always made anew from the whole level below it, so the order of
changes leaves no trace: labels by every second pixel, the map by the mean of four.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.record.ledger import Index
from napari_mosaic.record.store import Record, read_array
from napari_mosaic.tiling import Box, Lattice

_THREADS = 2


def update_pyramid(record: Record, shards: Iterable[Index]) -> Iterator[int]:
    """Bring all levels up to date after `shards` of level 0 were written; yields after each shard written."""
    dirty = set(shards)
    with ThreadPoolExecutor(_THREADS, "overview") as pool:
        for level in range(1, len(record.map_levels)):
            dirty = {(i // 2, j // 2) for i, j in dirty}
            lattice = Lattice(shape=record.map_levels[level].shape[1:], core=record.plan.shard)
            cores = [lattice.tile(index).core for index in sorted(dirty)]
            for _ in pool.map(functools.partial(_update_shard, record, level), cores):
                yield level


def _update_shard(record: Record, level: int, core: Box) -> None:
    below = core.scale(2).clip(record.map_levels[level - 1].shape[1:])
    map_ = read_array(record.map_levels[level - 1], (slice(None), *below.slices))
    record.map_levels[level][(slice(None), *core.slices)] = halve_map(map_)
    shard = record.plan.shard
    with record.shard_lock(level, (core.y0 // shard, core.x0 // shard)):
        labels = read_array(record.tessera_levels[level - 1], below.slices)
        record.tessera_levels[level][core.slices] = labels[::2, ::2]


def halve_map(map_: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of every 2 x 2 pixels, `(C, h, w)` to `(C, ceil(h/2), ceil(w/2))`; the edge is repeated."""
    height, width = map_.shape[1:]
    padded: NDArray[Any] = np.pad(map_, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge").astype(np.uint16)
    summed = padded[:, ::2, ::2] + padded[:, 1::2, ::2] + padded[:, ::2, 1::2] + padded[:, 1::2, 1::2]
    return np.asarray((summed + 2) // 4, dtype=np.uint8)
