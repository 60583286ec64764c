"""Which family opens which source: one table, looked through from top to bottom.

One decision: content decides wherever there is content to look at; a suffix only where there is none yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.folders import local_path
from napari_mosaic.image.arrays import is_array, is_layer, is_levels
from napari_mosaic.image.raster import Context, Opener, Raster
from napari_mosaic.progress import Steps

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"RIFF")
_JPEG2000 = (b"\0\0\0\x0cjP  ", b"\xffO\xffQ")
_ZARR = (".zattrs", ".zgroup", ".zarray", "zarr.json")


@dataclass(frozen=True)
class Family:
    """A kind of source: how to know it, and `module:function` that opens it."""

    name: str
    recognises: Callable[[Any], bool]
    opener: str

    def load(self) -> Opener:
        """Import the module of the family and return its opener."""
        module, function = self.opener.split(":")
        opener: Opener = getattr(import_module(f"napari_mosaic.image.{module}"), function)
        return opener


def _is_sample(source: Any) -> bool:
    return isinstance(source, str) and source.startswith("sample:")


def _is_url(source: Any) -> bool:
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def _head(source: Any, length: int = 512) -> bytes:
    path = Path(source)
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(length)


def _starts(*heads: bytes) -> Callable[[Any], bool]:
    return lambda source: _head(source, 16).startswith(heads)


def _contains(*words: bytes) -> Callable[[Any], bool]:
    return lambda source: any(word in _head(source) for word in words)


def is_picture(head: bytes) -> bool:
    """Whether the first bytes are those of a picture in one file."""
    return head.startswith((*_TIFF, *_PICTURES, *_JPEG2000))


def _is_zarr(source: Any) -> bool:
    return Path(source).is_dir() and any((Path(source) / name).is_file() for name in _ZARR)


def _is_json(source: Any) -> bool:
    return _head(source).lstrip().startswith(b"{")


def _is_folder(source: Any) -> bool:
    return Path(source).is_dir()


OBJECTS = (
    Family("napari layer", is_layer, "layers:open_layer"),
    Family("array", lambda source: is_array(source) or is_levels(source), "arrays:open_array"),
    Family("sample", _is_sample, "samples:open_sample"),
    Family("URL", _is_url, "web:open_url"),
)
"""Sources that are no local path."""

FILES = (
    Family("TIFF", _starts(*_TIFF), "tiff:open_tiff"),
    Family("picture", _starts(*_PICTURES), "pillow:open_picture"),
    Family("JPEG 2000", _starts(*_JPEG2000), "blocks:open_dataset"),
    Family("OME-Zarr", _is_zarr, "ome_zarr:open_zarr"),
    Family("VRT", _contains(b"<VRTDataset"), "blocks:open_dataset"),
    Family("Deep Zoom", _contains(b"deepzoom", b"TileSize"), "deepzoom:open_deepzoom"),
    Family("IIIF", _is_json, "iiif:open_iiif"),
    Family("blocks", _is_folder, "blocks:open_blocks"),
)
"""Local files and folders."""


def open_raster_steps(source: Any, context: Context) -> Steps[Raster]:
    """Find the family of a source and open it."""
    for family in OBJECTS:
        if family.recognises(source):
            return (yield from family.load()(source, context))
    path = _local_path(source)
    try:
        for family in FILES:
            if family.recognises(path):
                return (yield from family.load()(path, context))
    except PermissionError as error:
        raise ReadError(f"{path} may not be read ({error.strerror}); ask for the right to read it.") from error
    raise ReadError(
        f"{path} is none of the kinds of image that can be opened (it begins with {_head(path, 12)!r}); "
        "give a PNG, JPEG, WebP, BMP, TIFF, OME-Zarr, Deep Zoom, IIIF or VRT source."
    )


def _local_path(source: Any) -> Path:
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise InputError(
            f"A {type(source).__name__} is no image; give a path, a URL, an array, a list of arrays or an image layer."
        )
    text = os.fspath(source)
    if "://" in text and not text.startswith("file://"):
        raise InputError(
            f"{text} is an address of a kind that cannot be read; give an http or https address, or download it."
        )
    path = local_path(text)
    if not path.exists():
        raise MissingError(f"{path} does not exist, so there is nothing to open; check the path.")
    if path.is_file() and path.stat().st_size == 0:
        raise ReadError(f"{path} is empty (0 bytes), so it shows nothing; copy or export it again.")
    return path
