"""The features of tesserae: which rows, in which units, and never more than a bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bright import bright_stones
from napari_mosaic import editing
from napari_mosaic.record import Record, open_record, tables
from napari_mosaic.record.layer_features import read_features, state_of
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box

SHAPE = (150, 210)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record of some forty stones on a working grid twice as fine as the photograph."""
    Image.fromarray(bright_stones(SHAPE, seed=3, pitch=30)).save(tmp_path / "floor.png")
    record = segment(tmp_path / "floor.png", params=SegmentParams(method="brightness", scale=2.0))
    record.close()
    return record.path


def ids_in(record: Record, box: Box) -> set[int]:
    """The tesserae whose boxes meet a box, from their pixels."""
    labels = record.read_labels(Box(0, 0, *record.shape))
    found = set()
    for id_ in set(np.unique(labels).tolist()) - {0}:
        rows, columns = np.nonzero(labels == id_)
        y, x = rows.min() < box.y1 and rows.max() >= box.y0, columns.min() < box.x1 and columns.max() >= box.x0
        found |= {id_} if y and x else set()
    return found


def test_a_small_record_has_the_features_of_all(path: Path) -> None:
    """One row for each label, by its id, in pixels of the photograph."""
    with open_record(path) as record:
        found = read_features(record)
        labels = record.read_labels(Box(0, 0, *record.shape))
        assert found.of == "all"
        assert sorted(found.columns["index"].tolist()) == sorted(set(np.unique(labels).tolist()) - {0})
        for row, id_ in enumerate(found.columns["index"][:5]):
            rows, columns = np.nonzero(labels == id_)
            assert found.columns["area_px"][row] == pytest.approx(len(rows) / 4, abs=0.01)
            assert found.columns["height_px"][row] == (np.ptp(rows) + 1) / 2
            assert found.columns["width_px"][row] == (np.ptp(columns) + 1) / 2
    assert not {"material", "state", "area_mm2"} & set(found.columns)


def test_millimetres_stand_there_only_when_they_are_confirmed(path: Path) -> None:
    with open_record(path, writable=True) as record:
        pixels = read_features(record).columns
        record.set_pixel_size(0.5, confirmed=False)
        assert set(read_features(record).columns) == set(pixels)
        before = state_of(record)
        record.set_pixel_size(0.5, confirmed=True)
        assert state_of(record) != before
        found = read_features(record).columns
    assert {name for name in found if name.endswith("_px")} == set()
    np.testing.assert_allclose(found["area_mm2"], pixels["area_px"] * 0.25, atol=0.02)
    np.testing.assert_allclose(found["height_mm"], pixels["height_px"] * 0.5, atol=0.01)


def test_of_a_large_record_only_what_meets_the_view(path: Path) -> None:
    with open_record(path) as record:
        view = Box(70, 90, 160, 200)
        wanted = ids_in(record, view)
        assert 3 < len(wanted) < record.count
        found = read_features(record, view, most=len(wanted))
        assert (found.of, set(found.columns["index"].tolist())) == ("view", wanted)
        assert list(found.columns["index"]) == [id_ for id_ in read_features(record).columns["index"] if id_ in wanted]
        assert read_features(record, None, most=len(wanted)).columns == {}


def test_where_the_view_holds_too_many_there_are_none_rather_than_some(path: Path) -> None:
    with open_record(path) as record:
        view = Box(70, 90, 160, 200)
        found = read_features(record, view, most=len(ids_in(record, view)) - 1)
    assert (found.of, found.columns) == ("none", {})


def test_of_many_shards_only_those_around_the_view_are_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and time follow the view: a part elsewhere is not opened."""
    read: list[str] = []
    real = tables.read_part
    monkeypatch.setattr(tables, "read_part", lambda part: read.append(part.name) or real(part))
    with open_record(path) as record:
        shards = record.plan.shards
        for i, j in ((7, 7), (0, 9)):
            tables.write_part(record.tables, (i, j), tables.empty_columns())
        read_features(record, Box(0, 0, 50, 50), most=record.count - 1)
        assert read == [tables.part_name(index) for index in shards.overlapping(Box(0, 0, 50, 50))]


def test_what_is_said_of_stones_is_told_once_something_is(path: Path) -> None:
    with open_record(path, writable=True) as record:
        before = state_of(record)
        first = int(read_features(record).columns["index"][0])
        editing.assign(record, [first], material="glass")
        assert state_of(record) != before
        found = read_features(record).columns
    said = dict(zip(found["index"].tolist(), found["material"].tolist(), strict=True))
    assert said.pop(first) == "glass"
    assert set(said.values()) == {""}
    assert "state" not in found


def test_layers_bring_them_along(path: Path) -> None:
    with open_record(path) as record:
        _, (_, labels, _) = record.layers()
        np.testing.assert_array_equal(labels["features"]["index"], read_features(record).columns["index"])
