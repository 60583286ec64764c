"""A layer is what it shows: its file while it shows just that, its own pixels otherwise; and its scale is a size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_mosaic.image import open_image
from napari_mosaic.image.layers import layer_size
from napari_mosaic.tiling import Box

Y, X = np.mgrid[:200, :260]
RGB = np.stack([X % 256, Y % 256, (X // 7 + Y // 5) % 256], -1).astype(np.uint8)
GREY = (X * 31 + Y * 17).astype(np.uint16)
KINDS: dict[str, tuple[Any, Callable[[Path, Any], None]]] = {
    "png": (RGB, lambda path, data: Image.fromarray(data).save(path)),
    "jpg": (RGB, lambda path, data: Image.fromarray(data).save(path, quality=90)),
    "bmp": (RGB, lambda path, data: Image.fromarray(data).save(path)),
    "tif": (RGB, lambda path, data: tifffile.imwrite(path, data, photometric="rgb", compression="zlib")),
    "16.tif": (GREY, lambda path, data: tifffile.imwrite(path, data)),
    "rgba.png": (np.dstack([RGB, X % 200]).astype(np.uint8), lambda path, data: Image.fromarray(data).save(path)),
}


def layer(data: Any, **known: Any) -> SimpleNamespace:
    """What a napari Image layer has."""
    first = data[0] if isinstance(data, list) else data
    known = {"multiscale": isinstance(data, list), "scale": (1, 1), "rgb": len(first.shape) == 3, "name": "l"} | known
    return SimpleNamespace(data=data, **known)


def of_file(path: Path, data: Any, **known: Any) -> SimpleNamespace:
    return layer(data, source=SimpleNamespace(path=str(path), reader_plugin=known.pop("reader", "napari")), **known)


def read_by_napari(path: Path) -> Any:
    from napari_builtins.io import imread

    return imread(str(path))


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_layer_that_napari_read_is_its_file_until_a_pixel_changes(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("napari")
    data, write = KINDS[kind]
    path = tmp_path / f"floor.{kind}"
    write(path, data)
    shown = np.array(read_by_napari(path))
    with open_image(of_file(path, shown)) as image:
        assert image.source.location == str(path)
    shown[150, 31] += 40
    with open_image(of_file(path, shown)) as image:
        assert image.source.location == ""
        assert image.name == "l"


@pytest.mark.parametrize("lazy", ["dask", "zarr", "levels"])
def test_a_lazy_layer_is_its_file_while_it_shows_it(tmp_path: Path, lazy: str) -> None:
    path = tmp_path / "floor.tif"
    tifffile.imwrite(path, RGB, photometric="rgb")
    other = RGB[::-1].copy()
    for data, mine in ((RGB, True), (other, False)):
        shown: Any = {
            "dask": lambda data=data: da.from_array(data, chunks=(64, 64, 3)),
            "zarr": lambda data=data: zarr.array(data, chunks=(64, 64, 3)),
            "levels": lambda data=data: [da.from_array(data), da.from_array(data[::2, ::2])],
        }[lazy]()
        with open_image(of_file(path, shown)) as image:
            assert (image.source.location == str(path)) is mine
            np.testing.assert_array_equal(image.read(Box(0, 0, 200, 260)), data)


def test_a_layer_of_a_file_that_was_written_anew_is_not_that_file(tmp_path: Path) -> None:
    path = tmp_path / "floor.png"
    Image.fromarray(RGB[::-1]).save(path)
    with open_image(of_file(path, RGB)) as image:
        assert image.source.location == ""
        np.testing.assert_array_equal(image.read(Box(0, 0, 200, 260)), RGB)


def test_an_alpha_channel_that_hides_nothing_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "floor.png"
    Image.fromarray(RGB).save(path)
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    with open_image(of_file(path, opaque)) as image:
        assert image.source.location == str(path)
    opaque[:9, :9, 3] = 0
    with open_image(of_file(path, opaque)) as image:
        assert image.source.location == ""


@pytest.mark.parametrize(
    ("scale", "unit", "mm"),
    [(0.5, "mm", 0.5), (500, "um", 0.5), (500, "micrometer", 0.5), (0.05, "cm", 0.5), (0.0005, "m", 0.5),
     (0.005, "decimeter", 0.5), (0.02, "inch", 0.508), (1, "pixel", None)],
)  # fmt: skip
def test_a_scale_in_a_unit_of_length_is_a_pixel_size(scale: float, unit: str, mm: float | None) -> None:
    layers = pytest.importorskip("napari.layers")
    shown = layers.Image(RGB, scale=(scale, scale), units=(unit, unit))
    size, word = layer_size(shown)
    assert word == ""
    assert (None if size is None else size.mm) == (None if mm is None else pytest.approx(mm))
    with open_image(shown) as image:
        assert image.pixel_size == size
    if size is not None:
        assert (size.origin, size.confirmed) == ("layer", True)


@pytest.mark.parametrize(
    ("known", "word"),
    [({"scale": (0.5, 0.6)}, "0.5 x 0.6 mm"), ({"units": ("mm", "cm")}, "1 x 10 mm"),
     ({"affine": np.diag([1, 2, 1])}, "not square"), ({"shear": [0.3]}, "sheared"), ({"rotate": 30}, "")],
)  # fmt: skip
def test_pixels_that_are_not_square_have_no_size(known: dict[str, Any], word: str) -> None:
    layers = pytest.importorskip("napari.layers")
    size, said = layer_size(layers.Image(RGB, **({"units": ("mm", "mm")} | known)))
    assert (size is None) is bool(word)
    assert word in said


def test_a_unit_that_a_reader_gave_is_nobodys_confirmation(tmp_path: Path) -> None:
    path = tmp_path / "floor.png"
    Image.fromarray(RGB).save(path)
    for reader, confirmed in (("napari", True), ("some-reader", False)):
        with open_image(of_file(path, RGB, scale=(2, 2), units=("mm", "mm"), reader=reader)) as image:
            assert image.pixel_size is not None
            assert (image.pixel_size.mm, image.pixel_size.confirmed) == (2, confirmed)
