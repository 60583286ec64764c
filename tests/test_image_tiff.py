"""TIFF of all layouts: tiles, strips, codecs, pyramids, masks, places, damage."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

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


# ---------------------------------------------------------------- what GDAL says of a file

HOLE = np.zeros((60, 80), bool)
HOLE[10:30, 40:70] = True


def whole(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with open_image(path) as image:
        box = Box(0, 0, *image.shape)
        return image.read(box), image.read_valid(box)


@pytest.mark.parametrize(
    ("dtype", "scale", "nodata"),
    [
        ("uint16", 16, 65535),
        ("uint16", 16, 0),
        ("int16", 1, -32768),
        ("float32", 1 / 255, -9999),
        ("float32", 1 / 255, -3.4028234663852886e38),
        ("float32", 1 / 255, float("nan")),
    ],
)
def test_white_is_told_by_what_is_inside(tmp_path: Path, dtype: str, scale: float, nodata: float) -> None:
    data = (smooth(60, 80).astype(float) * scale).astype(dtype)
    data[HOLE] = nodata
    write_geotiff(tmp_path / "a.tif", data, nodata=nodata, photometric="RGB", compress="deflate")
    pixels, valid = whole(tmp_path / "a.tif")
    np.testing.assert_array_equal(valid, ~HOLE)
    np.testing.assert_allclose(pixels[~HOLE].astype(int), smooth(60, 80)[~HOLE], atol=1)


@pytest.mark.parametrize("top", [1.0, 1.02, 1.3])
def test_floats_that_go_a_little_above_one_are_no_bytes(tmp_path: Path, top: float) -> None:
    data = np.linspace(0, top, 60 * 80, dtype=np.float32).reshape(60, 80)
    tifffile.imwrite(tmp_path / "a.tif", data)
    pixels, _ = whole(tmp_path / "a.tif")
    np.testing.assert_allclose(pixels[..., 0], np.linspace(0, 255, 60 * 80).reshape(60, 80), atol=1)


@pytest.mark.parametrize("photometric", ["RGB", "MINISBLACK"])
@pytest.mark.parametrize("compress", ["deflate", "JPEG"])
def test_alpha_of_orthophotos(tmp_path: Path, photometric: str, compress: str) -> None:
    flat = np.full((60, 80, 4), (200, 150, 90, 255), np.uint8)
    flat[HOLE] = 0
    options = {"jpeg_quality": 90} if compress == "JPEG" else {}
    write_geotiff(tmp_path / "a.tif", flat, photometric=photometric, alpha="YES", compress=compress, **options)
    pixels, valid = whole(tmp_path / "a.tif")
    np.testing.assert_array_equal(valid, ~HOLE)
    assert np.abs(pixels[40:].astype(int) - (200, 150, 90)).mean() < 3


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colours_that_were_multiplied_by_alpha_are_brought_back(tmp_path: Path, dtype: str) -> None:
    full = np.iinfo(dtype).max
    alpha = np.linspace(full, 0, 80).round()[None].repeat(60, 0) / full
    colours = smooth(60, 80) / 255 * full
    data = np.concatenate([colours * alpha[..., None], alpha[..., None] * full], -1).round().astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=["assocalpha"])
    pixels, valid = whole(tmp_path / "a.tif")
    np.testing.assert_array_equal(valid, data[..., 3] > 40 / 255 * full)
    assert np.abs(pixels[valid].astype(int) - smooth(60, 80)[valid]).max() <= 3


@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 32, "blockysize": 32}, {"blockysize": 7}])
@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("compress", ["deflate", "JPEG"])
def test_masks_inside_and_beside(tmp_path: Path, layout: dict[str, int], internal: bool, compress: str) -> None:
    rasterio = pytest.importorskip("rasterio")
    data = np.full((60, 80, 3), 120, np.uint8)
    photometric = "YCBCR" if compress == "JPEG" else "RGB"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        if compress == "JPEG":
            layout = {name: 32 if name == "blockxsize" else 16 for name in layout} | {"tiled": "tiled" in layout}
        write_geotiff(tmp_path / "a.tif", data, photometric=photometric, compress=compress, **layout)
        with rasterio.open(tmp_path / "a.tif", "r+") as dataset:
            dataset.write_mask(np.where(HOLE, 0, 255).astype(np.uint8))
    assert (tmp_path / "a.tif.msk").exists() != internal
    pixels, valid = whole(tmp_path / "a.tif")
    np.testing.assert_array_equal(valid, ~HOLE)
    assert np.abs(pixels.astype(int) - 120).max() <= 1


def test_a_mask_in_one_strip_that_is_decoded_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_module, "HUGE", 1000)
    data = smooth(1100, 200)
    hole = np.zeros((1100, 200), np.uint8)
    hole[:700] = 1
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(data, photometric="rgb", rowsperstrip=1100, compression="deflate", metadata=None)
        tif.write(hole.astype(bool), photometric="mask", subfiletype=4, rowsperstrip=1100, compression="deflate")
    with open_image(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 1100, 200)), hole > 0)
        np.testing.assert_array_equal(image.read(Box(0, 0, 1100, 200)), data)


@pytest.mark.parametrize("planar", [False, True])
def test_ycbcr_that_is_no_jpeg(tmp_path: Path, planar: bool) -> None:
    data = smooth(60, 80)
    ycbcr = np.asarray(Image.fromarray(data).convert("YCbCr"))
    options = {"planarconfig": "separate"} if planar else {}
    stored = ycbcr.transpose(2, 0, 1) if planar else ycbcr
    tags = [(530, "H", 2, (1, 1), True)]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="ycbcr", extratags=tags, **options)
    pixels, _ = whole(tmp_path / "a.tif")
    assert np.abs(pixels.astype(int) - data).max() <= 3


def test_palettes_of_eight_bits(tmp_path: Path) -> None:
    table = np.zeros((3, 256), np.uint16)
    table[:, 7] = [200, 100, 50]
    indices = np.full((40, 60), 7, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=table)
    pixels, _ = whole(tmp_path / "a.tif")
    assert (pixels == (200, 100, 50)).all()


@pytest.mark.parametrize("raw", ["tag", "colours", "name"])
def test_raw_photographs_are_refused_with_the_way_out(tmp_path: Path, raw: str) -> None:
    path = tmp_path / ("a.nef" if raw == "name" else "a.tif")
    with tifffile.TiffWriter(path) as tif:
        tags = [(50706, "B", 4, (1, 4, 0, 0), True)] if raw == "tag" else []
        tif.write(smooth(60, 80), photometric="rgb", extratags=tags, subifds=int(raw == "colours"), metadata=None)
        if raw == "colours":
            sensor = np.zeros((120, 160), np.uint16)
            tif.write(sensor, photometric="cfa", extratags=[(33421, "H", 2, (2, 2), True)], metadata=None)
    with pytest.raises(InputError, match="develop it to a 16-bit TIFF"):
        open_image(path)


# ---------------------------------------------------------------- where it lies

PLACE = (0.0005, 0, 500000, 0, -0.0005, 5000000)
TURNED = (0.0004, 0.0003, 500000, 0.0003, -0.0004, 5000000)


def world_text(affine: tuple[float, ...]) -> str:
    a, b, c, d, e, f = affine
    return "\n".join(str(value) for value in (a, d, b, e, c + (a + b) / 2, f + (d + e) / 2))


def wkt(style: str = "WKT1_ESRI") -> str:
    import pyproj

    return str(pyproj.CRS.from_epsg(32633).to_wkt(style))


@pytest.mark.parametrize("affine", [PLACE, TURNED], ids=["straight", "turned"])
@pytest.mark.parametrize("name", ["a.tif", "a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize("named_by", [".prj", ".aux.xml"])
def test_world_files_and_what_names_their_system(
    tmp_path: Path, name: str, named_by: str, affine: tuple[float, ...]
) -> None:
    Image.fromarray(smooth(60, 80)).save(tmp_path / name)
    ending = {".tif": ".tfw", ".jpg": ".jgw", ".png": ".wld", ".webp": ".wld"}[Path(name).suffix]
    (tmp_path / f"a{ending}").write_text(world_text(affine))
    if named_by == ".prj":
        (tmp_path / "a.prj").write_text(wkt())
    else:
        text = wkt("WKT1_GDAL").replace('"', "&quot;")
        (tmp_path / f"{name}.aux.xml").write_text(f"<PAMDataset><SRS>{text}</SRS></PAMDataset>")
    with open_image(tmp_path / name) as image:
        assert image.crs == "EPSG:32633"
        assert image.affine == pytest.approx(affine)
        assert image.pixel_size is not None
        assert image.pixel_size.mm == pytest.approx(0.5)
        assert (image.pixel_size.confirmed, image.pixel_size.origin) == (True, "world file")


def test_a_system_beside_a_placed_tiff(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", smooth(60, 80), photometric="RGB", crs=None)
    (tmp_path / "a.prj").write_text(wkt())
    with open_image(tmp_path / "a.tif") as image:
        assert (image.crs, image.pixel_size and image.pixel_size.confirmed) == ("EPSG:32633", True)


def test_pixels_that_are_points_lie_half_a_pixel_off_their_tie(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    write_geotiff(tmp_path / "a.tif", smooth(60, 80), photometric="RGB")
    with rasterio.open(tmp_path / "a.tif", "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.pages.first.geotiff_tags["GTRasterTypeGeoKey"] == 2
    with open_image(tmp_path / "a.tif") as image:
        assert image.affine == pytest.approx(PLACE)


def test_one_bit_is_black_and_white_and_no_palette(tmp_path: Path) -> None:
    ones = np.random.default_rng(2).integers(0, 2, (40, 56), dtype=np.uint8).astype(bool)
    Image.fromarray(ones).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole(tmp_path / "a.tif")[0], np.repeat(ones[..., None] * np.uint8(255), 3, axis=2))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["cielab", "icclab"])
def test_lab_is_what_littlecms_makes_of_it(tmp_path: Path, kind: str, depth: int) -> None:
    srgb, lab = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    drawn = Image.fromarray(np.random.default_rng(3).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    stored = ImageCms.applyTransform(drawn, ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    expected = np.asarray(ImageCms.applyTransform(stored, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))).astype(int)
    data = np.asarray(stored).copy()  # a and b are signed, as in CIELab
    if depth == 16:
        signed = data[..., 1:].view(np.int8).astype(np.int16) * 256
        data = np.concatenate([data[..., :1].astype(np.uint16) * 257, signed.view(np.uint16)], axis=-1)
    if kind == "icclab":
        data[..., 1:] ^= data.dtype.type(1 << (depth - 1))
    tifffile.imwrite(tmp_path / "a.tif", data, photometric=kind, compression="lzw")
    assert np.abs(whole(tmp_path / "a.tif")[0] - expected).mean() < (0.01 if depth == 8 else 2)
