"""The ends of a scale bar that somebody has clicked, as exactly as the picture shows them.

One decision: an end is where brightness changes most along the line, near the click; where nothing changes enough, the
click stays as it is, for a guess would look like a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.image.model import MosaicImage
from napari_mosaic.tiling import Box

REACH = 0.04, 4.0, 40.0
"""How far from a click an end is looked for: this share of the line, at least and at most so many px. A bar's
divisions, often tenths of it, must stay out of reach. *Not varied.*"""

CONTRAST = 20.0
"""Levels of 255 by which brightness must change at an end, so that it is an edge for the eye, too. *Not varied.*"""

WIDTH = 5
"""Lines beside each other whose mean is looked at, px; thinner than any bar that one can click. *Not varied.*"""

_STEP = 0.25
_SMOOTH = 1.0
"""Step along the line, and spread of the Gaussian that its slope is taken with, px; not varied."""

Place = tuple[float, float]


@dataclass(frozen=True)
class BarEnds:
    """Both ends `(y, x)` in px, and whether each lies on an edge of the picture or is the click itself."""

    start: Place
    end: Place
    found: tuple[bool, bool]


def find_bar_ends(image: MosaicImage, start: Sequence[float], end: Sequence[float]) -> BarEnds:
    """Move two clicks on the ends of a scale bar to its edges.

    Parameters
    ----------
    image
        The photograph.
    start, end
        The clicks `(y, x)` in px, the outer corner of the first pixel (0, 0).

    Returns
    -------
    BarEnds
        Each end within `REACH` of its click along the line, or the click where there is no edge.

    Raises
    ------
    InputError
        Both clicks are at one place.
    """
    clicks = np.array([start, end], float)
    along = clicks[1] - clicks[0]
    length = float(np.hypot(*along))
    if not length >= 2:
        raise InputError("Both clicks are at one place, so they measure nothing; click on both ends of the scale bar.")
    unit = along / length
    reach = min(max(REACH[0] * length, REACH[1]), REACH[2], length / 2)
    shifts = [_edge(image, click, unit, reach) for click in clicks]
    moved = [click + unit * (shift or 0.0) for click, shift in zip(clicks, shifts, strict=True)]
    places = [(float(y), float(x)) for y, x in moved]
    return BarEnds(places[0], places[1], (shifts[0] is not None, shifts[1] is not None))


def _edge(image: MosaicImage, click: NDArray[np.float64], unit: NDArray[np.float64], reach: float) -> float | None:
    """Where along the line the nearest strong edge lies, from the click in px; None where there is none."""
    from scipy.ndimage import gaussian_filter1d

    margin = 4 * _SMOOTH
    places = np.arange(-reach - margin, reach + margin + _STEP / 2, _STEP)
    profile = _profile(image, click, unit, places)
    if profile is None:
        return None
    slope = np.abs(gaussian_filter1d(profile, _SMOOTH / _STEP, order=1))
    rise = slope * math.sqrt(2 * math.pi) * _SMOOTH / _STEP  # of a sharp edge the height of its step
    inner = slice(1, -1)
    peaks = np.flatnonzero((slope[inner] >= slope[:-2]) & (slope[inner] > slope[2:]) & (rise[inner] >= CONTRAST)) + 1
    peaks = peaks[np.abs(places[peaks]) <= reach]
    if not len(peaks):
        return None
    strong = peaks[rise[peaks] >= rise[peaks].max() / 2]
    best = strong[np.abs(places[strong]).argmin()]
    before, here, after = slope[best - 1 : best + 2]
    return float(places[best] + _STEP * 0.5 * (before - after) / (before - 2 * here + after))


def _profile(
    image: MosaicImage, click: NDArray[np.float64], unit: NDArray[np.float64], places: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Brightness along the line at `places`, the mean of `WIDTH` lines; None at the picture's rim."""
    from scipy.ndimage import map_coordinates

    beside = np.array([unit[1], -unit[0]])
    offsets = np.arange(WIDTH) - (WIDTH - 1) / 2
    points = click + places[:, None, None] * unit + offsets[None, :, None] * beside - 0.5
    low, high = np.floor(points.min(axis=(0, 1))).astype(int) - 2, np.ceil(points.max(axis=(0, 1))).astype(int) + 3
    box = Box(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clip(image.shape)
    if box.area == 0:
        return None
    grey = image.read(box).astype(float) @ (0.2126, 0.7152, 0.0722)
    found = map_coordinates(grey, np.moveaxis(points - (box.y0, box.x0), -1, 0), order=1, mode="nearest")
    mean: NDArray[np.float64] = found.mean(axis=1)
    return mean
