"""PNG, JPEG, WebP and BMP: pictures that have no tiles.

One decision: small ones are held in memory, large ones are decoded once into a temporary zarr.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from napari_mosaic.errors import InputError
from napari_mosaic.image.arrays import measure_colour, refuse_channels
from napari_mosaic.image.colour import usable_profile
from napari_mosaic.image.decode import decode_lines, unreadable, whole_level
from napari_mosaic.image.georeference import read_georeference
from napari_mosaic.image.pixel_size import dpi_size
from napari_mosaic.image.raster import Context, Georeference, Level, Raster, SourceInfo, fingerprint_file
from napari_mosaic.progress import Progress, Steps

HELD = 60_000_000
"""Pixels up to which a picture is held in memory."""

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, zlib.error, struct.error)
"""What Pillow raises on damaged files."""

_ORIENTATION = 0x0112
_PLUGINS: dict[bytes, tuple[str, Any]] = {
    b"\x89PNG": ("PNG", PngImagePlugin.PngImageFile),
    b"\xff\xd8": ("JPEG", JpegImagePlugin.JpegImageFile),
    b"RIFF": ("WebP", WebPImagePlugin.WebPImageFile),
    b"BM": ("BMP", BmpImagePlugin.BmpImageFile),
}


def open_picture(path: Path, context: Context) -> Steps[Raster]:
    """Open a PNG, JPEG, WebP or BMP file."""
    with path.open("rb") as file:
        kind, picture = _open_plugin(file, path)
        width, height = picture.size
        orientation = _orientation(picture)
        dpi, profile = picture.info.get("dpi"), picture.info.get("icc_profile")
        held = width * height <= HELD or kind == "WebP" or picture.mode in ("CMYK", "P")
        data = None
        if held:
            data = decode_picture(picture, path)
            yield Progress(phase="decode", done=width * height / 1e6, total=width * height / 1e6)
    level, known = _in_memory(data) if data is not None else (yield from _on_disk(path, context))
    dtype, channels = known.pop("dtype"), known.pop("channels")
    if picture.mode == "CMYK":
        known["model"] = "cmyk"
    colour = measure_colour([level], dtype, channels, **known)
    place = read_georeference(path, level.shape)
    return Raster(
        name=path.stem,
        levels=(level,),
        colour=_with_profile(colour, profile),
        source=SourceInfo(kind=kind, location=str(path), **fingerprint_file(path).as_source()),
        georeference=place if place.affine is not None else Georeference(pixel_size=dpi_size(dpi)),
        orientation=orientation,
    )


def decode_picture(picture: Image.Image, where: Path | str) -> np.ndarray[Any, Any]:
    """Samples of an opened picture: grey, grey and alpha, RGB, RGBA or CMYK in their own depth."""
    try:
        if picture.mode == "P" or "transparency" in picture.info:
            transparent = "transparency" in picture.info
            return np.asarray(picture.convert("RGBA" if transparent else "RGB"))
        if picture.mode in ("1", "YCbCr", "LAB", "HSV", "RGBX", "PA", "La", "RGBa"):
            return np.asarray(picture.convert("L" if picture.mode == "1" else "RGB"))
        return np.asarray(picture)
    except DAMAGE as error:
        raise unreadable(where, error) from error


def decode_tile(data: bytes, where: str) -> np.ndarray[Any, Any]:
    """RGB samples `(h, w, 3)` of a downloaded tile."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("RGB"))
    except DAMAGE as error:
        raise unreadable(where, error) from error


def _with_profile(colour: Any, profile: bytes | None) -> Any:
    from dataclasses import replace

    return replace(colour, profile=usable_profile(profile, colour.model))


def _open_plugin(file: BinaryIO, path: Path) -> tuple[str, Image.Image]:
    """Open with the plugin of the content: `Image.open` refuses pictures above 179 megapixels."""
    head = file.read(4)
    file.seek(0)
    kind, plugin = next(entry for magic, entry in _PLUGINS.items() if head.startswith(magic))
    try:
        return kind, plugin(file, str(path))
    except DAMAGE as error:
        raise unreadable(path, error) from error


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except DAMAGE:
        return 1
    return value if value in range(1, 9) else 1


def _in_memory(data: np.ndarray[Any, Any]) -> tuple[Level, dict[str, Any]]:
    channels = 1 if data.ndim == 2 else data.shape[2]
    return whole_level(data), {"dtype": data.dtype, "channels": channels}


def _on_disk(path: Path, context: Context) -> Steps[tuple[Level, dict[str, Any]]]:
    level, dtype, channels = yield from decode_lines(path, context)
    if channels not in (1, 2, 3, 4):
        refuse_channels(channels, path.name)
    return level, {"dtype": dtype, "channels": channels}


__all__ = ["DAMAGE", "HELD", "InputError", "decode_picture", "decode_tile", "open_picture"]
