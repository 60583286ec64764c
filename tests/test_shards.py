"""Shards in one piece: zarr reads what is written so, and they read what zarr writes; other forms are left to zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_mosaic import SegmentParams, draw_mosaic, segment
from napari_mosaic.editing import delete
from napari_mosaic.engine.mapping import MapMaker
from napari_mosaic.record import layout, open_record, shards
from napari_mosaic.record.arrays import DAMAGE
from napari_mosaic.record.map_layer import Channel, halve_map
from napari_mosaic.record.pyramid import whole_parents
from napari_mosaic.tiling import Box, Lattice

ALL = slice(None)


def make_array(folder: Path, shape: tuple[int, ...], dtype: str, shard: int = 64) -> Any:
    group = zarr.open_group(folder / "arrays.zarr", mode="a")
    layout._create(group, "a", shape, np.dtype(dtype), shard)
    return group["a"]


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 150, 170), "u1"), ((150, 170), "u4"), ((20, 130), "u8"), ((64, 128), "u4")]
)
def test_zarr_and_whole_shards_are_one_form(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    array = make_array(tmp_path, shape, dtype)
    random = np.random.default_rng(0)
    lead = (ALL,) * (len(shape) - 2)
    values = random.integers(0, 250, shape).astype(dtype)
    assert shards.write(array, (*lead, ALL, ALL), values)
    assert np.array_equal(array[...], values)
    array[...] = values // 2
    for _ in range(20):
        (y0, y1), (x0, x1) = (sorted(random.integers(0, side + 1, 2).tolist()) for side in shape[-2:])
        key = (*lead, slice(y0, y1), slice(x0, x1))
        found = shards.read(array, key)
        assert found is not None
        assert found.dtype == values.dtype
        assert np.array_equal(found, values[key] // 2)


def test_one_channel_and_shards_that_are_not_there(tmp_path: Path) -> None:
    array = make_array(tmp_path, (2, 150, 170), "u1")
    key = (ALL, slice(64, 128), slice(128, 170))
    assert shards.write(array, key, np.full((2, 64, 42), 7, "u1"))
    found = shards.read(array, (1, slice(60, 70), slice(120, 170)))
    assert found is not None
    assert np.array_equal(found, array[1, 60:70, 120:170])
    assert found.sum() == 7 * 6 * 42


def test_what_is_not_in_whole_shards_is_left_to_zarr(tmp_path: Path) -> None:
    array = make_array(tmp_path, (150, 170), "u4")
    assert not shards.write(array, (slice(0, 64), slice(3, 64)), np.ones((64, 61), "u4"))
    assert shards.read(array, (slice(0, 64, 2), ALL)) is None
    channel = Channel(make_array(tmp_path / "map", (2, 150, 170), "u1"), 1)
    assert shards.read(channel, (ALL, ALL)) is None
    plain = zarr.create_array(tmp_path / "plain.zarr", shape=(150, 170), dtype="u4", chunks=(64, 64))
    assert shards.read(plain, (ALL, ALL)) is None
    assert not shards.write(plain, (ALL, ALL), np.ones((150, 170), "u4"))


@pytest.mark.parametrize("harm", ["cut", "empty", "index", "chunk"])
def test_damage_is_seen(tmp_path: Path, harm: str) -> None:
    array = make_array(tmp_path, (64, 64), "u4")
    shards.write(array, (ALL, ALL), np.arange(64 * 64, dtype="u4").reshape(64, 64))
    file = tmp_path / "arrays.zarr/a/c/0/0"
    content = bytearray(file.read_bytes())
    if harm == "cut":
        content = content[: len(content) // 2]
    elif harm == "empty":
        content = bytearray()
    else:
        content[-30 if harm == "index" else 20] ^= 4
    file.write_bytes(content)
    with pytest.raises(DAMAGE):
        shards.read(array, (ALL, ALL))


@pytest.mark.parametrize("edited", [False, True])
def test_a_tile_makes_the_level_over_it(tmp_path: Path, edited: bool) -> None:
    """The first smaller level comes with its tile, with what was edited there; others' parts of it are left alone."""
    picture = np.tile(draw_mosaic(1024, seed=3).image, (3, 2, 1))[:2300, :1500]
    segment(picture, tmp_path / "floor.mosaic.zarr", params=SegmentParams(scale=1.0)).close()
    with open_record(tmp_path / "floor.mosaic.zarr", writable=True) as record:
        if edited:
            delete(record, record.table(["id"]).column("id").to_pylist()[:20])
        record.forget_tesserae([(0, 0), (0, 1), (1, 0), (1, 1)])
        for level in (record.map.levels[1], record.tesserae.levels[1]):
            level[...] = 0
        assert MapMaker(record, lambda: pytest.fail("no window is computed")).write(Box(0, 0, 2048, 1500))
        labels, map_ = record.tesserae.levels[0][:2048], record.map.levels[0][:, :2048]
        assert np.array_equal(record.tesserae.levels[1][:1024], labels[::2, ::2])
        assert np.array_equal(record.map.levels[1][:, :1024], halve_map(map_))
        assert not record.tesserae.levels[1][1024:].any()


def test_parents_of_whole_families() -> None:
    lattice = Lattice(shape=(2300, 1500), core=1024)  # three by two
    assert whole_parents(lattice, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]) == [(0, 0)]
    assert whole_parents(lattice, [(2, 0), (2, 1)]) == [(1, 0)]
