"""Ids of tesserae: names of places.

One decision: an id is the number of a cell of 3 x 3 pixels of the working grid, counted row by row from 1, so it is
derived from the place and never counted. What people make by hand is numbered by `editing.names`, over these.
"""

from __future__ import annotations

from typing import Any

import numpy as np

CELL = 3
"""Side of the cell that names a tessera, in pixels of the working grid."""


def cell_count(shape: tuple[int, int]) -> int:
    """How many cells a working grid has: the largest id that a run can give."""
    return -(-shape[0] // CELL) * -(-shape[1] // CELL)


def id_dtype(shape: tuple[int, int]) -> np.dtype[Any]:
    """The unsigned type that holds every id of a working grid of `shape`: uint32 up to 38 gigapixels."""
    return np.dtype(np.uint32 if cell_count(shape) + 1 < 2**32 else np.uint64)


def id_at(y: Any, x: Any, width: int) -> Any:
    """The id of a seed at `(y, x)` on a working grid `width` pixels wide."""
    return (y // CELL) * -(-width // CELL) + x // CELL + 1


def place_of(id_: Any, width: int) -> tuple[Any, Any]:
    """The middle pixel of the cell that an id names: the inverse of `id_at` up to one pixel."""
    row, column = divmod(id_ - 1, -(-width // CELL))
    return row * CELL + 1, column * CELL + 1
