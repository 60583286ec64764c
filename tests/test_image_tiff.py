"""TIFF of all layouts: tiles, strips, codecs, pyramids, masks, places, damage."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import napari_mosaic.image.tiff as tiff_module
from napari_mosaic.errors import InputError, ReadError
from napari_mosaic.image import open_image
from napari_mosaic.tiling import Box

LAYOUTS: list[dict[str, Any]] = [
    {},
    {"rowsperstrip": 16},
    {"rowsperstrip": 7, "compression": "lzw"},
    {"tile": (64, 64)},
    {"tile": (64, 32), "compression": "deflate", "predictor": True},
    {"tile": (64, 64), "compression": "zstd"},
    {"tile": (64, 64), "compression": "jpeg2000"},
    {"tile": (64, 64), "planarconfig": "separate"},
    {"rowsperstrip": 16, "planarconfig": "separate", "compression": "deflate"},
    {"bigtiff": True, "byteorder": ">"},
    {"bigtiff": True, "tile": (64, 64), "byteorder": ">", "compression": "lzw"},
]


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (210, 330, 3), dtype=np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 256, y % 256, (x + y) % 256], -1).astype(np.uint8) // 2 + 60


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(map(str, layout)) or "plain")
def test_layouts_and_lossless_codecs(tmp_path: Path, picture: np.ndarray, layout: dict[str, Any]) -> None:
    data = picture.transpose(2, 0, 1) if "planarconfig" in layout else picture
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", **layout)
    with open_image(tmp_path / "a.tif") as image:
        for box in (Box(0, 0, 210, 330), Box(33, 61, 130, 200), Box(200, 320, 210, 330)):
            np.testing.assert_array_equal(image.read(box), picture[box.slices])


@pytest.mark.parametrize("photometric", ["RGB", "YCBCR"])
def test_jpeg_tiles(tmp_path: Path, photometric: str) -> None:
    data = np.repeat(np.repeat(smooth(200, 300)[::20, ::20], 20, 0), 20, 1)
    write_geotiff(
        tmp_path / "a.tif",
        data,
        tiled=True,
        blockxsize=128,
        blockysize=128,
        compress="JPEG",
        photometric=photometric,
        jpeg_quality=95,
    )
    with open_image(tmp_path / "a.tif") as image:
        assert np.abs(image.read(Box(0, 0, 200, 300)).astype(int) - data).mean() < 3


def test_only_touched_tiles_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", smooth(640, 640), photometric="rgb", tile=(64, 64), compression="deflate")
    decoded: list[int] = []
    original = tiff_module.PageReader._decode
    monkeypatch.setattr(
        tiff_module.PageReader, "_decode", lambda self, index: decoded.append(index) or original(self, index)
    )
    with open_image(tmp_path / "a.tif") as image:
        decoded.clear()
        image.read(Box(64, 64, 192, 128))
        image.read(Box(70, 70, 80, 80))
    assert set(decoded) <= {11, 21}


def test_one_huge_strip_is_decoded_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = smooth(700, 200)
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="rgb", rowsperstrip=700, compression="deflate", predictor=True
    )
    monkeypatch.setattr(tiff_module, "HUGE", 1000)
    steps = []
    with open_image(tmp_path / "a.tif", on_progress=steps.append) as image:
        assert [step.phase for step in steps] == ["decode", "decode"]
        np.testing.assert_array_equal(image.read(Box(500, 20, 600, 100)), data[500:600, 20:100])


def write_pyramid(path: Path, data: np.ndarray, subifds: bool, **options: Any) -> None:
    with tifffile.TiffWriter(path, ome=False) as tif:
        common = {"photometric": "rgb", "tile": (64, 64), **options}
        tif.write(data, subifds=2 if subifds else 0, **common)
        for step in (2, 4):
            tif.write(data[::step, ::step], subfiletype=1, **common)


@pytest.mark.parametrize("subifds", [True, False])
def test_native_pyramids(tmp_path: Path, subifds: bool) -> None:
    data = smooth(512, 768)
    write_pyramid(tmp_path / "a.tif", data, subifds)
    with open_image(tmp_path / "a.tif") as image:
        assert image.level_shapes == ((512, 768), (256, 384), (128, 192))
        np.testing.assert_array_equal(image.read(Box(10, 20, 100, 90), 2), data[::4, ::4][10:100, 20:90])


def test_ome_tiff_with_pyramid_and_pixel_size(tmp_path: Path) -> None:
    data = smooth(512, 512)
    with tifffile.TiffWriter(tmp_path / "floor.ome.tif") as tif:
        meta = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "mm"}
        tif.write(data, subifds=1, photometric="rgb", tile=(64, 64), metadata=meta)
        tif.write(data[::2, ::2], subfiletype=1, photometric="rgb", tile=(64, 64))
    with open_image(tmp_path / "floor.ome.tif") as image:
        assert image.name == "floor"
        assert image.source.kind == "OME-TIFF"
        assert image.level_shapes == ((512, 512), (256, 256))
        assert image.pixel_size is not None
        assert (image.pixel_size.mm, image.pixel_size.confirmed, image.pixel_size.origin) == (
            0.5,
            False,
            "OME",
        )


def test_ome_tiff_with_one_page_for_each_channel(tmp_path: Path) -> None:
    data = smooth(100, 120)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", data.transpose(2, 0, 1), photometric="minisblack", metadata={"axes": "CYX"}
    )
    with open_image(tmp_path / "a.ome.tif") as image:
        np.testing.assert_array_equal(image.read(Box(0, 0, 100, 120)), data)


def test_missing_levels_are_means_of_the_finer_one(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 255, (1201, 2303), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, tile=(256, 256))
    with open_image(tmp_path / "a.tif") as image:
        assert image.level_shapes == ((1201, 2303), (601, 1152), (301, 576))
        padded = np.pad(data, ((0, 1), (0, 1)), mode="edge").astype(float)
        half = padded.reshape(601, 2, 1152, 2).mean((1, 3))
        np.testing.assert_allclose(image.read(Box(0, 0, 601, 1152), 1)[..., 0], half, atol=0.51)
        assert image.read(Box(290, 0, 301, 576), 2).shape == (11, 576, 3)


def test_sixteen_bits_inverted_grey_and_palette(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    tifffile.imwrite(tmp_path / "white.tif", ramp, photometric="miniswhite")
    with open_image(tmp_path / "white.tif") as image:
        np.testing.assert_allclose(image.read(Box(0, 0, 40, 60))[..., 1], 255 - ramp / 257, atol=1)
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 7] = [65535, 32768, 0]
    indices = np.full((40, 60), 7, np.uint8)
    tifffile.imwrite(tmp_path / "palette.tif", indices, photometric="palette", colormap=colours)
    with open_image(tmp_path / "palette.tif") as image:
        assert tuple(image.read(Box(0, 0, 1, 1))[0, 0]) == (255, 128, 0)


def test_cmyk(tmp_path: Path) -> None:
    ink = np.zeros((40, 40, 4), np.uint8)
    ink[..., 1] = 255
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated")
    with open_image(tmp_path / "a.tif") as image:
        assert tuple(image.read(Box(0, 0, 1, 1))[0, 0]) == (255, 0, 255)
        assert not image.has_mask


def write_geotiff(path: Path, data: np.ndarray, **options: Any) -> None:
    rasterio = pytest.importorskip("rasterio")
    bands = data if data.ndim == 3 else data[..., None]
    profile = {
        "driver": "GTiff",
        "height": data.shape[0],
        "width": data.shape[1],
        "count": bands.shape[2],
        "dtype": data.dtype,
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(0.0005, 0, 500000, 0, -0.0005, 5000000),
    }
    with rasterio.open(path, "w", **{**profile, **options}) as dataset:
        dataset.write(np.moveaxis(bands, -1, 0))


def test_geotiff_place_and_nodata(tmp_path: Path) -> None:
    data = smooth(200, 300)
    data[:50] = 0
    write_geotiff(tmp_path / "a.tif", data, nodata=0, photometric="RGB", tiled=True, blockxsize=64, blockysize=64)
    with open_image(tmp_path / "a.tif") as image:
        assert image.crs == "EPSG:32633"
        assert image.affine == pytest.approx((0.0005, 0, 500000, 0, -0.0005, 5000000))
        assert image.pixel_size is not None
        assert image.pixel_size.mm == pytest.approx(0.5)
        assert (image.pixel_size.confirmed, image.pixel_size.origin) == (True, "GeoTIFF")
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 200, 300)), data.any(-1))


def test_internal_mask_is_outside_at_every_level(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    data = smooth(512, 512)
    mask = np.zeros((512, 512), np.uint8)
    mask[100:400, 64:] = 255
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_geotiff(tmp_path / "a.tif", data, photometric="RGB", tiled=True, blockxsize=128, blockysize=128)
        with rasterio.open(tmp_path / "a.tif", "r+") as dataset:
            dataset.write_mask(mask)
        with rasterio.open(tmp_path / "a.tif", "r+") as dataset:
            dataset.build_overviews([2, 4])
    with open_image(tmp_path / "a.tif") as image:
        assert image.has_mask
        assert len(image.level_shapes) == 3
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 512, 512)), mask > 0)
        np.testing.assert_array_equal(image.read(Box(0, 0, 512, 512)), data)
        coarse = image.read_valid(Box(0, 0, 128, 128), 2)
        assert (coarse != (mask[::4, ::4] > 0)).mean() < 0.02


def test_alpha_reaches_made_levels(tmp_path: Path) -> None:
    data = np.full((1400, 1500, 4), 255, np.uint8)
    data[:, :700, 3] = 0
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=["unassalpha"], tile=(256, 256))
    with open_image(tmp_path / "a.tif") as image:
        valid = image.read_valid(Box(0, 0, 700, 750), 1)
        assert not valid[:, :350].any()
        assert valid[:, 350:].all()


def test_infrared_beside_rgb_is_left_out(tmp_path: Path) -> None:
    data = np.concatenate([smooth(60, 70), np.zeros((60, 70, 1), np.uint8)], -1)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=["unspecified"])
    with open_image(tmp_path / "a.tif") as image:
        assert not image.has_mask
        np.testing.assert_array_equal(image.read(Box(0, 0, 60, 70)), data[..., :3])


def test_many_threads_read_the_same_file(tmp_path: Path, picture: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb", tile=(32, 32), compression="zstd")
    wrong: list[Box] = []
    with open_image(tmp_path / "a.tif") as image:

        def look(seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(20):
                y, x = int(rng.integers(0, 150)), int(rng.integers(0, 250))
                box = Box(y, x, y + 50, x + 70)
                if not (image.read(box) == picture[box.slices]).all():
                    wrong.append(box)

        threads = [threading.Thread(target=look, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize("layout", [{}, {"tile": (64, 64), "compression": "lzw"}])
@pytest.mark.parametrize("keep", [0.1, 0.6])
def test_truncated_tiff(tmp_path: Path, picture: np.ndarray, layout: dict[str, Any], keep: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb", **layout)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ReadError, match=r"a\.tif cannot be decoded .* damaged or incomplete"):
        open_image(tmp_path / "a.tif")


def test_header_alone_and_text_named_tif(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0")
    with pytest.raises(ReadError, match=r"a\.tif"):
        open_image(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_text("this is a letter, not a picture")
    with pytest.raises(ReadError, match="none of the kinds"):
        open_image(tmp_path / "b.tif")


def test_damaged_tile_is_one_sentence(tmp_path: Path, picture: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb", tile=(64, 64), compression="deflate")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        start = tif.pages[0].dataoffsets[0]
    content[start : start + 200] = bytes(200)
    (tmp_path / "a.tif").write_bytes(content)
    with open_image(tmp_path / "a.tif") as image, pytest.raises(ReadError, match="cannot be decoded"):
        image.read(Box(0, 0, 10, 10))


@pytest.mark.parametrize("channels", [2, 7])
def test_odd_channels(tmp_path: Path, channels: int) -> None:
    data = np.zeros((40, 50, channels), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=[0] * (channels - 1),
    )
    with pytest.raises(InputError, match=f"{channels} channels"):
        open_image(tmp_path / "a.tif")


def test_stack_of_planes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 40, 50), np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match="stack of 9 planes"):
        open_image(tmp_path / "a.tif")
