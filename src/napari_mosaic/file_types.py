"""The kinds of file that show a mosaic: endings, first bytes and readers, in one table.

One decision: whoever asks for a picture looks here, so a new kind is one line of `FILE_TYPES`. Content decides what a
file is; an ending only decides what is offered, and what is looked at in a folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, kw_only=True)
class FileType:
    """A kind of file.

    `head` is a regular expression of its first bytes, `opener` the `module:function` of `napari_mosaic.image` that
    reads it, `driver` GDAL's and `plugin` Pillow's `module:class` for it. `world` is how the name of its world file
    ends. Where no reader is named, `advice` says what to do.
    """

    name: str
    suffixes: tuple[str, ...]
    head: bytes
    opener: str = ""
    driver: str = ""
    plugin: str = ""
    world: str = ".wld"
    advice: str = ""

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        return re.compile(self.head, re.DOTALL)

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins so is of this kind."""
        return bool(self.head) and self._pattern.match(head) is not None


_RAW_ADVICE = (
    "it holds what the camera's sensor measured and no finished colours; develop it to a 16-bit TIFF or a JPEG, with "
    "the camera's own program, darktable or RawTherapee, and open that"
)

FILE_TYPES = (
    FileType(
        name="TIFF",
        suffixes=(".tif", ".tiff", ".btf"),
        head=rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
        opener="tiff:open_tiff",
        driver="GTiff",
        world=".tfw",
    ),
    FileType(
        name="JPEG",
        suffixes=(".jpg", ".jpeg"),
        head=rb"\xff\xd8\xff",
        opener="picture:open_picture",
        driver="JPEG",
        plugin="PIL.JpegImagePlugin:JpegImageFile",
        world=".jgw",
    ),
    FileType(
        name="PNG",
        suffixes=(".png",),
        head=rb"\x89PNG",
        opener="picture:open_picture",
        driver="PNG",
        plugin="PIL.PngImagePlugin:PngImageFile",
        world=".pgw",
    ),
    FileType(
        name="WebP",
        suffixes=(".webp",),
        head=rb"RIFF.{4}WEBP",
        opener="picture:open_picture",
        driver="WEBP",
        plugin="PIL.WebPImagePlugin:WebPImageFile",
        world=".wpw",
    ),
    FileType(
        name="BMP",
        suffixes=(".bmp",),
        head=rb"BM",
        opener="picture:open_picture",
        driver="BMP",
        plugin="PIL.BmpImagePlugin:BmpImageFile",
        world=".bpw",
    ),
    FileType(
        name="AVIF",
        suffixes=(".avif",),
        head=rb".{4}ftyp(avi[fs]|m[is]f1.{4}(.{4}){0,6}avif)",
        opener="picture:open_picture",
        plugin="PIL.AvifImagePlugin:AvifImageFile",
    ),
    FileType(
        name="HEIF",
        suffixes=(".heic", ".heif"),
        head=rb".{4}ftyp(hei[cxms]|hev[cxms]|m[is]f1)",
        opener="picture:open_picture",
        plugin="pi_heif.as_plugin:HeifImageFile",
    ),
    FileType(
        name="JPEG XL",
        suffixes=(".jxl",),
        head=rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
        opener="picture:open_jpegxl",
    ),
    FileType(
        name="JPEG 2000",
        suffixes=(".jp2", ".j2k", ".jpx"),
        head=rb"\0\0\0\x0cjP  |\xffO\xffQ",
        opener="dataset:open_dataset",
        driver="JP2OpenJPEG",
        world=".j2w",
    ),
    FileType(
        name="VRT", suffixes=(".vrt",), head=rb".{0,512}<VRTDataset", opener="dataset:open_dataset", driver="VRT"
    ),
    FileType(
        name="Deep Zoom",
        suffixes=(".dzi",),
        head=rb".{0,512}(deepzoom|TileSize)",
        opener="deepzoom:open_deepzoom",
    ),
    FileType(name="IIIF", suffixes=(".json",), head=rb"(\xef\xbb\xbf)?\s*\{", opener="iiif:open_iiif"),
    FileType(
        name="camera raw",
        suffixes=(
            ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".sr2", ".raf", ".orf", ".rw2", ".pef", ".srw", ".3fr",
            ".iiq",
        ),
        head=rb".{4}ftypcrx |FUJIFILMCCD-RAW|IIR[OS]\x08|MMOR|IIU\0|FOVb|\0MRM",
        advice=_RAW_ADVICE,
    ),
    FileType(
        name="Photoshop",
        suffixes=(".psd", ".psb"),
        head=rb"8BPS",
        advice="it holds layers, not one picture; save a flattened copy as TIFF or PNG and open that",
    ),
    FileType(
        name="GIF",
        suffixes=(".gif",),
        head=rb"GIF8",
        opener="picture:open_picture",
        driver="GIF",
        plugin="PIL.GifImagePlugin:GifImageFile",
    ),
)  # fmt: skip

TIFF = next(kind for kind in FILE_TYPES if kind.name == "TIFF")

RAW = next(kind for kind in FILE_TYPES if kind.advice is _RAW_ADVICE)
"""What cameras write; most of its files begin like a TIFF."""

OPENED = tuple(suffix for kind in FILE_TYPES if kind.opener for suffix in kind.suffixes)
"""Endings of all files that can be opened."""

SOURCES = tuple(suffix for suffix in OPENED if suffix != ".json")
"""Endings of those for which a folder of photographs is searched: a JSON may be anything."""

PICTURES = tuple(suffix for suffix in SOURCES if suffix not in (".vrt", ".dzi"))
"""Endings of those that hold their pixels themselves."""


def file_type(head: bytes) -> FileType | None:
    """The kind of a file by its first bytes (512 of them); None where it is none."""
    return next((kind for kind in FILE_TYPES if kind.recognises(head)), None)
