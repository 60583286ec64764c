"""Views of a window: shown to the network in several sizes, turned and mirrored, and the answers fused.

One decision: answers are averaged as log-odds on the working grid, where a view that is sure outweighs one that is not.
Only the eight ways in which a square can lie are used: they move whole pixels, so nothing is resampled for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.record.plan import PLAIN, View

Maps = NDArray[np.uint8]
_A = TypeVar("_A", bound=np.generic)

COPIES = (2, 4, 8)
"""Half a turn; with its mirror image; all ways that a square can lie."""
WAYS_TO_LIE = [(0, False), (2, False), (0, True), (2, True), (1, False), (3, False), (1, True), (3, True)]

BEST_SIZES = (16.0, 19.0, 22.0)
"""Pitch of tesserae, in network pixels, that the accurate method asks at. Mean F1 of the seven crops, fused: 0.959;
0.957 at 14.5, 18 and 22, 0.958 at 13, 16 and 22, 0.937 at 16, 22 and 28 (`benchmarks/sizes.py --together`)."""
_OVER = 1.25
"""Where stones have more pixels than the largest size, the largest view shows them so many times larger, the others
in proportion: sizes far below their own lose outlines. On the butterfly (36 px) F1 and pixel IoU go from 0.984 and
0.914 to 0.987 and 0.934 (`grout-lite-1`); 0.981 and 0.908 at 16, 22 and 36 px, 0.986 and 0.927 at 22, 28 and 36."""

_LOG_ODDS = np.log((np.arange(256) + 0.5) / (255.5 - np.arange(256))).astype(np.float32)
"""Of a byte of a map; half a step from 0 and 1, so that none is infinite."""


def ways(copies: int) -> Iterator[tuple[int, bool]]:
    """Quarter turns, and whether to mirror, of the first `copies` ways to lie."""
    if copies not in COPIES:
        raise InputError(f"A window cannot be asked about in {copies} ways; choose 2, 4 or 8.")
    yield from islice(WAYS_TO_LIE, copies)


def best_views(pitch: float | None, trained: float) -> tuple[View, ...]:
    """The views of the accurate method: its sizes, each lying another way.

    Parameters
    ----------
    pitch
        Of the tesserae on the working grid, px; None where it is not known.
    trained
        The pitch that the model was trained for, px.
    """
    whole = pitch or trained
    larger = _OVER * whole / max(BEST_SIZES) if whole > max(BEST_SIZES) else 1.0
    return tuple(View(size * larger / whole, *WAYS_TO_LIE[k]) for k, size in enumerate(BEST_SIZES))


def turned(array: NDArray[_A], turns: int, mirrored: bool, axes: tuple[int, int]) -> NDArray[_A]:
    """An image turned by quarters anticlockwise, then mirrored left to right; `axes` are its rows and columns."""
    array = np.rot90(array, turns, axes)
    return np.ascontiguousarray(np.flip(array, axes[1]) if mirrored else array)


def turned_back(array: NDArray[_A], turns: int, mirrored: bool, axes: tuple[int, int]) -> NDArray[_A]:
    """What `turned` was given."""
    array = np.flip(array, axes[1]) if mirrored else array
    return np.ascontiguousarray(np.rot90(array, -turns, axes))


def fuse(maps: Sequence[Maps]) -> Maps:
    """Maps of one place, 255 = 1, averaged as log-odds; one alone is itself."""
    if len(maps) == 1:
        return maps[0]
    total: Any = sum(_LOG_ODDS[map_] for map_ in maps)
    return np.asarray(np.round(255 / (1 + np.exp(total / -len(maps)))), np.uint8)


__all__ = [
    "BEST_SIZES",
    "COPIES",
    "PLAIN",
    "WAYS_TO_LIE",
    "View",
    "best_views",
    "fuse",
    "turned",
    "turned_back",
    "ways",
]
