"""The label layers of a record: one class for the tesserae, SAM 2's masks and whatever else a record holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edit_model import make_floor, rows_of, whole
from napari_mosaic import editing
from napari_mosaic.errors import InputError, RecordError
from napari_mosaic.record import Record, arrays, open_record, tables
from napari_mosaic.record.arrays import damaged, discard
from napari_mosaic.record.label_layer import LabelLayer
from napari_mosaic.record.masks import MaskStore
from napari_mosaic.record.pyramid import update_pending
from napari_mosaic.tiling import Box


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_floor(tmp_path_factory.mktemp("layers") / "floor.mosaic.zarr")


@pytest.fixture
def floor(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "floor.mosaic.zarr"))


def copy_of_tesserae(record: Record, name: str) -> LabelLayer:
    """A label layer of another name that holds what the tesserae hold."""
    layer = record.add_label_layer(name)
    extra = {"stability": np.float32, "layer": np.int16, "fallback": np.bool_}
    for index in layer.shards.overlapping(Box(0, 0, *record.shape)):
        columns = {key: value for key, value in record.tesserae.read_rows(index).items() if key not in tables.WORDS}
        more = {key: np.ones(len(columns["id"]), dtype) for key, dtype in extra.items()}
        layer.write_shard(index, record.read_labels(layer.shards.tile(index).core), columns | more)
        layer.ledger.add(layer.name, [index])
    return layer


def test_a_record_lists_its_label_layers_the_tesserae_first(floor: Path) -> None:
    with open_record(floor, writable=True) as record:
        assert [layer.name for layer in record.label_layers()] == ["tesserae"]
        for name in ("truth", "sam2"):
            record.add_label_layer(name)
    with open_record(floor) as record:
        assert [layer.name for layer in record.label_layers()] == ["tesserae", "sam2", "truth"]
        assert record.label_layers()[0] is record.tesserae


@pytest.mark.parametrize(
    ("name", "said"), [("sam2", "has no masks of SAM 2; make them"), ("truth", "has no labels 'truth'")]
)
def test_a_layer_that_is_not_there_says_so_when_its_arrays_are_asked_for(floor: Path, name: str, said: str) -> None:
    with open_record(floor) as record:
        layer = record.label_layer(name)
        assert not layer.exists
        assert layer.count == len(layer.table()) == 0
        with pytest.raises(RecordError, match=said):
            _ = layer.levels


@pytest.mark.parametrize("name", ["map", "pyramid", "sam2-pyramid", "", "..", "truth/0", "../labels"])
def test_labels_have_plain_names_of_their_own(floor: Path, name: str) -> None:
    with open_record(floor) as record, pytest.raises(InputError, match="cannot be called"):
        record.label_layer(name)


def test_older_names_go_on_meaning_what_they_meant(floor: Path) -> None:
    assert (editing.settle, editing.settle_steps) == (editing.update_pyramid, editing.update_pyramid_steps)
    with open_record(floor) as record:
        assert MaskStore(record).layer is record.label_layer("sam2")


@pytest.mark.parametrize("name", ["sam2", "truth"])
def test_every_label_layer_has_levels_rows_and_a_ledger_of_its_own(floor: Path, name: str) -> None:
    with open_record(floor, writable=True) as record:
        before = record.tesserae.done
        layer = copy_of_tesserae(record, name)
        assert layer.pending() == set(layer.done) == set(before)
        update_pending(layer)
        assert layer.pending() == set()
    with open_record(floor) as record:
        layer = record.label_layer(name)
        for level, array in enumerate(record.tessera_levels):
            np.testing.assert_array_equal(layer.levels[level][:], array[:])
        assert layer.table(["id", "area"]).equals(record.table(["id", "area"]))
        assert ("fallback" in layer.table().column_names) == (name == "sam2")


def test_a_damaged_shard_of_a_layer_is_found_and_nothing_else_suffers(floor: Path) -> None:
    with open_record(floor, writable=True) as record:
        labels, layer = whole(record), copy_of_tesserae(record, "sam2")
        first, second, third = (0, 0), (0, 1), (1, 1)
        layer.files(first)[0].write_bytes(b"")
        layer.files(second)[0].write_bytes(b"no shard")
        (layer.tables / tables.part_name(third)).unlink()
        broken = damaged(layer, sorted(layer.done))
        assert broken == [first, second, third]
        layer.forget(broken)
        discard(layer, broken)
        assert not layer.files(second)[0].exists()
        assert layer.done == record.tesserae.done - set(broken)
        assert damaged(record.tesserae, record.tesserae.done) == []
        np.testing.assert_array_equal(whole(record), labels)


def test_a_layer_that_is_removed_leaves_the_others(floor: Path) -> None:
    with open_record(floor, writable=True) as record:
        rows, layer = rows_of(record), copy_of_tesserae(record, "sam2")
        layer.remove()
        assert not layer.exists
        assert layer.count == len(layer.done) == 0
        assert rows_of(record) == rows
        assert len(record.tesserae.done) == len(record.plan.shards)


def test_a_shard_with_more_columns_than_the_tesserae_have_keeps_its_edits(floor: Path) -> None:
    """SAM 2's rows tell more than those of tesserae; written into an edited shard they lose it, and the edit stays."""
    with open_record(floor, writable=True) as record:
        id_ = next(i for i, row in rows_of(record).items() if Box(*row[2:6]).clip((64, 64)) == Box(*row[2:6]))
        index, columns = (0, 0), record.tesserae.read_rows((0, 0))
        labels = record.read_labels(record.plan.shards.tile(index).core)
        computed = {name: columns[name] for name in tables.SCHEMA.names}
        computed["stability"] = np.ones(len(columns["id"]), np.float32)
        editing.delete(record, [id_])
        edited, rows = whole(record), rows_of(record)
        record.write_tesserae(index, labels, computed)
        np.testing.assert_array_equal(whole(record), edited)
        assert rows_of(record) == rows


def test_a_record_that_is_opened_again_reads_no_description_of_its_arrays(
    floor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_record(floor) as record:
        labels = whole(record)
    opened: list[str] = []
    opening = arrays._open_levels

    def counted(path: Path, prefix: str, plan: object, *, writable: bool) -> object:
        opened.append(prefix)
        return opening(path, prefix, plan, writable=writable)

    monkeypatch.setattr(arrays, "_open_levels", counted)
    with open_record(floor) as record:
        np.testing.assert_array_equal(whole(record), labels)
    assert not opened
    file = floor / "0" / "zarr.json"
    content = file.read_text()
    file.write_text(content.replace('"zarr_format"', '"zarr_farmot"'))
    with pytest.raises(RecordError, match="cannot be opened"):
        open_record(floor)
    file.write_text(content)
    with open_record(floor) as record:
        np.testing.assert_array_equal(whole(record), labels)
    assert opened.count("") == 2
