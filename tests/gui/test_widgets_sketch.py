"""Stones of a view that the network has looked at, seen before their tile is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bright import bright_stones
from napari_mosaic import SegmentParams, open_record, segment
from napari_mosaic.progress import drain
from napari_mosaic.segmentation import segment_steps
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _sketch
from napari_mosaic.widgets._levels import LivePyramid
from napari_mosaic.widgets._sketch import Shown, Sketcher

PARAMS = SegmentParams(method="brightness", scale=1.0, tile_size=1024)


def make_empty(levels: Any) -> list[Any]:
    """Levels of a viewer that show nothing yet."""
    return LivePyramid([np.zeros(level.shape[-2:], level.dtype) for level in levels]).levels


def shown_empty(record: Any) -> Shown:
    return Shown(make_empty(record.map.levels), make_empty(record.tesserae.levels))


def test_a_view_is_seen_as_it_stays_before_anything_is_written(tmp_path: Path) -> None:
    path, view = tmp_path / "a.mosaic.zarr", Box(900, 1000, 1300, 1400)
    picture = bright_stones((3200, 3200))
    segment(picture, path, params=PARAMS, only=Box(3000, 3000, 3100, 3100)).close()
    sketcher, pictures, written = Sketcher(view), [], []
    with open_record(path) as record:
        shown, before = shown_empty(record), record.ledger.done("map")

    def seen(record: Any, window: Any, map_: Any) -> None:
        sketcher.take(record, window, map_)
        pictures.append(shown.tesserae[0][view.slices])
        written.append(record.ledger.done("map") != before)

    sketcher.show_in(shown)
    steps = segment_steps(picture, path, params=PARAMS, only=view, focus=(1100, 1200), resume=True, seen=seen)
    with drain(steps) as record:
        labels = record.read_labels(view)
        np.testing.assert_array_equal(shown.joints[0][900:1024, 1000:1400], record.read_map(view)[0, :124])
    needed = set(record.plan.lattice.overlapping(view.grow(record.plan.tesserae.halo))) - before
    assert before  # some of the windows that it takes are read from the disk
    assert (pictures[0] > 0).any()
    assert not any(written[: len(needed)])
    assert len(pictures) > len(needed)  # whole tiles need more
    np.testing.assert_array_equal(pictures[len(needed) - 1], labels)
    np.testing.assert_array_equal(shown.tesserae[1][view.y0 // 2 : view.y1 // 2, 500:700], labels[::2, ::2])
    assert sketcher.take_news() == (True, True)
    assert sketcher.take_news() == (False, False)


def test_what_the_record_has_is_not_sketched_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, view = tmp_path / "a.mosaic.zarr", Box(100, 100, 400, 1200)
    segment(bright_stones((600, 1300)), path, params=PARAMS).close()
    with open_record(path, writable=True) as record:
        labels, windows = record.read_labels(Box(0, 0, 600, 1300)), [(0, 0), (0, 1)]
        maps = {index: record.read_map(record.plan.lattice.tile(index).core) for index in windows}

        def seen_of(view: Box) -> Any:
            sketcher, shown = Sketcher(view), shown_empty(record)
            for index in windows:
                sketcher.take(record, index, maps[index])
            sketcher.show_in(shown)  # the layers may come later than the first windows
            return shown.tesserae[0][:, :]

        assert not seen_of(view).any()  # the record has them already
        record.forget_tesserae()
        record.write_labels(0, Box(200, 200, 220, 220), np.full((20, 20), 7, labels.dtype))
        record.write_labels(0, Box(220, 200, 600, 1300), np.zeros((380, 1100), labels.dtype))
        found = seen_of(view)
        assert (found[200:220, 200:220] == 7).all()
        np.testing.assert_array_equal(found[250:400, 100:1200], labels[250:400, 100:1200])
        assert not found[:, 1200:].any()  # nobody looks there
        monkeypatch.setattr(_sketch, "MOST", 1000)
        assert not seen_of(view).any()
