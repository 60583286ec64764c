"""Labels are a function of the place: tiled equals untiled, and a control shows that the test can fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.errors import InputError
from napari_mosaic.ids import id_at, id_dtype, place_of
from napari_mosaic.tesserae import Flag, TesseraParams, find_in_window, find_tesserae
from napari_mosaic.tiling import Box, Lattice

SMALL = TesseraParams(reach=10, blob_limit=24, blob_cell=11, max_hole=8, min_area=12, min_seed=2)


def random_map(seed: int, shape: tuple[int, int], grain: float, bias: float, channels: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    planes = []
    for centre in (bias, 128):
        plane = ndimage.gaussian_filter(rng.normal(size=shape), grain)
        planes.append((plane / plane.std() * 60 + centre).clip(0, 255))
    return np.stack(planes[:channels]).astype(np.uint8)


def tiled(map_: NDArray[np.uint8], core: int, params: TesseraParams, order: int) -> tuple[NDArray[Any], Any]:
    shape = map_.shape[1:]
    labels = np.zeros(shape, id_dtype(shape))
    tiles = list(Lattice(shape=shape, core=core, halo=params.halo))
    np.random.default_rng(order).shuffle(tiles)
    columns = []
    for tile in tiles:
        window = tile.read.clip(shape)
        found = find_in_window(map_[(slice(None), *window.slices)], window, tile.core, shape, params)
        labels[tile.core.slices] = found.labels
        columns.append(found.columns)
    joined = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
    rank = np.argsort(joined["id"])
    return labels, {name: values[rank] for name, values in joined.items()}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(40, 260),
    width=st.integers(40, 260),
    core=st.integers(23, 150),
    grain=st.sampled_from([0.8, 1.5, 3.0, 7.0]),
    bias=st.sampled_from([50.0, 100.0, 140.0]),
    channels=st.sampled_from([1, 2]),
)
def test_tiled_equals_untiled(
    seed: int, height: int, width: int, core: int, grain: float, bias: float, channels: int
) -> None:
    map_ = random_map(seed, (height, width), grain, bias, channels)
    box = Box(0, 0, height, width)
    whole = find_in_window(map_, box, box, box.shape, SMALL)
    labels, columns = tiled(map_, core, SMALL, seed)
    np.testing.assert_array_equal(labels, whole.labels)
    for name, values in whole.columns.items():
        np.testing.assert_array_equal(columns[name], values)


def test_control_numbering_per_tile_would_fail() -> None:
    map_ = random_map(3, (200, 200), 3.0, 100.0, 2)
    whole = find_tesserae(map_, SMALL)
    labels = np.zeros_like(whole)
    for tile in Lattice(shape=(200, 200), core=90, halo=SMALL.halo):
        window = tile.read.clip((200, 200))
        local = find_tesserae(map_[(slice(None), *window.slices)], SMALL)
        labels[tile.core.slices] = local[tile.core.within(window)]
    assert (labels != whole).any()


def test_control_without_the_halo_would_fail() -> None:
    map_ = random_map(3, (200, 200), 3.0, 60.0, 2)
    whole = find_tesserae(map_, SMALL)
    labels = np.zeros_like(whole)
    for tile in Lattice(shape=(200, 200), core=90):
        labels[tile.core.slices] = find_in_window(
            map_[(slice(None), *tile.core.slices)], tile.core, tile.core, (200, 200), SMALL
        ).labels
    assert (labels != whole).any()


@pytest.mark.parametrize("channels", [1, 2])
def test_every_tessera_is_one_connected_piece_with_its_own_id(channels: int) -> None:
    labels = find_tesserae(random_map(5, (300, 300), 3.0, 100.0, channels), SMALL)
    for value in np.unique(labels[labels > 0]):
        assert ndimage.label(labels == value)[1] == 1


def drawn(boxes: list[tuple[int, int, int, int]], shape: tuple[int, int] = (80, 120)) -> NDArray[np.uint8]:
    map_ = np.zeros((2, *shape), np.uint8)
    map_[0] = 255
    for y0, x0, y1, x1 in boxes:
        map_[0, y0:y1, x0:x1] = 0
        map_[1, y0 + 2 : y1 - 2, x0 + 2 : x1 - 2] = 255
    return map_


def test_two_stones_touching_are_parted_half_way() -> None:
    map_ = drawn([(10, 10, 30, 30), (10, 30, 30, 50)])
    labels = find_tesserae(map_)
    ids = np.unique(labels[labels > 0])
    assert len(ids) == 2
    np.testing.assert_array_equal(labels[12:28, 10:30], ids[0])
    np.testing.assert_array_equal(labels[12:28, 30:50], ids[1])


def test_ids_name_places_and_come_back() -> None:
    labels = find_tesserae(drawn([(10, 10, 30, 30)]))
    (value,) = np.unique(labels[labels > 0])
    assert value == id_at(12, 12, 120)
    y, x = place_of(int(value), 120)
    assert labels[y, x] == value


def test_large_stones_are_flagged_and_the_same_in_every_tiling() -> None:
    map_ = drawn([(5, 5, 75, 115)])
    box = Box(0, 0, 80, 120)
    whole = find_in_window(map_, box, box, box.shape, SMALL)
    assert (whole.columns["flags"] & int(Flag.OVERSIZED)).all()
    labels, _ = tiled(map_, 31, SMALL, 1)
    np.testing.assert_array_equal(labels, whole.labels)


def test_small_ones_are_dropped_and_small_holes_filled() -> None:
    map_ = drawn([(10, 10, 40, 40), (60, 60, 66, 66)])
    map_[0, 20:22, 20:22] = 255
    map_[1, 20:22, 20:22] = 0
    labels = find_tesserae(map_, TesseraParams(min_area=50))
    assert len(np.unique(labels[labels > 0])) == 1
    assert (labels[10:40, 10:40] > 0).all()
    assert len(np.unique(find_tesserae(map_, TesseraParams(min_area=0, min_seed=1)))) == 3


def test_an_empty_map_gives_nothing() -> None:
    assert not find_tesserae(np.full((2, 30, 30), 255, np.uint8) * np.array([1, 0], np.uint8)[:, None, None]).any()


def test_id_type_grows_with_the_grid() -> None:
    assert id_dtype((1000, 1000)) == np.uint32
    assert id_dtype((300_000, 300_000)) == np.uint64


@pytest.mark.parametrize("values", [{"threshold": 1.5}, {"min_area": -1}, {"reach": 10_000}])
def test_params_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match="choose a value within"):
        TesseraParams(**values)  # type: ignore[arg-type]


def test_a_map_that_does_not_cover_its_window_is_refused() -> None:
    with pytest.raises(InputError, match="does not cover"):
        find_in_window(np.zeros((2, 5, 5), np.uint8), Box(0, 0, 9, 9), Box(0, 0, 9, 9), (9, 9), SMALL)
