"""The size of a pixel from what a person draws on a photograph: lines and rectangles of known length.

One decision: a line measures one direction. What measures two says whether the photograph has one scale at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_mosaic.errors import InputError
from napari_mosaic.image.pixel_size import DIFFER, DISAGREEMENT, LINE, LINES, RECTANGLE, given_size
from napari_mosaic.image.raster import PixelSize
from napari_mosaic.perspective import Points, check_corners, floor_of_rectangle, scale_spread

CROSSWISE = 60.0
"""Degrees between two lines from which on they measure two directions: where a photograph is foreshortened along the
first, the second then shows three quarters (sin² 60°) of it at least."""

ASK_SECOND = (
    "One line measures one direction only: draw a second one crosswise, or a rectangle of known sides, to see whether "
    "the photograph was taken at a slant."
)
"""What a person is asked after a first line."""


@dataclass(frozen=True, kw_only=True)
class KnownLine:
    """A line in a photograph, its ends `(y, x)` in px, and its length on the floor."""

    start: tuple[float, float]
    end: tuple[float, float]
    length_mm: float

    def crosses(self, other: KnownLine) -> bool:
        """Whether the two run in two directions, `CROSSWISE` degrees apart at least."""
        (y0, x0), (y1, x1) = ([b - a for a, b in zip(line.start, line.end, strict=True)] for line in (self, other))
        angle = math.degrees(math.atan2(abs(y0 * x1 - x0 * y1), abs(y0 * y1 + x0 * x1)))
        return angle >= CROSSWISE


def size_of_line(start: Sequence[float], end: Sequence[float], length_mm: float) -> PixelSize:
    """The size of a pixel from a line of known length.

    Parameters
    ----------
    start, end
        Ends `(y, x)` in pixels of the photograph.
    length_mm
        Length of the line on the floor.

    Raises
    ------
    InputError
        The line is shorter than a pixel, or its length is none.
    """
    pixels = math.dist(start, end)
    if not pixels >= 1:
        raise InputError("The line is shorter than a pixel, so it measures nothing; draw it along a known length.")
    if not (math.isfinite(length_mm) and length_mm > 0):
        raise InputError(f"A line of {length_mm:g} mm has no length; give its length on the floor in mm.")
    return given_size(length_mm / pixels, origin=LINE)


def size_of_lines(first: KnownLine, second: KnownLine) -> PixelSize:
    """The size of a pixel from two lines of known length that run crosswise.

    Confirmed where both say the same within `DISAGREEMENT`; else it says by how much they differ. A slant midway
    between the two directions foreshortens both alike and is not seen; a rectangle shows it (`size_of_rectangle`).

    Raises
    ------
    InputError
        A line that measures nothing, or both in one direction.
    """
    sizes = [size_of_line(line.start, line.end, line.length_mm).mm for line in (first, second)]
    if not first.crosses(second):
        raise InputError(
            "The second line runs along the first, so it says nothing of the other direction; draw it crosswise, "
            f"{CROSSWISE:g}° from the first at least."
        )
    return _agreed(math.sqrt(sizes[0] * sizes[1]), max(sizes) / min(sizes) - 1, LINES, "which")


def size_of_rectangle(points: Points, sides_mm: Sequence[float], shape: tuple[int, int] | None = None) -> PixelSize:
    """The size of a pixel from a rectangle of known sides.

    Parameters
    ----------
    points
        Its corners `(y, x)` in px of the photograph, going round; outer corner of the first pixel (0, 0).
    sides_mm
        Length of the side from the first to the second corner, and of the next.
    shape
        Height and width of the photograph, to check that the corners are in it.

    Returns
    -------
    PixelSize
        The root of its area on the floor by that in the photograph; confirmed where no direction at no corner has a
        scale that differs by more than `DISAGREEMENT` from any other.

    Raises
    ------
    InputError
        Corners or sides that are those of no rectangle.
    """
    floor = floor_of_rectangle(points, sides_mm, shape)
    corners = check_corners(points, shape)
    (x, y), (to_x, to_y) = corners.T, np.roll(corners, -1, axis=0).T
    mm = math.sqrt(sides_mm[0] * sides_mm[1] / (abs(float((x * to_y - to_x * y).sum())) / 2))
    return _agreed(mm, scale_spread(floor, corners), RECTANGLE, "whose scales")


def _agreed(mm: float, spread: float, origin: str, which: str) -> PixelSize:
    said = origin if spread <= DISAGREEMENT else f"{origin}, {which} {DIFFER} {100 * spread:.1f} %"
    return given_size(mm, confirmed=spread <= DISAGREEMENT, origin=said)
