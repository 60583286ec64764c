"""`synthesize`, `train`, `finetune`, `export-model` and `models`, through the command line itself."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

torch = pytest.importorskip("torch")

from napari_mosaic.cli import main  # noqa: E402
from napari_mosaic.errors import InputError  # noqa: E402
from napari_mosaic.grout import LiteNetwork, read_model  # noqa: E402
from napari_mosaic.inference import load_network  # noqa: E402
from napari_mosaic.progress import drain  # noqa: E402
from napari_mosaic.record import open_record  # noqa: E402
from napari_mosaic.record.finished import mark_finished  # noqa: E402
from napari_mosaic.synthetic import draw_mosaic  # noqa: E402
from napari_mosaic.tiling import Box  # noqa: E402
from napari_mosaic.training import learner as learner_module  # noqa: E402
from napari_mosaic.training import params as params_module  # noqa: E402
from napari_mosaic.training.data import core_target, grout_target  # noqa: E402
from napari_mosaic.training.network import Recipe, normalise  # noqa: E402
from napari_mosaic.training.sources import open_stored, split, store_folder, store_record  # noqa: E402
from napari_mosaic.training.validation import middle_crops, validate  # noqa: E402
from napari_mosaic.weights import find_weights, imported_entries  # noqa: E402

TINY = [
    "--side", "64", "--batch", "2", "--drawings", "2", "--processes", "1", "--workers", "0", "--device", "cpu",
]  # fmt: skip
DRAWN = ["--drawing-size", "96", "--validation", "1", "--start", "chance", "--round-steps", "1"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_MOSAIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of three drawn mosaics."""
    out = tmp_path_factory.mktemp("sets") / "drawn"
    assert main(["synthesize", str(out), "--count", "3", "--size", "96", "--seed", "7", "--processes", "1"]) == 0
    return out


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a failed command said."""
    text = capsys.readouterr().err.strip()
    assert text.startswith("napari-mosaic: ")
    assert len(text.splitlines()) == 1
    return text


def test_a_set_of_drawings_is_whole_goes_on_and_is_the_same_again(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"0000{n}.png" for n in range(3)]
    for folder in ("images", "masks", "labels", "cores"):
        assert sorted(path.name for path in (drawn / folder).iterdir()) == names
    labels = cv2.imread(str(drawn / "labels" / names[0]), cv2.IMREAD_UNCHANGED).astype(np.int32)
    for folder, make in (("masks", grout_target), ("cores", core_target)):
        np.testing.assert_array_equal(cv2.imread(str(drawn / folder / names[0]), 0), make(labels) * 255)
    assert cv2.imread(str(drawn / "contact-sheet.png")).shape[2] == 3
    shutil.copytree(drawn, tmp_path / "again")
    for folder in ("images", "labels"):
        (tmp_path / "again" / folder / names[1]).unlink()
    words = ["synthesize", str(tmp_path / "again"), "--size", "96", "--seed", "7", "--processes", "1"]
    assert main([*words, "--count", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 3
    for folder in ("images", "labels"):
        assert (tmp_path / "again" / folder / names[1]).read_bytes() == (drawn / folder / names[1]).read_bytes()
    assert main([*words[:-4], "--seed", "2", "--processes", "1"]) == 1
    assert "seed 7, not 2" in sentence(capsys)
    assert main(["synthesize", str(tmp_path / "x"), "--geometry", "square"]) == 2
    assert "no geometry 'square'" in sentence(capsys)


def test_train_draws_learns_stops_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "floor"
    words = ["train", "--synthetic", "-o", str(out), *TINY, *DRAWN]
    assert main([*words, "--steps", "1"]) == 0
    assert re.search(r"floor\.safetensors after 1 steps: grout dice \d", capsys.readouterr().out)
    assert main([*words, "--steps", "2"]) == 1
    assert "--resume" in sentence(capsys)
    assert main([*words, "--steps", "2", "--resume", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["step"] for row in answer["history"]] == [1, 2]
    assert load_network(answer["model"], device="cpu", runtime="torch").card.name == "floor"
    assert {"checkpoint.pt", "best.pt", "history.csv", "history.png", "run.json"} <= {p.name for p in out.iterdir()}


def test_train_reads_a_folder_and_splits_it_by_the_seed(drawn: Path, tmp_path: Path) -> None:
    words = ["train", str(drawn), "-o", str(tmp_path / "run"), *TINY, "--start", "chance", "--steps", "1"]
    assert main([*words, "--validation-part", "0.34", "--test-part", "0.34", "--maps", "grout"]) == 0
    parts = json.loads((tmp_path / "run" / "split.json").read_text())
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [1, 1, 1]
    assert json.loads((tmp_path / "run" / "test.json").read_text())["grout_dice"] >= 0
    assert split(10, 3, 0.2, 0.1) == split(10, 3, 0.2, 0.1) != split(10, 4, 0.2, 0.1)


def judge_file(model: str | Path, folder: Path, indices: list[int]) -> dict[str, float]:
    """The figures of a weights file on some stored pictures, by the code that training judges with."""
    network, card = read_model(find_weights(model))
    recipe = Recipe(card.architecture, len(card.channels), card.tessera_px, card.mean, card.std, card.halo)
    stored = open_stored(folder)
    assert stored is not None
    return validate(network, middle_crops(stored.take(indices)), recipe)


def evaluated_dice(model: str | Path, folder: Path, index: int, capsys: pytest.CaptureFixture[str]) -> float:
    """The Dice of the joints that the command `evaluate` tells of what a weights file finds on a stored picture."""
    network, card = read_model(find_weights(model))
    stored = open_stored(folder)
    assert stored is not None
    crop = middle_crops(stored.take([index]))[0]
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(np.ascontiguousarray(crop.image))[None], card.mean, card.std)
        likely = network.eval()(pixels)[0, 0].float().sigmoid().numpy()
    known = np.ones(crop.labels.shape, bool) if crop.known is None else crop.known
    masks = {"found": likely > 0.5, "true": grout_target(crop.labels) > 0, "ignored": ~known}
    for name, mask in masks.items():
        Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(folder / f"{name}.png")
    capsys.readouterr()
    found, true, ignored = (str(folder / f"{name}.png") for name in masks)
    words = ["evaluate", found, true, "--prediction-is", "grout", "--truth-is", "grout", "--json"]
    words += [] if known.all() else ["--ignore", ignored]
    assert main(words) == 0
    return float(json.loads(capsys.readouterr().out)["metrics"]["joint_pixels"]["dice"])


def script_scores(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    """Let the rounds of a run have these scores, whatever the network does; what is judged later is what it is."""
    left = list(scores)

    def scored(model: Any, crops: Any, recipe: Any) -> dict[str, float]:
        figures = validate(model, crops, recipe)
        return figures | {"score": left.pop(0)} if left else figures

    monkeypatch.setattr(learner_module, "validate", scored)


def test_what_train_tells_is_of_the_file_that_it_delivers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of three rounds is the first one: its figures are told, those of the last are not."""
    data, out = tmp_path / "set", tmp_path / "run"
    assert main(["synthesize", str(data), "--count", "5", "--size", "96", "--processes", "1"]) == 0
    script_scores(monkeypatch, 0.9, 0.2, 0.1)
    words = ["train", str(data), "-o", str(out), *TINY, "--start", "chance", "--round-steps", "1", "--steps", "3"]
    words += ["--schedule", "plateau", "--rate", "0.05", "--validation-part", "0.4", "--test-part", "0.2"]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    stored = open_stored(out / "data")
    assert stored is not None
    parts = json.loads((out / "split.json").read_text())
    numbers = {part: [stored.names.index(name) for name in some] for part, some in parts.items()}
    judged, tested = (judge_file(answer["model"], out / "data", numbers[part]) for part in ("validation", "test"))
    delivered = answer["delivered"]
    assert (delivered["step"], delivered["of"]) == (1, 3)
    assert (delivered["validation"], delivered["test"]) == (judged, tested)
    (only,) = numbers["test"]
    assert tested["grout_dice"] == pytest.approx(evaluated_dice(answer["model"], out / "data", only, capsys), abs=1e-9)
    assert json.loads((out / "test.json").read_text()) == {"pictures": 1, "step": 1, **tested}
    ended = torch.load(out / "checkpoint.pt", weights_only=True)["average"]
    with safe_open(answer["model"], "pt") as file:
        assert not torch.equal(file.get_tensor("head.weight"), ended["head.weight"].half())
    assert main([*words, "--resume"]) == 0
    said = capsys.readouterr().out
    assert "after 1 steps, the best of 3: grout dice" in said
    assert f"score {judged['score']:.3f} on pictures that it did not learn from" in said


def test_what_finetune_tells_is_of_the_mean_of_old_and_new(drawn: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "mine"
    words = ["finetune", str(drawn), "-o", str(out), *TINY, "--masks", "grout", "--steps", "2", "--stage", "2"]
    words += ["--rate", "0.05", "--keep", "0.5", "--validation-part", "0.34"]
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    _, validation, _ = split(3, 42, 0.34, 0.0)
    told = answer["delivered"]["validation"]
    assert told == judge_file(answer["model"], out / "data", validation)
    assert told != {name: answer["history"][-1][name] for name in told}
    (only,) = validation
    assert told["grout_dice"] == pytest.approx(evaluated_dice(answer["model"], out / "data", only, capsys), abs=1e-9)
    assert main([*words, "--resume"]) == 0
    assert f"score {told['score']:.3f} on pictures" in capsys.readouterr().out


def test_what_cannot_be_learned_from_is_said_in_one_sentence(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", ["-o", str(tmp_path / "run"), *TINY]
    assert main(["train", *out]) == 2
    assert "--synthetic" in sentence(capsys)
    assert main(["train", str(data), *out]) == 1
    assert "no folder" in sentence(capsys)
    (data / "images").mkdir(parents=True)
    (data / "masks").mkdir()
    assert main(["finetune", str(data), *out]) == 1
    assert "no picture" in sentence(capsys)
    shutil.copy(drawn / "images" / "00000.png", data / "images" / "a.png")
    assert main(["finetune", str(data), *out]) == 1
    assert "a.png has no mask" in sentence(capsys)
    shutil.copy(drawn / "masks" / "00000.png", data / "masks" / "a.png")
    assert main(["finetune", str(data), *out, "--masks", "labels"]) == 1
    assert "it is a mask and no labels" in sentence(capsys)
    assert main(["train", str(data), *out, "--masks", "tesserae"]) == 1
    assert "looks inverted" in sentence(capsys)
    cv2.imwrite(str(data / "masks" / "a.png"), np.zeros((40, 50), np.uint8))
    assert main(["train", str(data), *out, "--masks", "grout"]) == 1
    assert "as large as its picture" in sentence(capsys)
    assert main(["train", "--synthetic", "-o", str(tmp_path / "other"), "--side", "100"]) == 2
    assert "multiple of 32" in sentence(capsys)


@pytest.mark.parametrize("kind", ["labels", "tesserae", "grout"])
def test_empty_masks_are_refused_in_one_sentence(
    kind: str, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", ["-o", str(tmp_path / "run"), *TINY, "--masks", kind]
    for folder in ("images", "masks"):
        (data / folder).mkdir(parents=True)
    shutil.copy(drawn / "images" / "00000.png", data / "images" / "a.png")
    cv2.imwrite(str(data / "masks" / "a.png"), np.full((96, 96), 255 if kind == "grout" else 0, np.uint8))
    for command in ("train", "finetune"):
        assert main([command, str(data), *out]) == 1
        assert "a.png is empty" in sentence(capsys)


@pytest.mark.parametrize("kind", ["labels", "tesserae", "grout"])
def test_a_picture_may_show_no_stone_where_that_is_known(kind: str, drawn: Path, tmp_path: Path) -> None:
    for folder, value in (("masks", 255 * (kind == "grout")), ("known", 255)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), np.full((96, 96), value, np.uint8))
    (tmp_path / "images").mkdir()
    shutil.copy(drawn / "images" / "00000.png", tmp_path / "images" / "a.png")
    picture = drain(store_folder(tmp_path, tmp_path / "out", masks=kind))[0]
    assert picture.known is not None
    assert picture.known.all()
    assert not picture.labels.any()


def test_a_loss_that_is_no_number_ends_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner_module, "map_loss", lambda *_, **__: torch.tensor(float("nan"), requires_grad=True))
    assert main(["train", "--synthetic", "-o", str(tmp_path / "run"), *TINY, *DRAWN, "--steps", "2"]) == 1
    text = sentence(capsys)
    assert "no number" in text
    assert "lower rate" in text


def test_a_full_disk_ends_in_one_sentence(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", str(drawn), "-o", str(tmp_path / "run"), *TINY, "--start", "chance", "--steps", "1"]

    def full(_content: object, stream: Any) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        assert main(words) == 1
        assert "the disk is full" in sentence(capsys)
    assert main([*words, "--resume"]) == 0
    capsys.readouterr()
    little = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    for command in (
        ["synthesize", str(tmp_path / "set"), "--count", "2", "--size", "64"],
        ["train", "--synthetic", "-o", str(tmp_path / "drawing"), *TINY, *DRAWN, "--steps", "1"],
        ["finetune", str(drawn), "-o", str(tmp_path / "mine"), *TINY, "--masks", "grout", "--steps", "1"],
    ):
        assert main(command) == 1, command
        assert re.search(r"needs 10\d MB and the disk has 1 kB free; free some space", sentence(capsys))
    assert not (tmp_path / "set").exists()


def test_finetune_learns_from_pictures_in_two_stages_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = draw_mosaic(128, 3, "grid", tessera_px=12, damaged=False)
    for folder, picture in (("images", drawing.image[..., ::-1]), ("masks", drawing.labels.astype(np.uint16))):
        (tmp_path / "data" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "data" / folder / "a.png"), picture)
    out = tmp_path / "mine"
    words = ["finetune", str(tmp_path / "data"), "-o", str(out), *TINY, "--steps", "2"]
    assert main([*words, "--stage", "1", "--rate", "0.01"]) == 0
    capsys.readouterr()
    first = load_network(out / "mine.safetensors", device="cpu", runtime="torch").card
    assert first.channels == ("grout", "core")
    before, after = (torch.load(out / "stage1" / "checkpoint.pt", weights_only=True)[k] for k in ("model", "average"))
    assert before.keys() == after.keys()
    bundled = LiteNetwork().state_dict().keys()
    assert before.keys() == bundled
    from napari_mosaic.grout import read_model
    from napari_mosaic.weights import find_weights

    start = read_model(find_weights())[0].state_dict()
    frozen = [name for name in start if name.startswith("encoder.") or "running" in name]
    assert all(torch.equal(start[name], before[name]) for name in frozen)
    assert not torch.equal(start["head.weight"], before["head.weight"])
    stored = open_stored(out / "data")
    assert stored is not None
    assert 1.0 < stored[0].factor < 1.7
    assert main([*words, "--stage", "both", "--rate", "0.01", "--resume", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["step"] for row in answer["history"]] == [1, 2]
    ended = torch.load(out / "stage2" / "checkpoint.pt", weights_only=True)
    name = "encoder.conv_stem.weight"
    assert not torch.equal(ended["model"][name], start[name])
    written = read_model(find_weights(out / "mine.safetensors"))[0].state_dict()[name]
    torch.testing.assert_close(written, (start[name] + ended["average"][name]) / 2, atol=1e-3, rtol=1e-3)
    assert not torch.equal(written, ended["average"][name])


def test_finetune_by_grouts_recipe_learns_by_epochs(tmp_path: Path, drawn: Path, capsys: Any) -> None:
    """On a network of GROUT's kind: two stages at the recipe's rates, the best round being passed on."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.save({"model_state_dict": smp.Unet("resnet18", encoder_weights=None).state_dict()}, tmp_path / "g.pth")
    words = ["finetune", str(drawn), "-o", str(tmp_path / "mine"), "--preset", "grout"]
    words += ["--model", str(tmp_path / "g.pth")]
    small = ["--side", "64", "--batch", "2", "--epochs", "2", "--validation-part", "0.4", "--workers", "0"]
    assert main([*words, *small, "--device", "cpu", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["rate"] for row in told["history"]] == [1e-6]
    assert told["delivered"]["validation"]["grout_dice"] > 0
    card = read_model(find_weights(tmp_path / "mine" / "mine.safetensors"))[1]
    assert (card.architecture, card.channels) == ("smp-unet-resnet18", ("grout",))


def test_finetune_learns_only_from_the_finished_windows_of_a_record(
    tmp_path: Path, photograph: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "floor.png"
    cv2.imwrite(str(source), photograph((200, 300)))
    record = tmp_path / "floor.mosaic.zarr"
    assert main(["segment", str(source), "--method", "brightness", "--scale", "1", "--tile-size", "128"]) == 0
    words = ["finetune", str(record), "-o", str(tmp_path / "mine"), *TINY, "--steps", "1", "--stage", "2"]
    capsys.readouterr()
    assert main(words) == 1
    assert "marked as finished" in sentence(capsys)
    with open_record(record, writable=True) as opened:
        mark_finished(opened, Box(20, 30, 120, 150))
    picture = drain(store_record(record, tmp_path / "stored"))[0]
    assert picture.known is not None
    assert picture.known.sum() == 100 * 120
    with open_record(record) as opened:
        labels = opened.read_labels(Box(20, 30, 120, 150))
    np.testing.assert_array_equal(np.asarray(picture.labels)[picture.known].reshape(100, 120) > 0, labels > 0)
    assert main(words) == 0
    assert (tmp_path / "mine" / "mine.safetensors").exists()


def test_models_are_exported_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    out = tmp_path / "lite.onnx"
    assert main(["export-model", "grout-lite", "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["largest difference"] < 1e-4
    session = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    window = draw_mosaic(320, 2).image[None]  # of a size that is computed as it is: see framing.SIDES
    found = session.run(None, {"pixels": window.transpose(0, 3, 1, 2).astype(np.float32)})[0]
    ours = load_network("grout-lite", device="cpu", precision="fp32", runtime="torch").predict(window)
    assert np.abs(found * 255 - ours).max() <= 0.6
    assert json.loads(session.get_modelmeta().custom_metadata_map["channels"]) == ["grout", "core"]
    assert main(["export-model", "grout-lite", "-o", str(out)]) == 1
    assert "--overwrite" in sentence(capsys)
    assert main(["export-model", "grout-lite", "-o", str(tmp_path / "lite.bin")]) == 2
    assert "--format" in sentence(capsys)
    bundle = tmp_path / "copy.safetensors"
    assert main(["export-model", "grout-lite", "-o", str(bundle)]) == 0
    again = load_network(bundle, device="cpu", precision="fp32", runtime="torch").predict(window)
    np.testing.assert_array_equal(again, ours)


def test_a_model_that_differs_is_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    from napari_mosaic.training import onnx_export

    monkeypatch.setattr(onnx_export, "_write", lambda *_: None)
    monkeypatch.setattr(onnx_export, "compare_onnx", lambda *_: float("nan"))
    assert main(["export-model", "grout-lite", "-o", str(tmp_path / "lite.onnx")]) == 1
    assert "nothing was kept" in sentence(capsys)
    assert list(tmp_path.glob("*lite*")) == []


@pytest.mark.parametrize("layout", ["model_state_dict", "state_dict", None])
def test_grout_checkpoints_are_imported_and_run_by_name(
    layout: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    state = smp.Unet("efficientnet-b3", encoder_weights=None, classes=1).state_dict()
    file = tmp_path / "grout_b3_zeroshot_v1.pth"
    extra = {"epoch": 3, "best_metric": 0.9, "optimizer_state_dict": {"state": {}, "param_groups": []}}
    torch.save(state if layout is None else {layout: state, **extra}, file)
    assert main(["models", "import", str(file), "--name", "grout-b3", "--licence", "MIT"]) == 0
    assert "--model grout-b3" in capsys.readouterr().out
    entry = imported_entries()["grout-b3"]
    assert (entry.licence, entry.mean) == ("MIT", (0.485, 0.456, 0.406))
    assert main(["models", "list", "--json"]) == 0
    assert {"grout-lite", "grout-b3"} <= {each["name"] for each in json.loads(capsys.readouterr().out)}
    if layout == "model_state_dict":
        file.unlink()
        network = load_network("grout-b3", device="cpu", precision="fp32", runtime="torch")
        assert network.card.channels == ("grout",)
        assert network.predict(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 1, 64, 64)
        assert main(["models", "import", str(entry.path), "--name", "grout-b3"]) == 1
        assert "already" in sentence(capsys)


def test_files_with_code_are_not_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (mark,)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))
    torch.save({"state_dict": Evil()}, tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        assert main(["models", "import", str(tmp_path / name)]) == 1
        assert "carries code" in sentence(capsys)
    assert not mark.exists()
    assert main(["models", "import", str(tmp_path / "evil.pth"), "--name", "../x"]) == 1
    assert "cannot be the name" in sentence(capsys)
    assert imported_entries() == {}


class Ranged(SimpleHTTPRequestHandler):
    """Sends files, and parts of them."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        content = (Path(self.directory) / self.path.lstrip("/")).read_bytes()
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        type(self).asked.append(self.headers.get("Range", ""))
        first = int(start[1]) if start else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:])

    def log_message(self, *args: object) -> None:  # type: ignore[override]
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    Ranged.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranged, directory=str(folder))) as http:
        thread = Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_broken_download_goes_on_where_it_was(
    server: str, tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save

    content = save(LiteNetwork().state_dict(), {"name": "away", "architecture": "lite0-half"})
    (tmp_path / "served" / "away.safetensors").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    own_cache.mkdir()
    (own_cache / f"away.safetensors.{digest[:12]}.part").write_bytes(content[:1000])
    url = f"{server}/away.safetensors"
    assert main(["models", "download", url]) == 2
    assert "--sha256" in sentence(capsys)
    assert main(["models", "download", url, "--sha256", "0" * 64]) == 1
    assert "SHA-256 differs" in sentence(capsys)
    assert main(["models", "download", url, "--sha256", digest]) == 0
    assert Ranged.asked == ["", "bytes=1000-"]
    assert set(imported_entries()) == {"away"}
    assert not list(own_cache.glob("*.part"))


@pytest.mark.parametrize(
    "words",
    [["synthesize"], ["train"], ["finetune"], ["export-model"], ["models", "import"], ["models", "download"],
     ["calibrate"], ["probabilities"], ["fuse"], ["augment"], ["tune"], ["check"], ["evaluate"]],
)  # fmt: skip
def test_commands_explain_themselves(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Usage: napari-mosaic" in text
    if words == ["train"]:
        assert "[mosaic: 0.002, grout: 0.0001]" in re.sub(r"[\s│]+", " ", text)


def test_parameters_of_commands_load_no_torch() -> None:
    import subprocess
    import sys

    code = f"import sys, {params_module.__name__}, napari_mosaic.cli.training; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_where_truth_is_not_known_nothing_is_learned(tmp_path: Path) -> None:
    drawing = draw_mosaic(128, seed=4, tessera_px=24)
    for name in ("images", "labels", "known"):
        (tmp_path / "data" / name).mkdir(parents=True)
    known = np.zeros((128, 128), np.uint8)
    known[:, :64] = 255
    cv2.imwrite(str(tmp_path / "data/images/a.png"), drawing.image)
    cv2.imwrite(str(tmp_path / "data/labels/a.png"), drawing.labels.astype(np.uint16))
    cv2.imwrite(str(tmp_path / "data/known/a.png"), known)
    stored = drain(store_folder(tmp_path / "data", tmp_path / "out", masks="labels"))
    np.testing.assert_array_equal(stored.take([0])[0].known, known > 0)
    cv2.imwrite(str(tmp_path / "data/known/a.png"), known * 0)
    with pytest.raises(InputError, match="nothing is known"):
        drain(store_folder(tmp_path / "data", tmp_path / "out2", masks="labels"))


def test_an_encoder_that_there_is_not_is_refused_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--synthetic", "-o", str(tmp_path / "run"), "--encoder", "bese"]) == 1
    assert "no encoder 'bese'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
