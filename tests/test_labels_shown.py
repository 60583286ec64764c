"""What is reported is what a record's method found: SAM 2's labels where it has some of its own, or those named."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_mosaic import editing, evaluate_files, export_record, feature_table, segment
from napari_mosaic.cli import main
from napari_mosaic.cli.segmenting import describe
from napari_mosaic.engine.sam.methods import _METHODS, register_mask_method
from napari_mosaic.engine.sam.plan import AUTOMATIC
from napari_mosaic.errors import InputError, MissingError
from napari_mosaic.evaluation.files import EvaluationParams
from napari_mosaic.export.delivery import deliver
from napari_mosaic.export.notes import notes_of
from napari_mosaic.export.preview import render_preview
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from test_sam_masks import PARAMS, BrightNetwork

PLACES = ((20, 20), (20, 70), (70, 40), (90, 100), (20, 120))


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Five stones by the joints, of which SAM 2 sees the four bright ones; the truth holds the four."""
    folder = tmp_path_factory.mktemp("floor")
    picture, truth = np.full((140, 160, 3), 30, np.uint8), np.zeros((140, 160), np.uint8)
    for number, (y, x) in enumerate(PLACES, start=1):
        picture[y : y + 30, x : x + 30] = 200 if number < 5 else 90
        truth[y : y + 30, x : x + 30] = number % 5
    Image.fromarray(truth).save(folder / "truth.png")
    Image.fromarray(picture).save(folder / "floor.png")
    register_mask_method("brightness", AUTOMATIC, lambda params: BrightNetwork())
    params = SegmentParams(method="brightness", scale=1.0, threshold=0.8, core_threshold=0.3)
    try:
        with segment(folder / "floor.png", folder, params=params, sam=PARAMS) as record:
            assert (record.count, record.tesserae.name, record.writable) == (4, "sam2", False)
        yield folder / "floor.mosaic.zarr"
    finally:
        del _METHODS["brightness"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def said(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("labels", "count"), [(None, 4), ("sam2", 4), ("tesserae", 5)])
def test_every_verb_of_python_takes_labels_and_reports_by_default_what_was_found(
    floor: Path, tmp_path: Path, labels: str | None, count: int
) -> None:
    name = labels or "sam2"
    with open_record(floor) as record:
        shown = record.with_labels(labels)
        assert len(feature_table(record, ["perimeter_px", "joint_width_px"], labels=labels)["id"]) == count
        assert len(rows(export_record(record, None, tmp_path / "t.csv", labels=labels))) == count
        labels_file = export_record(record, None, tmp_path / "labels.png", labels=labels)
        assert np.asarray(Image.open(labels_file)).max() == count
        assert shown.figures().count == notes_of(shown)["tesserae"] == notes_of(shown)["machine"] == count
        deliver(record, tmp_path / "hand-in", in_pixels=True, labels=labels)
    assert len(rows(tmp_path / "hand-in" / "tesserae.csv")) == count
    readme = (tmp_path / "hand-in" / "README.txt").read_text(encoding="utf-8")
    assert ("SAM 2 model bright, labels sam2" in readme) == (name == "sam2")
    found = evaluate_files(floor, floor.parent / "truth.png", params=EvaluationParams(labels=labels))
    assert found.metrics.predicted == count
    assert evaluate_files(floor / "labels" / name, floor.parent / "truth.png").metrics == found.metrics


def test_every_command_takes_labels_and_says_which_they_are(
    floor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "4 tesserae (sam2) in" in said(capsys, "export", floor, "-o", tmp_path / "a.csv")
    assert "5 tesserae in" in said(capsys, "export", floor, "-o", tmp_path / "b.csv", "--labels", "tesserae")
    assert "4 tesserae (sam2) in" in said(capsys, "deliver", floor, "-o", tmp_path / "c", "--in-pixels")
    values = json.loads(said(capsys, "info", floor, "--json"))
    assert (values["tesserae"], values["labels"]) == (4, {"tesserae": 5, "sam2": 4})
    assert "tesserae 5, sam2 4" in said(capsys, "info", floor)
    assert json.loads(said(capsys, "info", floor, "--json", "--labels", "tesserae"))["tesserae"] == 5
    for name, count in (("sam2", 4), ("tesserae", 5)):
        words = ("evaluate", floor, floor.parent / "truth.png", "--json", "--labels", name)
        assert json.loads(said(capsys, *words))["metrics"]["predicted"] == count
    for name in (None, "sam2", "tesserae"):
        chosen = [] if name is None else ["--labels", name]
        said(capsys, "preview", floor, "-o", tmp_path / f"{name}.png", *chosen)
    pictures = [np.asarray(Image.open(tmp_path / f"{name}.png")) for name in (None, "sam2", "tesserae")]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize("verb", ["export", "preview", "deliver", "info", "evaluate", "check"])
def test_labels_that_are_not_there_are_answered_with_those_that_are(
    floor: Path, tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"evaluate": [floor.parent / "truth.png"], "info": [], "check": []}.get(verb, ["-o", tmp_path / "a.png"])
    more = ["--in-pixels"] if verb == "deliver" else []
    assert main([str(word) for word in (verb, floor, *words, *more, "--labels", "truth")]) == 1
    told = capsys.readouterr().err.strip()
    assert told.endswith("floor.mosaic.zarr has no labels 'truth' but tesserae and sam2.")


def test_the_outcome_of_segment_is_what_sam_2_found(floor: Path) -> None:
    with open_record(floor) as record:
        outcome = describe(record, "floor.png")
        assert (outcome.tesserae, outcome.labels, outcome.tessera_px) == (4, "sam2", 29.9)
        assert outcome.line.startswith("floor.png: 4 tesserae (sam2), about 29.9 px each, in ")
        with record.open_source() as image:
            assert not np.array_equal(render_preview(record.with_labels(), image), render_preview(record, image))


def test_a_record_with_chosen_labels_is_for_reading_and_keeps_the_choice(floor: Path) -> None:
    with open_record(floor) as record:
        shown = record.with_labels("tesserae")
        assert shown.with_labels() is shown
        assert shown.with_labels("sam2").count == 4
        assert [layer.count for layer in shown.label_layers()] == [5, 4]
        assert record.with_labels("sam2").layers()[1][1]["name"] == f"{record.source.name} sam2"
        with pytest.raises(MissingError, match="has no labels 'map' but tesserae and sam2"):
            record.with_labels("map")


def test_edits_and_what_is_said_of_tesserae_are_of_no_other_labels(
    floor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copytree(floor, tmp_path / "floor.mosaic.zarr"))
    with open_record(path, writable=True) as record:
        ids = record.table(["id"])["id"].to_pylist()
        editing.assign(record, ids, material="glass")
        editing.delete(record, ids[:1])
        assert set(feature_table(record, ["material"], labels="tesserae")["material"]) == {"glass"}
        assert set(feature_table(record, ["material"])["material"]) == {""}
        assert editing.report(record.with_labels("sam2")).edits == 0
    assert main(["export", str(path), "-o", str(tmp_path / "a.csv")]) == 0
    assert "were edited by hand, and its labels sam2 are handed on; give --labels tesserae" in capsys.readouterr().err


def test_masks_that_cannot_be_planned_leave_no_record(floor: Path, tmp_path: Path) -> None:
    """A record that is left would have to be overwritten before the next try."""
    params = SegmentParams(method="brightness", scale=1.0)
    with pytest.raises(InputError, match="closer than"):
        segment(floor.parent / "floor.png", tmp_path, params=params, sam=replace(PARAMS, points_per_side=256))
    assert list(tmp_path.iterdir()) == []
