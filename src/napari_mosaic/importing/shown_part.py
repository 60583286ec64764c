"""What part of a photograph a picture of tesserae shows, for one that cannot say that it is of a part.

One decision: a tessera that a picture lacks was deleted where the picture shows others all round; beyond them it may
never have been asked for, and stays. So nothing goes that lies outside of the region of an export, whatever its share.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely.affinity import scale
from shapely.geometry.base import BaseGeometry

from napari_mosaic.area_files import outlines
from napari_mosaic.areas import merged, rasterise
from napari_mosaic.tiling import Box

_LARGE = 0.9
"""Share of the tesserae that are no larger than the one by which distances are counted. Not varied."""
_CLOSED = 1 / (np.sqrt(2) - 1)
"""Half of the widest gap that is closed, in half diagonals of that tessera: in a right corner of a region it closes no
more than is taken off again. Gaps of three tesserae and their joints are closed."""
_OFF = 2.0
"""What is taken off, in half diagonals: a tessera, twice what those at a border reach beyond it. With 1.0
one tessera beyond one of 12 regions of a real floor of 1,821 was taken for deleted, with 2.0 none beyond 40."""
_CELLS = 4
"""Cells of the grid a half diagonal. Not varied."""
_MOST_CELLS = 1 << 24
"""Of the grid: 16 million bound memory to 300 MB."""


def shown_part(shapes: NDArray[np.object_], shape: tuple[int, int]) -> BaseGeometry:
    """Where a photograph of some height and width is shown whole: within outlines `(n,)`, `(x, y)` in its pixels.

    Gaps between outlines are closed; a tessera's width at the border is taken off, because those of a region are handed
    on whole. The photograph's own border is none.
    """
    bounds = shapely.bounds(shapes)
    half = float(np.quantile(np.hypot(*(bounds[:, 2:] - bounds[:, :2]).T), _LARGE)) / 2
    cell = max(half / _CELLS, float(np.sqrt(shape[0] * shape[1] / _MOST_CELLS)))
    grid = Box(0, 0, int(np.ceil(shape[0] / cell)), int(np.ceil(shape[1] / cell)))
    covered = rasterise(shapely.multipolygons(shapely.get_parts(shapes)), grid, 1 / cell)
    reach = _CLOSED * half / cell
    wide = int(np.ceil(reach)) + 1
    near = _within(np.pad(covered, wide), reach)
    beside = _within(~near, reach)[wide:-wide, wide:-wide]
    inner = ~_within(beside, _OFF * half / cell)
    return scale(merged(outlines(inner)), cell, cell, origin=(0, 0))


def _within(mask: NDArray[np.bool_], distance: float) -> NDArray[np.bool_]:
    """Cells at most so far from those of a mask."""
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask) <= distance)
