"""Ids of tesserae that people make: places too, in numbers that no run ever gives.

One decision: a grid of `n` cells has the ids 1..n for what is found; what is made by hand in cell `c` is called
`c + g * n` with the least `g >= 1` that was never given there. So `id % n` is still the place, an id is never given
twice, and two people who edit different parts of a copy never give the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.ids import cell_count, id_at, id_dtype, place_of

Place = tuple[int, int]


def place_of_id(id_: int, shape: tuple[int, int]) -> Place:
    """The middle pixel of the cell that an id names, found or made by hand."""
    y, x = place_of((int(id_) - 1) % cell_count(shape) + 1, shape[1])
    return min(int(y), shape[0] - 1), min(int(x), shape[1] - 1)


def is_made(id_: int, shape: tuple[int, int]) -> bool:
    """Whether an id was given to something that a person made."""
    return id_ > cell_count(shape)


def new_name(pixels: NDArray[np.int64], shape: tuple[int, int], taken: Callable[[int], bool]) -> tuple[int, Place]:
    """An id for new `pixels` and the pixel that it names.

    Parameters
    ----------
    pixels
        `(n, 2)` places `(y, x)` on the working grid, in reading order.
    shape
        Of the working grid.
    taken
        Whether an id was ever given, or is the name of a tessera.

    Raises
    ------
    InputError
        If every number in every cell under the pixels was given before.
    """
    count, largest = cell_count(shape), int(np.iinfo(id_dtype(shape)).max)
    cells: NDArray[Any] = id_at(pixels[:, 0], pixels[:, 1], shape[1])
    _, first = np.unique(cells, return_index=True)
    begin = 1 if largest >= 2 * count else 0
    for k in np.sort(first):
        for id_ in range(int(cells[k]) + begin * count, largest + 1, count):
            if not taken(id_):
                return id_, (int(pixels[k, 0]), int(pixels[k, 1]))
    raise InputError(
        f"There is no number left for a new tessera at y {int(pixels[0, 0])}, x {int(pixels[0, 1])}: every one was "
        "given before; draw it a little larger."
    )
