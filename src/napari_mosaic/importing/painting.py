"""Outlines on the working grid: masks of one, labels of many.

One decision: a pixel belongs to the outline that its centre lies in, by a rule that knows nothing of the window
(`areas.rasterise`); where outlines overlap the smaller lies on top.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.areas import rasterise
from napari_mosaic.tiling import Box


def mask_of(shape: BaseGeometry, box: Box, factor: float) -> NDArray[np.bool_]:
    """The pixels of a box of the working grid in an outline `(x, y)` in source pixels."""
    mask = np.zeros(box.shape, bool)
    part = box_of(shape, factor).intersect(box)
    if part.area:
        mask[part.within(box)] = rasterise(shape, part, factor)
    return mask


def box_of(shape: BaseGeometry, factor: float) -> Box:
    """A box of the working grid that holds an outline."""
    x0, y0, x1, y1 = shapely.bounds(shape) * factor
    return Box(int(np.floor(y0)), int(np.floor(x0)), int(np.ceil(y1)), int(np.ceil(x1)))


def paint(shapes: NDArray[np.object_], numbers: NDArray[np.int64], box: Box, factor: float) -> NDArray[np.int64]:
    """The numbers of outlines over a box, 0 elsewhere."""
    painted = np.zeros(box.shape, np.int64)
    for k in np.argsort(-shapely.area(shapes), kind="stable").tolist():
        part = box_of(shapes[k], factor).intersect(box)
        if part.area:
            painted[part.within(box)][rasterise(shapes[k], part, factor)] = numbers[k]
    return painted
