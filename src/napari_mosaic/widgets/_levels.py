"""Levels of a pyramid as napari reads them: blocks kept in memory, renewed away from the main thread.

One decision: napari slices on the main thread, so what it asks for should be in memory before it asks.
Finished parts of a running record are read by a worker and put into the blocks, the smaller levels from
the same pixels, because the record makes its own smaller levels later; only then is the layer told.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.record.arrays import read_array
from napari_mosaic.tiling import Box, Lattice

BLOCK = 512
"""Side of a block in pixels; not varied."""

BUDGET = 192 * 2**20
"""Bytes of blocks that one level keeps; not varied."""

Reader = Callable[[Box], NDArray[Any]]


class CachedLevel:
    """One level as an array that napari can slice: `(h, w)` or `(h, w, 3)`.

    Reading a part that is not in memory reads it from `read`, so every user of the layer's data sees
    true pixels; `put` and `forget` may be called from any thread. `origin` says what is read: the location of a
    photograph, where it is one's.
    """

    def __init__(
        self, read: Reader, shape: Sequence[int], dtype: Any, budget: int = BUDGET, *, origin: str = ""
    ) -> None:
        self.origin = origin
        self.shape = tuple(int(side) for side in shape)
        self.dtype = np.dtype(dtype)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape, dtype=np.int64))
        self._read = read
        self._lattice = Lattice(shape=(self.shape[0], self.shape[1]), core=BLOCK)
        self._blocks: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._most = max(16, budget // (BLOCK * BLOCK * self.dtype.itemsize * (3 if self.ndim == 3 else 1)))
        self._lock = threading.Lock()
        self._puts = 0

    def __getitem__(self, key: Any) -> NDArray[Any]:
        parts = key if isinstance(key, tuple) else (key,)
        parts = tuple(part for part in parts if part is not Ellipsis)
        parts += (slice(None),) * (self.ndim - len(parts))
        box, rest = _window(parts[:2], self.shape)
        window = self._gather(box)
        return np.asarray(window[(*rest, *parts[2:])])

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        del copy
        return np.asarray(self[:, :], dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def put(self, box: Box, pixels: NDArray[Any], *, load: bool = False) -> bool:
        """Replace the pixels of `box` in the blocks in memory, or with `load` in all; whether they were others."""
        news = False
        for index in self._lattice.overlapping(box):
            core = self._lattice.tile(index).core
            part = core.intersect(box)
            if load and part != core:
                self._block(index)
            with self._lock:
                if load and index not in self._blocks:
                    self._blocks[index] = np.zeros((*core.shape, *self.shape[2:]), self.dtype)
                    self._drop_oldest()
                self._puts += 1
                block = self._blocks.get(index)
                if block is not None:
                    news |= not np.array_equal(block[part.within(core)], pixels[part.within(box)])
                    block[part.within(core)] = pixels[part.within(box)]
        return news

    def forget(self, box: Box | None = None) -> None:
        """Drop the blocks that meet `box`, or all: they are read again when they are asked for."""
        with self._lock:
            if box is None:
                self._blocks.clear()
                return
            for index in self._lattice.overlapping(box):
                self._blocks.pop(index, None)

    def renew(self) -> None:
        """Read all blocks in memory again, on the calling thread."""
        with self._lock:
            known = list(self._blocks)
        for index in known:
            while not self._renew_block(index):
                pass

    def _renew_block(self, index: tuple[int, int]) -> bool:
        """Read a block again; False where something was put while it was read."""
        with self._lock:
            puts = self._puts
        fresh = np.array(self._read(self._lattice.tile(index).core))
        with self._lock:
            if puts != self._puts:
                return False
            self._blocks[index] = fresh
            return True

    def warm(self, box: Box) -> None:
        """Read the blocks of `box` into memory, on the calling thread."""
        for index in self._lattice.overlapping(box):
            self._block(index)

    def _gather(self, box: Box) -> NDArray[Any]:
        window = np.zeros((*box.shape, *self.shape[2:]), self.dtype)
        for index in self._lattice.overlapping(box):
            core = self._lattice.tile(index).core
            part = core.intersect(box)
            window[part.within(box)] = self._block(index)[part.within(core)]
        return window

    def _block(self, index: tuple[int, int]) -> NDArray[Any]:
        with self._lock:
            block = self._blocks.get(index)
            if block is not None:
                self._blocks.move_to_end(index)
                return block
        block = np.array(self._read(self._lattice.tile(index).core))
        with self._lock:
            block = self._blocks.setdefault(index, block)  # of two that read it the first stays: it was put into
            self._drop_oldest()
        return block

    def _drop_oldest(self) -> None:
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)


Level = CachedLevel | NDArray[Any]
_ALL = (slice(None), slice(None))


class LivePyramid:
    """The levels of one array of a record, kept up to date while the record is being written.

    The last level is a plain array that changes in place: napari reads that one only once.
    """

    def __init__(self, levels: Sequence[Any]) -> None:
        self._sources = list(levels) if len(levels) > 1 else [levels[0], _Half(levels[0])]
        self.levels: list[Level] = [
            CachedLevel(_reader(level), level.shape, level.dtype) for level in self._sources[:-1]
        ]
        self._last: NDArray[Any] = np.array(read_array(self._sources[-1], _ALL))
        self.levels.append(self._last)

    def update(self, boxes: Sequence[Box]) -> bool:
        """Take over finished boxes of level 0, in all levels, on a worker's thread; whether there was anything new."""
        shape, news = self._sources[0].shape, False
        for box in (box.clip((shape[0], shape[1])) for box in boxes):
            if box.area == 0:
                continue
            news |= any(put_pixels(self.levels, box, read_array(self._sources[0], box.slices)))
        return news

    def renew(self) -> None:
        """Read everything that is in memory again, on a worker's thread: the record is settled now."""
        for level in self.levels:
            if isinstance(level, CachedLevel):
                level.renew()
        self._last[...] = read_array(self._sources[-1], _ALL)


def put_pixels(levels: Sequence[Level], box: Box, pixels: NDArray[Any], *, load: int = 0) -> list[bool]:
    """Put a box of level 0 into what all levels hold in memory, from any thread; in which of them it was other.

    The first `load` levels hold it in memory from then on: what is on no disk yet.
    """
    return [
        put_level(level, coarser(box, 2**k), thinned(pixels, box, 2**k), load=k < load)
        if coarser(box, 2**k).area
        else False
        for k, level in enumerate(levels)
    ]


def put_level(level: Level, box: Box, pixels: NDArray[Any], *, load: bool = False) -> bool:
    """Put the pixels of a box of one level into what it holds in memory; whether they were others."""
    if isinstance(level, CachedLevel):
        return level.put(box, pixels, load=load)
    news = not np.array_equal(level[box.slices], pixels)
    level[box.slices] = pixels
    return news


def thinned(pixels: NDArray[Any], box: Box, step: int) -> NDArray[Any]:
    """Of the pixels of a box of level 0 those that a level shows which has every `step`-th."""
    rows, columns = (slice(-box[axis] % step, None, step) for axis in (0, 1))
    return pixels[rows, columns]


def coarser(box: Box, step: int) -> Box:
    """The pixels of a level whose first source pixel lies in `box`."""
    return Box(*(-(-edge // step) for edge in box))


class _Half:
    """A second level for an array that has one: napari's Labels cannot take a pyramid of one level."""

    def __init__(self, level: Any) -> None:
        self._level = level
        self.shape = tuple(-(-side // 2) for side in level.shape)
        self.dtype = level.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        half: NDArray[Any] = np.asarray(self._level[:, :])[::2, ::2]
        return np.asarray(half[key])


def _reader(level: Any) -> Reader:
    return lambda box: read_array(level, box.slices)


def _window(parts: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Box, tuple[Any, ...]]:
    """The box that an index touches, and the index within it."""
    low, high, rest = [0, 0], [0, 0], []
    for axis, part in enumerate(parts):
        if isinstance(part, slice):
            start, stop, step = part.indices(shape[axis])
            chosen = range(start, stop, step)
            first, last = (min(chosen), max(chosen) + 1) if len(chosen) else (0, 0)
            inner: Any = slice(None, None, step)
        else:
            first = int(part) % shape[axis]
            last, inner = first + 1, 0
        low[axis], high[axis] = first, last
        rest.append(inner)
    return Box(low[0], low[1], high[0], high[1]), tuple(rest)
