"""Decoding once what cannot be read by tile: row by row into a temporary zarr.

One decision: GDAL reads JPEG, PNG, BMP and single-strip TIFF line by line, so even a picture larger than
memory passes through a band of rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import ReadError
from napari_mosaic.image.raster import Context, Level
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.tiling import Box

BAND = 512
_ENVIRONMENT = {
    "GDAL_ALLOW_LARGE_LIBJPEG_MEM_ALLOC": "YES",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
    "GDAL_PAM_ENABLED": "NO",
}


def decode_lines(path: Path, context: Context) -> Steps[tuple[Level, np.dtype[Any], int]]:
    """Decode a file line by line with GDAL.

    Returns
    -------
    tuple
        A level over the temporary zarr, the type of its samples and the number of channels.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.windows import Window

    with warnings.catch_warnings(), rasterio.Env(**_ENVIRONMENT):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as dataset:
                shape, dtype = (dataset.height, dataset.width), np.dtype(dataset.dtypes[0])

                def read(y0: int, y1: int) -> NDArray[Any]:
                    band = dataset.read(window=Window(0, y0, shape[1], y1 - y0))
                    return np.moveaxis(band, 0, -1)

                level = yield from store_bands(read, (*shape, dataset.count), dtype, context)
                return level, dtype, dataset.count
        except RasterioError as error:
            raise unreadable(path, error) from error


def store_bands(
    read: Callable[[int, int], NDArray[Any]],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    context: Context,
) -> Steps[Level]:
    """Write bands of rows into a temporary zarr and return a level over it.

    Parameters
    ----------
    read
        Gives rows `y0` to `y1`, `(rows, width, channels)`.
    shape
        Height, width and channels.
    dtype
        Type of the samples.
    context
        Whose scratch folder takes the zarr.
    """
    import zarr

    height, width, channels = shape
    array = zarr.create_array(
        context.scratch.path() / "decoded.zarr",
        shape=shape,
        chunks=(BAND, BAND, channels),
        dtype=dtype,
        compressors=zarr.codecs.ZstdCodec(level=1),
        overwrite=True,
    )
    for y0 in range(0, height, BAND):
        y1 = min(height, y0 + BAND)
        array[y0:y1] = read(y0, y1)
        yield Progress(phase="decode", done=y1 * width / 1e6, total=height * width / 1e6)
    return Level((height, width), lambda box: np.asarray(array[box.slices]))


def whole_level(data: NDArray[Any]) -> Level:
    """A level over an array `(h, w)` or `(h, w, channels)` in memory."""
    pixels = data[..., None] if data.ndim == 2 else data

    def read(box: Box) -> NDArray[Any]:
        return pixels[box.slices]

    return Level((pixels.shape[0], pixels.shape[1]), read)


def unreadable(path: Path | str, error: BaseException | str) -> ReadError:
    """The sentence for a file whose content is damaged."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ReadError(
        f"{path} cannot be decoded ({reason.rstrip('.')}), so it is damaged or incomplete; copy or export it again."
    )
