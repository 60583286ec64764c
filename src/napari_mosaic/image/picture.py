"""PNG, JPEG, WebP, BMP, GIF, AVIF, HEIC and JPEG XL: pictures that have no tiles.

One decision: small ones are held in memory, large ones are decoded once into a temporary zarr. The header is Pillow's,
for it knows resolution, turn and profile. GDAL decodes PNG, all of whose depths it knows, and what is large, line by
line; it gives the masks and places beside all of them. Small JPEG stays with Pillow, whose libjpeg interpolates the
colours of subsampled ones where GDAL's repeats them: on a photograph of stones at 4:2:0 half of the samples differ, by
up to 46 of 255 levels.
"""

from __future__ import annotations

import io
import mmap
import struct
import zlib
from contextlib import ExitStack, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import MosaicError, ReadError
from napari_mosaic.file_types import FileType, file_type
from napari_mosaic.fingerprints import fingerprint_file, read_head
from napari_mosaic.image.arrays import measure_colour, plain_colour
from napari_mosaic.image.colour import Colour, logger, usable_profile
from napari_mosaic.image.dataset import LOSSY_ALPHA, DatasetPool, Opened, open_pool, text_beside
from napari_mosaic.image.pixel_size import dpi_size
from napari_mosaic.image.raster import (
    Context,
    Georeference,
    Level,
    Raster,
    SourceInfo,
    decode_once,
    decode_whole,
    unreadable,
    whole_level,
)
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.tiling import Box

HELD = 60_000_000
"""Pixels up to which a picture is held in memory: 180 MB of RGB. *Not varied.*"""

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, MemoryError, zlib.error, struct.error)
"""What Pillow raises on damaged files."""

_ORIENTATION = 0x0112

_WHOLE = ("WebP", "GIF")
"""What GDAL decodes as a whole, as Pillow does."""

_LOSSY_ALPHA = ("AVIF", "HEIF")
"""Whose alpha channel is a picture that lost something, as its colours did."""


def open_picture(path: Path, context: Context) -> Steps[Raster]:
    """Open a picture of a kind that Pillow knows."""
    kind = file_type(read_head(path))
    assert kind is not None
    with ExitStack() as own:
        picture = _header(kind, own.enter_context(path.open("rb")), path)
        opened = _by_gdal(kind, path, own)
        large = picture.width * picture.height > HELD and kind.name not in _WHOLE
        if opened is not None and picture.mode != "CMYK" and (large or _deeper(opened, picture)):
            level = (yield from _lines(opened, kind, path, context)) if large else decode_whole(opened.level)
            colour = measure_colour([level], opened.bands.dtype, opened.bands.colour, opened.bands.bits)
        else:
            data = decode_picture(picture, path)
            yield Progress(phase="decode", done=data[..., 0].size / 1e6, total=data[..., 0].size / 1e6)
            meaning = Colour(model="cmyk") if picture.mode == "CMYK" else plain_colour(data.shape[2])
            meaning = replace(meaning, threshold=LOSSY_ALPHA if kind.name in _LOSSY_ALPHA else 0)
            if opened is not None and opened.bands.masked and meaning.alpha is None:
                mask = opened.level.read(Box(0, 0, *data.shape[:2]))[..., -1:]
                meaning = replace(meaning, alpha=data.shape[2])
                data = np.concatenate([data, mask.astype(data.dtype)], axis=-1)
            level = whole_level(data)
            colour = measure_colour([level], data.dtype, meaning)
    place = opened.place if opened is not None else Georeference()
    return Raster(
        name=path.stem,
        levels=(level,),
        colour=replace(colour, profile=usable_profile(picture.info.get("icc_profile"), colour.model)),
        source=SourceInfo(kind=kind.name, location=str(path), **fingerprint_file(path).as_source()),
        georeference=place if place.affine else Georeference(pixel_size=dpi_size(picture.info.get("dpi"))),
        orientation=_orientation(picture),
    )


def _header(kind: FileType, file: BinaryIO, path: Path) -> Image.Image:
    """Open with the plugin of the content: `Image.open` refuses pictures above 179 megapixels."""
    module, name = kind.plugin.split(":")
    with needed_for(f"{path.name} ({kind.name})", instead="or save it as JPEG or PNG"):
        plugin = getattr(import_module(module), name)
    try:
        picture: Image.Image = plugin(file, str(path))
    except DAMAGE as error:
        raise unreadable(path, error) from error
    return picture


def _by_gdal(kind: FileType, path: Path, own: ExitStack, **environment: str) -> Opened | None:
    """The same picture by GDAL, which knows what lies beside it; None where it cannot open it."""
    if not kind.driver:
        return None
    with suppress(MosaicError):
        return open_pool(DatasetPool(str(path), own, environment, driver=kind.driver), path.name, text_beside(path))
    return None


def _deeper(opened: Opened, picture: Image.Image) -> bool:
    """Whether GDAL has more bits than Pillow, which makes 8 of the 16 of colours."""
    return opened.bands.dtype.itemsize > 1 and len(picture.getbands()) > 1


def _lines(opened: Opened, kind: FileType, path: Path, context: Context) -> Steps[Level]:
    """All of a large picture; bytes too many between the parts of a JPEG, which cameras write, lose nothing of it."""
    try:
        return (yield from decode_once(opened.level, context))
    except ReadError:
        if kind.name != "JPEG":
            raise
    _check_end(path)
    with ExitStack() as own:
        again = _by_gdal(kind, path, own, GDAL_ERROR_ON_LIBJPEG_WARNING="NO")
        assert again is not None
        return (yield from decode_once(again.level, context))


def _check_end(path: Path) -> None:
    """Refuse a JPEG whose last scan has no end: in a scan no byte of 255 is followed by that of a marker."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
            raise unreadable(path, "it ends before the picture does")


def decode_picture(picture: Image.Image, where: Path | str) -> NDArray[Any]:
    """Samples `(h, w, channels)` of an opened picture: grey, RGB, with alpha or not, or CMYK, in their own depth."""
    try:
        if picture.mode == "P" or "transparency" in picture.info:
            picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
        elif picture.mode in ("1", "YCbCr", "LAB", "HSV", "RGBX", "PA", "La", "RGBa"):
            picture = picture.convert("L" if picture.mode == "1" else "RGB")
        data = np.asarray(picture)
    except DAMAGE as error:
        raise unreadable(where, error) from error
    return data[..., None] if data.ndim == 2 else data


def decode_tile(data: bytes, where: str) -> NDArray[np.uint8]:
    """RGB samples `(h, w, 3)` of a downloaded tile, or RGBA where it has an alpha channel."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            clear = picture.has_transparency_data
            return np.asarray(picture.convert("RGBA" if clear else "RGB"))
    except DAMAGE as error:
        raise unreadable(where, error) from error


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except DAMAGE:
        return 1
    return value if value in range(1, 9) else 1


def open_jpegxl(path: Path, context: Context) -> Steps[Raster]:
    """Open a JPEG XL, upright already and in the depth that it has, as sRGB: its decoder tells of no other colours."""
    import imagecodecs

    logger.warning(
        "%s: colours of JPEG XL are taken for sRGB; if it has another profile, convert it to TIFF.", path.name
    )

    try:
        data = np.asarray(imagecodecs.jpegxl_decode(path.read_bytes()))
    except (RuntimeError, *DAMAGE) as error:  # its own error is a RuntimeError
        raise unreadable(path, error) from error
    level = whole_level(data)
    yield Progress(phase="decode", done=data.size / 1e6, total=data.size / 1e6)
    channels = 1 if data.ndim == 2 else data.shape[2]
    return Raster(
        name=path.stem,
        levels=(level,),
        colour=measure_colour([level], data.dtype, plain_colour(channels)),
        source=SourceInfo(kind="JPEG XL", location=str(path), **fingerprint_file(path).as_source()),
    )
