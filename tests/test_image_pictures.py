"""PNG, JPEG, WebP, BMP: colours, orientation, depth, damage."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

import napari_mosaic.image.picture as pillow_module
from napari_mosaic.errors import DependencyError, InputError, MissingError, ReadError
from napari_mosaic.image import open_image, open_image_steps
from napari_mosaic.image.colour import Colour, fix_range
from napari_mosaic.progress import Progress
from napari_mosaic.tiling import Box


@pytest.fixture
def picture() -> np.ndarray:
    y, x = np.mgrid[:60, :90]
    return np.stack([x * 2, y * 3, (x + y) % 256], axis=-1).astype(np.uint8)


def whole(image: object) -> np.ndarray:
    return image.read(Box(0, 0, *image.shape))  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_lossless_pictures_are_read_as_they_are(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"floor.{suffix}"
    Image.fromarray(picture).save(path, **({"lossless": True} if suffix == "webp" else {}))
    with open_image(path) as image:
        assert image.name == "floor"
        assert image.shape == (60, 90)
        assert not image.has_mask
        np.testing.assert_array_equal(whole(image), picture)
        np.testing.assert_array_equal(image.read(Box(10, 20, 30, 50)), picture[10:30, 20:50])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, picture: np.ndarray, orientation: int) -> None:
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(path, exif=exif)
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    with open_image(path) as image:
        np.testing.assert_array_equal(whole(image), upright)
        np.testing.assert_array_equal(image.read(Box(3, 5, 23, 41)), upright[3:23, 5:41])


def test_grey_becomes_three_equal_bands(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.png")
    with open_image(tmp_path / "grey.png") as image:
        assert (whole(image) == picture[..., :1]).all()


def test_palette_with_transparency(tmp_path: Path) -> None:
    indices = np.zeros((20, 30), np.uint8)
    indices[:, 10:] = 1
    picture = Image.fromarray(indices, "P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "p.png", transparency=0)
    with open_image(tmp_path / "p.png") as image:
        assert tuple(image.read(Box(0, 12, 1, 13))[0, 0]) == (200, 100, 50)
        valid = image.read_valid(Box(0, 0, 20, 30))
    assert not valid[:, :10].any()
    assert valid[:, 10:].all()


def test_alpha_zero_is_outside_and_an_opaque_alpha_is_no_mask(tmp_path: Path, picture: np.ndarray) -> None:
    alpha = np.full((60, 90, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([picture, alpha], -1)).save(tmp_path / "opaque.png")
    alpha[:30] = 0
    Image.fromarray(np.concatenate([picture, alpha], -1)).save(tmp_path / "cut.png")
    with open_image(tmp_path / "opaque.png") as image:
        assert not image.has_mask
    with open_image(tmp_path / "cut.png") as image:
        assert image.has_mask
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 60, 90)), alpha[..., 0] > 0)


def test_cmyk_jpeg_looks_like_what_pillow_shows(tmp_path: Path) -> None:
    flat = np.zeros((32, 32, 3), np.uint8) + np.array([200, 90, 40], np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "ink.jpg", quality=95)
    with open_image(tmp_path / "ink.jpg") as image:
        assert np.abs(whole(image).astype(int) - flat).max() <= 6


def test_profile_is_converted_to_srgb(tmp_path: Path, picture: np.ndarray) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(picture).save(tmp_path / "same.png", icc_profile=lab)
    with open_image(tmp_path / "same.png") as image:
        np.testing.assert_array_equal(whole(image), picture)
    Image.fromarray(picture).save(tmp_path / "broken.png", icc_profile=b"not a profile")
    with open_image(tmp_path / "broken.png") as image:
        np.testing.assert_array_equal(whole(image), picture)


def test_wide_profile_changes_colours() -> None:
    raw = np.full((4, 4, 3), (180, 60, 60), np.uint8)
    data = Path(__file__).parents[2] / "shared" / "data" / "griffin_cat8_print.png"
    if not data.exists():
        pytest.skip("no photograph with a profile")
    with Image.open(data) as picture:
        profile = picture.info["icc_profile"]
    converted = Colour(profile=profile).to_rgb(raw)
    assert converted.shape == raw.shape
    assert converted.dtype == np.uint8


def test_twelve_bits_in_sixteen_keep_their_scale(tmp_path: Path) -> None:
    data = np.linspace(0, 4000, 40 * 50).reshape(40, 50).astype(np.uint16)
    Image.fromarray(data).save(tmp_path / "deep.png")
    with open_image(tmp_path / "deep.png") as image:
        left, all_of_it = image.read(Box(0, 0, 40, 10)), whole(image)
    np.testing.assert_array_equal(left, all_of_it[:, :10])
    np.testing.assert_allclose(all_of_it[..., 0], data * (255 / 4095), atol=0.51)


@pytest.mark.parametrize(("peak", "white"), [(200, 255), (1000, 1023), (4095, 4095), (9000, 16383), (60000, 65535)])
def test_white_of_integers(peak: int, white: int) -> None:
    found = fix_range(np.dtype(np.uint16), [np.array([[0, peak]], np.uint16)])
    assert found["high"] == white


def test_dpi_is_kept_but_unconfirmed(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png", dpi=(254, 254))
    with open_image(tmp_path / "a.png") as image:
        assert image.pixel_size is not None
        assert image.pixel_size.mm == pytest.approx(0.1, rel=1e-3)
        assert (image.pixel_size.confirmed, image.pixel_size.origin) == (False, "dpi tag")


def test_world_file_with_prj(tmp_path: Path, picture: np.ndarray) -> None:
    import pyproj

    Image.fromarray(picture).save(tmp_path / "a.jpg")
    (tmp_path / "a.jgw").write_text("0.001\n0\n0\n-0.001\n500000.0005\n4999999.9995\n")
    with open_image(tmp_path / "a.jpg") as image:
        assert image.pixel_size is not None
        assert not image.pixel_size.confirmed
    (tmp_path / "a.prj").write_text(pyproj.CRS.from_epsg(32633).to_wkt("WKT1_ESRI"))
    with open_image(tmp_path / "a.jpg") as image:
        assert image.crs == "EPSG:32633"
        assert image.affine == pytest.approx((0.001, 0, 500000, 0, -0.001, 5000000))
        assert image.pixel_size is not None
        assert image.pixel_size.mm == pytest.approx(1.0)
        assert (image.pixel_size.confirmed, image.pixel_size.origin) == (True, "world file")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_large_pictures_are_decoded_once_into_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(pillow_module, "HELD", 1000)
    data = np.random.default_rng(0).integers(0, 255, (55, 15, 3), dtype=np.uint8)
    data = np.repeat(np.repeat(data, 20, 0), 20, 1)
    path, scratch = tmp_path / f"big.{suffix}", tmp_path / "scratch"
    Image.fromarray(data).save(path, **({"subsampling": 0} if suffix == "jpg" else {}))
    with Image.open(path) as stored:
        expected = np.asarray(stored)
    steps: list[Progress] = []
    with open_image(path, on_progress=steps.append, cache_dir=scratch) as image:
        assert [step.phase for step in steps] == ["decode"] * 3
        assert steps[-1].done == pytest.approx(steps[-1].total)
        difference = image.read(Box(500, 10, 1050, 250)).astype(int) - expected[500:1050, 10:250]
        # decoders differ in how they enlarge the colours of a JPEG
        assert np.abs(difference).mean() <= (3 if suffix == "jpg" else 0)
        assert list(scratch.iterdir())
    assert not list(scratch.iterdir())


def test_stopping_while_decoding_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_module, "HELD", 1000)
    Image.fromarray(np.zeros((1100, 40, 3), np.uint8)).save(tmp_path / "big.png")
    steps = open_image_steps(tmp_path / "big.png", cache_dir=tmp_path / "scratch")
    next(steps)
    steps.close()
    assert not list((tmp_path / "scratch").iterdir())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        open_image(tmp_path / "none.png")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(ReadError, match="is empty"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("held", [10**9, 10])
def test_truncated_jpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(pillow_module, "HELD", held)
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ReadError, match=r"cut\.jpg cannot be decoded .* damaged or incomplete"):
        open_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_tiny_pictures_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "tiny.png")
    with pytest.raises(InputError, match="at least 16 px"):
        open_image(tmp_path / "tiny.png")


def test_no_kind_of_image(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("stones")
    with pytest.raises(ReadError, match="none of the kinds"):
        open_image(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="is no image"):
        open_image(17)
    with pytest.raises(InputError, match="cannot be read"):
        open_image("gopher://example.org/a.png")


def linear_profile(description: str, primaries: str = "srgb", gamma: float = 1.0) -> bytes:
    """A profile of three curves with a gamma and the primaries of sRGB or Adobe RGB, whatever it calls itself."""
    import struct

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    srgb = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
    adobe = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
    text = description.encode() + b"\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = [(b"desc", b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)), (b"cprt", b"text\0\0\0\0-\0")]
    tags.append((b"wtpt", b"XYZ \0\0\0\0" + fixed(0.9642) + fixed(1) + fixed(0.8249)))
    for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), srgb if primaries == "srgb" else adobe, strict=True):
        tags.append((name, b"XYZ \0\0\0\0" + b"".join(map(fixed, xyz))))
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    offset, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags:
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(padded))
        body += padded
    head = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642) + fixed(1) + fixed(0.8249)
    return head.ljust(128, b"\0") + table + body


@pytest.mark.parametrize("name", ["GIMP built-in Linear sRGB", "Linear RGB"])
@pytest.mark.parametrize(("primaries", "gamma"), [("srgb", 1.0), ("adobe", 2.2)])
def test_a_profile_is_told_by_its_curve_and_not_by_its_name(
    tmp_path: Path, picture: np.ndarray, name: str, primaries: str, gamma: float
) -> None:
    profile = linear_profile(name, primaries, gamma)
    Image.fromarray(picture).save(tmp_path / "a.png", icc_profile=profile)
    expected = ImageCms.profileToProfile(
        Image.fromarray(picture),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    with open_image(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(whole(image), np.asarray(expected))


def png_bytes(data: np.ndarray, depth: int, kind: int, transparent: bytes = b"") -> bytes:
    """A PNG of packed rows; Pillow writes no grey of four bits and no colours of sixteen."""
    import struct
    import zlib

    height, width = data.shape[:2]
    if depth < 8:
        bits = np.unpackbits(data[..., None].astype(np.uint8), axis=2)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=1)
    else:
        rows = data.astype(f">u{depth // 8}").reshape(height, -1).view(np.uint8)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], 1).tobytes()

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    clear = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + clear + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("held", [10**9, 10])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_png_of_few_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int, held: int) -> None:
    monkeypatch.setattr(pillow_module, "HELD", held)
    levels = (np.arange(40 * 48) // 7 % 2**depth).reshape(40, 48)
    (tmp_path / "a.png").write_bytes(png_bytes(levels, depth, 0))
    with open_image(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(whole(image)[..., 1], levels * (255 // (2**depth - 1)))


@pytest.mark.parametrize("held", [10**9, 10])
def test_a_colour_of_png_that_is_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(pillow_module, "HELD", held)
    data = np.full((40, 48, 3), (200, 150, 100), np.uint8)
    data[:20] = (10, 20, 30)
    (tmp_path / "a.png").write_bytes(png_bytes(data, 8, 2, b"\0\x0a\0\x14\0\x1e"))
    with open_image(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(whole(image), data)
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 40, 48)), data[..., 0] == 200)


@pytest.mark.parametrize("held", [10**9, 10])
def test_twelve_bits_in_sixteen_of_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(pillow_module, "HELD", held)
    data = np.linspace(0, 4000, 40 * 48 * 3).reshape(40, 48, 3).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png_bytes(data, 16, 2))
    with open_image(tmp_path / "a.png") as image:
        np.testing.assert_allclose(whole(image), data * (255 / 4095), atol=0.51)


@pytest.mark.parametrize("held", [10**9, 10])
def test_jpeg_with_bytes_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(pillow_module, "HELD", held)
    data = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8), 16, 0), 16, 1)
    Image.fromarray(data).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    content = (tmp_path / "a.jpg").read_bytes()
    place = content.index(b"\xff\xdb")
    (tmp_path / "a.jpg").write_bytes(content[:place] + b"\0\0" + content[place:])
    with open_image(tmp_path / "a.jpg") as image:
        assert np.abs(whole(image).astype(int) - data).mean() < 3


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("held", [10**9, 10])
def test_a_mask_beside_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, held: int) -> None:
    import rasterio

    monkeypatch.setattr(pillow_module, "HELD", held)
    Image.fromarray(np.full((40, 48, 3), 120, np.uint8)).save(tmp_path / name)
    hole = np.zeros((40, 48), np.uint8)
    hole[:10] = 255
    profile = {"driver": "GTiff", "height": 40, "width": 48, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / f"{name}.msk", "w", **profile) as mask:
        mask.write(hole, 1)
        mask.update_tags(INTERNAL_MASK_FLAGS_1="2")
    with open_image(tmp_path / name) as image:
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 40, 48)), hole > 0)
        assert (whole(image) == 120).all()


def test_what_phones_write_is_read_or_says_what_is_missing(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    (tmp_path / "a.heic").write_bytes(content)
    with pytest.raises(ReadError, match="damaged or incomplete"):
        open_image(tmp_path / "a.heic")
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.setitem(sys.modules, "pi_heif.as_plugin", None)
    with pytest.raises(DependencyError, match=r"a\.heic .* pi_heif"):
        open_image(tmp_path / "a.heic")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_jpeg_xl(
    tmp_path: Path, picture: np.ndarray, channels: int, dtype: type, caplog: pytest.LogCaptureFixture
) -> None:
    import imagecodecs

    top = np.iinfo(dtype).max
    data = np.concatenate([picture, np.full_like(picture[..., :1], 255)], -1)[..., :channels].astype(dtype) * (
        top // 255
    )
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(np.squeeze(data), lossless=True))
    with open_image(tmp_path / "a.jxl") as image:
        np.testing.assert_array_equal(whole(image)[..., 0], picture[..., 0])
        assert not image.has_mask
    assert "a.jxl: colours of JPEG XL are taken for sRGB" in caplog.text


def test_heic_of_a_phone_held_upright(tmp_path: Path) -> None:
    """`stones.heic` was written from these stones by pillow-heif, turned by its EXIF as a phone writes it."""
    stones = np.random.default_rng(0).integers(40, 230, (4, 6, 3), dtype=np.uint8)
    drawn = np.repeat(np.repeat(stones, 16, 0), 16, 1)
    with open_image(Path(__file__).parent / "data" / "stones.heic") as image:
        assert image.source.kind == "HEIF"
        assert np.abs(whole(image).astype(int) - np.rot90(drawn, -1)).mean() < 2


def test_what_a_lossy_alpha_leaves_of_nothing_is_outside(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).integers(0, 255, (240, 320, 4), dtype=np.uint8)
    inside = np.ones((240, 320), dtype=bool)
    inside[48:120, 64:200] = False
    drawn[..., 3] = inside * 255
    Image.fromarray(drawn).save(tmp_path / "a.avif", quality=80)
    with Image.open(tmp_path / "a.avif") as stored:
        assert (np.asarray(stored)[..., 3][~inside] > 0).any()
    with open_image(tmp_path / "a.avif") as image:
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, *image.shape)), inside)
