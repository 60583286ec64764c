"""Windows of any size go through a network in few sizes, and come back with every pixel in its place."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_mosaic.framing import SHAPES, SIDES, cut, predict_framed


class Recorder:
    """A network that answers with its own pixels and keeps the shapes it was asked for."""

    def __init__(self) -> None:
        self.shapes: set[tuple[int, int]] = set()

    def __call__(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.shapes.add(windows.shape[1:3])
        return np.ascontiguousarray(windows.transpose(0, 3, 1, 2)[:, :2])


@pytest.mark.parametrize(
    "shape", [(1, 1), (32, 64), (320, 320), (608, 608), (608, 1152), (864, 96), (1152, 1152), (1184, 32), (2176, 1600)]
)
def test_every_size_is_computed_in_shapes_of_the_table(shape: tuple[int, int]) -> None:
    windows = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    run = Recorder()
    maps = predict_framed(run, windows, 64, 2)
    assert run.shapes <= set(SHAPES)
    np.testing.assert_array_equal(maps, windows.transpose(0, 3, 1, 2)[:, :2])


@pytest.mark.parametrize("halo", [0, 32, 64, 100, 300, 576, 900])
@pytest.mark.parametrize("length", [1, 1152, 1153, 2176, 2177, 2208, 5000])
def test_parts_keep_each_pixel_once_and_the_halo_at_every_cut(length: int, halo: int) -> None:
    parts = cut(length, halo)
    assert np.concatenate([np.arange(length)[kept] for _, kept in parts]).tolist() == list(range(length))
    for number, (start, kept) in enumerate(parts):
        assert start % 32 == 0
        assert kept.stop <= start + SIDES[-1]
        if 0 < halo <= 560:
            assert number == 0 or kept.start - start >= halo
            assert number == len(parts) - 1 or start + SIDES[-1] - kept.stop >= halo


def test_a_tiny_window_is_mirrored_as_often_as_it_takes() -> None:
    seen = []

    def run(windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        seen.append(windows)
        return windows.transpose(0, 3, 1, 2)[:, :1]

    predict_framed(run, np.arange(6, dtype=np.uint8).reshape(1, 2, 1, 3), 64, 1)
    assert seen[0][0, :6, 0, 0].tolist() == [0, 3, 3, 0, 0, 3]
