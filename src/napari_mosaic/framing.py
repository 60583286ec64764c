"""Windows of any size, computed in few sizes.

One decision: a network computes windows of the sides in `SIDES` and no others, whoever asks. A kernel that is made for
the shape of a window can be wrong for one shape alone (the eight-bit network died for windows 608 px high on some
processors, and for no other height that was tried), so a shape that no test has run is never computed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

SIDES = (320, 640, 1152)
"""Heights and widths of what is computed: a look for the scale, a window of a zone, an ordinary window, halos included.

Every further side makes small pictures cheaper and the trial of a processor dearer (`trials`): these nine shapes are
4.5 MP, and take 0.7 to 1.3 s on two cores. Beside windows that fit to 32 px, the last column of a picture costs 1.27
times as much on average: 2 % more for a picture of 10 x 10 windows, at most a quarter of a second for one of a single
window. 896 as a fourth side would make it 1.18 times, for twice the trial.
"""
SHAPES = tuple(product(SIDES, SIDES))
"""Every height and width that a network ever computes."""
_STEP = 32
"""Parts of a large window begin at multiples of the network's stride, so that they see what the whole would."""

Windows = NDArray[np.uint8]


def predict_framed(run: Callable[[Windows], Windows], windows: Windows, halo: int, channels: int) -> Windows:
    """Run a network on windows of any size, in shapes of the table alone.

    Parameters
    ----------
    run
        From windows `(N, H, W, 3)`, (H, W) in `SHAPES`, to maps `(N, C, H, W)`, both uint8.
    windows
        `(N, H, W, 3)`. Smaller ones are mirrored at the lower and right side, so that no pixel changes its place;
        larger ones are computed in parts.
    halo
        How many pixels beside a cut are read but not kept.
    channels
        C.

    Returns
    -------
    numpy.ndarray
        `(N, C, H, W)` uint8.
    """
    height, width = windows.shape[1:3]
    if (height, width) in SHAPES:
        return run(windows)
    maps = np.empty((len(windows), channels, height, width), np.uint8)
    for (top, rows), (left, columns) in product(cut(height, halo), cut(width, halo)):
        part = run(frame(windows[:, top : top + SIDES[-1], left : left + SIDES[-1]]))
        kept = part[:, :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        maps[:, :, rows, columns] = kept
    return maps


def frame(windows: Windows) -> Windows:
    """Windows mirrored at the lower and right side, the edge pixel repeated, to the next shape of the table."""
    height, width = windows.shape[1:3]
    below, right = side_for(height) - height, side_for(width) - width
    return np.pad(windows, ((0, 0), (0, below), (0, right), (0, 0)), mode="symmetric")


def side_for(length: int) -> int:
    """The side of the table that `length` pixels, at most the largest, are computed in."""
    return next(side for side in SIDES if side >= length)


def cut(length: int, halo: int) -> list[tuple[int, slice]]:
    """Parts of a side: where each begins, and which pixels of the whole are kept of it."""
    largest = SIDES[-1]
    step = max(_STEP, (largest - 2 * halo) // _STEP * _STEP)
    starts = range(0, max(1, length - largest + step), step)
    edges = [0, *(start + min(halo, largest - step) for start in starts[1:]), length]
    return [(start, slice(*kept)) for start, kept in zip(starts, pairwise(edges), strict=True)]
