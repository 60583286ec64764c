"""The command line, through its real entry; with a method that needs no network."""

from __future__ import annotations

import csv
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
import tifffile
from PIL import Image

from napari_mosaic import cli, weights
from napari_mosaic.cli import main, output
from napari_mosaic.cli.options import options_of, plain
from napari_mosaic.cli.output import describe_amount, run
from napari_mosaic.cli.segmenting import SegmentOptions, describe
from napari_mosaic.progress import Progress
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.tiling import Box
from napari_mosaic.weights import WeightsEntry

METHOD = ["--method", "brightness", "--scale", "1", "--tile-size", "128"]
HEAVY = ("torch", "napari", "qtpy", "magicgui", "zarr", "numba")


@pytest.fixture
def pictures(tmp_path: Path, photograph: Callable[..., Any]) -> Path:
    """A folder with two photographs."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed, name in enumerate(("east", "west")):
        Image.fromarray(photograph((150, 210), seed=seed)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def record(pictures: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A finished record of `east`, beside its photograph."""
    assert main(["segment", str(pictures / "east.png"), *METHOD]) == 0
    capsys.readouterr()
    return pictures / "east.mosaic.zarr"


def command(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the real program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "napari_mosaic", *words],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_help_loads_nothing_heavy() -> None:
    script = f"""
import sys
from napari_mosaic.cli import main
code = main(["--help"])
loaded = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"loaded {{loaded}}" if loaded else code)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "segment" in found.stdout
    assert "models" in found.stdout


@pytest.mark.parametrize("name", ["segment", "batch", "info", "export", "preview", "relink", "evaluate"])
def test_every_command_explains_itself_without_torch_or_qt(name: str) -> None:
    script = f"""
import sys
from napari_mosaic.cli import main
code = main([{name!r}, "--help"])
loaded = [name for name in ("torch", "napari", "qtpy") if name in sys.modules]
sys.exit(f"loaded {{loaded}}" if loaded else code)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "Usage: napari-mosaic" in found.stdout


def test_exit_codes_and_single_sentences_of_the_program(tmp_path: Path) -> None:
    assert command("--version").returncode == 0
    wrong = command("segmnt")
    assert wrong.returncode == 2
    assert 'Did you mean "segment"' in wrong.stderr
    missing = command("info", str(tmp_path / "none.png"))
    assert missing.returncode == 1
    assert missing.stderr.startswith("napari-mosaic: ")
    assert missing.stderr.count("\n") == 1
    assert "Traceback" in command("info", str(tmp_path / "none.png"), "--debug").stderr


@pytest.mark.parametrize(
    "words",
    [
        ["segment"],
        ["segment", "a.png", "--threshold", "3"],
        ["segment", "a.png", "--tile-size", "large"],
        ["segment", "a.png", "--overwrite", "--resume"],
        ["segment", "a.png", "b.png", "-o", "one.mosaic.zarr"],
        ["segment", "a.png", "--unknown"],
        ["export", "a.mosaic.zarr"],
        ["export", "a.mosaic.zarr", "-o", "a.tif", "--format", "jpeg"],
        ["nothing"],
    ],
)
def test_wrong_usage_exits_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1


def test_options_are_those_of_the_parameters() -> None:
    assert plain(SegmentOptions(), SegmentParams) == SegmentParams()
    assert type(plain(SegmentOptions(threshold=0.4), SegmentParams)) is SegmentParams
    assert options_of(SegmentParams)(min_area=7).min_area == 7


def test_segment_says_what_it_found_and_where(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(pictures / "east.png"), *METHOD]) == 0
    captured = capsys.readouterr()
    with open_record(pictures / "east.mosaic.zarr") as found:
        assert found.complete
        assert f"{found.count:,} tesserae" in captured.out
    assert "px each" in captured.out
    assert str(pictures / "east.mosaic.zarr") in captured.out


def test_a_photograph_without_a_stone_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (120, 90), (20, 20, 20)).save(tmp_path / "dark.png")
    assert main(["segment", str(tmp_path / "dark.png"), *METHOD]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "dark.png: no tessera was found, because" in said
    assert "--scale" in said


def test_segment_as_json_with_preview_and_region(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ring = [[0, 0], [100, 0], [100, 150], [0, 150], [0, 0]]
    region = pictures / "west_half.geojson"
    region.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    preview, output = pictures / "seen.png", pictures / "out" / "a.mosaic.zarr"
    words = ["segment", str(pictures / "east.png"), *METHOD, "-o", str(output), "--json"]
    assert main([*words, "--region", str(region), "--preview", str(preview), "--pixel-mm", "0.5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["record"] == str(output)
    assert found["complete"] is True
    assert found["tesserae"] > 0
    with Image.open(preview) as seen:
        assert seen.size[0] >= 210
    with open_record(output) as record:
        assert record.pixel_size is not None
        assert record.pixel_size.mm == 0.5
        assert not record.read_labels(Box(0, 110, 150, 210)).any()


def test_a_record_is_not_replaced_unasked(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(record.with_name("east.png"))
    assert main(["segment", source, *METHOD]) == 1
    assert "--resume" in capsys.readouterr().err
    assert main(["segment", source, *METHOD, "--resume"]) == 0
    assert main(["segment", source, *METHOD, "--overwrite"]) == 0


def test_one_bad_photograph_does_not_stop_the_rest(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "broken.png").write_bytes(b"\x89PNG nothing more")
    assert main(["segment", str(pictures), *METHOD, "-o", str(pictures / "out"), "--json"]) == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["failed"] == 1
    assert ["error" in result for result in found["results"]] == [True, False, False]
    assert "broken.png" in captured.err
    assert (pictures / "out" / "west.mosaic.zarr" / "mosaic.json").exists()


def test_an_empty_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(tmp_path)]) == 1
    assert "no photograph" in capsys.readouterr().err


def test_batch_segments_a_table_and_skips_what_is_done(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pictures / "jobs.csv"
    table.write_text("Source;mm per pixel;output\neast.png;0,5;\nwest.png;;out\nnone.png;;\n", encoding="utf-8-sig")
    assert main(["batch", str(table), *METHOD]) == 1
    assert "2 of 3" in capsys.readouterr().err
    with open_record(pictures / "east.mosaic.zarr") as record:
        assert record.pixel_size is not None
        assert record.pixel_size.mm == 0.5
    stamp = (pictures / "out" / "west.mosaic.zarr" / "mosaic.json").stat().st_mtime_ns
    assert main(["batch", str(table), *METHOD]) == 1
    assert "(was done)" in capsys.readouterr().out
    assert (pictures / "out" / "west.mosaic.zarr" / "mosaic.json").stat().st_mtime_ns == stamp
    with (pictures / "jobs.summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["error"]) for row in rows] == [False, False, True]
    assert int(rows[0]["tesserae"]) > 0


@pytest.mark.parametrize(
    "content",
    [b"sep=;\nsource;mm per pixel\neast.png;0,5\n", "source;mm per pixel\neast.png;0,5\n".encode("utf-16")],
    ids=["sep", "utf-16"],
)
def test_batch_reads_what_excel_writes(pictures: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    table = pictures / "jobs.csv"
    table.write_bytes(content)
    assert main(["batch", str(table), *METHOD]) == 0
    with open_record(pictures / "east.mosaic.zarr") as record:
        assert record.pixel_mm == 0.5
    capsys.readouterr()


def test_a_password_is_neither_shown_nor_written(
    record: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "https://ana:secret@example.org/east.png"
    monkeypatch.setattr("napari_mosaic.cli.records.relink_record", lambda *_: None)
    assert main(["relink", str(record), address]) == 0
    told = capsys.readouterr().out
    assert "https://example.org/east.png" in told
    with open_record(record) as opened:
        outcome = describe(opened, address)
    assert "secret" not in told + str(outcome)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--region", "0", "0", "9", "9"], "--region takes a file"),
        (["--", "east.png", "-o", "x.mosaic.zarr"], "stands behind --"),
    ],
)
def test_words_that_are_no_photographs_are_told(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", "east.png", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.areas.geojson", "b.areas.gpkg", "c.geojson.gz", "d.gpkg"])
def test_areas_are_counted_as_areas_in_the_format_of_the_name(
    record: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record.with_name(name)
    with open_record(record, writable=True) as opened:
        opened.areas = opened.areas.add("lacuna", shapely.box(10, 10, 60, 60)).add("repair", shapely.box(70, 9, 90, 40))
    assert main(["export", str(record), "--format", "areas", "-o", str(path)]) == 0
    assert "2 areas in" in capsys.readouterr().out
    layer = {"layer": "areas"} if name.endswith(".gpkg") else {}
    info, _, shapes, _ = pyogrio.raw.read(f"/vsigzip/{path}" if name.endswith(".gz") else path, **layer)
    assert len(shapes) == 2
    assert "class" in list(info["fields"])
    assert main(["export", str(record), "--format", "areas", "-o", str(record.with_name("a.csv"))]) == 1
    assert "the ending of another format" in capsys.readouterr().err
    assert not record.with_name("a.csv").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [("photo,where\na.png,b\n", "no column source"), ("source,mm per pixel\na.png,small\n", "no number")],
)
def test_a_table_that_cannot_be_used_is_told(
    tmp_path: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs.csv").write_text(text)
    assert main(["batch", str(tmp_path / "jobs.csv")]) == 1
    assert words in capsys.readouterr().err


def test_info_of_photographs_and_records(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(record.with_name("east.png"))]) == 0
    assert "210 x 150 px" in capsys.readouterr().out
    assert main(["info", str(record), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["complete"] is True
    assert found["tesserae"] > 0


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.zarr", "a.gpkg", "a.csv"])
def test_export_goes_by_the_suffix(record: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = record.with_name(name)
    assert main(["export", str(record), "-o", str(path)]) == 0
    assert path.exists()
    assert str(path) in capsys.readouterr().out
    assert main(["export", str(record), "-o", str(path)]) == 1
    assert main(["export", str(record), "-o", str(path), "--overwrite"]) == 0


def test_preview_and_relink(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = record.with_name("seen.png")
    assert main(["preview", str(record), "-o", str(picture), "--max-px", "210"]) == 0
    with Image.open(picture) as seen:
        assert seen.size == (210, 150)
    moved = record.with_name("moved.png")
    record.with_name("east.png").rename(moved)
    assert main(["preview", str(record), "-o", str(picture)]) == 1
    assert "relink" in capsys.readouterr().err
    assert main(["relink", str(record), str(moved)]) == 0
    assert main(["preview", str(record), "-o", str(picture)]) == 0
    assert main(["relink", str(record), str(record.with_name("west.png"))]) == 1


def test_evaluate_prints_all_figures(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = record.with_name("truth.tif")
    assert main(["export", str(record), "-o", str(truth)]) == 0
    assert main(["evaluate", str(record), str(truth), "--json"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out[out.index("{") :])
    assert found["metrics"]["fm"] == 1
    tifffile.imwrite(truth, np.where(tifffile.imread(truth) > 0, 255, 0).astype(np.uint8))
    assert main(["evaluate", str(record), str(truth), "--truth-is", "tesserae"]) == 0
    assert "IoU > 0.50" in capsys.readouterr().out


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> WeightsEntry:
    """A registry of one made-up model that was never downloaded."""
    from napari_mosaic.cli import models

    entry = WeightsEntry(
        name="tiny",
        file_name="tiny.safetensors",
        licence="BSD-3-Clause",
        summary="Made up.",
        tessera_px=24.0,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    monkeypatch.setattr(models, "registry", lambda: {"tiny": entry})
    monkeypatch.setattr(models, "sam_registry", dict)
    return entry


@pytest.mark.usefixtures("tiny")
def test_models_are_shown_as_the_registry_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out == "tiny  Made up. Tesserae of 24 px; BSD-3-Clause.\n"
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "tiny"
    assert main(["models", "show", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tessera_px"] == 24
    assert main(["models", "show", "tiny"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["licence"] == "BSD-3-Clause"


def test_a_model_that_nobody_knows_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "download", "sam2-tiny"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "no model 'sam2-tiny' to fetch" in said
    assert "sam2.1-hiera-tiny" in said


def test_a_model_of_ones_own_is_shown_with_what_its_file_says(
    tmp_path: Path, tiny: WeightsEntry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "registry", lambda: {"tiny": tiny})
    header = json.dumps({"__metadata__": {"trained_on": "drawings"}}).encode()
    (tmp_path / "mine.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert main(["models", "show", str(tmp_path / "mine.safetensors")]) == 0
    assert "drawings" in capsys.readouterr().out
    assert main(["models", "show", "nothing"]) == 1
    assert "There is no model" in capsys.readouterr().err


def test_an_unexpected_error_is_one_sentence_with_an_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from napari_mosaic.cli import records

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(records, "open_image_steps", fail)
    assert main(["info", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError: by nought" in error
    assert cli.REPORT in error
    assert "Traceback" not in error
    main(["info", str(tmp_path), "--debug"])
    assert "Traceback" in capsys.readouterr().err


def test_stopping_closes_the_work_and_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from napari_mosaic.cli import records

    closed = []

    def stopped(*_: Any) -> Iterator[Progress]:
        try:
            yield Progress(phase="decode", done=0, total=1)
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    monkeypatch.setattr(records, "open_image_steps", stopped)
    assert main(["info", str(tmp_path)]) == 130
    assert closed == [True]
    assert "Stopped." in capsys.readouterr().err


def test_the_bar_shows_every_phase(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def steps() -> Iterator[Progress]:
        yield Progress(phase="map", done=1, total=2)
        yield Progress(phase="tesserae", done=2, total=2)

    monkeypatch.setenv("FORCE_COLOR", "1")
    run(steps(), "east")  # type: ignore[arg-type]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "east map" in shown.err
    assert "2.0/2.0 MP" in shown.err


def test_amounts_tell_speed_when_there_is_one() -> None:
    progress = Progress(phase="map", done=10, total=20)
    assert describe_amount(progress, 5, 10) == "10.0/20.0 MP, 2.0 MP/s"
    assert describe_amount(progress, 0.1, 10) == "10.0/20.0 MP"
    assert describe_amount(Progress(phase="export", done=1000, total=2000, unit="tesserae"), 5, 1) == (
        "1,000/2,000 tesserae"
    )


def test_who_reads_the_first_lines_alone_hears_no_complaint() -> None:
    """As with `| head`: the pipe is closed before the first line is written."""
    script = "import os, sys; os.read(0, 1); from napari_mosaic.cli import main; sys.exit(main(['models', 'list']))"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"x")
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 20))  # 20 s from piece to piece
    monkeypatch.setattr(output, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))

    def steps() -> Iterator[Progress]:
        for done in range(1, 7):
            yield Progress(phase="training", done=done, total=6, unit="steps", figures={"loss": 1 / done})

    run(steps(), "mine")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"mine training, loss {1 / done:.4f}: {done}/6 steps" for done in (2, 4, 6)]
