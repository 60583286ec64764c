"""The mark in every picture that we draw, by which it is known again.

One decision: the mark is in the file, not in its name, so a picture that was renamed is still no photograph of a
mosaic, and a preview says of which photograph it is.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mosaic.errors import WriteError

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

SOFTWARE = "napari-mosaic"
"""What drew the picture: a text of PNG, a baseline tag of TIFF."""

SOURCE = "napari-mosaic-source"
"""Text of a preview: the fingerprint of its photograph."""

PREVIEW = ".preview.png"
"""What the names of previews end in that we choose ourselves."""

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def png_marks(source: str = "") -> PngInfo:
    """The texts of a PNG of ours, for Pillow's `save(pnginfo=...)`."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Software", SOFTWARE)
    if source:
        info.add_text(SOURCE, source)
    return info


def png_text(keyword: str, text: str) -> bytes:
    """What a chunk tEXt of a PNG holds."""
    return keyword.encode("latin-1") + b"\0" + text.encode("latin-1")


def read_texts(path: Path) -> dict[str, str]:
    """The texts of a PNG that come before its pixels; none of other files."""
    found: dict[str, str] = {}
    with path.open("rb") as file:
        if file.read(8) != _PNG:
            return found
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind in (b"IDAT", b"IEND"):
                break
            if kind == b"tEXt":
                keyword, _, text = file.read(length).partition(b"\0")
                found[keyword.decode("latin-1")] = text.decode("latin-1")
                length = 0
            file.seek(length + 4, 1)
    return found


def is_ours(path: Path) -> bool:
    """Whether a file is a picture that we drew or exported; what cannot be read is not."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head in _TIFF:
            return _tiff_software(path) == SOFTWARE
        return read_texts(path).get("Software") == SOFTWARE
    except (OSError, struct.error):
        return False


def _tiff_software(path: Path) -> str:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            return str(tif.pages.first.tags.valueof("Software", "")).strip("\0 ")
    except (tifffile.TiffFileError, ValueError, KeyError, IndexError, OSError, struct.error):
        return ""


def check_place(path: Path) -> None:
    """Refuse to draw a preview over somebody's picture.

    Raises
    ------
    WriteError
        There is a file that we did not draw.
    """
    if path.is_file() and not path.name.endswith(PREVIEW) and not is_ours(path):
        raise WriteError(
            f"{path} is there already and is no preview of ours, perhaps a photograph; give the preview another name."
        )


def own_place(path: Path, source: str) -> Path:
    """`path`, or with a number where a preview of another photograph, or a picture of somebody else, is there."""
    stem, number, place = path.name.removesuffix(PREVIEW), 1, path
    while place.exists() and not _may_replace(place, source):
        number += 1
        place = path.with_name(f"{stem} {number}{PREVIEW}")
    return place


def _may_replace(path: Path, source: str) -> bool:
    """Whether a preview may take the place of what is there: its own, or one of a version that set no marks."""
    try:
        texts = read_texts(path)
    except (OSError, struct.error):
        return False
    return texts.get(SOURCE, source) == source and (texts.get("Software") == SOFTWARE or path.name.endswith(PREVIEW))


__all__ = [
    "PREVIEW",
    "SOFTWARE",
    "SOURCE",
    "check_place",
    "is_ours",
    "own_place",
    "png_marks",
    "png_text",
    "read_texts",
]
