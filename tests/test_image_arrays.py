"""Arrays, levels, layers, zarr: shapes, ranges, errors; and what every image promises."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image

import napari_mosaic.image.pyramid as pyramid_module
from napari_mosaic.errors import InputError, ReadError
from napari_mosaic.image import background_mask, open_image
from napari_mosaic.image.pyramid import halve
from napari_mosaic.tiling import Box

RGB = np.random.default_rng(2).integers(0, 255, (120, 150, 3), dtype=np.uint8)
DATA = Path(__file__).parents[2] / "shared" / "data"


def whole(image: Any, level: int = 0) -> np.ndarray:
    return image.read(Box(0, 0, *image.level_shapes[level]), level)


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "channels first", "levels"])
def test_kinds_of_arrays(kind: str) -> None:
    import dask.array as da

    source: Any = {
        "numpy": RGB,
        "dask": da.from_array(RGB, chunks=50),
        "zarr": zarr.array(RGB, chunks=(50, 50, 3)),
        "channels first": RGB.transpose(2, 0, 1),
        "levels": [RGB, RGB[::2, ::2]],
    }[kind]
    with open_image(source) as image:
        assert image.source.kind == "array"
        assert image.source.location == ""
        np.testing.assert_array_equal(whole(image), RGB)
        assert len(image.level_shapes) == (2 if kind == "levels" else 1)


def test_a_level_that_is_no_smaller_picture_is_left_out() -> None:
    with open_image([RGB, RGB[:70, :20], RGB[::2, ::2]]) as image:
        assert image.level_shapes == ((120, 150), (60, 75))


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_floats(top: float) -> None:
    values = np.linspace(0, top, 40 * 50, dtype=np.float32).reshape(40, 50)
    with open_image(values) as image:
        assert not image.has_mask
        np.testing.assert_allclose(whole(image)[..., 0], values * (255 / top), atol=0.51)


def test_nan_is_outside() -> None:
    values = np.ones((40, 50), np.float32)
    values[:, :20] = np.nan
    with open_image(values) as image:
        assert image.has_mask
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 40, 50)), ~np.isnan(values))


def test_bool_array() -> None:
    with open_image(RGB[..., 0] > 100) as image:
        assert set(np.unique(whole(image))) == {0, 255}


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.full((40, 40), np.nan), "only NaN"),
        (np.linspace(-5, 900, 1600).reshape(40, 40), "rescale"),
        (np.full((40, 40), -3, np.int16), "0 to 65535"),
        (np.full((40, 40), 1e6, np.uint32), "0 to 65535"),
        (np.zeros((40, 40), complex), "no brightness"),
        (np.zeros((40, 40, 2), np.uint8), "2 channels"),
        (np.zeros((40, 40, 7), np.uint8), "7 channels"),
        (np.zeros((2, 40, 40), np.uint8), "2 channels"),
        (np.zeros(40, np.uint8), "no picture"),
        (np.zeros((2, 3, 40, 40), np.uint8), "no picture"),
        (np.zeros((1, 1), np.uint8), "too small"),
        (np.zeros((40, 3), np.uint8), "too small"),
    ],
)
def test_arrays_that_are_no_picture(array: np.ndarray, match: str) -> None:
    with pytest.raises(InputError, match=match):
        open_image(array)


def test_boxes_are_clipped_and_empty_ones_refused() -> None:
    image = open_image(RGB)
    np.testing.assert_array_equal(image.read(Box(-10, 100, 20, 900)), RGB[:20, 100:])
    with pytest.raises(InputError, match="holds no pixel"):
        image.read(Box(200, 0, 300, 10))
    with pytest.raises(InputError, match="does not exist"):
        image.read(Box(0, 0, 9, 9), 5)
    image.close()
    image.close()
    with pytest.raises(InputError, match="closed"):
        image.read(Box(0, 0, 9, 9))


def test_dask_levels_are_lazy_and_equal() -> None:
    big = np.tile(RGB, (10, 10, 1))
    with open_image(big) as image:
        levels = image.dask_levels()
        assert [level.shape[:2] for level in levels] == list(image.level_shapes)
        assert all(level.dtype == np.uint8 for level in levels)
        np.testing.assert_array_equal(levels[0][100:300, 5:600].compute(), big[100:300, 5:600])
        np.testing.assert_array_equal(levels[1].compute(), whole(image, 1))


def test_made_levels_do_not_depend_on_the_window_or_on_where_they_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    big = np.random.default_rng(0).integers(0, 255, (2200, 2500), dtype=np.uint8)
    with open_image(big) as image:
        expected = [whole(image, level) for level in range(3)]
    monkeypatch.setattr(pyramid_module, "SMALL", 0)
    monkeypatch.setattr(pyramid_module, "KEPT_FROM", 2)
    monkeypatch.setattr(pyramid_module, "IN_MEMORY", 0)
    with open_image(big, cache_dir=tmp_path) as image:
        box = Box(100, 37, 420, 515)
        np.testing.assert_array_equal(image.read(box, 2), expected[2][box.slices])
        np.testing.assert_array_equal(whole(image, 1), expected[1])
        np.testing.assert_array_equal(whole(image, 2), expected[2])
    np.testing.assert_array_equal(expected[1], halve(np.repeat(big[..., None], 3, -1)))


def test_fingerprint_tells_arrays_apart() -> None:
    other = RGB.copy()
    other[0, 0] += 1
    marks = [open_image(array).source.fingerprint for array in (RGB, RGB.copy(), other)]
    assert marks[0] == marks[1] != marks[2]


def test_images_travel_to_other_processes(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with open_image(str(tmp_path / "a.png")) as image, pickle.loads(pickle.dumps(image)) as copy:
        np.testing.assert_array_equal(whole(copy), RGB)


def layer(data: Any, **known: Any) -> SimpleNamespace:
    defaults = {"multiscale": False, "rgb": True, "scale": (1.0, 1.0), "units": None, "name": "floor"}
    return SimpleNamespace(data=data, **{**defaults, "source": SimpleNamespace(path=None), **known})


def test_layer_data_and_scale() -> None:
    with open_image(layer(RGB, scale=(0.25, 0.25), units=("millimeter", "millimeter"))) as image:
        assert image.name == "floor"
        assert image.pixel_size is not None
        assert (image.pixel_size.mm, image.pixel_size.confirmed, image.pixel_size.origin) == (
            0.25,
            True,
            "layer",
        )
    with open_image(layer([RGB, RGB[::2, ::2]], multiscale=True, units=("pixel", "pixel"))) as image:
        assert image.level_shapes == ((120, 150), (60, 75))
        assert image.pixel_size is None


def test_layer_leads_back_to_its_file_where_that_is_the_same_picture(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    source = SimpleNamespace(path=str(tmp_path / "a.png"))
    with open_image(layer(RGB, source=source)) as image:
        assert image.source.location == str(tmp_path / "a.png")
    with open_image(layer(RGB[:100], source=source)) as image:
        assert image.source.location == ""
        assert image.shape == (100, 150)


def test_layer_without_image() -> None:
    with pytest.raises(InputError, match="image layer"):
        open_image(layer("points"))


def write_ome_zarr(path: Path, version: str, data: np.ndarray = RGB, axes: str = "cyx") -> None:
    multiscale = {
        "axes": [{"name": axis, **({"unit": "millimeter"} if axis in "yx" else {})} for axis in axes],
        "datasets": [
            {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for k, scale in enumerate([[1.0] * (len(axes) - 2) + [0.5, 0.5], [1.0] * (len(axes) - 2) + [1.0, 1.0]])
        ],
    }
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    for k in range(2):
        part = data[:: k + 1, :: k + 1].transpose(2, 0, 1)
        part = part if axes == "cyx" else part[None, :, None]
        sharded = {"shards": (*part.shape[:-2], 64, 64)} if version == "0.5" else {}
        array = group.create_array(str(k), shape=part.shape, dtype=part.dtype,
                                   chunks=(*part.shape[:-2], 32, 32), **sharded)  # fmt: skip
        array[...] = part
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": version, **multiscale}]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale]}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "tczyx"])
def test_ome_zarr(tmp_path: Path, version: str, axes: str) -> None:
    write_ome_zarr(tmp_path / "floor.ome.zarr", version, axes=axes)
    with open_image(tmp_path / "floor.ome.zarr") as image:
        assert (image.name, image.source.kind) == ("floor", "OME-Zarr")
        assert image.level_shapes == ((120, 150), (60, 75))
        np.testing.assert_array_equal(image.read(Box(20, 30, 90, 140)), RGB[20:90, 30:140])
        assert image.pixel_size is not None
        assert (image.pixel_size.mm, image.pixel_size.origin) == (0.5, "OME")


def test_ome_zarr_whose_levels_stand_in_another_order(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    datasets = []
    for step in (4, 1, 2):
        part = RGB[::step, ::step].transpose(2, 0, 1)
        group.create_array(str(step), shape=part.shape, dtype=part.dtype, chunks=(3, 32, 32))[...] = part
        scale = {"type": "scale", "scale": [1, 0.5 * step, 0.5 * step]}
        datasets.append({"path": str(step), "coordinateTransformations": [scale]})
    axes = [{"name": "C"}, *({"name": name, "unit": "millimeter"} for name in "YX")]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    with open_image(tmp_path / "a.zarr") as image:
        assert image.level_shapes[:2] == (RGB.shape[:2], RGB[::2, ::2].shape[:2])
        assert image.pixel_size is not None
        assert image.pixel_size.mm == pytest.approx(0.5)
        np.testing.assert_array_equal(whole(image), RGB)


def test_images_travel_to_processes_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RGB).save(tmp_path / "floor.png")
    monkeypatch.chdir(tmp_path)
    with open_image("floor.png") as image:
        sent = pickle.dumps(image)
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        with pickle.loads(sent) as copy:
            np.testing.assert_array_equal(whole(copy), RGB)


def test_bare_zarr_array_and_group_without_image(tmp_path: Path) -> None:
    zarr.save_array(tmp_path / "a.zarr", RGB)
    with open_image(tmp_path / "a.zarr") as image:
        np.testing.assert_array_equal(whole(image), RGB)
    zarr.open_group(tmp_path / "b.zarr", mode="w")
    with pytest.raises(InputError, match="without a multiscale image"):
        open_image(tmp_path / "b.zarr")


@pytest.mark.parametrize("channels", [2, 7])
def test_ome_zarr_with_odd_channels(tmp_path: Path, channels: int) -> None:
    write_ome_zarr(tmp_path / "a.zarr", "0.4", np.zeros((60, 60, channels), np.uint8))
    with pytest.raises(InputError, match=f"{channels} channels"):
        open_image(tmp_path / "a.zarr")


def test_damaged_zarr(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "a.zarr", "0.5")
    shard = next(path for path in (tmp_path / "a.zarr" / "0").rglob("*") if path.is_file() and path.name == "0")
    shard.write_bytes(shard.read_bytes()[:50])
    with pytest.raises(ReadError, match="damaged or incomplete"):
        open_image(tmp_path / "a.zarr")


def test_samples() -> None:
    with open_image("sample:brick") as image:
        assert image.shape == (512, 512)
        assert "CC0" in image.source.rights
    with pytest.raises(InputError, match="choose one of"):
        open_image("sample:unicorn")


def test_drawn_sample() -> None:
    with open_image("sample:drawn") as image:
        assert min(image.shape) >= 256


def test_background_is_found_and_stones_at_the_border_stay() -> None:
    picture = np.random.default_rng(0).integers(60, 200, (600, 800, 3), dtype=np.uint8)
    picture[:, :100] = 4
    picture[200:220, 780:] = 2
    picture[300:360, 300:360] = 3
    picture[-60:, 400:] = 255
    with open_image(picture) as image:
        mask, factor = background_mask(image)
    assert factor == 1
    assert mask[:, :97].all()
    assert mask[-50:, 412:].all()
    assert not mask[:530, 104:].any()


def test_background_of_a_field_without_one() -> None:
    with open_image("sample:brick") as image:
        assert not background_mask(image)[0].any()


@pytest.mark.skipif(not DATA.exists(), reason="no photographs")
@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("rabbit_cat18.jpg", 0.37, 0.41), ("butterfly.jpg", 0, 0), ("lion_onager_cat5_detail.jpg", 0, 0)],
)
def test_background_of_photographs(name: str, least: float, most: float) -> None:
    with open_image(DATA / name) as image:
        assert least <= background_mask(image)[0].mean() <= most
