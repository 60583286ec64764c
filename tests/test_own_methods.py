"""A user's own function as a method: labels as Cellpose gives them, or a map, over any tiles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

import napari_mosaic
from bright import bright_stones, brightness_map
from napari_mosaic.cli import main
from napari_mosaic.engine.own_methods import import_method, labels_to_map
from napari_mosaic.engine.segmenters import load_segmenter, method_names
from napari_mosaic.errors import InputError
from napari_mosaic.metrics import evaluate_labels
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tesserae import TesseraParams, find_tesserae
from napari_mosaic.tiling import Box


def masks(window: NDArray[np.uint8]) -> NDArray[Any]:
    """A label mask numbered from 1, uint16, as Cellpose's `eval` returns it first."""
    found, _ = ndimage.label(window.mean(2) > 120)
    return found.astype(np.uint16)


def touching() -> NDArray[np.uint16]:
    """Three stones that touch without a joint, a stroke of one pixel, and a stone that stands alone."""
    labels = np.zeros((64, 64), np.uint16)
    labels[4:24, 4:24], labels[4:24, 24:44], labels[24:44, 4:44] = 900, 17, 3
    labels[48:49, 4:44], labels[52:60, 52:60] = 65000, 8
    return labels


def test_labels_come_back_from_the_map_that_they_make() -> None:
    labels = touching()
    found = find_tesserae(labels_to_map(labels), TesseraParams(min_area=0, min_seed=1, max_hole=0))
    for number in (900, 17, 3, 65000, 8):
        (id_,) = np.unique(found[labels == number])
        assert np.array_equal(found == id_, labels == number)


@pytest.mark.parametrize("labels", [np.zeros((20, 20), int), np.ones((20, 20), int), np.full((20, 20), 7, bool)])
def test_windows_of_nothing_and_of_one_stone(labels: NDArray[Any]) -> None:
    map_ = labels_to_map(labels)
    assert map_.shape == (2, 20, 20)
    assert map_[0].max() == (0 if labels.any() else 255)
    assert (map_[1] > 0).all() == bool(labels.any())


def test_a_function_that_labels_finds_the_same_over_any_windows(tmp_path: Path) -> None:
    napari_mosaic.register_method("masks", masks, tessera_px=20, halo=48)
    assert "masks" in method_names()
    picture = bright_stones((300, 340), seed=4)
    params = SegmentParams(method="masks", scale=1.0, min_area=20, max_hole=0)
    with segment(picture, tmp_path / "a.mosaic.zarr", params=params) as record:
        assert (record.plan.method, record.plan.model) == ("masks", "masks")
        labels = record.read_labels(Box(0, 0, *record.shape))
    truth = masks(picture)
    scores = evaluate_labels(labels, truth).at(0.9)
    assert (scores.f1, scores.mean_matched_iou) == pytest.approx((1, 1), abs=0.02)


def test_a_function_that_maps(tmp_path: Path) -> None:
    napari_mosaic.register_method("own map", brightness_map, gives="map", tessera_px=24, halo=8)
    picture, params = bright_stones((120, 130)), {"scale": 1.0, "min_area": 20}
    with (
        segment(picture, tmp_path / "a.mosaic.zarr", params=SegmentParams(method="own map", **params)) as own,
        segment(picture, tmp_path / "b.mosaic.zarr", params=SegmentParams(method="brightness", **params)) as known,
    ):
        assert own.table().equals(known.table())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "grout"}, "is a method of this package"),
        ({"name": "x", "gives": "boxes"}, "choose one of labels, map"),
        ({"name": "x", "halo": -1}, "a halo is 0 to 1024"),
    ],
)
def test_what_cannot_be_registered_is_refused_at_once(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        napari_mosaic.register_method(**{"function": masks, **settings})
    assert "x" not in method_names()


@pytest.mark.parametrize(
    ("gives", "answer", "words"),
    [
        ("labels", np.zeros((5, 5), int), "one whole number a pixel"),
        ("labels", np.zeros((32, 32)), "one whole number a pixel"),
        ("map", np.zeros((3, 32, 32), np.uint8), "a map of 2 channels"),
    ],
)
def test_a_function_that_gives_something_else_is_told_so(gives: Any, answer: NDArray[Any], words: str) -> None:
    napari_mosaic.register_method("wrong", lambda _window: answer, gives=gives)
    with pytest.raises(InputError, match=words):
        load_segmenter("wrong", "").predict(np.zeros((1, 32, 32, 3), np.uint8))


def test_the_command_line_takes_a_function_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    (tmp_path / "my_stones.py").write_text(
        "from scipy import ndimage\n\ndef find(window):\n    return ndimage.label(window.mean(2) > 120)[0]\n\n"
        "find.tessera_px = 20\n"
    )
    Image.fromarray(bright_stones((120, 130))).save(tmp_path / "floor.png")
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "floor.png", "--method", "my_stones:find", "--scale", "1"]) == 0
    with open_record(tmp_path / "floor.mosaic.zarr") as record:
        assert record.count > 10
        assert record.plan.method == "my_stones:find"
    assert str(tmp_path) not in sys.path
    assert main(["segment", "floor.png", "--method", "my_stones:lost", "--overwrite"]) == 1
    assert "cannot be found" in capsys.readouterr().err
    with pytest.raises(InputError, match="is no function"):
        import_method("math:pi")
