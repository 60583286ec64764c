"""The network: loads what it should, refuses the rest in one sentence, predicts what it promises."""

from __future__ import annotations

import argparse
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from napari_mosaic import inference  # noqa: E402
from napari_mosaic.downloads import hash_file  # noqa: E402
from napari_mosaic.engine.segmenters import forget_network, load_segmenter  # noqa: E402
from napari_mosaic.errors import InputError, MissingError, ModelError, UnfitError  # noqa: E402
from napari_mosaic.grout import LAYOUTS, LITE, LiteNetwork, fuse_norms, read_model, to_openvino  # noqa: E402
from napari_mosaic.inference import GroutNetwork, load_network  # noqa: E402
from napari_mosaic.runtimes import read_quantised  # noqa: E402
from napari_mosaic.synthetic import draw_mosaic  # noqa: E402
from napari_mosaic.torch_files import read_torch_file  # noqa: E402
from napari_mosaic.weights import BASE, find_weights, quantised_sibling, read_header  # noqa: E402


@pytest.fixture(scope="module")
def network() -> GroutNetwork:
    return load_network("grout-lite", device="cpu", precision="fp32")


def test_the_card_says_what_the_network_is(network: GroutNetwork) -> None:
    card = network.card
    assert card.channels == ("grout", "core")
    assert card.architecture == LITE
    assert card.tessera_px == 15.8
    assert card.stride == 32
    assert card.halo >= 32
    assert len(card.sha256) == 64
    assert network.precision == "fp32"


def test_windows_become_maps_of_their_size(network: GroutNetwork) -> None:
    windows = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    maps = network.predict(windows)
    assert maps.shape == (3, 2, 64, 96)
    assert maps.dtype == np.uint8
    assert network.predict(windows[:0]).shape == (0, 2, 64, 96)
    alone = np.concatenate([network.predict(w[None]) for w in windows])
    assert np.abs(maps.astype(int) - alone).max() <= 1


def test_the_bundled_network_finds_joints_and_stones_of_a_drawing(network: GroutNetwork) -> None:
    drawing = draw_mosaic(256, seed=21, geometry="rows", tessera_px=24, damaged=False)
    joint, core = network.predict(drawing.image[None])[0] > 127
    truth = drawing.labels == 0
    assert 2 * (joint & truth).sum() / (joint.sum() + truth.sum()) > 0.6
    assert core[truth].mean() < 0.1 < core[~truth].mean()


def test_eight_bits_change_hardly_a_joint(network: GroutNetwork) -> None:
    pytest.importorskip("openvino")
    fast = load_network("grout-lite", device="cpu")
    assert (fast.precision, fast.runtime, fast.card) == ("int8", "openvino", network.card)
    joints = total = 0
    for seed in range(4):
        image = draw_mosaic(256, seed=seed, tessera_px=24).image[None]
        joints += int(((fast.predict(image) > 127) != (network.predict(image) > 127)).sum())
        total += 2 * image.size // 3
    assert joints / total < 0.02


def test_on_a_cpu_the_bundled_network_needs_no_torch() -> None:
    pytest.importorskip("openvino")
    code = (
        "import sys, numpy as np; from napari_mosaic.inference import load_network;"
        "load_network(device='cpu').predict(np.zeros((1, 64, 64, 3), np.uint8)); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_what_was_begun_on_a_cpu_goes_on_there_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(inference, "may_have_gpu", lambda: True)
    monkeypatch.setattr(inference, "_best_device", lambda: "cuda")
    for asked in ({"precision": "int8"}, {"runtime": "openvino"}, {"precision": "int8", "runtime": "openvino"}):
        assert load_network("grout-lite", **asked).precision == "int8"
    monkeypatch.setattr(inference, "_best_device", lambda: "cpu")
    assert load_network("grout-lite").precision == "int8"


def test_eight_bit_files_serve_only_the_weights_they_were_made_from(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    weights = find_weights().path
    for name in (weights.name, f"{weights.stem}.int8.safetensors"):
        shutil.copy(weights.with_name(name), tmp_path / name)
    assert load_network(tmp_path / weights.name, device="cpu").precision == "int8"
    other = load_file(weights)
    other["head.bias"] += 1
    save_file(other, tmp_path / weights.name, metadata=read_header(weights))
    changed = load_network(tmp_path / weights.name, device="cpu")
    assert changed.precision in ("fp32", "bf16")  # which of them depends on the processor
    assert changed.card.sha256 == hash_file(tmp_path / weights.name)
    with pytest.raises(InputError, match="no eight-bit file"):
        load_network(tmp_path / weights.name, device="cpu", precision="int8")
    with pytest.raises(InputError, match="OpenVINO on a CPU"):
        load_network("grout-lite", device="cpu", precision="int8", runtime="torch")


def test_weights_in_eight_bits_alone_run_on_a_cpu_by_openvino_only(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(inference, "may_have_gpu", lambda: True)
    monkeypatch.setattr(inference, "_best_device", lambda: "cuda")
    assert load_network("grout-lite-1").precision == "int8"
    for asked in ({"precision": "fp32"}, {"runtime": "torch"}, {"device": "cuda"}):
        with pytest.raises(UnfitError, match="eight-bit integers only"):
            load_network("grout-lite-1", **asked)


@pytest.mark.parametrize(
    "windows",
    [
        np.zeros((1, 60, 64, 3), np.uint8),
        np.zeros((1, 64, 64), np.uint8),
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((1, 0, 64, 3), np.uint8),
    ],
)
def test_windows_that_do_not_fit_are_refused(network: GroutNetwork, windows: np.ndarray) -> None:
    with pytest.raises(InputError):
        network.predict(windows)


def test_folding_the_norms_changes_nothing() -> None:
    torch.manual_seed(0)
    plain = LiteNetwork().eval()
    for module in plain.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    folded = LiteNetwork().eval()
    folded.load_state_dict(plain.state_dict())
    fuse_norms(folded)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(folded(image), plain(image), atol=1e-4, rtol=1e-4)


def _as_grout_saves(layout: str, network: Any) -> dict[str, Any]:
    """What GROUT's two trainings write, what its loader takes beside, and what parallel training leaves."""
    state = network.state_dict()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-5)
    sum(p.sum() for p in network.parameters()).backward()
    optimiser.step()
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, mode="max", factor=0.5, patience=5, min_lr=1e-7)
    plateau.step(np.float64(0.9137))
    saved = {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": optimiser.state_dict()}
    return {
        "bare": state,
        "state_dict": {"state_dict": state},
        "module": {"state_dict": {f"module.{name}": value for name, value in state.items()}},
        "train": {**saved, "best_metric": np.float64(0.9137), "scheduler_state_dict": plateau.state_dict()},
        "tensor": {**saved, "best_metric": torch.tensor(0.9137)},
        "finetune": {**saved, "best_dice": 0.91, "stage": 2, "config": {"encoder": "resnet34", "img_size": 512}},
    }[layout]


def _settled_unet(encoder: str, classes: int = 1) -> Any:
    """A U-Net of segmentation-models-pytorch whose norms have seen something, as after a training."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    network = smp.Unet(encoder, encoder_weights=None, in_channels=3, classes=classes, activation=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


@pytest.mark.parametrize("layout", ["bare", "state_dict", "module", "train", "tensor", "finetune"])
def test_checkpoints_as_grout_saves_them_load_in_every_layout(tmp_path: Path, layout: str) -> None:
    network = _settled_unet("resnet34")
    torch.save(_as_grout_saves(layout, network), tmp_path / "best_model_res34_2026_01_31.pth")
    loaded, card = read_model(find_weights(tmp_path / "best_model_res34_2026_01_31.pth"))
    assert (card.channels, card.architecture) == (("grout",), "smp-unet-resnet34")
    assert (card.mean, card.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for name, value in network.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name


@pytest.mark.parametrize("encoder", ["efficientnet-b3", "resnet34", "mobilenet_v2"])
def test_maps_of_a_checkpoint_are_those_of_plain_smp(tmp_path: Path, encoder: str) -> None:
    plain = _settled_unet(encoder).eval()
    torch.save({"model_state_dict": plain.state_dict()}, tmp_path / "grout.pth")
    window = draw_mosaic(320, 3, tessera_px=24).image  # of a size that is computed as it is: see framing.SIDES
    mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    image = torch.from_numpy(((window / 255 - mean) / std).transpose(2, 0, 1)[None]).float()
    with torch.no_grad():
        expected = torch.sigmoid(plain(image))[0].numpy()
    network = load_network(tmp_path / "grout.pth", device="cpu", precision="fp32", runtime="torch")
    assert network.card.architecture == f"smp-unet-{encoder}"
    assert np.abs(network.predict(window[None])[0] / 255 - expected).max() <= 1 / 255


def test_networks_of_more_classes_or_of_no_numbers_are_refused_in_a_sentence(tmp_path: Path) -> None:
    torch.save({"state_dict": _settled_unet("resnet18", classes=3).state_dict()}, tmp_path / "three.pth")
    broken = _settled_unet("resnet18").state_dict()
    broken["decoder.blocks.0.conv1.0.weight"][0, 0, 0, 0] = float("nan")
    torch.save({"state_dict": broken}, tmp_path / "nan.pth")
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.save(smp.FPN("resnet18", encoder_weights=None).state_dict(), tmp_path / "fpn.pth")
    for name, words in (("three", "3 maps"), ("nan", "no numbers"), ("fpn", "do not fit")):
        with pytest.raises(ModelError, match=words) as caught:
            read_model(find_weights(tmp_path / f"{name}.pth"))
        assert "\n" not in str(caught.value)


def _as_numpy_1(source: Path, target: Path) -> None:
    """The same file as numpy 1 would have had it written: with its own name of the module that makes scalars."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                data = data.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
                assert b"cnumpy.core.multiarray\nscalar\n" in data
            new.writestr(entry.filename, data)


@pytest.mark.parametrize("number", [np.float64(0.9137), np.float32(0.9137), 0.9137, torch.tensor(0.9137), np.int64(7)])
def test_checkpoints_as_grouts_own_training_saves_them_are_read(tmp_path: Path, number: Any) -> None:
    network = LiteNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, "max")
    plateau.step(number)
    content = {
        "epoch": np.int64(3), "model_state_dict": network.state_dict(), "optimizer_state_dict": optimiser.state_dict(),
        "scheduler_state_dict": plateau.state_dict(), "best_metric": number,
    }  # fmt: skip
    path, older = tmp_path / "grout_b3_best.pth", tmp_path / "numpy1.pth"
    torch.save(content, path)
    _as_numpy_1(path, older)
    for file in (path, older):
        read = read_torch_file(file)
        assert read["best_metric"] == number
        assert read["epoch"] == 3
        card = load_network(file, device="cpu", precision="fp32", runtime="torch").card
        assert card.channels == ("grout", "core")


@pytest.mark.parametrize("code", ["?", "<i2", ">i4", "<u1", "<u8", "<f2", ">f4", ">f8"])
def test_numpys_numbers_come_back_as_they_were(tmp_path: Path, code: str) -> None:
    number = np.array([1], code)[0]
    torch.save({"a": number, "dtype": np.dtype(code)}, tmp_path / "number.pth")
    read = read_torch_file(tmp_path / "number.pth")
    assert read["a"] == number
    assert read["a"].dtype == number.dtype


class _Called:
    """Pickles as a call of a function of numpy's."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    "content",
    [
        np.arange(3),
        np.dtype("O"),
        np.dtype("U4"),
        np.dtype([("a", "f8")]),
        np.datetime64("2026-01-01"),
        np.str_("text"),
        _Called(type(np.arange(1)), (2,)),
        _Called(np.dtype, [("a", "O")]),
    ],
    ids=lambda content: type(content).__name__,
)
def test_of_numpy_only_numbers_are_read(tmp_path: Path, content: Any) -> None:
    torch.save({"state_dict": LiteNetwork().state_dict(), "best_metric": content}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="code"):
        load_network(tmp_path / "other.pth", device="cpu")


def test_a_checkpoint_with_more_than_weights_is_told_as_what_it_is(tmp_path: Path) -> None:
    state = {"state_dict": LiteNetwork().state_dict()}
    for name, more, words in (
        ("history.pth", np.arange(3.0), "holds arrays of numpy besides weights"),
        ("options.pth", argparse.Namespace(lr=1), r"holds argparse\.Namespace besides weights"),
    ):
        torch.save(state | {"more": more}, tmp_path / name)
        with pytest.raises(ModelError, match=words + r".* torch\.save\(model\.state_dict\(\), PATH\)"):
            load_network(tmp_path / name, device="cpu")
    (tmp_path / "pickled.pth").write_bytes(pickle.dumps({"best": np.float64(0.9)}))
    with pytest.raises(ModelError, match="written by Python's pickle"):
        load_network(tmp_path / "pickled.pth", device="cpu")


class _Bomb:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("napari-mosaic-was-here"),))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = LiteNetwork().state_dict()
    torch.save({"state_dict": _Bomb()}, tmp_path / "bomb.pth")
    torch.save({"state_dict": state, "best_metric": np.float64(1), "more": _Bomb()}, tmp_path / "beside.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(_Bomb()))
    for name in ("bomb.pth", "beside.pth", "plain.pth"):
        with pytest.raises(ModelError, match="code"):
            load_network(tmp_path / name, device="cpu")
    assert not (tmp_path / "napari-mosaic-was-here").exists()


def test_files_that_are_no_model_end_in_one_sentence(tmp_path: Path) -> None:
    bundled = find_weights().path.read_bytes()
    small = tmp_path / "small.pth"
    torch.save({"state_dict": {"layer.weight": torch.zeros(2)}}, small)
    contents = {
        "empty.pth": b"",
        "text.pth": b"this is no model at all",
        "cut.safetensors": bundled[: len(bundled) // 2],
        "header.safetensors": bundled[:100],
        "cut.pth": small.read_bytes()[:200],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    wrong = LiteNetwork().state_dict() | {"decoder.1.layers.3.weight": torch.zeros(2)}
    torch.save(wrong, tmp_path / "wrong.pth")
    torch.save([1, 2, 3], tmp_path / "list.pth")
    for name in [*contents, "small.pth", "wrong.pth", "list.pth"]:
        with pytest.raises(ModelError) as caught:
            load_network(tmp_path / name, device="cpu")
        assert "\n" not in str(caught.value)


def test_missing_files_and_unknown_choices_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="nowhere"):
        load_network(tmp_path / "nowhere.pth")
    with pytest.raises(InputError, match="abacus"):
        load_network(device="abacus")
    with pytest.raises(InputError, match="fp8"):
        load_network(precision="fp8")
    with pytest.raises(InputError, match="threads"):
        load_network(threads=0)


def test_memory_that_runs_out_lowers_the_batch(network: GroutNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, run = [], network._run

    def scarce(windows: np.ndarray) -> np.ndarray:
        sizes.append(len(windows))
        if len(windows) > 2:
            raise RuntimeError("CUDA out of memory.")
        return run(windows)

    monkeypatch.setattr(network, "_run", scarce)
    monkeypatch.setattr(network, "_most", None)
    assert network.predict(np.zeros((8, 32, 32, 3), np.uint8)).shape == (8, 2, 32, 32)
    assert sizes == [8, 4, 2, 2, 2, 2]


def test_a_window_that_never_fits_says_so(network: GroutNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(windows: np.ndarray) -> np.ndarray:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(network, "_run", never)
    monkeypatch.setattr(network, "_most", None)
    with pytest.raises(ModelError, match="smaller windows"):
        network.predict(np.zeros((2, 32, 32, 3), np.uint8))


def test_other_faults_of_the_network_are_not_taken_for_lack_of_memory(
    network: GroutNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(windows: np.ndarray) -> np.ndarray:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(network, "_run", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        network.predict(np.zeros((1, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("name", ["grout-lite", "grout-lite-1"])
def test_bundled_eight_bit_networks_copy_no_layer_to_pad_it(name: str) -> None:
    openvino = pytest.importorskip("openvino")
    graph, constants = read_quantised(Path(str(quantised_sibling(find_weights(name)))))
    model = openvino.Core().read_model(model=graph, weights=openvino.Tensor(constants))
    paddings = [node for node in model.get_ops() if node.get_type_name() == "Pad"]
    assert len(paddings) == 5
    for node in paddings:
        assert {node.input_value(place).get_node().get_type_name() for place in (1, 2)} == {"Constant"}


def test_settled_paddings_change_no_map() -> None:
    openvino = pytest.importorskip("openvino")
    model, card = read_model(find_weights("grout-lite"))
    window = draw_mosaic(192, seed=3).image[None]
    whole = to_openvino(model, card)
    compiled = openvino.Core().compile_model(whole, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    exact = load_network("grout-lite", device="cpu", precision="fp32", runtime="torch")
    found = compiled(window)[0].astype(int)
    assert np.abs(found - exact._run(window)).max() <= 1


def test_a_network_is_loaded_once_by_whatever_it_is_asked_for() -> None:
    forget_network()
    first = load_segmenter("grout", "grout-lite", device="cpu")
    exactly = load_segmenter("grout", "grout-lite", device="cpu", precision=first.precision, runtime=first.runtime)
    again = load_segmenter("grout", "grout-lite", device="cpu")
    assert first._network is exactly._network is again._network


def test_the_stronger_network_is_told_by_its_weights_and_runs_alike_in_both_runtimes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save({"state_dict": LiteNetwork(LAYOUTS[BASE]).state_dict()}, tmp_path / "base.pth")
    model, card = read_model(find_weights(tmp_path / "base.pth"))
    assert (card.architecture, card.channels) == (BASE, ("grout", "core"))
    assert model(torch.zeros(1, 3, 64, 96)).shape == (1, 2, 64, 96)
    window = draw_mosaic(320, seed=1).image[None]
    maps = [
        load_network(tmp_path / "base.pth", device="cpu", precision="fp32", runtime=runtime).predict(window).astype(int)
        for runtime in ("torch", "openvino")
    ]
    assert maps[0].shape == (1, 2, 320, 320)
    assert np.abs(maps[0] - maps[1]).max() <= 2
