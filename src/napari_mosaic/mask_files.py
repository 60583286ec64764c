"""Pictures of two values that say where something is, and the numbers of pictures as they are.

One decision: a mask is what has two values, as people and programs save it: with the noise of JPEG, with soft edges, in
any two shades. A photograph is none, however bright a part of it is.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.image import open_image_steps
from napari_mosaic.progress import drain
from napari_mosaic.tiling import Box

_ROWS = 1024
"""Rows of a mask that are read at a time. *Not varied.*"""
_DARK, _BRIGHT, _BETWEEN = 0.2, 0.8, 0.25
"""Of a mask's brightest pixel: what is dark and what is bright, and the most of it that may lie between. Photographs of
eight mosaics have 0.57 to 0.91 there, masks with the noise of JPEG up to 0.01."""
_A_SHADE, _SHADES = 0.001, 8
"""Share of the pixels that make a shade, and the most shades of a mask. Not varied."""

UNREADABLE = (OSError, ValueError, RuntimeError, SyntaxError, struct.error, zlib.error)
"""What readers of pictures raise where a file is broken."""


def read_mask(path: str | Path) -> NDArray[np.bool_]:
    """A mask image: True where it is opaque and brighter than half of its brightest pixel.

    One that is black all over is told by its alpha channel alone.

    Raises
    ------
    InputError
        It shows many shades, as a photograph does.
    """
    path = existing_file(path)
    if path.suffix.lower() == ".npy":
        values = _read_array(path)
        return np.asarray(values > values.max() / 2)
    with drain(open_image_steps(path, smallest=1)) as image:
        height, width = image.shape
        bright = np.empty(image.shape, np.uint8)
        inside, counts = np.ones(image.shape, np.bool_), np.zeros(256, np.int64)
        for top in range(0, height, _ROWS):
            box = Box(top, 0, min(height, top + _ROWS), width)
            bright[box.slices] = image.read(box).max(axis=-1)
            if image.has_mask:
                inside[box.slices] = image.read_valid(box)
            counts += np.bincount(bright[box.slices][inside[box.slices]], minlength=256)
    peak = int(counts.nonzero()[0].max(initial=0))
    if _is_shaded(counts, peak):
        raise InputError(
            f"{path.name} shows many colours or shades, as a photograph does, and a mask has two; give a PNG or TIFF "
            "that is white inside and black outside, or polygons as GeoJSON or GeoPackage."
        )
    return inside & (bright > peak / 2) if peak or inside.all() else inside


def _is_shaded(counts: NDArray[np.int64], peak: int) -> bool:
    """Whether pixels, counted by brightness, are a photograph's: much lies between dark and bright, in many shades."""
    total = max(int(counts.sum()), 1)
    between = counts[int(_DARK * peak) : int(_BRIGHT * peak)].sum() / total
    return bool(between > _BETWEEN and (counts > _A_SHADE * total).sum() > _SHADES)


def _read_array(path: Path) -> NDArray[Any]:
    try:
        values = read_pixels(path)
    except UNREADABLE as error:
        raise ReadError(f"The mask {path} cannot be read ({error}); save it as PNG or TIFF.") from error
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"The mask {path} has the shape {values.shape}; give a picture of one page.")
    return values


def read_pixels(path: Path) -> NDArray[Any]:
    """The numbers of a `.npy`, a TIFF or a picture that Pillow reads, as they are; raises one of `UNREADABLE`."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if suffix in {".tif", ".tiff"}:
        import tifffile

        return np.asarray(tifffile.imread(path))
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)


def existing_file(path: str | Path) -> Path:
    """The path of a file of areas; `MissingError` where there is none."""
    path = Path(path)
    if not path.exists():
        raise MissingError(f"There is no file {path}, so no area can be read from it; check the path.")
    return path
