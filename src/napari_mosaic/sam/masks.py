"""From mask logits of a window to masks on the working grid.

One decision: a mask is kept as the box that it fills and the bits in it, in coordinates of the whole working
grid, so nothing of the size of a window is held for a stone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.sam.prompts import MASK_STRIDE
from napari_mosaic.tiling import Box

Mask = NDArray[np.bool_]
EMPTY = Box(0, 0, 0, 0)


@dataclass(frozen=True)
class Frame:
    """Where a window lies: the box that it reads on the working grid of `shape`, and network pixels a working pixel.

    `layer` counts lattices from the one with the widest windows.
    """

    read: Box
    zoom: float
    shape: tuple[int, int]
    layer: int = 0

    def to_network(self, y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.float64]:
        """Positions `(N, 2)` in pixels of the window from positions on the working grid."""
        return np.stack([(y - self.read.y0) * self.zoom, (x - self.read.x0) * self.zoom], -1)


@dataclass(frozen=True)
class Piece:
    """One mask: its box on the working grid, its bits `(h, w)`, and its stability from 0 to 1."""

    box: Box
    bits: Mask
    stability: float

    @property
    def area(self) -> int:
        """Pixels in the mask."""
        return int(self.bits.sum())


NOTHING = Piece(EMPTY, np.zeros((0, 0), bool), 0.0)


def cut_mask(logits: NDArray[np.float32], frame: Frame, threshold: float, offset: float) -> Piece:
    """The mask of logits on the working grid, cropped to its box and to the image.

    Parameters
    ----------
    logits
        `(s, s)` over the window, one to `MASK_STRIDE` pixels of it; between them they are interpolated.
    frame
        Where the window lies.
    threshold, offset
        A pixel is in the mask where its logit is above `threshold`; the stability is the area above
        `threshold + offset` over that above `threshold - offset`.

    Returns
    -------
    Piece
        `NOTHING` where no pixel is above the threshold.
    """
    step = MASK_STRIDE / frame.zoom
    low = logits > threshold - offset
    if not low.any():
        return NOTHING
    rows, columns = np.flatnonzero(low.any(1)), np.flatnonzero(low.any(0))
    box = Box(
        frame.read.y0 + math.floor((rows[0] - 0.5) * step),
        frame.read.x0 + math.floor((columns[0] - 0.5) * step),
        frame.read.y0 + math.ceil((rows[-1] + 1.5) * step),
        frame.read.x0 + math.ceil((columns[-1] + 1.5) * step),
    )
    box = box.intersect(frame.read).clip(frame.shape)
    if box.area == 0:
        return NOTHING
    fine = _interpolate(
        logits,
        (np.arange(box.y0, box.y1) + 0.5 - frame.read.y0) / step - 0.5,
        (np.arange(box.x0, box.x1) + 0.5 - frame.read.x0) / step - 0.5,
    )
    outer = int((fine > threshold - offset).sum())
    stability = int((fine > threshold + offset).sum()) / outer if outer else 0.0
    return tighten(Piece(box, fine > threshold, stability))


def _interpolate(logits: NDArray[np.float32], y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.float32]:
    """Bilinear values at the crossings of rows `y` and columns `x`, the edge repeated."""
    top, bottom, down = _neighbours(y, logits.shape[0])
    left, right, across = _neighbours(x, logits.shape[1])
    rows = logits[top] * (1 - down)[:, None] + logits[bottom] * down[:, None]
    return np.asarray(rows[:, left] * (1 - across) + rows[:, right] * across)


def _neighbours(places: NDArray[Any], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    inside = np.clip(places, 0, length - 1)
    first = np.floor(inside).astype(np.int64)
    return first, np.minimum(first + 1, length - 1), (inside - first).astype(np.float32)


def tighten(piece: Piece) -> Piece:
    """The same mask in the smallest box that holds it."""
    rows, columns = np.flatnonzero(piece.bits.any(1)), np.flatnonzero(piece.bits.any(0))
    if len(rows) == 0:
        return NOTHING
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    box = Box(piece.box.y0 + y0, piece.box.x0 + x0, piece.box.y0 + y1, piece.box.x0 + x1)
    return Piece(box, np.ascontiguousarray(piece.bits[y0:y1, x0:x1]), piece.stability)


def connected_at(piece: Piece, y: int, x: int) -> Piece:
    """The connected part of a mask that holds the pixel `(y, x)`, its holes filled; `NOTHING` where none does."""
    box = piece.box
    if not (box.y0 <= y < box.y1 and box.x0 <= x < box.x1 and piece.bits[y - box.y0, x - box.x0]):
        return NOTHING
    parts, _ = ndimage.label(piece.bits)
    part = parts == parts[y - box.y0, x - box.x0]
    return tighten(Piece(box, np.asarray(ndimage.binary_fill_holes(part)), piece.stability))


def without_small_regions(piece: Piece, smallest: int) -> Piece:
    """The mask without holes and islands of fewer than `smallest` pixels; the largest island stays."""
    if smallest <= 0 or not piece.bits.any():
        return piece
    eight = np.ones((3, 3), int)
    holes, count = ndimage.label(np.pad(~piece.bits, 1, constant_values=True), structure=eight)
    sizes = np.bincount(holes.ravel(), minlength=count + 1)
    small = sizes < smallest
    small[0] = small[holes[0, 0]] = False
    filled = piece.bits | small[holes][1:-1, 1:-1]
    islands, count = ndimage.label(filled, structure=eight)
    sizes = np.bincount(islands.ravel(), minlength=count + 1)
    sizes[0] = 0
    keep = sizes >= min(smallest, sizes.max())
    keep[0] = False
    return tighten(Piece(piece.box, keep[islands], piece.stability))


def hull(boxes: Iterable[Iterable[int]]) -> Box:
    """The smallest box around boxes, empty ones left out."""
    full = [box for box in (Box(*map(int, box)) for box in boxes) if box.area]
    if not full:
        return EMPTY
    y0, x0, y1, x1 = zip(*full, strict=True)
    return Box(min(y0), min(x0), max(y1), max(x1))


def touches_window_edge(piece: Piece, frame: Frame, margin: int = 1) -> bool:
    """Whether a mask comes within `margin` px of the border of what its window read, other than the image's."""
    box, read, shape = piece.box, frame.read, frame.shape
    return bool(
        (box.y0 < read.y0 + margin and read.y0 > 0)
        or (box.x0 < read.x0 + margin and read.x0 > 0)
        or (box.y1 > read.y1 - margin and read.y1 < shape[0])
        or (box.x1 > read.x1 - margin and read.x1 < shape[1])
    )
