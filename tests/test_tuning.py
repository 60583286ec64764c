"""Tuning through the command line: better thresholds from a drawn window, without the network."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_mosaic.cli import main
from napari_mosaic.cli.output import UsageError
from napari_mosaic.cli.segmenting import with_tuned
from napari_mosaic.engine.planning import sized
from napari_mosaic.errors import InputError, LockedError
from napari_mosaic.progress import Progress
from napari_mosaic.record import Plan, open_record
from napari_mosaic.record.finished import mark_finished
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.params import PRESETS
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box
from napari_mosaic.tuning import TuneParams, read_best, read_handed, tune_steps
from napari_mosaic.tuning.handed import KIND, SAM_KIND, TUNED, sam_values, write_best
from napari_mosaic.tuning.search import _in_units_of_segment, _method_of, _rules
from napari_mosaic.weights import find_weights, hash_of

pytest.importorskip("optuna")


@pytest.fixture
def case(tmp_path: Path, photograph: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path]:
    """A record cut with a bad threshold, and its truth."""
    picture = photograph((150, 210))
    dark = np.where(picture > 100, 100 + picture // 3, picture).astype(np.uint8)
    Image.fromarray(dark).save(tmp_path / "floor.png")
    words = [
        "segment",
        str(tmp_path / "floor.png"),
        "--method",
        "brightness",
        "--scale",
        "1",
        "--core-threshold",
        "0.75",
    ]
    assert main(words) == 0
    Image.fromarray(np.where(picture[..., 0] > 100, 255, 0).astype(np.uint8)).save(tmp_path / "truth.png")
    capsys.readouterr()
    return tmp_path / "floor.mosaic.zarr", tmp_path / "truth.png"


def test_a_search_improves_draws_and_goes_on(case: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    record, truth = case
    folder = record.with_name("floor.tuned")
    assert main(["tune", str(record), str(truth), "--trials", "8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == 8
    assert found["score"] > found["before"] + 0.1
    for name in ("history.png", "importance.png"):
        with Image.open(folder / name) as seen:
            assert seen.size[0] > 500
    assert main(["tune", str(record), str(truth), "--trials", "10"]) == 0
    assert "after 10 trials" in capsys.readouterr().out
    assert main(["tune", str(record), str(truth), "--trials", "10", "--goal", "f1"]) == 1
    assert "another goal" in capsys.readouterr().err


def test_a_stopped_search_keeps_its_trials(case: tuple[Path, Path], tmp_path: Path) -> None:
    record, truth = case
    with open_record(record) as opened:
        steps = tune_steps(opened, [truth], tmp_path / "t", params=TuneParams(trials=6))
        for _ in range(3):
            next(steps)
        with pytest.raises(LockedError, match="Another run works in"):
            next(tune_steps(opened, [truth], tmp_path / "t", params=TuneParams(trials=6)))
        steps.close()
        first = next(tune_steps(opened, [truth], tmp_path / "t", params=TuneParams(trials=6)))
    assert first.done == 4


def test_the_result_is_what_segment_and_apply_make(case: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    record, truth = case
    assert main(["tune", str(record), str(truth), "--trials", "8", "--apply", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["evaluate", str(record), str(truth), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["metrics"]["matching"][0]
    assert figures["panoptic_quality"] == pytest.approx(found["score"], abs=1e-6)
    photograph, again = record.with_name("floor.png"), record.with_name("again.mosaic.zarr")
    best = str(record.with_name("floor.tuned") / "best.json")
    words = ["segment", str(photograph), "-o", str(again), "--params", best]
    assert main(words) == 0
    with open_record(record) as one, open_record(again) as two:
        box = Box(0, 0, *one.shape)
        assert np.array_equal(one.read_labels(box), two.read_labels(box))
    params, sam = with_tuned(SegmentParams(threshold=0.5), Path(best), None, frozenset({"threshold"}))
    assert (params.threshold, params.method, params.scale, sam) == (0.5, "brightness", 1.0, None)


def test_finished_windows_are_a_truth_and_a_stopped_search_can_be_used(
    case: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    record, _ = case
    good, folder = record.with_name("good.mosaic.zarr"), record.with_name("good.tuned")
    words = ["segment", str(record.with_name("floor.png")), "--method", "brightness", "--scale", "1", "-o", str(good)]
    assert main(words) == 0
    with open_record(good, writable=True) as opened:
        mark_finished(opened, Box(0, 0, 100, 120))
        steps = tune_steps(opened, [], folder, params=TuneParams(trials=3))
        scores = [next(steps).figures["score"] for _ in range(2)]
        steps.close()
    best = read_best(folder / "best.json")
    assert list(best.history) == scores
    assert best.score == best.before == scores[0] == 1.0
    assert best.tesserae == TesseraParams(threshold=0.5, core_threshold=0.5)
    capsys.readouterr()
    assert main(["calibrate", str(good), "-o", str(record.with_name("c.json")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pixels"] == 100 * 120


def test_what_a_step_measured_is_named_and_told_in_one_line() -> None:
    step = Progress(phase="trying", done=1, total=3, unit="trials", figures={"score": 0.5, "best": 0.75})
    assert step.text == "trying, score 0.5000, best 0.7500"
    assert replace(step, message="trial 1", figures={}).text == "trial 1"


def test_areas_are_told_in_the_units_of_segment() -> None:
    assert _in_units_of_segment(TesseraParams(min_area=90), 36.0)["min_area"] == 40


@pytest.mark.parametrize("tessera_px", [None, 9.3, 15.8, 23.7, 39.5])
def test_every_trial_is_of_rules_that_segment_can_be_asked_for(tessera_px: float | None) -> None:
    for least in range(0, 201, 7):
        values = {**vars_of(TesseraParams()), "min_area": least}
        rules = _rules(plan_of(tessera_px), values)
        asked = SegmentParams(**_in_units_of_segment(rules, tessera_px))
        made = asked.tesserae if tessera_px is None else sized(asked.tesserae, tessera_px)
        assert made == rules


def vars_of(rules: TesseraParams) -> dict[str, Any]:
    return {name: getattr(rules, name) for name in TUNED}


def plan_of(tessera_px: float | None, method: str = "grout", model: str = "grout-lite", sha256: str = "") -> Plan:
    return Plan(
        source_shape=(9, 9), shape=(9, 9), factor=1.0, tessera_px=tessera_px, method=method, model=model,
        model_sha256=sha256, channels=2, stride=32, window=64, halo=32,
    )  # fmt: skip


def test_a_result_names_the_method_that_makes_its_map() -> None:
    assert _method_of(plan_of(20.0), "stored") == "grout"
    assert _method_of(plan_of(20.0, "grout+sam2"), "stored") == "grout"
    assert _method_of(plan_of(20.0), "augmented") == "grout-augmented"
    assert _method_of(plan_of(20.0, "quadrangles"), "augmented") == ""


def test_rules_for_the_map_of_another_model_are_not_taken_in_silence(tmp_path: Path) -> None:
    rules = {name: getattr(SegmentParams(), name) for name in TUNED} | {"threshold": 0.4}
    values = {"segment": rules, "method": "grout-augmented", "model": "grout-lite", "scale": None}
    other = write_best(tmp_path / "other.json", KIND, values | {"model_sha256": "00" * 32})
    with pytest.raises(UsageError, match="tuned on the map of the model grout-lite"):
        with_tuned(SegmentParams(), other)
    mine = write_best(tmp_path / "mine.json", KIND, values | {"model_sha256": hash_of(find_weights())})
    params, _ = with_tuned(SegmentParams(), mine)
    assert (params.threshold, params.method, params.model) == (0.4, "grout-augmented", "grout-lite")
    given, _ = with_tuned(SegmentParams(model="my.safetensors"), other, None, frozenset({"model"}))
    assert given.model == "my.safetensors"


def test_all_settings_of_sam2_are_handed_over(tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    model.touch()
    sam = replace(PRESETS["mosaic-sam2"], model=str(model), pred_iou_thresh=0.31, tessera_px=61.5, device="cpu")
    path = write_best(tmp_path / "best.json", SAM_KIND, {"sam": sam_values(sam)})
    assert read_handed(path).sam == replace(sam, device="auto")
    params, used = with_tuned(SegmentParams(), path)
    assert params == SegmentParams(method="sam2")
    assert used == replace(sam, device="auto")
    guided = with_tuned(SegmentParams(method="grout+sam2"), path, None, frozenset({"method"}))[0]
    assert guided.method == "grout+sam2"
    for preset in PRESETS.values():
        with pytest.raises(UsageError, match="leave it out"):
            with_tuned(SegmentParams(), path, preset)
    with pytest.raises(InputError, match=r"older version.*new folder \(-o\)"):
        read_handed(write_best(tmp_path / "old.json", SAM_KIND, {"best": {}}))


def test_the_map_of_augmented_copies_is_tried_too(case: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    record, truth = case
    folder = record.with_name("floor.augmented")
    assert main(["tune", str(record), str(truth), "--trials", "2", "--augmented", str(folder)]) == 1
    assert "napari-mosaic augment" in capsys.readouterr().err
    assert main(["tune", str(record), str(truth), "--augmented", str(folder), "--apply"]) == 2
    assert "give one of the two" in capsys.readouterr().err
    assert main(["augment", str(record), "--copies", "2"]) == 0
    assert main(["tune", str(record), str(truth), "--trials", "3", "--augmented", str(folder)]) == 0


def test_bad_input_in_one_sentence(
    case: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, truth = case
    Image.fromarray(np.zeros((150, 210), np.uint8)).save(tmp_path / "empty.png")
    Image.fromarray(np.eye(20, dtype=np.uint8) * 255).save(tmp_path / "small.png")
    (tmp_path / "no.json").write_text("{}")
    cases = [
        (["tune", str(record), str(tmp_path / "empty.png")], "no tessera"),
        (["tune", str(record), str(tmp_path / "small.png")], "do not correspond"),
        (["tune", str(record), str(tmp_path / "none.png")], "no file"),
        (["segment", str(record.with_name("floor.png")), "--params", str(tmp_path / "no.json")], "no parameters"),
    ]
    for words, message in cases:
        assert main(words) == 1, words
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    assert main(["tune", str(record)]) == 1
    assert "marked as finished" in capsys.readouterr().err
    assert main(["tune", str(record), str(truth), "--trials", "0"]) == 2
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", str(record), str(truth)]) == 1
    assert "pip install" in capsys.readouterr().err
