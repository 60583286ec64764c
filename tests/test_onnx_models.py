"""Networks as ONNX: of GROUT's export, of ours, taken in and run; what cannot be run is refused in a sentence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")
onnx = pytest.importorskip("onnx")

from napari_mosaic.cli import main  # noqa: E402
from napari_mosaic.errors import InputError, ModelError  # noqa: E402
from napari_mosaic.grout import read_model  # noqa: E402
from napari_mosaic.inference import load_network  # noqa: E402
from napari_mosaic.record import open_record  # noqa: E402
from napari_mosaic.synthetic import draw_mosaic  # noqa: E402
from napari_mosaic.weights import find_weights, imported_entries  # noqa: E402


class Small(torch.nn.Module):
    """A network from pictures to logits with a step down and up, as a U-Net has them."""

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.down = torch.nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.out = torch.nn.Conv2d(6, classes, 3, padding=1)

    def forward(self, image: Any) -> Any:
        deep = torch.nn.functional.interpolate(torch.relu(self.down(image)), scale_factor=2.0, mode="nearest")
        return self.out(deep)


def export(network: Any, path: Path, *, free: bool = True) -> Path:
    """As GROUT's `export_model.py` writes its files: names, operators, axes."""
    sides = {0: "batch_size", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), torch.randn(1, 3, 64, 64), str(path), dynamo=False, export_params=True, opset_version=12,
            do_constant_folding=True, input_names=["input"], output_names=["output"],
            dynamic_axes={"input": sides, "output": sides} if free else None,
        )  # fmt: skip
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_MOSAIC_CACHE", str(tmp_path / "cache"))


def test_exports_of_grout_give_what_their_network_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, file = Small(), export(Small(), tmp_path / "grout.onnx")
    window = draw_mosaic(320, 4, tessera_px=24).image
    mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    image = torch.from_numpy(((window / 255 - mean) / std).transpose(2, 0, 1)[None]).float()
    with torch.no_grad():
        expected = torch.sigmoid(network(image))[0].numpy()
    assert main(["models", "import", str(file), "--name", "exported", "--tessera-px", "20", "--licence", "MIT"]) == 0
    assert "--model exported" in capsys.readouterr().out
    for model in (file, "exported"):
        loaded = load_network(model)
        assert (loaded.card.channels, loaded.runtime, loaded.device) == (("grout",), "openvino", "cpu")
        assert np.abs(loaded.predict(window[None])[0] / 255 - expected).max() <= 1 / 255
    entry = imported_entries()["exported"]
    assert (entry.tessera_px, entry.licence, loaded.card.tessera_px) == (20.0, "MIT", 20.0)
    assert main(["models", "import", str(file), "--name", "exported"]) == 1
    assert "already" in capsys.readouterr().err


def test_our_own_export_comes_back_with_its_card(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert main(["export-model", "grout-lite", "-o", str(tmp_path / "lite.onnx")]) == 0
    window = draw_mosaic(320, 2).image[None]
    loaded, ours = load_network(tmp_path / "lite.onnx"), load_network(device="cpu", precision="fp32", runtime="torch")
    assert loaded.card.channels == ours.card.channels
    assert (loaded.card.tessera_px, loaded.card.halo) == (ours.card.tessera_px, ours.card.halo)
    assert np.abs(loaded.predict(window).astype(int) - ours.predict(window)).max() <= 1


def test_a_photograph_is_segmented_by_it(tmp_path: Path, photograph: Callable[..., Any], capsys: Any) -> None:
    file = export(Small(), tmp_path / "grout.onnx")
    Image.fromarray(photograph((96, 128))).save(tmp_path / "floor.png")
    assert main(["segment", str(tmp_path / "floor.png"), "--model", str(file), "--scale", "1"]) == 0
    with open_record(tmp_path / "floor.mosaic.zarr") as record:
        assert (record.plan.runtime, record.plan.channels, record.complete) == ("openvino", 1, True)


def test_what_cannot_be_run_is_refused_in_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = Small()
    with torch.no_grad():
        broken.down.weight[0, 0, 0, 0] = float("nan")
    (tmp_path / "text.onnx").write_text("no network at all")
    cases = [
        (export(Small(classes=3), tmp_path / "three.onnx"), "3 maps"),
        (export(broken, tmp_path / "nan.onnx"), "no numbers"),
        (export(torch.nn.Flatten(), tmp_path / "flat.onnx", free=False), "no network from pictures"),
        (export(torch.nn.Conv2d(3, 1, 3, stride=2), tmp_path / "half.onnx"), "not 1 of its size"),
        (tmp_path / "text.onnx", "cannot be read"),
    ]
    for file, words in cases:
        with pytest.raises(ModelError, match=words) as caught:
            load_network(file)
        assert "\n" not in str(caught.value)
    capfd.readouterr()
    with pytest.raises(ModelError):
        load_network(tmp_path / "text.onnx")
    assert capfd.readouterr().err == "", "no reader of another format says anything of its own"
    fine = export(Small(), tmp_path / "fine.onnx")
    with pytest.raises(InputError, match="runs by OpenVINO on a CPU"):
        load_network(fine, device="cuda")
    with pytest.raises(ModelError, match="neither trained"):
        read_model(find_weights(fine))


def test_dis_runs_a_network_of_the_users_own(tmp_path: Path, photograph: Callable[..., Any], capsys: Any) -> None:
    """Bright is object, in a network of one size only, as IS-Net's files are."""

    class Bright(torch.nn.Module):
        def forward(self, image: Any) -> Any:
            return torch.sigmoid(20 * image.mean(1, keepdim=True))

    file = export(Bright(), tmp_path / "isnet.onnx", free=False)
    Image.fromarray(photograph((64, 64))).save(tmp_path / "floor.png")
    words = ["segment", str(tmp_path / "floor.png"), "--method", "dis", "--scale", "1", "--tile-size", "1024"]
    assert main([*words, "--model", str(file)]) == 0
    with open_record(tmp_path / "floor.mosaic.zarr") as record:
        assert (record.plan.method, record.plan.channels) == ("dis", 1)
        assert record.count > 1
    capsys.readouterr()
    assert main([*words, "-o", str(tmp_path / "other.mosaic.zarr")]) == 1
    assert "is not shipped" in capsys.readouterr().err
