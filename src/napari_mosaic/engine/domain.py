"""Where something is computed, and where not: outside of the mosaic by the file's word, its surround, or the user's.

One decision: it is decided per pixel of the working grid from the source's mask and from polygons in
the record, so that a worker needs nothing but the record and the source to know it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.areas import AreaSet
from napari_mosaic.engine.resample import level_for
from napari_mosaic.image import MosaicImage
from napari_mosaic.tiling import Box

Mask = NDArray[np.bool_]


class Domain:
    """The part of the working grid that is computed; answers which pixels of a box are outside of it."""

    def __init__(self, image: MosaicImage, areas: AreaSet, factor: float) -> None:
        self._image = image
        self.areas = areas
        self.factor = factor

    def mask(self, box: Box) -> Mask | None:
        """`(h, w)` True where outside, or None where all of `box` is inside."""
        outside = self.areas.outside_mask(box, self.factor)
        if self._image.has_mask:
            invalid = ~self._read_valid(box)
            outside = invalid if outside is None else outside | invalid
        return outside if outside is not None and outside.any() else None

    def covers(self, box: Box) -> bool:
        """Whether all of `box` is outside."""
        mask = self.mask(box)
        return mask is not None and bool(mask.all())

    def _read_valid(self, box: Box) -> Mask:
        """The source's own mask at the centres of working pixels."""
        image, factor = self._image, self.factor
        level = level_for(image, factor)
        shape = image.level_shapes[level]
        rows = _centres(box.y0, box.y1, factor, shape[0] / image.shape[0], shape[0])
        columns = _centres(box.x0, box.x1, factor, shape[1] / image.shape[1], shape[1])
        read = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        valid = image.read_valid(read, level)
        return np.asarray(valid[(rows - read.y0)[:, None], columns - read.x0])


def _centres(start: int, stop: int, factor: float, ratio: float, length: int) -> NDArray[np.int64]:
    places = np.floor((np.arange(start, stop) + 0.5) / factor * ratio).astype(np.int64)
    return np.asarray(np.clip(places, 0, length - 1))
