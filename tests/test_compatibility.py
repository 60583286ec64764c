"""Records of 0.1.0 at commit e8937f2 open, are edited and gone on with; maps give the labels that they gave.

`data/before` was made by that commit: `maps.npz` holds maps of four drawings and a floor of bricks, `floor.jpg` is
a drawn floor, `edited.zip` its record with six edits (one of them undone), `half.zip` one that was stopped
after the first of two windows; `hashes.json` is what labels and tables were.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_mosaic import editing
from napari_mosaic.record import Record, open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import apply_steps, load_method, segment
from napari_mosaic.tesserae import TesseraParams, find_in_window
from napari_mosaic.tiling import Box

BEFORE = Path(__file__).parent / "data" / "before"
HASHES: dict[str, str] = json.loads((BEFORE / "hashes.json").read_text())


def unpack(name: str, folder: Path) -> Path:
    """A record of before, beside its photograph."""
    path = folder / f"{name}.mosaic.zarr"
    with zipfile.ZipFile(BEFORE / f"{name}.zip") as packed:
        packed.extractall(path)
    shutil.copy(BEFORE / "floor.jpg", folder)
    return path


def whole(record: Record) -> NDArray[Any]:
    return record.read_labels(Box(0, 0, *record.shape))


def digest_of(record: Record) -> str:
    table = record.table().select(["id", "y", "x", "y0", "x0", "y1", "x1", "area", "score", "flags"])
    return hashlib.sha256(whole(record).tobytes() + json.dumps(table.to_pydict()).encode()).hexdigest()


@pytest.mark.parametrize("name", ["bond", "rows", "cells", "figure", "brick"])
def test_a_map_gives_the_labels_and_the_table_that_it_gave(name: str) -> None:
    with np.load(BEFORE / "maps.npz") as maps:
        map_ = maps[name]
    box = Box(0, 0, *map_.shape[1:])
    found = find_in_window(map_, box, box, box.shape, TesseraParams(min_area=20))
    digest = hashlib.sha256(np.ascontiguousarray(found.labels).tobytes())
    for column in sorted(("id", "y", "x", "y0", "x0", "y1", "x1", "area", "score", "flags")):
        digest.update(column.encode())
        digest.update(np.ascontiguousarray(found.columns[column]).tobytes())
    assert digest.hexdigest() == HASHES[name]


def test_an_edited_record_opens_and_goes_back_edit_by_edit(tmp_path: Path) -> None:
    with open_record(unpack("edited", tmp_path), writable=True) as record:
        assert record.complete
        assert digest_of(record) == HASHES["edited"]
        assert [edit.tool for edit in editing.list_edits(record)] == [
            "delete", "split_line", "merge", "assign", "grow",
        ]  # fmt: skip
        assert record.open_source().shape == (1088, 256)
        while editing.undo(record) is not None:
            pass
        assert digest_of(record) == HASHES["whole"]
        for _ in range(5):
            assert editing.redo(record) is not None
        assert digest_of(record) == HASHES["edited"]


def test_an_edited_record_is_cut_anew_from_its_map_and_keeps_its_edits(tmp_path: Path) -> None:
    path = unpack("edited", tmp_path)
    with open_record(path) as record:
        params = record.plan.tesserae
    for _ in apply_steps(record, params):
        pass
    with open_record(path) as record:
        assert not editing.read_conflicts(record)
        assert digest_of(record) == HASHES["edited"]
    for _ in apply_steps(record, params, discard_edits=True):
        pass
    with open_record(path) as record:
        assert digest_of(record) == HASHES["whole"]


def test_a_record_that_was_stopped_is_gone_on_with(tmp_path: Path) -> None:
    if load_method(SegmentParams()).precision != "int8":
        pytest.skip("the record was begun in eight-bit integers, which this machine does not compute")
    path = unpack("half", tmp_path)
    with open_record(path) as record:
        first = record.read_map(record.plan.lattice.tile((0, 0)).core)
        assert record.state() == {"map": (1, 2), "tesserae": (0, 2)}
    with segment(tmp_path / "floor.jpg", path, params=SegmentParams(scale=1.0), resume=True) as record:
        assert record.complete
        np.testing.assert_array_equal(record.read_map(record.plan.lattice.tile((0, 0)).core), first)
        found = whole(record)
    with open_record(unpack("edited", tmp_path), writable=True) as record:
        while editing.undo(record) is not None:
            pass
        before = whole(record)
    far = record.plan.lattice.tile((0, 0)).core.y1 - record.plan.tesserae.halo
    np.testing.assert_array_equal(found[:far], before[:far])
    assert abs(len(np.unique(found)) - len(np.unique(before))) <= 6
