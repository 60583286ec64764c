"""The palette of a floor: few colours to which its tesserae belong.

One decision: as many colours as two halves of the floor agree upon. The tesserae are dealt alternately into two halves;
each is grouped by itself, and a number of groups holds where what one half calls the same the other half calls the same
as well. More groups than that are a cut through a range of shades, and fall elsewhere in another photograph.

References
----------
Tibshirani and Walther, Cluster Validation by Prediction Strength, Journal of Computational and Graphical Statistics 14
(2005): the largest number of groups whose strength is 0.8 to 0.9 or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST = 10
"""Most colours that are tried. Not varied."""
_STRONG = 0.8
"""Least strength (the source's)."""
_ASKED = 12_000
"""Most tesserae that the grouping is made of, evenly through the table; all others are given to the nearest. Not
varied."""
_TRIES = 5
"""Starts of the grouping, of which the closest is kept. Not varied."""
_APART = 6.0
"""Least distance (CIELAB) of two colours of a palette: some 2.3 is just noticeable side by side (Mahy and others,
1994), 10 plain to everybody.
Not varied."""


@dataclass(frozen=True)
class Palette:
    """`colours` `(k, 3)` in CIELAB, the darkest first; `strength` by number of colours that was tried."""

    colours: Floats
    strength: dict[int, float]

    def classes_of(self, colours: Floats) -> NDArray[np.int64]:
        """The nearest colour of the palette, from 1, for mean colours `(n, 3)`; 0 where there is no colour."""
        found = np.zeros(len(colours), np.int64)
        there = np.isfinite(colours).all(1)
        if len(self.colours):
            found[there] = _nearest(colours[there], self.colours) + 1
        return found


def find_palette(colours: Floats, *, most: int = MOST) -> Palette:
    """The palette of mean colours `(n, 3)` in CIELAB; NaN rows are left out.

    The order of the rows says which tesserae are asked, so give them in the order of the table.
    """
    values = colours[np.isfinite(colours).all(1)]
    values = values[:: max(1, -(-len(values) // _ASKED))]
    if len(values) == 0:
        return Palette(np.zeros((0, 3)), {})
    strength, best = {1: 1.0}, 1
    for count in range(2, min(most, len(values) // 8) + 1):
        strength[count] = _strength(values[::2], values[1::2], count)
        if strength[count] >= _STRONG and _least_distance(_centres(values, count)) >= _APART:
            best = count
    return Palette(_centres(values, best), strength)


def _centres(values: Floats, count: int) -> Floats:
    """Means of groups, the darkest first: the closest grouping of a few starts."""
    from napari_mosaic.classical.guidelines import group_colours  # its package loads OpenCV, which no run needs

    best, least = values.mean(0)[None], np.inf
    for seed in range(_TRIES if count > 1 else 0):
        groups = group_colours(values, count, seed=seed)
        centres = np.array([values[groups == k].mean(0) for k in range(int(groups.max()) + 1)])
        spread = float(((values - centres[groups]) ** 2).sum())
        if spread < least:
            best, least = centres, spread
    return np.asarray(best[np.argsort(best[:, 0], kind="stable")])


def _strength(first: Floats, second: Floats, count: int) -> float:
    """How well the first half's groups say which tesserae of the second belong together, in its worst group."""
    told, own = _nearest(second, _centres(first, count)), _nearest(second, _centres(second, count))
    strengths = []
    for group in np.unique(own):
        shared = np.bincount(told[own == group]).astype(float)
        size = shared.sum()
        strengths.append(float((shared * (shared - 1)).sum() / (size * (size - 1))) if size > 1 else 0.0)
    return min(strengths)


def _nearest(values: Floats, centres: Floats) -> NDArray[np.int64]:
    distance = np.stack([((values - centre) ** 2).sum(1) for centre in centres], 1)
    return np.asarray(distance.argmin(1), np.int64)


def _least_distance(centres: Floats) -> float:
    apart = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(-1))
    return float(apart[np.triu_indices(len(centres), 1)].min(initial=np.inf))


def lab_to_srgb(lab: Any) -> NDArray[np.uint8]:
    """CIELAB (D65) `(..., 3)` as sRGB bytes, what no screen shows clipped."""
    from skimage.color import lab2rgb

    shown = lab2rgb(np.asarray(lab, float).reshape(-1, 1, 3)).reshape(np.shape(lab))
    return np.asarray(np.round(shown * 255).clip(0, 255), np.uint8)


def hex_of(lab: Any) -> str:
    """One colour as it is written on the web: `#rrggbb`."""
    return "#" + "".join(f"{int(value):02x}" for value in lab_to_srgb(lab))


__all__ = ["MOST", "Palette", "find_palette", "hex_of", "lab_to_srgb"]
