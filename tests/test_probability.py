"""Maps of probabilities through the command line: exported, calibrated, fused, asked again."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.cli import main
from napari_mosaic.cli.segmenting import with_calibration
from napari_mosaic.engine.augmented import predict_augmented
from napari_mosaic.errors import InputError
from napari_mosaic.probability import (
    augment_record,
    calibrate,
    open_map,
    read_calibration,
    temperature_scale,
    write_calibration,
)
from napari_mosaic.probability import maps as probability_maps
from napari_mosaic.probability.calibration import fit_temperature
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import load_method
from napari_mosaic.tesserae import TesseraParams, find_in_window
from napari_mosaic.tiling import Box
from napari_mosaic.weights import find_weights, hash_of, read_header


@pytest.fixture
def record(tmp_path: Path, photograph: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> Path:
    rng = np.random.default_rng(1)
    noisy = photograph((150, 210)) * 0.6 + rng.integers(0, 100, (150, 210, 1))
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / "floor.png")
    assert main(["segment", str(tmp_path / "floor.png"), "--method", "brightness", "--scale", "1.3"]) == 0
    capsys.readouterr()
    return tmp_path / "floor.mosaic.zarr"


def pixels(path: Path) -> NDArray[Any]:
    return np.asarray(np.load(path) if path.suffix == ".npy" else Image.open(path))


@pytest.mark.parametrize("suffix", [".npy", ".png"])
@pytest.mark.parametrize("grid", ["photograph", "analysis"])
@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.2])
def test_thresholding_the_exported_map_gives_the_mask_exactly(
    record: Path, tmp_path: Path, suffix: str, grid: str, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probability_maps, "BAND_PIXELS", 210 * 33)
    path, mask = tmp_path / f"joints{suffix}", tmp_path / "mask.png"
    words = ["probabilities", str(record), "-o", str(path), "--mask", str(mask), "--grid", grid]
    assert main([*words, "--threshold", str(threshold)]) == 0
    values = pixels(path)
    assert values.dtype == (np.float32 if suffix == ".npy" else np.uint8)
    above = values > np.float32(threshold) if suffix == ".npy" else values / np.float32(255) > np.float32(threshold)
    assert np.array_equal(above, pixels(mask) == 255)
    assert 0.05 < above.mean() < 0.95
    if grid == "analysis":
        with open_record(record) as opened:
            box = Box(0, 0, *opened.shape)
            params = TesseraParams(threshold=threshold, max_hole=0, min_area=0, core_threshold=0.05)
            labels = find_in_window(opened.read_map(box), box, box, opened.shape, params).labels
        assert not (above & (labels > 0)).any()


def test_maps_come_back_as_they_were_written(record: Path, tmp_path: Path) -> None:
    for name in ("a.npy", "a.png"):
        assert main(["probabilities", str(record), "-o", str(tmp_path / name)]) == 0
    sixteen = (np.round(pixels(tmp_path / "a.npy").astype(float) * 65535)).astype(np.uint16)
    Image.fromarray(sixteen).save(tmp_path / "b.png")
    whole = Box(0, 0, 150, 210)
    first = open_map(tmp_path / "a.npy").read(whole)
    for name in ("a.png", "b.png"):
        assert np.abs(open_map(tmp_path / name).read(whole) - first).max() < 1e-4
    assert main(["probabilities", str(record), "-o", str(tmp_path / "a.png")]) == 1


def test_a_temperature_that_was_applied_is_found_again() -> None:
    rng = np.random.default_rng(0)
    honest = rng.beta(0.6, 0.6, 200_000).clip(0.06, 0.94)
    truth = rng.random(honest.size) < honest
    said = temperature_scale(honest, 0.5)
    counts = np.stack([np.histogram(said[truth == k], 4096, (-0.5 / 4095, 1 + 0.5 / 4095))[0] for k in (False, True)])
    found = fit_temperature(counts.astype(float))
    assert found.temperature == pytest.approx(2.0, rel=0.03)
    assert found.ece_after < 0.01 < 0.05 < found.ece_before
    assert found.nll_after < found.nll_before


def test_softening_crosses_no_half() -> None:
    values = np.arange(256) / 255
    for temperature in (0.3, 1.0, 4.0):
        assert np.array_equal(temperature_scale(values, temperature) > 0.5, values > 0.5)
        assert (np.diff(temperature_scale(values, temperature)) >= 0).all()
    with pytest.raises(InputError, match="above 0"):
        temperature_scale(values, 0)


def test_the_calibration_is_kept_and_applied_on_request(
    record: Path, tmp_path: Path, photograph: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")  # the command draws a diagram
    mask = np.where(photograph((150, 210))[..., 0] > 100, 255, 0).astype(np.uint8)
    Image.fromarray(mask).save(tmp_path / "truth.png")
    kept = tmp_path / "kept.json"
    assert main(["calibrate", str(record), str(tmp_path / "truth.png"), "-o", str(kept)]) == 0
    assert "Temperature" in capsys.readouterr().out
    with Image.open(tmp_path / "kept.png") as seen:
        assert seen.size[0] > 500
    temperature = read_calibration(kept).temperature
    for name, extra in (("plain.npy", []), ("soft.npy", ["--calibration", str(kept)])):
        assert main(["probabilities", str(record), "-o", str(tmp_path / name), *extra]) == 0
    assert np.allclose(pixels(tmp_path / "soft.npy"), temperature_scale(pixels(tmp_path / "plain.npy"), temperature))
    again = calibrate([tmp_path / "soft.npy"], [tmp_path / "truth.png"])
    assert again.temperature == pytest.approx(1, abs=0.06)


def test_a_record_tells_its_confidence_by_the_temperature_and_no_tessera_changes(
    record: Path, tmp_path: Path, photograph: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")  # the command draws a diagram
    Image.fromarray(np.where(photograph((150, 210))[..., 0] > 100, 255, 0).astype(np.uint8)).save(tmp_path / "t.png")
    words = ["segment", str(tmp_path / "floor.png"), "--method", "brightness", "--scale", "1.3"]
    warm = tmp_path / "warm.mosaic.zarr"
    assert main([*words, "-o", str(warm), "--temperature", "0.5"]) == 0
    whole = Box(0, 0, 150, 210)
    with open_record(record) as plain, open_record(warm) as told:
        assert np.array_equal(plain.read_labels(whole), told.read_labels(whole))
        assert np.array_equal(plain.read_map(whole), told.read_map(whole))
        assert np.allclose(open_map(told).read(whole), temperature_scale(open_map(plain).read(whole), 0.5))
        assert np.array_equal(open_map(told, adjusted=False).read(whole), open_map(plain).read(whole))
        assert (told.table()["score"].to_numpy() > plain.table()["score"].to_numpy()).mean() > 0.9
    found = [calibrate([path], [tmp_path / "t.png"]).temperature for path in (record, warm)]
    assert found[0] == found[1]
    kept = str(tmp_path / "kept.json")
    assert main(["calibrate", str(warm), str(tmp_path / "t.png"), "-o", kept, "--apply"]) == 0
    with open_record(warm) as told:
        assert told.plan.tesserae.temperature == found[0]
    assert main([*words, "-o", str(tmp_path / "x"), "--temperature", "2", "--calibration", kept]) == 2
    assert "one of the two" in capsys.readouterr().err
    assert main([*words, "-o", str(tmp_path / "x"), "--temperature", "0"]) == 2
    assert "temperature is 0" in capsys.readouterr().err


@pytest.mark.torch
def test_a_bundle_carries_its_temperature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept.json"
    counts = np.ones((2, 64))
    counts[1, 40:] = 9
    sha256 = hash_of(find_weights())
    write_calibration(fit_temperature(counts, model="grout-lite", model_sha256=sha256), kept, diagram=False)
    bundle = tmp_path / "mine.safetensors"
    words = ["export-model", "grout-lite", "-o", str(bundle), "--calibration", str(kept)]
    assert main(words) == 0
    assert float(read_header(bundle)["temperature"]) == read_calibration(kept).temperature != 1
    method = load_method(SegmentParams(model=str(bundle), device="cpu", runtime="torch", precision="fp32"))
    assert method.temperature == read_calibration(kept).temperature
    assert (
        main(["export-model", str(bundle), "-o", str(tmp_path / "again.safetensors"), "--calibration", str(kept)]) == 1
    )
    assert "not for mine" in capsys.readouterr().err
    assert with_calibration(SegmentParams(), kept).temperature == read_calibration(kept).temperature


def test_fusing(tmp_path: Path) -> None:
    first, second = np.full((4, 5), 0.9, np.float32), np.full((4, 5), 0.2, np.float32)
    np.save(tmp_path / "a.npy", first)
    np.save(tmp_path / "b.npy", second)
    odds = (np.log(9) + np.log(0.25)) / 2
    for how, wanted in (("mean", 0.55), ("max", 0.9), ("logit-mean", 1 / (1 + np.exp(-odds)))):
        words = ["fuse", str(tmp_path / "a.npy"), str(tmp_path / "b.npy"), "-o", str(tmp_path / "c.npy")]
        assert main([*words, "--how", how, "--mask", str(tmp_path / "m.png")]) == 0
        assert np.allclose(pixels(tmp_path / "c.npy"), wanted)
        assert (pixels(tmp_path / "m.png") == 255).all()


def test_copies_are_laid_back_where_they_came_from(brightness: Any) -> None:
    windows = np.random.default_rng(0).integers(0, 256, (2, 24, 40, 3)).astype(np.uint8)
    mean, variance = predict_augmented(brightness.predict, windows)
    assert np.allclose(mean, brightness.predict(windows) / 255, atol=1e-6)
    assert variance.max() < 1e-6
    _, unsure = predict_augmented(
        lambda w: np.arange(w.shape[0] * w.shape[1] * w.shape[2]).reshape(-1, 1, *w.shape[1:3]) % 256, windows
    )
    assert unsure.max() > 0


def test_asking_again_leaves_the_record_and_goes_on(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["augment", str(record), "-o", str(tmp_path / "again"), "--copies", "4"]) == 0
    with open_record(record) as opened:
        stored = opened.read_map(Box(0, 0, *opened.shape))
        with (tmp_path / "again" / "tesserae.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == opened.count
        assert all(abs(float(row["score"]) - float(row["mean"])) < 0.01 for row in rows)
        assert np.abs(np.load(tmp_path / "again" / "maps.npy").astype(int) - stored).max() <= 2
        never = type("Never", (), {"predict": None})()
        augment_record(opened, tmp_path / "again", params=probability_params(4), segmenter=never)
    assert pixels(tmp_path / "again" / "variance.png").max() <= 2


def probability_params(copies: int) -> Any:
    from napari_mosaic.probability import AugmentParams

    return AugmentParams(copies=copies)


def test_bad_input_in_one_sentence(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "logits.npy", np.full((150, 210), 3.0, np.float32))
    np.save(tmp_path / "small.npy", np.zeros((5, 5), np.float32))
    Image.fromarray(np.zeros((150, 210), np.uint8)).save(tmp_path / "empty.png")
    Image.fromarray(np.eye(20, dtype=np.uint8) * 255).save(tmp_path / "small.png")
    (tmp_path / "no.json").write_text(json.dumps({"temperature": 2}))
    out = str(tmp_path / "out.npy")
    cases = [
        (["probabilities", str(record), "-o", str(tmp_path / "out.jpg")], "npy or .png"),
        (["probabilities", str(record), "-o", out, "--threshold", "2", "--overwrite"], "between 0 and 1"),
        (["probabilities", str(record), "-o", out, "--calibration", str(tmp_path / "no.json")], "no calibration"),
        (["probabilities", str(tmp_path / "logits.npy"), "-o", out], "outside of 0 to 1"),
        (["probabilities", str(tmp_path / "none"), "-o", out], "no map"),
        (["fuse", str(record), str(tmp_path / "small.npy"), "-o", out], "do not correspond"),
        (["calibrate", str(record), str(tmp_path / "empty.png"), "-o", str(tmp_path / "c.json")], "holds no stone"),
        (["calibrate", str(record), str(tmp_path / "small.png"), "-o", str(tmp_path / "c.json")], "do not correspond"),
    ]
    for words, message in cases:
        assert main(words) == 1, words
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    assert main(["fuse", str(record), "-o", out]) == 2
    assert main(["augment", str(record), "--copies", "5"]) == 2
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    Image.fromarray(np.tile(np.array([0, 255], np.uint8), (150, 105))).save(tmp_path / "truth.png")
    assert main(["calibrate", str(record), str(tmp_path / "truth.png"), "-o", str(tmp_path / "c.json")]) == 1
    assert "pip install" in capsys.readouterr().err
