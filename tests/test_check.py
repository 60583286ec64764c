"""How good is it on my floor: squares, counts, the interval, and the command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_mosaic.areas import read_areas
from napari_mosaic.cli import main
from napari_mosaic.errors import InputError
from napari_mosaic.evaluation import Square, estimate_error, propose_squares
from napari_mosaic.evaluation.floor import RULE, SquareParams, centres_in, describe_error
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.record import open_record
from napari_mosaic.tiling import Box

BOX = Box(0, 0, 10, 10)


@pytest.fixture
def record(tmp_path: Path, photograph: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> Path:
    Image.fromarray(photograph((300, 420))).save(tmp_path / "floor.png")
    words = ["segment", str(tmp_path / "floor.png"), "--method", "brightness", "--scale", "1", "--pixel-mm", "1"]
    assert main(words) == 0
    capsys.readouterr()
    return tmp_path / "floor.mosaic.zarr"


def counted(*pairs: tuple[int, int]) -> list[Square]:
    return [Square(name=str(k), box=BOX, found=f, counted=c) for k, (f, c) in enumerate(pairs)]


def test_every_tessera_belongs_to_one_of_the_squares_that_part_the_floor(record: Path) -> None:
    with open_record(record) as opened:
        boxes = [Box(y, x, y + 100, x + 105) for y in range(0, 300, 100) for x in range(0, 420, 105)]
        assert sum(len(centres_in(opened, box)) for box in boxes) == opened.count


def test_squares_are_seeded_inside_and_apart(record: Path) -> None:
    with open_record(record) as opened, opened.open_source() as image:
        params = SquareParams(size_mm=60)
        squares = propose_squares(opened, image, params)
        assert squares == propose_squares(opened, image, params)
        assert squares != propose_squares(opened, image, SquareParams(size_mm=60, seed=1))
        for k, square in enumerate(squares):
            assert square.box.shape == (60, 60)
            assert square.box.clip(image.shape) == square.box
            assert all(square.box.intersect(other.box).clip(image.shape).area == 0 for other in squares[:k])


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        true = rng.poisson(90, 5) + 1
        found = rng.binomial(true, 0.93) + rng.poisson(0.02 * true)
        error = estimate_error(counted(*zip(found.tolist(), true.tolist(), strict=True)))
        hits += error.low <= -0.05 <= error.high
    assert 0.91 <= hits / 400 <= 0.99


def test_agreement_in_every_square_still_leaves_a_doubt() -> None:
    error = estimate_error(counted((50, 50), (60, 60)), total=1000)
    assert error.error == 0
    assert -0.05 < error.low < -0.02
    assert error.total is not None
    assert error.total[1] < 1000 < error.total[2]
    assert RULE in describe_error(error, "10 x 10 px")


def test_what_cannot_be_bounded_is_refused() -> None:
    with pytest.raises(InputError, match="no interval"):
        estimate_error(counted((50, 50)))
    with pytest.raises(InputError, match="has no count"):
        estimate_error([*counted((5, 5)), Square(name="B", box=BOX)])
    with pytest.raises(InputError, match="No tessera was counted"):
        estimate_error(counted((5, 0), (3, 0)))


def test_the_command_proposes_and_then_tells(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(record), "--size-mm", "60", "--squares", "3"]) == 0
    out = capsys.readouterr().out
    assert RULE in out
    folder = record.with_name("floor.check")
    assert f"--counts {folder / 'squares.csv'}" in out
    assert [area.name for area in read_areas(folder / "squares.geojson")] == ["A", "B", "C"]
    with Image.open(folder / "square-A.png") as seen:
        assert seen.size[0] > 400
    with (folder / "squares.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["counted"] = str(int(row["found"]) + 1)
    with (folder / "squares.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    assert main(["check", str(record), "--counts", str(folder / "squares.csv")]) == 0
    sentence = capsys.readouterr().out
    assert "% too few (95 % interval" in sentence
    assert main(["check", str(record), "--counts", str(folder / "squares.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counted"] == found["found"] + 3
    assert found["sentence"] == sentence.strip()


def test_true_labels_count_for_the_user(record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_record(record) as opened:
        labels = read_source_labels(opened, Box(0, 0, 300, 420)).astype(np.int32)
    truth = tmp_path / "truth.npy"
    np.save(truth, labels)
    assert main(["check", str(record), "--size-mm", "60", "--truth", str(truth), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["error"] == 0
    assert found["faults"][0] == 0
    np.save(truth, labels[:100])
    assert main(["check", str(record), "--size-mm", "60", "--truth", str(truth)]) == 1
    assert "do not correspond" in capsys.readouterr().err


def test_bad_tables_and_sizes_in_one_sentence(record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "t.csv"
    cases = [
        (["--size-mm", "350"], "do not fit into"),
        (["--size-mm", "250"], "no room for two"),
        (["--counts", str(tmp_path / "none.csv")], "no table"),
        (["--counts", str(table)], "no table of squares"),
    ]
    table.write_text("a,b\n1,2\n")
    for words, message in cases:
        assert main(["check", str(record), *words]) == 1
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    for line, message in [
        ("A,0,0,60,60,many", "no count"),
        ("A,0,0,,60,5", "names no square"),
        ("A,0,0,60,60,", "has no count"),
    ]:
        table.write_text(f"square,y0,x0,y1,x1,counted\n{line}\n")
        assert main(["check", str(record), "--counts", str(table)]) == 1
        assert message in capsys.readouterr().err
    assert main(["check", str(record), "--counts", str(table), "--truth", str(table)]) == 2
