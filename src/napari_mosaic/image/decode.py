"""Decoding once what cannot be read by tile: row by row into a temporary zarr.

One decision: GDAL reads JPEG, PNG, BMP and single-strip TIFF line by line, so even a picture larger than
memory passes through a band of rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import ReadError
from napari_mosaic.image.raster import Context, Level
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.tiling import Box

BAND = 512
"""Rows that are decoded at a time, and side of a chunk of the temporary zarr. *Not varied.*"""


def decode_once(level: Level, context: Context) -> Steps[Level]:
    """Read a level from top to bottom into a temporary zarr and return a level over it."""
    import zarr

    height, width = level.shape
    array: Any = None
    for y0 in range(0, height, BAND):
        y1 = min(height, y0 + BAND)
        rows = level.read(Box(y0, 0, y1, width))
        if array is None:
            array = zarr.create_array(
                context.scratch.path() / "decoded.zarr",
                shape=(height, width, rows.shape[2]),
                chunks=(BAND, BAND, rows.shape[2]),
                dtype=rows.dtype,
                compressors=zarr.codecs.ZstdCodec(level=1),
                overwrite=True,
            )
        array[y0:y1] = rows
        yield Progress(phase="decode", done=y1 * width / 1e6, total=height * width / 1e6)
    return Level((height, width), lambda box: np.asarray(array[box.slices]))


def decode_whole(level: Level) -> Level:
    """A level over all samples of another, in memory."""
    return whole_level(level.read(Box(0, 0, *level.shape)))


def whole_level(data: NDArray[Any]) -> Level:
    """A level over an array `(h, w)` or `(h, w, channels)` in memory."""
    pixels = data[..., None] if data.ndim == 2 else data

    def read(box: Box) -> NDArray[Any]:
        return pixels[box.slices]

    return Level((pixels.shape[0], pixels.shape[1]), read)


def unreadable(path: Path | str, error: BaseException | str) -> ReadError:
    """The sentence for a file whose content is damaged."""
    cause = error
    while isinstance(cause, BaseException) and cause.__cause__ is not None:
        cause = cause.__cause__
    reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(error).__name__
    return ReadError(
        f"{path} cannot be decoded ({reason.rstrip('.')}), so it is damaged or incomplete; copy or export it again."
    )
