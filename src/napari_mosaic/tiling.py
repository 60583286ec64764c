"""Boxes, tiles and lattices: integer geometry without arrays.

One decision: a tile has a core that it alone writes and a halo that it only reads; the cores of a
lattice partition the image, so no two tiles ever write the same pixel and none needs to know another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from napari_mosaic.errors import InputError


class Box(NamedTuple):
    """A half-open rectangle `[y0, y1) x [x0, x1)` in pixels."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def area(self) -> int:
        """Pixels inside; 0 where the box is empty."""
        return max(0, self.y1 - self.y0) * max(0, self.x1 - self.x0)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array of the whole image."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grow(self, margin: int) -> Box:
        """The box with `margin` pixels added on every side."""
        return Box(self.y0 - margin, self.x0 - margin, self.y1 + margin, self.x1 + margin)

    def intersect(self, other: Box) -> Box:
        """The common part; may be empty (`area == 0`)."""
        return Box(max(self.y0, other.y0), max(self.x0, other.x0), min(self.y1, other.y1), min(self.x1, other.x1))

    def clip(self, shape: tuple[int, int]) -> Box:
        """The part that lies inside an image of `shape`."""
        return self.intersect(Box(0, 0, shape[0], shape[1]))

    def shift(self, dy: int, dx: int) -> Box:
        """The box moved by `(dy, dx)`."""
        return Box(self.y0 + dy, self.x0 + dx, self.y1 + dy, self.x1 + dx)

    def scale(self, factor: float) -> Box:
        """The smallest box that holds this one on a grid of `factor` times the pixels: rounded outwards."""
        y0, x0 = (math.floor(edge * factor) for edge in self[:2])
        y1, x1 = (math.ceil(edge * factor) for edge in self[2:])
        return Box(y0, x0, y1, x1)

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Index of this box in an array that covers `outer`."""
        return self.shift(-outer.y0, -outer.x0).slices


@dataclass(frozen=True)
class Tile:
    """One tile: its place in the lattice, the core that it writes and the box that it reads."""

    index: tuple[int, int]
    core: Box
    read: Box


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """A regular partition of an image into cores of `core` pixels, each read with a `halo`.

    `read` boxes are not clipped: what lies outside the image is the reader's to fill.
    """

    shape: tuple[int, int]
    core: int
    halo: int = 0

    def __post_init__(self) -> None:
        if self.core < 1 or self.halo < 0 or min(self.shape) < 1:
            raise InputError(
                f"A lattice of cores of {self.core} px with a halo of {self.halo} px over an image of "
                f"{self.shape} px is empty; give a core of at least 1 px and an image of at least 1 x 1 px."
            )

    @property
    def counts(self) -> tuple[int, int]:
        """Tiles along y and x."""
        return -(-self.shape[0] // self.core), -(-self.shape[1] // self.core)

    def __len__(self) -> int:
        ny, nx = self.counts
        return ny * nx

    def tile(self, index: tuple[int, int]) -> Tile:
        """The tile at `index` (row, column)."""
        i, j = index
        core = Box(i * self.core, j * self.core, (i + 1) * self.core, (j + 1) * self.core).clip(self.shape)
        return Tile(index, core, core.grow(self.halo))

    def __iter__(self) -> Iterator[Tile]:
        """All tiles, row by row."""
        ny, nx = self.counts
        for i in range(ny):
            for j in range(nx):
                yield self.tile((i, j))

    def overlapping(self, box: Box) -> list[tuple[int, int]]:
        """Indices of the tiles whose cores meet `box`, row by row."""
        box = box.clip(self.shape)
        if box.area == 0:
            return []
        rows = range(box.y0 // self.core, -(-box.y1 // self.core))
        columns = range(box.x0 // self.core, -(-box.x1 // self.core))
        return [(i, j) for i in rows for j in columns]
