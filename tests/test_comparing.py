"""Folders against folders, and two predictions against each other, through the command."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.cli import main
from napari_mosaic.evaluation import evaluate_files, evaluate_folders, five_colours
from napari_mosaic.evaluation.pictures import COLOURS, TESSERA_COLOURS, tessera_colours


def stones(rows: int = 5, columns: int = 6, size: int = 12) -> NDArray[np.uint16]:
    stone = np.zeros((size, size), int)
    stone[1:-1, 1:-1] = 1
    return np.kron(np.arange(1, rows * columns + 1).reshape(rows, columns), stone).astype(np.uint16)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Predictions, truths and a worse prediction of two images."""
    places = tuple(tmp_path / name for name in ("predictions", "truths", "baseline"))
    for place in places:
        place.mkdir()
    for name, shift in (("east", 0), ("west", 1)):
        Image.fromarray(np.roll(stones(), shift, 0)).save(places[0] / f"{name}.png")
        Image.fromarray(np.where(stones() > 0, 255, 0).astype(np.uint8)).save(places[1] / f"{name}_mask.png")
        Image.fromarray(np.roll(stones(), 3, 1)).save(places[2] / f"{name}_labels.png")
    return places


def test_a_folder_gives_a_row_an_image_and_their_mean(folders: tuple[Path, Path, Path]) -> None:
    found = evaluate_folders(folders[0], folders[1])
    alone = evaluate_files(folders[0] / "west.png", folders[1] / "west_mask.png").metrics
    assert [row["image"] for row in found.rows] == ["east", "west"]
    assert found.rows[1]["fm"] == alone.fm
    assert found.mean["fm"] == pytest.approx((1 + alone.fm) / 2)
    assert found.mean["true"] == 60


def test_the_table_as_text_csv_and_json(
    folders: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(folders[0]), str(folders[1])]
    assert main([*words, "-o", str(tmp_path / "t.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["image", "true", "found"]
    assert lines[-1].startswith("mean")
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["east", "west", "mean"]
    assert main([*words, "--json", "-o", str(tmp_path / "t.json")]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "t.json").read_text())


def test_crops_find_the_prediction_of_their_photograph(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "t").mkdir()
    np.save(tmp_path / "p" / "floor.npy", stones())
    crop = np.kron(stones()[12:36, 24:48], np.ones((2, 2), int)).astype(np.uint16)
    Image.fromarray(crop).save(tmp_path / "t" / "left.png")
    place = {"file": "floor.jpg", "y": 12, "x": 24, "size": 24, "zoom": 2}
    (tmp_path / "t" / "left.json").write_text(json.dumps(place))
    found = evaluate_folders(tmp_path / "p", tmp_path / "t")
    assert found.mean["f1_75"] == 1


def test_five_colours() -> None:
    first = np.array([[1, 1, 0, 0, 1]])
    second = np.array([[1, 0, 1, 0, 0]])
    truth = np.array([[1, 1, 1, 1, 0]])
    wanted = [COLOURS[name] for name in ("both", "first only", "second only", "neither", "background")]
    assert [tuple(pixel) for pixel in five_colours(first, second, truth)[0].tolist()] == wanted


def test_found_missed_and_false_stones() -> None:
    truth = np.repeat([[1, 1, 1, 0, 2, 2, 0, 0, 0, 4]], 4, axis=0)
    prediction = np.repeat([[5, 5, 5, 0, 6, 0, 7, 7, 0, 8]], 4, axis=0)
    left_out = np.zeros(truth.shape, bool)
    left_out[:, 8:] = True
    picture = tessera_colours(prediction, truth, left_out)
    names = ["found"] * 3 + [None, "missed", "missed", "false", "false", "left out", "left out"]
    assert [tuple(pixel) for pixel in picture[0].tolist()] == [
        TESSERA_COLOURS.get(str(name), (0, 0, 0)) for name in names
    ]


def test_the_picture_of_one_prediction(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first, truth = folders[0] / "west.png", folders[1] / "west_mask.png"
    assert main(["evaluate", str(first), str(truth), "--picture", str(tmp_path / "stones.png")]) == 0
    seen = {tuple(pixel) for pixel in np.asarray(Image.open(tmp_path / "stones.png")).reshape(-1, 3).tolist()}
    assert TESSERA_COLOURS["found"] in seen
    assert main(["evaluate", *map(str, folders[:2]), "--picture", str(tmp_path / "many")]) == 0
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["east.png", "west.png"]


def test_two_predictions_and_their_picture(
    folders: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, truth, second = folders[0] / "west.png", folders[1] / "west_mask.png", folders[2] / "west_labels.png"
    picture = tmp_path / "five.png"
    assert main(["evaluate", str(first), str(truth), "--against", str(second), "--picture", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "first only" in out
    seen = {tuple(pixel) for pixel in np.asarray(Image.open(picture)).reshape(-1, 3).tolist()}
    assert seen == set(COLOURS.values())
    assert (
        main(["evaluate", *map(str, folders[:2]), "--against", str(folders[2]), "--picture", str(tmp_path / "many")])
        == 0
    )
    assert "baseline" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["east.png", "west.png"]


@pytest.mark.parametrize("white", [0, 1])
def test_a_mask_that_finds_next_to_nothing_is_a_figure_and_no_inverted_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], white: int
) -> None:
    """Of a truth that is nearly all tesserae: a black mask is wrong nearly everywhere, but not inverted."""
    truth = np.zeros((60, 72), np.uint8)
    truth[2:58, 2:35] = truth[2:58, 37:70] = 255
    mask = np.zeros_like(truth)
    mask[20:26, 10:16] = 255 * white
    for name, values in (("truth", truth), ("mask", mask), ("inverted", 255 - truth)):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    assert (truth > 0).mean() > 0.8
    assert main(["evaluate", str(tmp_path / "mask.png"), str(tmp_path / "truth.png"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["predicted"] == white
    assert found["metrics"]["pixels"]["recall"] == pytest.approx(36 * white / (truth > 0).sum())
    assert found["metrics"]["fm"] == pytest.approx(0, abs=0.05)
    if not white:
        lines = ("boundary_f", "boundary_precision", "boundary_recall", "centreline_dice")
        assert [found["grout"][name] for name in lines] == [0, 0, 0, 0]
    assert main(["evaluate", str(tmp_path / "inverted.png"), str(tmp_path / "truth.png")]) == 1
    assert "inverted" in capsys.readouterr().err


def test_bad_input_in_one_sentence(
    folders: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, truths, _ = folders
    Image.fromarray(np.where(stones() > 0, 0, 255).astype(np.uint8)).save(tmp_path / "inverted.png")
    Image.fromarray(np.zeros((60, 72), np.uint8)).save(tmp_path / "empty.png")
    (tmp_path / "nothing").mkdir()
    east = str(truths / "east_mask.png")
    cases = [
        ([str(tmp_path / "inverted.png"), east], "inverted"),
        ([east, str(tmp_path / "empty.png")], "no tessera"),
        ([str(predictions), str(tmp_path / "nothing")], "holds no truth"),
        ([str(tmp_path / "nothing"), str(truths)], "no prediction of the same name"),
        ([str(predictions), str(tmp_path / "none")], "no folder"),
        ([east, east, "-o", str(tmp_path / "t.txt")], "let it end in"),
    ]
    for words, message in cases:
        assert main(["evaluate", *words]) == 1, words
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    assert main(["evaluate", str(tmp_path / "inverted.png"), east, "--prediction-is", "grout"]) == 0


def written_masks(folder: Path) -> tuple[Path, Path]:
    """Joints white: a prediction, one row off, and the truth, as GROUT's masks are."""
    truth = np.where(stones() > 0, 0, 255).astype(np.uint8)
    for name, values in (("mask", np.roll(truth, 1, 0)), ("truth", truth)):
        Image.fromarray(values).save(folder / f"{name}.png")
    return folder / "mask.png", folder / "truth.png"


def told(text: str) -> dict[str, list[float]]:
    """Figures of a printed table by the words before them."""
    rows = (line.rsplit("  ", 10) for line in text.splitlines() if re.search(r"\d\.\d{3}$", line))
    return {row[0].strip(): [float(v) for v in row[1:] if v.strip()] for row in rows}


def test_figures_of_joints_are_in_text_csv_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask, truth = written_masks(tmp_path)
    words = ["evaluate", str(mask), str(truth), "--prediction-is", "grout", "--truth-is", "grout"]
    found, true = (np.asarray(Image.open(path)) > 127 for path in (mask, truth))
    both = int((found & true).sum())
    dice, iou = 2 * both / (found.sum() + true.sum()), both / (found | true).sum()
    precision, recall = both / found.sum(), both / true.sum()
    assert main([*words, "--json", "-o", str(tmp_path / "t.csv")]) == 0
    joints = json.loads(capsys.readouterr().out)["metrics"]["joint_pixels"]
    assert [joints[k] for k in ("dice", "iou", "precision", "recall")] == pytest.approx([dice, iou, precision, recall])
    with (tmp_path / "t.csv").open() as file:
        row = next(csv.DictReader(file))
    in_csv = [float(row[f"joint_{name}"]) for name in ("dice", "iou", "precision", "recall")]
    assert in_csv == pytest.approx([dice, iou, precision, recall])
    assert main(words) == 0
    text = capsys.readouterr().out
    assert text.startswith("Joints:\n")
    assert "pixel IoU" not in text
    figures = told(text)
    assert figures["Dice, IoU, accuracy"][:2] == pytest.approx([dice, iou], abs=5e-4)
    assert figures["precision, recall"] == pytest.approx([precision, recall], abs=5e-4)
    np.save(tmp_path / "truth.npy", stones())
    assert main([words[0], str(mask), str(tmp_path / "truth.npy"), *words[3:5]]) == 0  # a truth of tesserae
    figures = told(capsys.readouterr().out)
    assert figures["joints: Dice, IoU, accuracy"][:2] == pytest.approx([dice, iou], abs=5e-4)


def test_folders_of_joints_are_told_as_joints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("p", "t"):
        (tmp_path / name).mkdir()
    mask, truth = written_masks(tmp_path)
    mask.rename(tmp_path / "p" / "east_mask.png")
    truth.rename(tmp_path / "t" / "east.png")
    words = ["evaluate", str(tmp_path / "p"), str(tmp_path / "t"), "--prediction-is", "grout", "--truth-is", "grout"]
    assert main(words) == 0
    header = capsys.readouterr().out.splitlines()[0].split()
    assert header[:5] == ["image", "joint_dice", "joint_iou", "joint_precision", "joint_recall"]
    assert not {"dice", "pixel_iou", "recall"} & set(header)
    assert main([*words, "--json"]) == 0
    assert {"dice", "joint_dice"} <= set(json.loads(capsys.readouterr().out)["mean"])
    assert main([*words, "-o", str(tmp_path / "told.csv")]) == 0
    columns = (tmp_path / "told.csv").read_text().splitlines()[0].split(",")
    assert columns[:3] == ["image", "joint_dice", "joint_iou"]
    assert columns.index("dice") > max(k for k, name in enumerate(columns) if name.startswith("joint_"))


def test_the_rule_for_slivers_is_told_and_can_be_switched_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = stones()
    truth[0, :3] = 99  # the rest of a tessera that the edge has cut off
    np.save(tmp_path / "truth.npy", truth)
    np.save(tmp_path / "found.npy", stones())
    words = ["evaluate", str(tmp_path / "found.npy"), str(tmp_path / "truth.npy")]
    said = {}
    for slivers in ("leave-out", "count"):
        assert main([*words, "--slivers", slivers, "--json"]) == 0
        said[slivers] = json.loads(capsys.readouterr().out)
    assert [said[k]["metrics"]["truth"] for k in said] == [30, 31]
    for found in said.values():
        assert (found["without_slivers"]["truth"], found["plain"]["truth"]) == (30, 31)
        assert found["plain"]["cnt"] == pytest.approx(1 / 31)
    assert said["count"]["metrics"] == said["count"]["plain"]
    assert main(words) == 0
    assert "1 true and 0 predicted regions under 4%" in capsys.readouterr().out
    assert main([*words, "--slivers", "count"]) == 0
    assert "Every region counts" in capsys.readouterr().out
    same = str(tmp_path / "found.npy")
    assert main(["evaluate", same, same, "--slivers", "count"]) == 0
    assert "Every region counts, 0 true and 0 predicted" in capsys.readouterr().out


def test_many_models_are_compared_by_the_figures_of_evaluate(
    folders: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    good, truths, worse = folders
    for k, name in enumerate(("run1", "run2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.csv").write_text(f"step,loss,score\n1,0.5,0.{k}\n2,0.4,0.{k + 1}\n")
    runs = ["--runs", str(tmp_path / "run1"), str(tmp_path / "run2")]
    words = ["compare-models", str(truths), str(good), str(worse), "-o", str(tmp_path / "out")]
    assert main([*words, *runs, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bars.png", "curves.png", "models.csv", "models.json",
    ]  # fmt: skip
    assert found == json.loads((tmp_path / "out" / "models.json").read_text())
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["model", "predictions", "baseline"]
    for folder, line in zip((good, worse), lines[1:], strict=True):
        assert main(["evaluate", str(folder), str(truths), "--json"]) == 0
        told_alone = json.loads(capsys.readouterr().out)
        assert found["models"][folder.name] == told_alone
        shown = dict(zip(lines[0].split(), line.split(), strict=True))
        assert float(shown["fm"]) == pytest.approx(told_alone["mean"]["fm"], abs=5e-4)
    with (tmp_path / "out" / "models.csv").open() as file:
        rows = [(row["model"], row["image"]) for row in csv.DictReader(file)]
    assert rows == [(m, i) for m in ("predictions", "baseline") for i in ("east", "west", "mean")]
    (worse / "west_labels.png").unlink()
    assert main(words) == 1
    assert "no prediction of the same name" in capsys.readouterr().err
    assert main([*words[:2], str(good), str(good), *words[4:]]) == 1
    assert "each model once" in capsys.readouterr().err
