"""What `docs/coming-from.md` says stands for GROUT's and Mosaic-SAM2's commands runs, in its order, on a tiny set."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
smp = pytest.importorskip("segmentation_models_pytorch")

from napari_mosaic.cli import main, make_app  # noqa: E402
from napari_mosaic.cli.spellings import COMMANDS, OPTIONS  # noqa: E402
from napari_mosaic.synthetic import draw_mosaic  # noqa: E402

PAGE = Path(__file__).resolve().parents[1] / "docs" / "coming-from.md"
TINY = ["--side", "64", "--batch", "2", "--epochs", "1", "--workers", "0", "--device", "cpu", "--processes", "1"]
SMALL = {
    "segment": ["--scale", "1", "--device", "cpu"],
    "synthesize": ["--count", "7", "--size", "96", "--processes", "1"],
    "train": [*TINY, "--encoder", "resnet18", "--start", "chance", "--drawings", "0"],
    "finetune": TINY,
}
"""What makes a command of the table small."""
PARSED = ("--method sam2", "sam2-finetune", "sam2-tune", "fine_tuned.torch", "--method dis")
"""Of commands with these words only the words are tried: they want a model of others, and other tests run them."""

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="not a checkout")


def commands() -> list[str]:
    rows = [line.split("|")[2] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [found for row in rows for found in re.findall(r"`napari-mosaic ([^`]+)`", row)]


def tiny_words(command: str) -> list[str]:
    """The words of a command with its sizes replaced by small ones."""
    words = shlex.split(command.replace("MODEL", "grout.pth"))
    for option, value in zip(SMALL.get(words[0], [])[::2], SMALL.get(words[0], [])[1::2], strict=True):
        if option in words:
            words[words.index(option) + 1] = value
        else:
            words += [option, value]
    return words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photograph, its truth, GROUT's checkpoint, predictions of two methods and their truths, a finished run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAPARI_MOSAIC_CACHE", str(tmp_path / "cache"))
    drawing = draw_mosaic(96, 3, "grid", tessera_px=16, damaged=False)
    Image.fromarray(drawing.image).save("floor.png")
    Image.fromarray(np.where(drawing.labels == 0, 255, 0).astype(np.uint8)).save("truth.png")
    for name in ("photos", "truths", "predictions", "baseline"):
        Path(name).mkdir()
    shutil.copy("floor.png", "photos/east.png")
    for name in ("truths", "predictions", "baseline"):
        found = np.roll(drawing.labels, 0 if name == "truths" else len(name) - 7, 0)
        Image.fromarray(np.where(found > 0, 255, 0).astype(np.uint8)).save(f"{name}/east.png")
    network = smp.Unet("resnet18", encoder_weights=None, classes=1)
    torch.save({"model_state_dict": network.state_dict(), "best_metric": np.float64(0.9)}, "grout.pth")
    return tmp_path


def test_every_command_of_the_table_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("matplotlib")
    ran = 0
    for command in commands():
        words = tiny_words(command)
        if any(part in command for part in PARSED):
            make_app().parse_args(words, exit_on_error=False, print_error=False)
            continue
        if "grout.onnx" in words and words[0] == "models":
            continue  # tests/test_onnx_models.py takes GROUT's exports in
        assert main(words) == 0, (command, capsys.readouterr().err)
        ran += 1
    assert ran >= 16


def test_words_of_grout_are_ours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["segment", "--image", "floor.png", "--model", "grout-lite", "--scale", "1", "--output_dir", "results"]
    assert main(words) == 0
    assert "--output_dir is --joints here." in capsys.readouterr().err
    assert (folder / "results" / "floor_mask.png").is_file()
    for command, options in OPTIONS.items():
        known = main([command, "--help"]) or capsys.readouterr().out
        assert all(ours in str(known) for ours in options.values()), command
    for program in COMMANDS:
        assert main([f"{program}.py"]) == 2
        assert "napari-mosaic" in capsys.readouterr().err
    for value in (["--batch_size", "0"], ["--batch_size=0"]):
        assert main(["train", "--data_dir", "photos", "-o", "run", *value]) == 2
        assert "batch" in capsys.readouterr().err
