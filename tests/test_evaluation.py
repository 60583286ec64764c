"""Comparing files: labels, masks, records and truths that lie in a crop of the photograph."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.evaluation import EvaluationParams, evaluate_files, label_mask
from napari_mosaic.evaluation import files as evaluation_files
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.metrics import evaluate_labels
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box


def stones(rows: int = 5, columns: int = 6, size: int = 12) -> NDArray[np.uint16]:
    stone = np.zeros((size, size), int)
    stone[1:-1, 1:-1] = 1
    return np.kron(np.arange(1, rows * columns + 1).reshape(rows, columns), stone).astype(np.uint16)


def save(path: Path, labels: NDArray[Any]) -> Path:
    if path.suffix == ".npy":
        np.save(path, labels)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, labels)
    else:
        Image.fromarray(labels).save(path)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png"])
def test_label_files_are_compared(tmp_path: Path, suffix: str) -> None:
    truth, predicted = stones(), np.roll(stones(), 1, 0)
    found = evaluate_files(save(tmp_path / f"p{suffix}", predicted), save(tmp_path / f"t{suffix}", truth))
    assert found.metrics == evaluate_labels(predicted, truth)
    assert found.grout is not None
    json.dumps(found.to_dict())


@pytest.mark.parametrize(("white", "is_"), [("tesserae", "auto"), ("tesserae", "tesserae"), ("grout", "grout")])
def test_masks_of_either_colour_are_compared_with_labels(tmp_path: Path, white: str, is_: Any) -> None:
    truth = stones()
    mask = (truth > 0) if white == "tesserae" else (truth == 0)
    path = save(tmp_path / "mask.png", np.where(mask, 255, 0).astype(np.uint8))
    labels = save(tmp_path / "truth.tif", truth)
    as_prediction = evaluate_files(path, labels, params=EvaluationParams(prediction_is=is_))
    as_truth = evaluate_files(labels, path, params=EvaluationParams(truth_is=is_))
    assert as_prediction.metrics.at(0.9).f1 == as_truth.metrics.at(0.9).f1 == 1


def test_specks_of_masks_are_dropped() -> None:
    mask = stones() > 0
    mask[0, 0] = True
    assert label_mask(mask).max() == 31
    assert len(np.unique(label_mask(mask, 4))) == 31


def test_bands_give_the_figures_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, predicted = stones(), np.roll(stones(), 2, 1)
    monkeypatch.setattr(evaluation_files, "_BAND_PIXELS", 72 * 7)
    found = evaluate_files(save(tmp_path / "p.npy", predicted), save(tmp_path / "t.npy", truth))
    assert found.metrics == evaluate_labels(predicted, truth)


def test_a_truth_in_a_crop_is_compared_enlarged(tmp_path: Path) -> None:
    photograph = np.zeros((100, 120), np.uint16)
    photograph[20:80, 30:102] = stones()
    save(tmp_path / "all.tif", photograph)
    crop = np.kron(photograph[24:74, 40:90], np.ones((3, 3), int)).astype(np.uint16)
    save(tmp_path / "crop.png", crop)
    place = {"file": "a.jpg", "y": 24, "x": 40, "size": 50, "zoom": 3, "ignore": [[0, 0, 60, 150]]}
    (tmp_path / "crop.json").write_text(json.dumps(place))
    found = evaluate_files(tmp_path / "all.tif", tmp_path / "crop.json")
    ignore = np.zeros((150, 150), bool)
    ignore[:, :60] = True
    assert found.metrics == evaluate_labels(crop, crop, ignore=ignore)
    assert found.metrics.truth < len(np.unique(crop)) - 1


def test_ignored_places_are_read_from_masks_boxes_and_polygons(tmp_path: Path) -> None:
    truth = save(tmp_path / "t.tif", stones())
    mask = np.zeros((60, 72), np.uint8)
    mask[:, :36] = 255
    save(tmp_path / "mask.png", mask)
    (tmp_path / "boxes.json").write_text(json.dumps({"ignore": [[0, 0, 36, 60]]}))
    ring = [[0, 0], [36, 0], [36, 60], [0, 60], [0, 0]]
    (tmp_path / "area.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    for name in ("mask.png", "boxes.json", "area.geojson"):
        assert evaluate_files(truth, truth, ignore=tmp_path / name).metrics.truth == 15


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_a_record_is_compared_on_the_photographs_grid(tmp_path: Path, photograph: Any, scale: float) -> None:
    params = SegmentParams(method="brightness", scale=scale)
    with segment(photograph((150, 170)), tmp_path / "a.mosaic.zarr", params=params) as record:
        labels = read_source_labels(record, Box(0, 0, 150, 170))
    truth = save(tmp_path / "t.tif", labels)
    assert evaluate_files(tmp_path / "a.mosaic.zarr", truth).metrics.at(0.9).f1 == 1


def test_agrees_with_the_independent_scorer_on_the_real_crops(tmp_path: Path, shared_data: Path) -> None:
    spec = importlib.util.spec_from_file_location("shared_score", shared_data / "score.py")
    assert spec is not None
    assert spec.loader is not None
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    for name in ("rabbit", "griffin2"):
        meta, truth, _ = scorer.crop_truth(name)
        y, x, size, zoom = (meta[key] for key in ("y", "x", "size", "zoom"))
        labels = np.zeros((y + size + 20, x + size + 20), np.uint16)
        labels[y : y + size, x : x + size] = np.roll(truth[zoom // 2 :: zoom, zoom // 2 :: zoom], 1, 1)
        path = save(tmp_path / f"{name}.tif", labels)
        (expected,) = scorer.main(str(path), [name])
        found = evaluate_files(path, shared_data / f"{name}.json").metrics
        half, three_quarters = found.at(0.5), found.at(0.75)
        got = (
            *(found.truth, found.predicted, found.cnt, found.prec, found.rec, found.fm),
            *(half.f1, three_quarters.f1, half.panoptic_quality, found.mean_best_iou, found.pixels.iou),
        )
        assert got == pytest.approx(tuple(float(v) for v in expected.values()), abs=1e-6)


def test_what_does_not_fit_is_refused_in_one_sentence(tmp_path: Path) -> None:
    truth = save(tmp_path / "t.tif", stones())
    other = save(tmp_path / "o.tif", stones(4))
    with pytest.raises(InputError, match="do not correspond"):
        evaluate_files(other, truth)
    with pytest.raises(MissingError, match="no file"):
        evaluate_files(tmp_path / "none.tif", truth)
    with pytest.raises(InputError, match="no labels"):
        evaluate_files(save(tmp_path / "f.npy", np.ones((60, 72))), truth)
    (tmp_path / "broken.tif").write_bytes(b"II*")
    with pytest.raises(ReadError, match="cannot be read as labels"):
        evaluate_files(tmp_path / "broken.tif", truth)
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(InputError, match="does not tell the place"):
        evaluate_files(truth, tmp_path / "t.json")
