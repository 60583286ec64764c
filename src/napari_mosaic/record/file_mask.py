"""Which part of a photograph its own file calls outside (alpha, mask, nodata), kept in the record.

One decision: a record knows its figures without its photograph, so the file's mask is read once, tile by tile
at a level of bounded size, and lies in the record as a small picture; one white pixel where the file masks nothing.
"""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry.base import BaseGeometry

from napari_mosaic.areas import rasterise
from napari_mosaic.errors import MosaicError, RecordError
from napari_mosaic.files import whole_file
from napari_mosaic.image import MosaicImage
from napari_mosaic.record.readable import ReadableRecord
from napari_mosaic.tiling import Lattice

NAME = "file-mask.png"
MOST_PIXELS = 16 << 20
"""Of the mask that is kept: 16 MB in memory, and 4096 x 4096 px put an edge within 0.03 % of the picture's side."""

_TILE = 1024
"""Side of a tile of the mask, px; memory alone depends on it. Not varied."""


@dataclass(frozen=True)
class FileMask:
    """What the file calls inside, `(h, w)` bool over the whole photograph of `shape` in source pixels."""

    inside: NDArray[np.bool_]
    shape: tuple[int, int]

    @cached_property
    def all_inside(self) -> bool:
        """Whether the file masks nothing."""
        return bool(self.inside.all())

    def area_within(self, geometry: BaseGeometry) -> float:
        """Area, in source pixels, of the part of polygons (source pixels) that the file calls inside."""
        if self.all_inside or geometry.is_empty:
            return float(geometry.area)
        return float(geometry.area) - self._masked_within(geometry)

    def _masked_within(self, geometry: BaseGeometry) -> float:
        """Area of what the file masks in polygons, by the centres of the mask's pixels."""
        height, width = self.inside.shape
        fy, fx = height / self.shape[0], width / self.shape[1]
        own = shapely.transform(geometry, lambda places: places * (fx, fy))
        masked = 0
        for tile in Lattice(shape=self.inside.shape, core=_TILE):
            outside = ~self.inside[tile.core.slices]
            if outside.any():
                y0, x0, y1, x1 = tile.core
                part = shapely.clip_by_rect(own, x0 - 1, y0 - 1, x1 + 1, y1 + 1)
                if not part.is_empty:
                    masked += int(np.count_nonzero(outside & rasterise(part, tile.core, 1.0)))
        return float(masked / (fy * fx))


def read_valid_level(image: MosaicImage) -> NDArray[np.bool_]:
    """What a photograph's file calls inside, `(h, w)`, at its largest level of bounded size; one pixel where all is."""
    if not image.has_mask:
        return np.ones((1, 1), bool)
    shapes = image.level_shapes
    level = next((k for k, (height, width) in enumerate(shapes) if height * width <= MOST_PIXELS), len(shapes) - 1)
    inside = np.ones(shapes[level], bool)
    for tile in Lattice(shape=shapes[level], core=_TILE):
        inside[tile.core.slices] = image.read_valid(tile.core, level)
    return np.ones((1, 1), bool) if inside.all() else inside


def write_file_mask(folder: Path, inside: NDArray[np.bool_]) -> None:
    """Write what a file calls inside into the folder of a record, whole or not at all."""
    with whole_file(folder / NAME, sync=True) as temporary:
        Image.fromarray(inside).save(temporary, format="PNG")


def read_file_mask(record: ReadableRecord) -> FileMask:
    """The mask of a record's photograph by its own file.

    A record made before masks were kept asks its photograph, once; where that is not there, nothing counts as masked.
    """
    path, shape = record.path / NAME, record.plan.source_shape
    if path.exists():
        return FileMask(_read_picture(path), shape)
    inside = np.ones((1, 1), bool)
    with suppress(MosaicError):
        with record.open_source() as image:
            inside = read_valid_level(image)
        with suppress(OSError):  # a record that may only be read is asked again the next time
            write_file_mask(record.path, inside)
    return FileMask(inside, shape)


def _read_picture(path: Path) -> NDArray[np.bool_]:
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as picture:
            return np.asarray(picture.convert("1"), bool)
    except (OSError, ValueError, SyntaxError) as error:
        raise RecordError(f"{path} cannot be read ({error}); delete it, and it is made again.") from error


__all__ = ["FileMask", "read_file_mask", "read_valid_level", "write_file_mask"]
