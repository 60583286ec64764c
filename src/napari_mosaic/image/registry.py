"""Who opens which source: objects and folders by a table of their manners, files by that of their types.

One decision: content decides wherever there is content to look at; a suffix only where there is none yet.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.file_types import FILE_TYPES, file_type
from napari_mosaic.fingerprints import read_head
from napari_mosaic.folders import local_path
from napari_mosaic.image.arrays import is_array, is_layer, is_levels
from napari_mosaic.image.raster import Context, Opener, Raster
from napari_mosaic.objects import address_of
from napari_mosaic.progress import Steps

_ZARR = (".zattrs", ".zgroup", ".zarray", "zarr.json")


def load_opener(opener: str) -> Opener:
    """Import the module of an opener, named as in the table of file types, and return it."""
    module, function = opener.split(":")
    found: Opener = getattr(import_module(f"napari_mosaic.image.{module}"), function)
    return found


def _is_zarr(source: Path) -> bool:
    return source.is_dir() and any((source / name).is_file() for name in _ZARR)


OBJECTS = (
    (is_layer, "layers:open_layer"),
    (lambda source: is_array(source) or is_levels(source), "arrays:open_array"),
    (lambda source: isinstance(source, str) and source.startswith("sample:"), "samples:open_sample"),
    (lambda source: isinstance(source, str) and source.lower().startswith(("http://", "https://")), "web:open_url"),
    (lambda source: address_of(source) is not None, "web:open_object"),
)
"""Sources that are no local path: how to know each, and `module:function` that opens it."""

FOLDERS = (
    (_is_zarr, "ome_zarr:open_zarr"),
    (Path.is_dir, "blocks:open_blocks"),
)
"""Local folders alike; files are told by `FILE_TYPES`."""


def find_opener(path: Path) -> Opener:
    """The opener of a local file or folder; `ReadError` or `InputError` where there is none."""
    for recognises, opener in FOLDERS:
        if recognises(path):
            return load_opener(opener)
    head = read_head(path)
    kind = file_type(head)
    if kind is None:
        raise ReadError(
            f"{path} is none of the kinds of image that can be opened (it begins with {head[:12]!r}); "
            f"give a {', '.join(kind.name for kind in FILE_TYPES if kind.opener)} or OME-Zarr source."
        )
    if not kind.opener:
        raise InputError(f"{path.name} is a {kind.name} file: {kind.advice}.")
    return load_opener(kind.opener)


def open_raster_steps(source: Any, context: Context) -> Steps[Raster]:
    """Find who opens a source, and open it."""
    for recognises, opener in OBJECTS:
        if recognises(source):
            return (yield from load_opener(opener)(source, context))
    path = _local_path(source)
    try:
        return (yield from find_opener(path)(path, context))
    except PermissionError as error:
        raise ReadError(f"{path} may not be read ({error.strerror}); ask for the right to read it.") from error


def _local_path(source: Any) -> Path:
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise InputError(
            f"A {type(source).__name__} is no image; give a path, a URL, an array, a list of arrays or an image layer."
        )
    text = os.fspath(source)
    if "://" in text and not text.startswith("file://"):
        raise InputError(
            f"{text} is an address of a kind that cannot be read; give an http or https address, or one of an object "
            "store such as s3://."
        )
    path = local_path(text)
    if not path.exists():
        raise MissingError(f"{path} does not exist, so there is nothing to open; check the path.")
    if path.is_file() and path.stat().st_size == 0:
        raise ReadError(f"{path} is empty (0 bytes), so it shows nothing; copy or export it again.")
    return path
