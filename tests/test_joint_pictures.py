"""Joints and tesserae as pictures: what is written follows from the probability, pixel for pixel."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_mosaic.cli import main
from napari_mosaic.export import joint_pictures
from napari_mosaic.export.joint_pictures import CAPTIONS, JointParams, clean_bands, clean_joints
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.probability import ProbabilityGrid
from napari_mosaic.record import open_record
from napari_mosaic.tiling import Box


@pytest.fixture
def folder(tmp_path: Path, photograph: Callable[..., Any]) -> Path:
    """Two noisy photographs, whose maps have gaps and specks, one of them with a name in capitals."""
    (tmp_path / "photos").mkdir()
    for k, name in enumerate(("east.JPG", "west.png")):
        rng = np.random.default_rng(k)
        noisy = photograph((150, 210)) * 0.6 + rng.integers(0, 100, (150, 210, 1))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def read(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path))


def by_hand(mask: NDArray[np.bool_], least: int = 50) -> NDArray[np.bool_]:
    """The closing by a cross and the removal of pieces, by another library."""
    cross = ndimage.generate_binary_structure(2, 1)
    closed = ndimage.binary_erosion(ndimage.binary_dilation(mask, cross), cross, border_value=1)
    pieces, _ = ndimage.label(closed, np.ones((3, 3)))
    large = np.bincount(pieces.ravel()) >= least
    large[0] = False
    return large[pieces]


def test_a_folder_gives_mask_overlay_and_panels_of_each_photograph(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(folder), "--method", "brightness", "--scale", "1", "-o", str(tmp_path / "records")]
    assert main([*words, "--joints", str(tmp_path / "results")]) == 0
    capsys.readouterr()
    kinds = ("mask.png", "overlay.png", "prob.npy", "prob8.png", "visualization.png")
    names = [f"{name}_{kind}" for name in ("east", "west") for kind in kinds]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == names
    for name in ("east", "west"):
        mask, likely = (
            read(tmp_path / "results" / f"{name}_mask.png"),
            np.load(tmp_path / "results" / f"{name}_prob.npy"),
        )
        raw = likely > np.float32(0.5)
        assert set(np.unique(mask)) == {0, 255}
        assert likely.dtype == np.float32
        np.testing.assert_array_equal(mask > 0, clean_joints(raw))
        assert not np.array_equal(mask > 0, raw)
        np.testing.assert_array_equal(mask > 0, by_hand(raw))
        shape = likely.shape
        source = read(next(folder.glob(f"{name}.*")))
        laid = read(tmp_path / "results" / f"{name}_overlay.png")
        np.testing.assert_array_equal(laid[mask == 0], source[mask == 0])
        green = np.round(0.4 * source[mask > 0].astype(float) + 0.6 * np.array([0, 255, 0]))
        assert np.abs(laid[mask > 0] - green).max() <= 1
        panels = read(tmp_path / "results" / f"{name}_visualization.png")
        assert panels.shape[1] > len(CAPTIONS) * shape[1]
        np.testing.assert_array_equal(panels[28 : 28 + shape[0], 12 : 12 + shape[1]], source)
    again = ["joints", str(tmp_path / "records"), "-o", str(tmp_path / "again")]
    assert main(again) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    for name in ("east_mask.png", "west_overlay.png"):
        np.testing.assert_array_equal(read(tmp_path / "again" / name), read(tmp_path / "results" / name))
    assert main(again) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*again, "--overwrite", "--least", "0", "--closing", "0", "--threshold", "0.3"]) == 0
    likely = np.load(tmp_path / "results" / "east_prob.npy")
    np.testing.assert_array_equal(read(tmp_path / "again" / "east_mask.png") > 0, likely > np.float32(0.3))
    assert main(["joints", str(folder), "-o", str(tmp_path / "again")]) == 2
    assert "no mosaic record" in capsys.readouterr().err


def test_a_photograph_whose_pictures_fail_does_not_end_the_rest(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    Image.new("RGB", (20, 20)).save(results / "east_mask.png")  # somebody's own, which is not replaced
    words = ["segment", str(folder), "--method", "brightness", "--scale", "1", "-o", str(tmp_path / "records")]
    assert main([*words, "--joints", str(results), "--json"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["failed"] == 1
    assert "east_mask.png" in found["results"][0]["error"]
    assert Path(found["results"][0]["record"]).is_dir()
    assert "error" not in found["results"][1]
    assert "east_mask.png" in said.err
    assert (results / "west_mask.png").is_file()
    (tmp_path / "records" / "east.mosaic.zarr" / "mosaic.json").write_text("{")
    assert main(["joints", str(tmp_path / "records"), "-o", str(tmp_path / "again")]) == 1
    said = capsys.readouterr()
    assert "1 of 2 done, 1 failed" in said.err
    assert (tmp_path / "again" / "west_mask.png").is_file()
    shutil.rmtree(tmp_path / "records" / "east.mosaic.zarr")
    assert main(["segment", str(folder / "east.JPG"), *words[2:], "--joints", str(results)]) == 1
    assert main([*words, "--overwrite", "--joints", str(folder / "west.png")]) == 1
    said = capsys.readouterr()
    assert "cannot be made" in said.err
    assert said.out == ""


@pytest.mark.parametrize("seed", range(3))
def test_bands_give_the_mask_of_the_whole(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.random((160, 40)), 1.1).astype(np.float32)
    values = (values - values.min()) / (values.max() - values.min())
    params = JointParams(threshold=float(np.quantile(values, 0.7)), least=20)
    whole = clean_joints(values > np.float32(params.threshold), least=20)
    assert 0.01 < whole.mean() < (values > params.threshold).mean() + 0.1
    monkeypatch.setattr(joint_pictures, "_BAND_PIXELS", 40 * 7)
    parts = clean_bands(ProbabilityGrid(values.shape, lambda box: values[box.slices]), params)
    np.testing.assert_array_equal(np.concatenate([band.mask for band in parts]), whole)


def test_black_and_white_pictures_say_what_the_record_says(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every figure of pixels is the same for the record and for the picture that was exported of it."""
    record = tmp_path / "west.mosaic.zarr"
    assert main(["segment", str(folder / "west.png"), "-o", str(record), "--method", "brightness", "--scale", "1"]) == 0
    stones, joints = tmp_path / "west.tesserae.png", tmp_path / "west.joints.png"
    for path in (stones, joints):
        assert main(["export", str(record), "-o", str(path)]) == 0
        assert set(np.unique(read(path))) == {0, 255}
    with open_record(record) as opened:
        labels = read_source_labels(opened, Box(0, 0, *opened.plan.source_shape))
    np.testing.assert_array_equal(read(stones) > 0, labels > 0)
    assert main(["joints", str(record), "-o", str(tmp_path)]) == 0
    np.testing.assert_array_equal(read(joints), read(tmp_path / "west_mask.png"))
    truth = tmp_path / "truth.npy"
    np.save(truth, np.roll(labels, 2, 0).astype(np.int64))
    said = []
    for words in ([str(record)], [str(stones), "--prediction-is", "tesserae"]):
        capsys.readouterr()
        assert main(["evaluate", *words[:1], str(truth), *words[1:], "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out)["metrics"])
    assert said[0]["pixels"] == said[1]["pixels"]
    assert said[0]["joint_pixels"] == said[1]["joint_pixels"]
