"""Folders of georeferenced blocks and .vrt files as one image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from napari_mosaic.errors import InputError, ReadError
from napari_mosaic.image import open_image
from napari_mosaic.tiling import Box

PICTURE = np.random.default_rng(3).integers(1, 255, (300, 400, 3), dtype=np.uint8)
STEP = 0.0005


def write_block(path: Path, box: Box, data: np.ndarray = PICTURE, step: float = STEP, **options: Any) -> None:
    part = data[box.slices]
    profile = {
        "driver": "GTiff",
        "height": part.shape[0],
        "width": part.shape[1],
        "count": part.shape[2],
        "dtype": part.dtype,
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(step, 0, 1000 + box.x0 * step, 0, -step, 2000 - box.y0 * step),
        "photometric": "RGB",
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
    }
    with rasterio.open(path, "w", **{**profile, **options}) as dataset:
        dataset.write(part.transpose(2, 0, 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three of four blocks of 150 x 200 px: the lower right one is missing."""
    target = tmp_path / "floor"
    target.mkdir()
    write_block(target / "floor-0-0.tif", Box(0, 0, 150, 200))
    write_block(target / "floor-0-1.tif", Box(0, 200, 150, 400))
    write_block(target / "floor-1-0.tif", Box(150, 0, 300, 200))
    return target


def test_a_folder_of_blocks_is_one_image(folder: Path) -> None:
    with open_image(folder) as image:
        assert (image.name, image.shape, image.source.kind) == ("floor", (300, 400), "blocks")
        assert image.source.location == str(folder)
        assert image.crs == "EPSG:32633"
        assert image.affine == pytest.approx((STEP, 0, 1000, 0, -STEP, 2000))
        assert image.pixel_size is not None
        assert image.pixel_size.mm == pytest.approx(0.5)
        np.testing.assert_array_equal(image.read(Box(100, 150, 150, 250)), PICTURE[100:150, 150:250])
        valid = image.read_valid(Box(0, 0, 300, 400))
    assert not valid[150:, 200:].any()
    assert valid[:150].all()
    assert valid[:, :200].all()


def test_nodata_in_blocks_is_outside(tmp_path: Path) -> None:
    data = PICTURE.copy()
    data[:40, :30] = 0
    write_block(tmp_path / "a.tif", Box(0, 0, 300, 200), data, nodata=0)
    write_block(tmp_path / "b.tif", Box(0, 200, 300, 400), data, nodata=0)
    with open_image(tmp_path) as image:
        valid = image.read_valid(Box(0, 0, 300, 400))
    assert not valid[:40, :30].any()
    assert valid.sum() == 300 * 400 - 40 * 30


def test_alpha_in_blocks_is_outside(tmp_path: Path) -> None:
    alpha = np.full((300, 400, 1), 255, np.uint8)
    alpha[200:, 100:300] = 0
    data = np.concatenate([PICTURE, alpha], -1)
    write_block(tmp_path / "a.tif", Box(0, 0, 300, 200), data, alpha="YES")
    write_block(tmp_path / "b.tif", Box(0, 200, 300, 400), data, alpha="YES")
    with open_image(tmp_path) as image:
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 300, 400)), alpha[..., 0] > 0)
        np.testing.assert_array_equal(image.read(Box(0, 150, 200, 250)), PICTURE[:200, 150:250])


def test_vrt_with_overviews_of_its_blocks(folder: Path) -> None:
    from napari_mosaic.image.blocks import _block, build_vrt

    for path in folder.glob("*.tif"):
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2])
    blocks = [block for block in map(_block, sorted(folder.glob("*.tif"))) if block is not None]
    (folder / "all.vrt").write_text(build_vrt(blocks))
    with open_image(folder / "all.vrt") as image:
        assert image.shape == (300, 400)
        assert image.source.kind == "VRT"
        np.testing.assert_array_equal(image.read(Box(0, 0, 150, 400)), PICTURE[:150])


def test_blocks_of_two_resolutions_are_refused(folder: Path) -> None:
    write_block(folder / "other.tif", Box(0, 0, 100, 100), step=0.001)
    with pytest.raises(InputError, match=r"other\.tif differs"):
        open_image(folder)


def test_folder_that_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="without any image"):
        open_image(tmp_path)
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="none is georeferenced"):
        open_image(tmp_path)


def test_vrt_whose_block_is_gone(folder: Path) -> None:
    text = (
        '<VRTDataset rasterXSize="200" rasterYSize="150"><VRTRasterBand dataType="Byte" band="1">'
        '<SimpleSource><SourceFilename relativeToVRT="1">gone.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    (folder / "a.vrt").write_text(text)
    with open_image(folder / "a.vrt") as image, pytest.raises(ReadError):
        image.read(Box(0, 0, 150, 200))


def test_jpeg_2000(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.jp2")
    with open_image(tmp_path / "a.jp2") as image:
        np.testing.assert_array_equal(image.read(Box(20, 30, 90, 140)), PICTURE[20:90, 30:140])


@pytest.mark.parametrize("turned", [False, True])
def test_blocks_that_lie_by_world_files(tmp_path: Path, turned: bool) -> None:
    import pyproj

    a, b = (0.0004, 0.0003) if turned else (0.0005, 0.0)
    for y, x in ((0, 0), (0, 200), (150, 0), (150, 200)):
        stem = tmp_path / f"floor-{y}-{x}"
        Image.fromarray(PICTURE[y : y + 150, x : x + 200]).save(stem.with_suffix(".png"))
        place = rasterio.Affine(a, b, 1000, b, -a, 2000) @ rasterio.Affine.translation(x + 0.5, y + 0.5)
        stem.with_suffix(".pgw").write_text("\n".join(map(repr, (a, b, b, -a, place.c, place.f))))
        stem.with_suffix(".prj").write_text(pyproj.CRS.from_epsg(32633).to_wkt("WKT1_ESRI"))
    (tmp_path / "._floor-0-0.png").write_bytes(b"\0\5\26\7")
    with open_image(tmp_path) as image:
        assert (image.crs, image.shape) == ("EPSG:32633", (300, 400))
        assert image.affine == pytest.approx((a, b, 1000, b, -a, 2000))
        assert image.pixel_size is not None
        assert image.pixel_size.mm == pytest.approx(0.5)
        np.testing.assert_array_equal(image.read(Box(0, 0, 300, 400)), PICTURE)


def test_jpeg_alpha_in_blocks(tmp_path: Path) -> None:
    alpha = np.full((300, 400, 1), 255, np.uint8)
    alpha[200:, 100:300] = 0
    data = np.concatenate([np.where(alpha > 0, 150, 0).repeat(3, -1).astype(np.uint8), alpha], -1)
    for name, box in (("a", Box(0, 0, 300, 200)), ("b", Box(0, 200, 300, 400))):
        write_block(tmp_path / f"{name}.tif", box, data, alpha="YES", compress="JPEG")
    with open_image(tmp_path) as image:
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 300, 400)), alpha[..., 0] > 0)


def test_nodata_of_a_vrt_leaves_white_to_what_is_inside(tmp_path: Path) -> None:
    data = (PICTURE.astype(np.uint16)) * 16
    data[:50] = 65535
    write_block(tmp_path / "a.tif", Box(0, 0, 300, 400), data, nodata=65535)
    with open_image(tmp_path) as image:
        np.testing.assert_allclose(
            image.read(Box(50, 0, 300, 400)), PICTURE[50:].astype(float) * 16 * (255 / 4095), atol=0.51
        )
        assert not image.read_valid(Box(0, 0, 50, 400)).any()
