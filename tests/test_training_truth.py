"""Masks and labels of people: read, checked, told apart; windows of a record that are finished."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.errors import InputError, MissingError, ReadError, RecordError
from napari_mosaic.image import open_image
from napari_mosaic.record import Plan, Record, create_record, open_record
from napari_mosaic.record.finished import NAME, finished_boxes, mark_finished
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box
from napari_mosaic.training.truth import find_pairs, number, read_truth, usual_factor

SHAPE = (64, 80)


def grid() -> NDArray[np.uint8]:
    """Stones of 8 px, numbered, 2 px apart."""
    labels = np.zeros(SHAPE, np.uint8)
    for i, y in enumerate(range(1, 60, 10)):
        for j, x in enumerate(range(1, 78, 10)):
            labels[y : y + 8, x : x + 8] = 1 + i * 8 + j
    return labels


def save(path: Path, values: NDArray[np.generic]) -> Path:
    Image.fromarray(values).save(path)
    return path


def test_every_way_of_saying_the_same_stones_reads_alike(tmp_path: Path) -> None:
    labels = grid()
    white = (labels > 0).astype(np.uint8) * 255
    tifffile.imwrite(tmp_path / "t.tif", labels.astype(np.uint16) * 300)
    np.save(tmp_path / "n.npy", labels.astype(np.int64))
    found = [
        read_truth(save(tmp_path / "l.png", labels), "labels", SHAPE),
        read_truth(tmp_path / "t.tif", "labels", SHAPE),
        read_truth(tmp_path / "n.npy", "labels", SHAPE),
        read_truth(save(tmp_path / "w.png", white), "tesserae", SHAPE),
        read_truth(save(tmp_path / "g.png", np.repeat((255 - white)[..., None], 3, axis=2)), "grout", SHAPE),
    ]
    for each in found:
        np.testing.assert_array_equal(each > 0, labels > 0)
        assert each.max() == 48


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("grout", (grid() > 0) * 255, "looks inverted.*--masks tesserae"),
        ("tesserae", (grid() == 0) * 255, "looks inverted.*--masks grout"),
        ("tesserae", np.zeros(SHAPE), "empty: all of it is joint"),
        ("grout", np.zeros(SHAPE), "empty: all of it is stone"),
        ("labels", np.zeros(SHAPE), "empty"),
        ("labels", (grid() > 0) * 255, "one value for 48 stones"),
        ("tesserae", np.arange(64)[:, None] * np.ones(80) * 4, "many grey values"),
        ("labels", np.ones((10, 10)), r"10 x 10 px and its picture 80 x 64"),
    ],
)
def test_masks_that_cannot_be_meant_end_in_one_sentence(
    tmp_path: Path, kind: str, values: NDArray[np.generic], says: str
) -> None:
    path = save(tmp_path / "mask.png", values.astype(np.uint8))
    with pytest.raises(InputError, match=says) as caught:
        read_truth(path, kind, SHAPE)  # type: ignore[arg-type]
    assert "mask.png" in str(caught.value)


def test_files_that_are_no_mask_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ReadError, match="cannot be read"):
        read_truth(tmp_path / "broken.png", "labels", SHAPE)
    with pytest.raises(InputError, match="colours"):
        read_truth(
            save(tmp_path / "c.png", np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8)), "labels", SHAPE
        )
    np.save(tmp_path / "f.npy", grid() / 3)
    with pytest.raises(InputError, match="fractions"):
        read_truth(tmp_path / "f.npy", "labels", SHAPE)


def test_pictures_and_masks_go_together_by_name(tmp_path: Path) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    with pytest.raises(MissingError, match="no folder"):
        find_pairs(images, masks)
    images.mkdir()
    masks.mkdir()
    with pytest.raises(MissingError, match="no picture"):
        find_pairs(images, masks)
    save(images / "a.png", grid())
    with pytest.raises(MissingError, match=r"a\.png has no mask"):
        find_pairs(images, masks)
    save(masks / "a.png", grid())
    save(masks / "spare.png", grid())
    assert [(p.name, m.name) for p, m in find_pairs(images, masks)] == [("a.png", "a.png")]


def test_small_stones_are_enlarged_and_large_ones_only_reduced_when_very_large() -> None:
    labels = grid().astype(np.uint32)
    assert usual_factor(labels, 24.0) == pytest.approx(24 / 10.5)
    large = np.kron(labels, np.ones((4, 4), np.uint32))
    assert usual_factor(large, 24.0) == 1.0
    assert usual_factor(np.zeros(SHAPE, np.uint32), 24.0) == 1.0


def test_ids_become_numbers() -> None:
    np.testing.assert_array_equal(number(np.array([[0, 900, 7]])), [[0, 2, 1]])
    np.testing.assert_array_equal(number(np.array([[900, 7]])), [[2, 1]])


@pytest.fixture
def record(tmp_path: Path) -> Record:
    path = save(tmp_path / "floor.png", np.full((120, 200, 3), 90, np.uint8))
    from napari_mosaic.areas import AreaSet
    from napari_mosaic.record_setup import plan_segmentation
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.segmentation import load_method

    params = SegmentParams(method="brightness", scale=1.0)
    with open_image(path) as image:
        plan = plan_segmentation(image, load_method(params), params)
        assert isinstance(plan, Plan)
        assert isinstance(plan.tesserae, TesseraParams)
        create_record(tmp_path / "floor.mosaic.zarr", image, plan, areas=AreaSet()).close()
    return open_record(tmp_path / "floor.mosaic.zarr", writable=True)


def test_windows_are_marked_and_kept(record: Record) -> None:
    with record:
        assert finished_boxes(record) == []
        mark_finished(record, Box(10, 10, 40, 60))
        mark_finished(record, Box(100, 150, 400, 400))
        assert mark_finished(record, Box(15, 15, 30, 30)) == [Box(10, 10, 40, 60), Box(100, 150, 120, 200)]
        assert mark_finished(record, Box(0, 0, 50, 100)) == [Box(100, 150, 120, 200), Box(0, 0, 50, 100)]
    with open_record(record.path) as again:
        assert finished_boxes(again) == [Box(100, 150, 120, 200), Box(0, 0, 50, 100)]
        with pytest.raises(RecordError, match="reading only"):
            mark_finished(again, Box(0, 0, 5, 400))
        assert not list(again.path.glob("*.tmp"))


def test_marks_that_mean_nothing_are_refused(record: Record) -> None:
    with record:
        with pytest.raises(InputError, match="no pixel"):
            mark_finished(record, Box(300, 0, 400, 100))
        (record.path / NAME).write_text("{broken")
        with pytest.raises(RecordError, match="mark the windows again"):
            finished_boxes(record)
        (record.path / NAME).write_text('{"format": 9, "boxes": []}')
        with pytest.raises(RecordError, match="newer version"):
            finished_boxes(record)
