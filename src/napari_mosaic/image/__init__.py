"""Images from any source as lazy sRGB pyramids.

`open_image` opens files, folders, addresses, arrays and napari layers; what it returns is read window by
window. Opening is cheap: only what cannot be read by tile is decoded first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any

from napari_mosaic.image.background import background_mask
from napari_mosaic.image.model import MosaicImage, check_sides
from napari_mosaic.image.raster import MIN_SIDE, Context, PixelSize, Scratch, SourceInfo
from napari_mosaic.image.registry import open_raster_steps
from napari_mosaic.progress import Progress, Steps, drain


def open_image_steps(
    source: Any, *, cache_dir: str | PathLike[str] | None = None, smallest: int = MIN_SIDE
) -> Steps[MosaicImage]:
    """Open an image in steps; see `open_image`. One with a side below `smallest` pixels is refused.

    Yields
    ------
    Progress
        Of phase "decode", in megapixels, where the source must be decoded first, or "download".
    """
    folder = None if cache_dir is None else Path(cache_dir)
    with ExitStack() as own:
        scratch = Scratch(folder)
        own.callback(scratch.close)
        raster = yield from open_raster_steps(source, Context(folder, scratch, own, open_raster_steps))
        check_sides(raster.levels[0].shape, raster.name, smallest)
        return MosaicImage(raster, scratch, own.pop_all().close, origin=_origin(source, raster.source.location))


def _origin(source: Any, location: str) -> Any:
    """What opens the same image in another process, which may stand in another folder and needs the password too."""
    if isinstance(source, str) and "://" in source:
        return source
    return os.path.abspath(location) if location and Path(location).exists() else location or source


def open_image(
    source: Any,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    cache_dir: str | PathLike[str] | None = None,
) -> MosaicImage:
    """Open a mosaic as a lazy sRGB pyramid.

    Parameters
    ----------
    source
        Path of a PNG, JPEG, WebP, HEIC, AVIF, JPEG XL, BMP, GIF, TIFF, JPEG 2000, VRT or `.dzi` file, of an OME-Zarr or
        of a folder of georeferenced blocks; an address (http, `s3://` or what else fsspec knows) of an OME-Zarr, a
        `.dzi`, a IIIF `info.json` or manifest, or a picture, for http with `NAME:PASSWORD@` where it asks for them; a
        numpy, dask or zarr array or a list of levels; a napari Image layer; "sample:NAME".
    on_progress
        Called with each finished piece of decoding.
    cache_dir
        Folder for downloaded tiles and scratch data; by default the user's cache folder and the system's
        temporary folder.

    Returns
    -------
    MosaicImage
        To be closed by the caller, or used in a `with` statement.

    Raises
    ------
    MissingError
        Where the file or address does not exist.
    ReadError
        Where it exists but is damaged, of an unknown kind or out of reach.
    InputError
        Where it can be read but is no picture of a mosaic: wrong channels, values or size.

    Examples
    --------
    >>> from napari_mosaic.image import open_image
    >>> with open_image("sample:brick") as image:
    ...     image.shape
    (512, 512)
    """
    return drain(open_image_steps(source, cache_dir=cache_dir), on_progress)


surround_mask = background_mask
"""The name of `background_mask` in earlier versions."""

__all__ = [
    "MosaicImage",
    "PixelSize",
    "SourceInfo",
    "background_mask",
    "open_image",
    "open_image_steps",
    "surround_mask",
]
