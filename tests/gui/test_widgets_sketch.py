"""Stones of a window that the network has looked at, seen before their tile is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bright import bright_stones
from napari_mosaic import SegmentParams, open_record, segment
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _sketch
from napari_mosaic.widgets._levels import LivePyramid


def make_empty(record: Any) -> list[Any]:
    """The levels of a layer that shows no stone yet."""
    return LivePyramid([np.zeros(level.shape, level.dtype) for level in record.tesserae.levels]).levels


def test_windows_in_view_are_sketched_until_their_tile_is_cut(tmp_path: Path, monkeypatch: Any) -> None:
    path, view = tmp_path / "a.mosaic.zarr", Box(100, 100, 400, 500)
    params = SegmentParams(method="brightness", scale=1.0)
    segment(bright_stones((600, 1300)), path, params=params).close()
    windows = [Box(0, 0, 600, 1024), Box(0, 1024, 600, 1300)]
    with open_record(path, writable=True) as record:
        levels, labels = make_empty(record), record.read_labels(Box(0, 0, 600, 1300))
        _sketch.sketch_windows(record, levels, windows, view)
        assert not np.any(levels[0][:, :])  # the record has them already
        record.forget_tesserae()
        record.write_labels(0, windows[0], np.zeros(windows[0].shape, labels.dtype))
        for level in levels[:-1]:
            level.warm(Box(0, 0, *level.shape))
        _sketch.sketch_windows(record, levels, windows, view)
        seen = levels[0][:, :]
        np.testing.assert_array_equal(seen[:, :980], labels[:, :980])
        assert not seen[:, 1024:].any()  # nobody looks there
        np.testing.assert_array_equal(levels[1][:, :], seen[::2, ::2])
        monkeypatch.setattr(_sketch, "MOST", 1000)
        levels = make_empty(record)
        _sketch.sketch_windows(record, levels, windows, view)
        assert not np.any(levels[0][:, :])
