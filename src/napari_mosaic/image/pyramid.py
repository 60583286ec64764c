"""Native levels first, then halves of the last one, made when somebody looks.

One decision: a made level is a pure function of the level above it, block by block, so memory is bounded
by a block whatever the size of the image. Coarse levels are kept (they are dear and small); the two finest
are computed again each time, as cheap as reading, unless the whole image is small.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.image.colour import Colour
from napari_mosaic.image.raster import Level, Scratch
from napari_mosaic.tiling import Box, Lattice

COARSEST = 1024
"""Halving ends when no side is longer."""

KEPT_FROM = 3
"""First halving that is kept for a large image: 1/64 of its pixels, and a third more for the rest."""

SMALL = 64 << 20
"""Pixels up to which every halving is kept."""

IN_MEMORY = 16 << 20
"""Pixels up to which a kept level lives in memory rather than in a scratch file."""

Pixels = tuple[NDArray[np.uint8], NDArray[np.bool_] | None]


@dataclass
class _Kept:
    """Blocks of a made level that were computed already: sRGB and validity in one array of 4 channels."""

    lattice: Lattice
    make: Callable[[], NDArray[np.uint8]]
    array: NDArray[np.uint8] | None = None
    done: set[tuple[int, int]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self) -> NDArray[np.uint8]:
        with self.lock:
            if self.array is None:
                self.array = self.make()
            return self.array


def orient_shape(shape: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Height and width after the EXIF orientation was applied."""
    return (shape[1], shape[0]) if orientation >= 5 else shape


def orient_level(level: Level, orientation: int) -> Level:
    """A level as it is meant to be seen, read through its stored place.

    `orientation` is the EXIF and TIFF value, 1 to 8. The picture is the stored one, transposed for 5 to 8,
    then flipped.
    """
    if orientation not in range(2, 9):
        return level
    transposed = orientation >= 5
    flip_y = orientation in (3, 4, 7, 8)
    flip_x = orientation in (2, 3, 6, 7)
    height, width = orient_shape(level.shape, orientation)

    def read(box: Box) -> NDArray[np.generic]:
        y0, y1 = (height - box.y1, height - box.y0) if flip_y else (box.y0, box.y1)
        x0, x1 = (width - box.x1, width - box.x0) if flip_x else (box.x0, box.x1)
        raw = level.read(Box(x0, y0, x1, y1) if transposed else Box(y0, x0, y1, x1))
        if transposed:
            raw = raw.swapaxes(0, 1)
        return raw[:: -1 if flip_y else 1, :: -1 if flip_x else 1]

    return Level((height, width), read)


def plausible_levels(levels: Sequence[Level]) -> tuple[Level, ...]:
    """Level 0 and those others that are smaller pictures of the same thing, in order of size."""
    first = levels[0]
    kept = [first]
    for level in sorted(levels[1:], key=lambda one: -one.shape[0] * one.shape[1]):
        ratio = first.shape[0] / level.shape[0], first.shape[1] / level.shape[1]
        slack = 1 + max(ratio) / min(first.shape) * 2
        if level.shape[0] < kept[-1].shape[0] and max(ratio) / min(ratio) < slack:
            kept.append(level)
    return tuple(kept)


class Pyramid:
    """Levels of an image as sRGB and validity.

    Parameters
    ----------
    levels
        Native levels, level 0 first, already turned upright.
    colour
        What their samples mean.
    scratch
        Where large made levels are kept.
    """

    def __init__(self, levels: Sequence[Level], colour: Colour, scratch: Scratch) -> None:
        self._levels = tuple(levels)
        self._colour = colour
        self._scratch = scratch
        self.shapes = _all_shapes([level.shape for level in self._levels])
        area = self._levels[-1].shape[0] * self._levels[-1].shape[1]
        first = len(self._levels) + (0 if area <= SMALL else KEPT_FROM - 1)
        self._kept = {k: self._plan_kept(k) for k in range(first, len(self.shapes))}

    def _plan_kept(self, level: int) -> _Kept:
        height, width = self.shapes[level]

        def make() -> NDArray[np.uint8]:
            if height * width <= IN_MEMORY:
                return np.zeros((height, width, 4), dtype=np.uint8)
            path = self._scratch.path() / f"level{level}.raw"
            return np.memmap(path, dtype=np.uint8, mode="w+", shape=(height, width, 4))

        return _Kept(Lattice(shape=(height, width), core=512), make)

    def read(self, box: Box, level: int) -> Pixels:
        """`box` of `level`, which must lie inside it: sRGB, and validity or None where all is valid."""
        if level < len(self._levels):
            raw = self._levels[level].read(box)
            return self._colour.to_rgb(raw), self._colour.to_valid(raw)
        return self._read_kept(box, level) if level in self._kept else self._read_halved(box, level)

    def read_valid(self, box: Box, level: int) -> NDArray[np.bool_]:
        """Validity alone, without the colours where they can be spared."""
        if not self._colour.has_mask:
            return np.ones(box.shape, dtype=bool)
        if level < len(self._levels):
            valid = self._colour.to_valid(self._levels[level].read(box))
        else:
            valid = self.read(box, level)[1]
        return np.ones(box.shape, dtype=bool) if valid is None else valid

    def _read_kept(self, box: Box, level: int) -> Pixels:
        kept = self._kept[level]
        array = kept.open()
        for index in kept.lattice.overlapping(box):
            if index in kept.done:
                continue
            core = kept.lattice.tile(index).core
            rgb, valid = self._halve_box(core, level)
            array[core.slices][..., :3] = rgb
            array[core.slices][..., 3] = 1 if valid is None else valid
            kept.done.add(index)
        part = np.array(array[box.slices])
        valid = part[..., 3] > 0 if self._colour.has_mask else None
        return np.ascontiguousarray(part[..., :3]), valid

    def _read_halved(self, box: Box, level: int) -> Pixels:
        rgb = np.empty((*box.shape, 3), dtype=np.uint8)
        valid = np.ones(box.shape, dtype=bool) if self._colour.has_mask else None
        for tile in Lattice(shape=box.shape, core=1024):
            part, part_valid = self._halve_box(tile.core.shift(box.y0, box.x0), level)
            rgb[tile.core.slices] = part
            if valid is not None and part_valid is not None:
                valid[tile.core.slices] = part_valid
        return rgb, valid

    def _halve_box(self, box: Box, level: int) -> Pixels:
        finer = Box(box.y0 * 2, box.x0 * 2, box.y1 * 2, box.x1 * 2).clip(self.shapes[level - 1])
        rgb, valid = self.read(finer, level - 1)
        return halve(rgb), None if valid is None else halve(valid[..., None].astype(np.uint8) * 255)[..., 0] > 127


def _all_shapes(native: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    shapes = list(native)
    while max(shapes[-1]) > COARSEST and min(shapes[-1]) > 1:
        shapes.append(((shapes[-1][0] + 1) // 2, (shapes[-1][1] + 1) // 2))
    return tuple(shapes)


def halve(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of each 2 x 2 pixels of `(h, w, channels)`; an odd last row or column counts twice."""
    pad = data.shape[0] % 2, data.shape[1] % 2
    if any(pad):
        data = np.pad(data, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="edge")
    total = data[0::2, 0::2].astype(np.uint16)
    total += data[1::2, 0::2]
    total += data[0::2, 1::2]
    total += data[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)
