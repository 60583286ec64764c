"""The opened image: a lazy sRGB pyramid with what is known about its scale and place.

One decision: everything that comes later sees 8-bit sRGB, upright, level 0 first, whatever the source was.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.image.pyramid import Pyramid, orient_level, orient_shape, plausible_levels
from napari_mosaic.image.raster import (
    Affine,
    PixelSize,
    Raster,
    Scratch,
    SourceInfo,
)
from napari_mosaic.perspective import Rectification
from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    import dask.array as da


class MosaicImage:
    """A mosaic to be read window by window; made by `open_image`, closed by `close` or `with`.

    Attributes
    ----------
    name
        File name without suffix, or the title that the source gives.
    shape
        Height and width of level 0, upright.
    level_shapes
        Height and width of every level, level 0 first: native ones, then halves down to about 1024 px.
    pixel_size
        Edge of a level-0 pixel on the floor, or None.
    crs
        "EPSG:…" or WKT, or None.
    affine
        (a, b, c, d, e, f): a level-0 pixel corner (x, y) lies at (a x + b y + c, d x + e y + f) in the CRS.
    source
        Kind, location, size, fingerprint and rights statement.
    rectification
        Of a rectified picture, what it was made from; else None.
    by_rows
        Whether rows are decoded in their whole width, so that what lies beside each other is best read together.
    """

    def __init__(self, raster: Raster, scratch: Scratch, close: Callable[[], None], origin: Any = None) -> None:
        levels = [orient_level(level, raster.orientation) for level in plausible_levels(raster.levels)]
        self._pyramid = Pyramid(levels, raster.colour, scratch)
        self._close = close
        self._closed = False
        self._has_mask = raster.colour.has_mask
        self._origin = origin
        place = raster.georeference
        self.name: str = raster.name
        self.level_shapes: tuple[tuple[int, int], ...] = self._pyramid.shapes
        self.shape: tuple[int, int] = self.level_shapes[0]
        self.pixel_size: PixelSize | None = place.pixel_size
        self.crs: str | None = place.crs
        self.affine: Affine | None = orient_affine(place.affine, raster.levels[0].shape, raster.orientation)
        self.source: SourceInfo = raster.source
        self.rectification: Rectification | None = raster.rectification
        self.by_rows: bool = raster.by_rows and raster.orientation < 5

    @property
    def has_mask(self) -> bool:
        """Whether `read_valid` can be anything but True."""
        return self._has_mask

    def read(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """Pixels of a rectangle.

        Parameters
        ----------
        box
            `(y0, x0, y1, x1)` in pixels of `level`; what lies outside the level is cut off.
        level
            Index into `level_shapes`.

        Returns
        -------
        ndarray
            `(h, w, 3)` uint8 sRGB.

        Raises
        ------
        InputError
            Where nothing of the box lies inside, the level does not exist or the image is closed.
        ReadError
            Where the source cannot be read.
        """
        return self._pyramid.read(self._inside(box, level), level)[0]

    def read_valid(self, box: Box, level: int = 0) -> NDArray[np.bool_]:
        """Which pixels of a rectangle `(h, w)` are inside by the file's word (alpha, mask, nodata)."""
        return self._pyramid.read_valid(self._inside(box, level), level)

    def dask_levels(self) -> list[da.Array]:
        """Every level as a dask array `(Y, X, 3)` uint8 in chunks of up to 1024 px, as napari takes them."""
        import dask.array as da

        return [
            da.from_array(  # type: ignore[no-untyped-call]
                _View(self, k), chunks=(1024, 1024, 3), name=False, asarray=False, fancy=False
            )
            for k in range(len(self.level_shapes))
        ]

    def close(self) -> None:
        """Close files and connections and remove scratch data; reading afterwards raises InputError."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> MosaicImage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., MosaicImage], tuple[Any]]:
        """A copy in another process opens the source again."""
        from napari_mosaic.image import open_image

        return open_image, (self._origin,)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"<MosaicImage {self.name!r} {width} x {height} px, {self.source.kind}>"

    def _inside(self, box: Box, level: int) -> Box:
        if self._closed:
            raise InputError(f"The image {self.name!r} is closed, so it cannot be read; open it again.")
        if not 0 <= level < len(self.level_shapes):
            raise InputError(
                f"Level {level} of {self.name!r} does not exist; choose one from 0 to {len(self.level_shapes) - 1}."
            )
        inside = Box(*(int(edge) for edge in box)).clip(self.level_shapes[level])
        if inside.area == 0:
            raise InputError(
                f"The box {tuple(box)} holds no pixel of level {level}, which is "
                f"{self.level_shapes[level]} px high and wide; give a box that meets it."
            )
        return inside


class _View:
    """One level with the little of an array's manners that dask needs."""

    def __init__(self, image: MosaicImage, level: int) -> None:
        self._image = image
        self._level = level
        self.shape = (*image.level_shapes[level], 3)
        self.dtype = np.dtype(np.uint8)
        self.ndim = 3

    def __getitem__(self, key: tuple[slice, slice, slice]) -> NDArray[np.uint8]:
        rows, columns, bands = (part.indices(length) for part, length in zip(key, self.shape, strict=True))
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            return np.empty(tuple(len(range(*part)) for part in (rows, columns, bands)), dtype=np.uint8)
        data = self._image.read(Box(rows[0], columns[0], rows[1], columns[1]), self._level)
        return data[:: rows[2], :: columns[2], slice(*bands)]


def check_sides(shape: tuple[int, int], name: str, smallest: int) -> None:
    """Raise InputError where an image is too small to show a mosaic."""
    if min(shape) < smallest:
        raise InputError(
            f"{name} is {shape[1]} x {shape[0]} px, too small to show a tessera; "
            f"give an image of at least {smallest} px on both sides."
        )


def orient_affine(affine: Affine | None, stored: tuple[int, int], orientation: int) -> Affine | None:
    """Affine of the upright picture, from that of the stored one of height and width `stored`."""
    if affine is None or orientation not in range(2, 9):
        return affine
    from rasterio.transform import Affine as Matrix

    height, width = orient_shape(stored, orientation)
    turned = Matrix(*affine) @ (Matrix(0, 1, 0, 1, 0, 0) if orientation >= 5 else Matrix.identity())
    if orientation in (2, 3, 6, 7):  # x runs backwards
        turned @= Matrix(-1, 0, width, 0, 1, 0)
    if orientation in (3, 4, 7, 8):
        turned @= Matrix(1, 0, 0, 0, -1, height)
    return turned.a, turned.b, turned.c, turned.d, turned.e, turned.f
