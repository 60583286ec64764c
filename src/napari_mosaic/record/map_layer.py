"""The map of a record: what the network said, all levels of it.

One decision: it is written shard by shard and never edited, so it needs no locks; a smaller level is the mean of four.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.record import layout
from napari_mosaic.record.arrays import open_levels, read_array, write_array
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.plan import Plan
from napari_mosaic.tiling import Box


class MapLayer:
    """The map of an open record: `levels`, each `(C, Y, X)` uint8."""

    def __init__(self, path: Path, plan: Plan, *, writable: bool) -> None:
        self._path = path
        self._plan = plan
        self.levels = open_levels(path, "", plan, writable=writable)

    def read(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """The map, `(C, h, w)`, over `box` of a level, clipped to it."""
        array = self.levels[level]
        return read_array(array, (slice(None), *box.clip(array.shape[1:]).slices))

    def write(self, box: Box, map_: NDArray[np.uint8], level: int = 0) -> None:
        """Write whole shards of a level."""
        write_array(self._path, self.levels[level], (slice(None), *box.slices), map_)

    def halve(self, level: int, box: Box) -> None:
        """Make `box` of a level from the level below it."""
        self.write(box, halve_map(self.read(box.scale(2), level - 1)), level)

    def files(self, index: Index) -> list[Path]:
        """The shards of level 0 that a window of the plan's lattice lies in."""
        shards = self._plan.shards.overlapping(self._plan.lattice.tile(index).core)
        return [layout.shard_file(self._path, "0", shard, channels=True) for shard in shards]

    def level_files(self, index: Index, level: int) -> list[Path]:
        """The file of a shard of a smaller level."""
        return [layout.shard_file(self._path, str(level), index, channels=True)]

    def check(self, index: Index) -> None:
        """Read a window of the plan's lattice."""
        self.read(self._plan.lattice.tile(index).core)


class Channel:
    """One channel of a level of the map as a two-dimensional array that is read where it is indexed."""

    def __init__(self, level: Any, channel: int) -> None:
        self._level = level
        self._channel = channel
        self.shape: tuple[int, int] = level.shape[1:]
        self.dtype = level.dtype
        self.ndim = 2

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        key = key if isinstance(key, tuple) else (key,)
        return read_array(self._level, (self._channel, *key))

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        del copy
        return np.asarray(self[:, :], dtype=dtype)


def halve_map(map_: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of every 2 x 2 pixels, `(C, h, w)` to `(C, ceil(h/2), ceil(w/2))`; the edge is repeated."""
    height, width = map_.shape[1:]
    padded: NDArray[Any] = np.pad(map_, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge").astype(np.uint16)
    summed = padded[:, ::2, ::2] + padded[:, 1::2, ::2] + padded[:, ::2, 1::2] + padded[:, 1::2, 1::2]
    return np.asarray((summed + 2) // 4, dtype=np.uint8)
