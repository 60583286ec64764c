"""The panel never shows or goes on with another photograph's record, and never segments what is not shown."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bright import bright_stones
from napari_mosaic.image import open_image
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _sources, segment_layer

PARAMS = SegmentParams(method="brightness", scale=1.0, tile_size=1024)
OTHER = (300, 420)


def labels_of(path: Path) -> Any:
    with open_record(path) as record:
        return record.read_labels(Box(0, 0, *record.shape))


def expected(pixels: Any, folder: Path) -> Any:
    """What the pixels give by themselves."""
    with segment(pixels, folder / "expected.mosaic.zarr", params=PARAMS, overwrite=True) as record:
        return record.read_labels(Box(0, 0, *record.shape))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "floor.png"
    Image.fromarray(bright_stones(OTHER, seed=1)).save(path)
    return path


@pytest.mark.parametrize("change", ["replaced", "in place", "lazily"])
def test_a_layer_whose_data_changed_is_segmented_as_it_is_shown(
    viewer: Any, small: Path, tmp_path: Path, change: str, open_panel: Callable[..., Any], settled: Any
) -> None:
    panel = open_panel()
    panel.open_photograph(small)
    settled(panel)
    layer = viewer.layers[0]
    if change == "in place":
        layer.data = np.array(layer.data)  # the same pixels, and anybody may write to them
    panel.find_all()
    settled(panel)
    old = panel.state.place
    assert layer.metadata[_sources.SOURCE] == str(small)
    before = labels_of(old)
    new = bright_stones(OTHER, seed=8, pitch=34)
    if change == "in place":
        layer.data[...] = new
    elif change == "replaced":
        layer.data = new
    else:
        import dask.array as da

        layer.data = da.from_array(new, chunks=(100, 100, 3))
    panel.find_all()
    settled(panel)
    place = panel.state.place
    assert place != old
    assert "another photograph" in panel.state.message
    assert panel.state.record.path == place
    np.testing.assert_array_equal(labels_of(place), expected(new, tmp_path))
    np.testing.assert_array_equal(labels_of(old), before)
    np.testing.assert_array_equal(np.asarray(panel.shown.tesserae.data[0]), labels_of(place))


def test_a_large_photograph_is_its_file_until_its_levels_are_replaced(viewer: Any, tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.fromarray(bright_stones((200, 2300), seed=1)).save(path)
    data, meta, _ = _sources.photograph_data(open_image(path))
    layer = viewer.add_image(data, **meta)
    assert layer.multiscale
    with _sources.open_layer(layer) as image:
        assert image.source.location == str(path)
    new = bright_stones((200, 2300), seed=2)
    layer.data = [new, new[::2, ::2]]
    with _sources.open_layer(layer) as image:
        assert image.source.location == ""
        np.testing.assert_array_equal(image.read(Box(0, 0, 200, 2300)), new)


def test_a_twin_is_not_shown_the_first_ones_record(
    viewer: Any, small: Path, open_panel: Callable[..., Any], settled: Any
) -> None:
    segment(small, params=PARAMS).close()
    twin = small.with_suffix(".jpg")
    Image.fromarray(bright_stones(OTHER, seed=3, pitch=34)).save(twin)
    panel = open_panel()
    panel.open_photograph(twin)
    settled(panel)
    assert panel.state.record is None
    assert panel.state.place == small.with_name("floor-jpg.mosaic.zarr")
    assert "floor.mosaic.zarr is the record of another photograph" in panel.state.message
    panel.find_all()
    settled(panel)
    with open_record(panel.state.place) as record, open_image(twin) as image:
        assert record.source.fingerprint == image.source.fingerprint
    viewer.layers.clear()
    panel.open_photograph(small)
    settled(panel)
    assert panel.state.record.path == small.with_name("floor.mosaic.zarr")
    viewer.layers.clear()
    panel.open_photograph(twin)
    settled(panel)
    assert panel.state.record.path == small.with_name("floor-jpg.mosaic.zarr")


def test_a_place_of_another_photograph_is_not_taken(
    viewer: Any, small: Path, open_panel: Callable[..., Any], settled: Any
) -> None:
    taken = small.with_name("taken.mosaic.zarr")
    segment(bright_stones(OTHER, seed=5), taken, params=PARAMS).close()
    panel = open_panel()
    panel.open_photograph(small)
    settled(panel)
    panel.set_place(taken)
    settled(panel)
    assert panel.state.record is None
    assert panel.state.place == taken.with_name("floor-png.mosaic.zarr")


def test_a_layer_without_a_file_comes_back_to_its_record(viewer: Any, tmp_path: Path) -> None:
    pixels = bright_stones(OTHER, seed=1)
    first = segment_layer(viewer, viewer.add_image(pixels, name="my floor"), params=PARAMS).wait(120)
    assert first.path == tmp_path / "home" / "mosaics" / "my floor.mosaic.zarr"
    viewer.layers.clear()
    again = segment_layer(viewer, viewer.add_image(pixels.copy(), name="my floor"), params=PARAMS).wait(120)
    assert again.path == first.path
    assert len(list(first.path.parent.glob("*.tif"))) == 1
    viewer.layers.clear()
    changed = viewer.add_image(bright_stones(OTHER, seed=2), name="my floor")
    other = segment_layer(viewer, changed, params=PARAMS).wait(120)
    assert other.path == first.path.with_name("my floor 2.mosaic.zarr")
    shutil.rmtree(other.path)
    with pytest.raises(Exception, match="another photograph"):
        segment_layer(viewer, changed, first.path, params=PARAMS).wait(120)


@pytest.mark.parametrize(("unit", "scale"), [("mm", 0.5), ("um", 500), ("cm", 0.05), ("m", 0.0005)])
def test_the_scale_of_a_layer_reaches_its_record(viewer: Any, unit: str, scale: float) -> None:
    layer = viewer.add_image(bright_stones(OTHER), name="floor", scale=(scale, scale), units=(unit, unit))
    found = segment_layer(viewer, layer, params=PARAMS).wait(120)
    with open_record(found.path) as record:
        assert record.pixel_size is not None
        assert record.pixel_size.mm == pytest.approx(0.5)
        assert (record.pixel_size.confirmed, record.pixel_size.origin) == (True, "layer")


def test_the_scale_that_a_person_gives_a_file_reaches_its_record(
    viewer: Any, small: Path, open_panel: Callable[..., Any], settled: Any
) -> None:
    layer = viewer.add_image(**_shown(small))
    with _sources.open_layer(layer) as image:
        assert image.pixel_size is None
    layer.units, layer.scale = ("mm", "mm"), (0.4, 0.4)
    with _sources.open_layer(layer) as image:
        assert image.source.location == str(small)
        assert image.pixel_size is not None
        assert (image.pixel_size.mm, image.pixel_size.origin) == (pytest.approx(0.4), "layer")
    panel = open_panel()
    settled(panel)
    panel.find_all()
    settled(panel)
    with open_record(panel.state.place) as record:
        assert record.pixel_size is not None
        assert record.pixel_size.mm == pytest.approx(0.4)


def test_what_we_scaled_ourselves_is_the_files_word(viewer: Any, tmp_path: Path) -> None:
    path = tmp_path / "printed.png"
    Image.fromarray(bright_stones(OTHER)).save(path, dpi=(254, 254))
    layer = viewer.add_image(**_shown(path))
    with _sources.open_layer(layer) as image, open_image(path) as file:
        assert image.pixel_size == file.pixel_size
        assert file.pixel_size is not None
        assert not file.pixel_size.confirmed


def test_pixels_that_are_not_square_are_told(
    viewer: Any, qtbot: Any, open_panel: Callable[..., Any], settled: Any
) -> None:
    viewer.add_image(bright_stones(OTHER), name="floor", scale=(0.5, 0.6), units=("mm", "mm"))
    panel = open_panel()
    qtbot.waitUntil(lambda: "not square" in panel.state.message, timeout=30_000)
    assert panel.state.size.pixel_mm is None
    settled(panel)


def _shown(path: Path) -> dict[str, Any]:
    data, meta, _ = _sources.photograph_data(open_image(path))
    return {"data": data, **meta}


@pytest.mark.parametrize("opened", ["by the panel", "as an array"])
def test_a_size_that_a_person_gave_stays_that_persons_word(
    viewer: Any, qtbot: Any, small: Path, open_panel: Callable[..., Any], settled: Any, opened: str
) -> None:
    panel = open_panel()
    if opened == "by the panel":
        panel.open_photograph(small)
    else:
        viewer.add_image(bright_stones(OTHER, seed=1), name="floor")
    settled(panel)
    layer = viewer.layers[0]
    panel.view.size_form.fields["pixel_mm"].value = 0.5
    other = viewer.add_image(bright_stones((200, 200)), name="other")
    for chosen in (other, layer):
        panel.choose(chosen)
        settled(panel)
        qtbot.waitUntil(lambda: not panel._looker.busy)
    assert (panel.state.size.pixel_mm, panel.state.size.origin) == (pytest.approx(0.5), "user")
    found = segment_layer(viewer, layer, params=PARAMS).wait(120)
    with open_record(found.path) as record:
        assert record.pixel_size is not None
        assert (record.pixel_size.mm, record.pixel_size.origin) == (pytest.approx(0.5), "user")
    layer.scale = (0.4, 0.4)  # and what somebody gives the layer later is theirs
    with _sources.open_layer(layer) as image:
        assert image.pixel_size is not None
        assert (image.pixel_size.mm, image.pixel_size.origin) == (pytest.approx(0.4), "layer")


def test_a_photograph_that_comes_with_its_record_keeps_whose_word_its_size_is(
    viewer: Any, small: Path, open_panel: Callable[..., Any], settled: Any
) -> None:
    segment(small, params=PARAMS, pixel_mm=0.7, pixel_origin="drawn line").close()
    panel = open_panel()
    panel.open_record(small.with_name("floor.mosaic.zarr"))
    settled(panel)
    shutil.rmtree(small.with_name("floor.mosaic.zarr"))
    with _sources.open_layer(viewer.layers[0]) as image:
        assert image.pixel_size is not None
        assert (image.pixel_size.mm, image.pixel_size.origin) == (pytest.approx(0.7), "drawn line")
