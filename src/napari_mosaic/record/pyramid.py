"""The smaller levels of a record's layers, from the level below, where it has changed.

One decision: a shard of a level is always made anew from the whole level below it, so the order of
changes leaves no trace: labels by every second pixel, the map by the mean of four.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from napari_mosaic.record.arrays import DAMAGE
from napari_mosaic.record.label_layer import LabelLayer
from napari_mosaic.record.ledger import Index
from napari_mosaic.tiling import Box, Lattice

_THREADS = 2
"""Not varied."""


class Layer(Protocol):
    """What has smaller levels: a `LabelLayer` or a `MapLayer`."""

    @property
    def levels(self) -> list[Any]:
        """Its arrays."""

    def halve(self, level: int, box: Box) -> None:
        """Make `box` of a level from the level below it."""

    def read(self, box: Box, level: int) -> NDArray[Any]:
        """The pixels of a box of a level."""

    def level_files(self, index: Index, level: int) -> list[Path]:
        """The files of a shard of a level."""


def update_pyramid(layers: Sequence[Layer], shards: Iterable[Index], halved: Collection[Index] = ()) -> Iterator[int]:
    """Bring all levels of layers up to date after `shards` of level 0 were written; yields after each shard written.

    `halved` are shards of level 1 that are so already.
    """
    dirty = set(shards)

    def halve(core: Box) -> None:
        for layer in layers:
            layer.halve(level, core)

    with ThreadPoolExecutor(_THREADS, "overview") as pool:
        for level in range(1, len(layers[0].levels)):
            dirty = {(i // 2, j // 2) for i, j in dirty}
            array = layers[0].levels[level]
            lattice = Lattice(shape=array.shape[-2:], core=array.shards[-1])
            left = sorted(dirty if level > 1 else dirty.difference(halved))
            for _ in pool.map(halve, [lattice.tile(index).core for index in left]):
                yield level


def whole_parents(shards: Lattice, indices: Iterable[Index]) -> list[Index]:
    """The shards of level 1 of which all that lies below is among `indices`, shards of level 0."""
    there = set(indices)
    rows, columns = shards.counts

    def below(parent: Index) -> set[Index]:
        i, j = 2 * parent[0], 2 * parent[1]
        return {(y, x) for y in (i, i + 1) for x in (j, j + 1) if y < rows and x < columns}

    return [parent for parent in sorted({(i // 2, j // 2) for i, j in there}) if below(parent) <= there]


def discard_damaged(layers: Sequence[Layer], shards: Iterable[Index]) -> set[Index]:
    """Remove what is unreadable of the smaller levels over `shards` of level 0; those that must be brought up again."""
    below: dict[Index, set[Index]] = {index: {index} for index in shards}
    damaged: set[Index] = set()
    for level in range(1, len(layers[0].levels)):
        array, above = layers[0].levels[level], dict[Index, set[Index]]()
        for (i, j), under in below.items():
            above.setdefault((i // 2, j // 2), set()).update(under)
        below, lattice = above, Lattice(shape=array.shape[-2:], core=array.shards[-1])
        for index, under in below.items():
            for layer in layers:
                files = layer.level_files(index, level)
                if not _is_readable(layer, lattice.tile(index).core, level, files):
                    damaged |= under
                    for file in files:
                        file.unlink(missing_ok=True)
    return damaged


def _is_readable(layer: Layer, core: Box, level: int, files: Sequence[Path]) -> bool:
    try:
        layer.read(core, level)
    except DAMAGE:
        return False
    return all(file.is_file() for file in files)


def update_pending(layer: LabelLayer) -> None:
    """Bring the smaller levels of labels up to date with what is finished."""
    shards = layer.pending()
    for _ in update_pyramid([layer], shards):
        pass
    layer.mark_pyramid(shards)
