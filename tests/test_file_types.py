"""The table of file types: complete, without doubles, and true of files as programs write them."""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rasterio.drivers import raster_driver_extensions

from napari_mosaic.errors import InputError
from napari_mosaic.file_types import FILE_TYPES, OPENED, PICTURES, SOURCES, FileType, file_type
from napari_mosaic.image import open_image
from napari_mosaic.tiling import Box

STONES = np.repeat(np.repeat(np.arange(60, 240, 20, dtype=np.uint8).reshape(3, 3), 16, 0), 16, 1)
PICTURE = np.stack([STONES, STONES[::-1], STONES.T], -1)


def written(kind: FileType) -> bytes:
    """A picture of a kind that Pillow or imagecodecs writes."""
    if kind.name == "JPEG XL":
        import imagecodecs

        return bytes(imagecodecs.jpegxl_encode(PICTURE, lossless=True))
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, {"JPEG 2000": "JPEG2000"}.get(kind.name, kind.name), quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FILE_TYPES, ids=lambda kind: kind.name)
def test_each_kind_is_read_by_somebody_or_says_what_to_do(kind: FileType) -> None:
    assert bool(kind.opener) != bool(kind.advice)
    assert kind.suffixes
    assert all(suffix == suffix.lower() for suffix in kind.suffixes)
    if kind.opener:
        module, function = kind.opener.split(":")
        assert callable(getattr(import_module(f"napari_mosaic.image.{module}"), function))
    if kind.plugin:
        module, name = kind.plugin.split(":")
        assert isinstance(getattr(import_module(module), name), type)
    assert not kind.driver or kind.driver in raster_driver_extensions().values()


def test_no_ending_stands_twice() -> None:
    endings = [suffix for kind in FILE_TYPES for suffix in kind.suffixes]
    assert len(endings) == len(set(endings))
    assert set(PICTURES) < set(SOURCES) < set(OPENED)


@pytest.mark.parametrize("name", ["TIFF", "JPEG", "PNG", "WebP", "BMP", "AVIF", "JPEG XL", "JPEG 2000", "GIF"])
def test_files_are_known_by_their_content_and_opened(tmp_path: Path, name: str) -> None:
    kind = next(kind for kind in FILE_TYPES if kind.name == name)
    content = written(kind)
    assert file_type(content[:512]) is kind
    (tmp_path / "floor.dat").write_bytes(content)
    with open_image(tmp_path / "floor.dat") as image:
        shown = image.read(Box(0, 0, 48, 48)).astype(int)
    lossy = name in ("JPEG", "WebP", "AVIF", "JPEG 2000")
    assert np.abs(shown - PICTURE).mean() <= (6 if lossy else 0)


HEADS = {
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF": b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf",
    "camera raw": b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom",
    "Photoshop": b"8BPS\0\x01",
    "VRT": b'<VRTDataset rasterXSize="2">',
    "Deep Zoom": b'\xef\xbb\xbf<?xml version="1.0"?>\n<Image TileSize="254" Format="png">',
    "IIIF": b'\n {"@context": "http://iiif.io/api/image/2/context.json"}',
    "JPEG XL": b"\xff\x0a\xff\xff",
}


@pytest.mark.parametrize("name", HEADS)
def test_first_bytes_that_nothing_here_writes(name: str) -> None:
    found = file_type(HEADS[name])
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("name", ["photo.cr3", "photo.psd"])
def test_what_no_reader_is_named_for_is_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    head = HEADS["camera raw" if name.endswith("cr3") else "Photoshop"]
    (tmp_path / name).write_bytes(head + bytes(200))
    with pytest.raises(InputError, match=r"(develop|save) (it|a flattened copy)"):
        open_image(tmp_path / name)
