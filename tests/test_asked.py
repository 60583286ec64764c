"""What is asked of a record that is there reaches it, or is refused; it is never left aside."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shapely
from PIL import Image
from shapely.geometry import mapping

from napari_mosaic import editing
from napari_mosaic.cli import main
from napari_mosaic.errors import RecordError
from napari_mosaic.estimating import estimate_run
from napari_mosaic.record import open_record
from napari_mosaic.record_setup import check_asked
from napari_mosaic.request import RunRequest, SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.weights import find_weights, read_recipe

WORDS = ["--method", "brightness", "--scale", "1", "--tile-size", "128"]


def write_area(path: Path, side: float) -> Path:
    path.write_text(json.dumps(mapping(shapely.box(10, 10, side, side))))
    return path


@pytest.fixture
def floor(tmp_path: Path, photograph: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photograph, a table of it, and its record, made in the region a.json."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photograph((140, 180))).save(tmp_path / "a.png")
    write_area(tmp_path / "a.json", 100.3)
    write_area(tmp_path / "b.json", 90)
    assert main(["segment", "a.png", *WORDS, "--region", "a.json", "--threshold", "0.6"]) == 0
    (tmp_path / "jobs.csv").write_text("source\na.png\n")
    return tmp_path


OTHERS = {
    "method": ("--method", "gradient-watershed"),
    "scale": ("--scale", "0.5"),
    "threshold": ("--threshold", "0.7"),
    "reach": ("--reach", "20"),
    "min-area": ("--min-area", "90"),
    "temperature": ("--temperature", "2"),
    "threshold 0.6, not 0.5": ("--threshold", "0.5"),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("command", [["segment", "a.png", "--resume"], ["batch", "jobs.csv"]])
def test_other_settings_are_refused(
    floor: Path, command: list[str], other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    given = {**dict(zip(WORDS[::2], WORDS[1::2], strict=True)), **dict([OTHERS[other]])}
    assert main([*command, *(word for pair in given.items() for word in pair)]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert other in found.err
    assert "--overwrite" in found.err


def test_the_settings_that_it_was_made_with_may_be_given_or_left_out(floor: Path) -> None:
    for more in ([], ["--region", "a.json"], ["--threshold", "0.6"]):
        assert main(["segment", "a.png", "--resume", *WORDS, *more]) == 0
    assert main(["batch", "jobs.csv", *WORDS]) == 0


@pytest.mark.parametrize(("column", "area"), [("region", "b.json"), ("exclude", "a.json")])
def test_another_region_is_refused(floor: Path, column: str, area: str, capsys: pytest.CaptureFixture[str]) -> None:
    (floor / "jobs.csv").write_text(f"source,{column}\na.png,{area}\n")
    assert main(["batch", "jobs.csv", *WORDS]) == 1
    assert f"another {column}" in capsys.readouterr().err
    assert main(["segment", "a.png", "--resume", *WORDS, f"--{column}", area]) == 1


def test_areas_that_were_edited_since_are_believed(floor: Path) -> None:
    with open_record("a.mosaic.zarr", writable=True) as record:
        editing.add_outline(record, [[20, 20], [20, 50], [60, 50]], over=True)
    assert main(["segment", "a.png", "--resume", *WORDS, "--region", "b.json"]) == 0


def test_a_file_is_no_record_and_is_not_replaced(floor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (floor / "x.mosaic.zarr").write_text("mine")
    for how in (["--overwrite"], ["--resume"]):
        assert main(["segment", "a.png", *WORDS, "-o", "x.mosaic.zarr", *how]) == 1
        assert "no mosaic record" in capsys.readouterr().err
    assert (floor / "x.mosaic.zarr").read_text() == "mine"


def test_one_file_by_two_paths_is_one_photograph(floor: Path) -> None:
    os.mkdir("sub")
    assert main(["segment", "a.png", "./a.png", "sub/../a.png", *WORDS, "-o", "out"]) == 0
    assert [path.name for path in (floor / "out").iterdir()] == ["a.mosaic.zarr"]


ASKED = {
    "method brightness, not quadrangles": {"params": {"method": "quadrangles"}},
    "scale 1, not 0.5": {"params": {"scale": 0.5}},
    "threshold 0.6, not 0.7": {"params": {"threshold": 0.7}},
    "blob-limit 96, not 80": {"params": {"tesserae": TesseraParams(blob_limit=80)}},
    "temperature 1, not 2": {"params": {"temperature": 2.0}},
    "another region than": {"region": shapely.box(10, 10, 90, 90)},
    "another exclude than": {"exclude": shapely.box(10, 10, 90, 90)},
}


@pytest.mark.parametrize("words", ASKED)
def test_a_script_is_refused_by_the_same_sentence(floor: Path, words: str) -> None:
    given = {"method": "brightness", "scale": 1.0, **ASKED[words].get("params", {})}
    params, areas = SegmentParams(**given), {k: v for k, v in ASKED[words].items() if k != "params"}
    with pytest.raises(RecordError, match=rf"was begun with {words}.*; give the same .*--overwrite"):
        segment("a.png", params=params, resume=True, **areas)
    assert estimate_run("a.png", params, resume=True, **areas).seconds >= 0  # of what the record was begun with


def test_areas_are_told_as_they_are_asked_for(floor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_record("a.mosaic.zarr") as record:
        rules = replace(record.plan.tesserae, min_area=27)
        plan = replace(record.plan, tessera_px=16.0, tesserae=rules)
        monkeypatch.setattr(type(record), "plan", property(lambda _: plan))
        given = SegmentParams(method="brightness", scale=1.0)
        check_asked(record, given, RunRequest())
        check_asked(record, replace(given, min_area=61), RunRequest())
        with pytest.raises(RecordError, match="min-area 61, not 90"):
            check_asked(record, replace(given, min_area=90), RunRequest())


def test_a_script_goes_on_with_what_it_asked_for_or_with_nothing(floor: Path) -> None:
    params = SegmentParams(method="brightness", scale=1.0)
    same = replace(params, threshold=0.6, precision="fp32")  # a method without a model runs in one way only
    segment("a.png", params=params, resume=True).close()
    segment("a.png", params=same, resume=True, region=shapely.box(10, 10, 100.3, 100.3)).close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"precision": "fp32"}, "precision int8, not fp32"),
        ({"runtime": "torch"}, "runtime openvino, not torch"),
        ({"method": "grout-augmented"}, "method grout, not grout-augmented"),
    ],
)
def test_a_record_is_not_gone_on_with_in_another_way_than_it_was_begun(
    tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    before = Path(__file__).parent / "data" / "before"
    path = tmp_path / "half.mosaic.zarr"
    shutil.unpack_archive(before / "half.zip", path)
    with open_record(path) as record, pytest.raises(RecordError, match=words):
        check_asked(record, SegmentParams(scale=1.0, **given), RunRequest())


def test_a_record_begun_with_the_grout_lite_of_before_goes_on_with_that(tmp_path: Path) -> None:
    path = tmp_path / "brick.mosaic.zarr"
    before = SegmentParams(model="grout-lite-1", scale=0.5, device="cpu")
    segment("sample:brick", path, params=before, only=(0, 0, 100, 100)).close()
    file = path / "mosaic.json"
    said = json.loads(file.read_text())
    said["plan"]["model"] = "grout-lite"  # as it was called then
    file.write_text(json.dumps(said))
    with segment("sample:brick", path, params=replace(before, model="grout-lite"), resume=True) as record:
        assert record.complete
        assert record.plan.model_sha256 == read_recipe("grout-lite-1")["sha256"]
    with pytest.raises(RecordError, match="model"):
        segment("sample:brick", path, params=replace(before, model=str(find_weights().path)), resume=True)
