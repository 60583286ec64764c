"""SAM 2's models: built without hydra, loaded from files good and bad, run on a tiny one with random weights."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_mosaic.downloads import hash_file
from napari_mosaic.engine.sam.plan import AUTOMATIC, GUIDED
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.errors import DependencyError, InputError, MissingError, ModelError
from napari_mosaic.sam import registry
from napari_mosaic.sam.params import PRESETS, SamParams
from napari_mosaic.sam.prompts import Prompts
from napari_mosaic.sam.registry import SMALLEST, config_names, sam_registry
from napari_mosaic.tiling import Box

if importlib.util.find_spec("sam2") is None:  # importing it here would initialise hydra
    pytest.skip("sam2 is not installed", allow_module_level=True)
from napari_mosaic.sam import building
from napari_mosaic.sam.building import build_model, config_signature
from napari_mosaic.sam.checkpoints import VIDEO_PARTS, load_model, read_weights, weights_signature, write_weights
from napari_mosaic.sam.network import SamNetwork, load_sam
from test_sam_masks import bordered, masks_of, start, whole

TINY = Path(__file__).parent / "data" / "sam2_tiny.yaml"
PARAMS = SamParams(
    tessera_px=24.0, overlap=0.2, points_per_batch=6, points_per_side=8, stability_score_thresh=0.0,
    pred_iou_thresh=0.0, max_mask_share=1.0, min_area=4, least_share=0.0, most_share=100, swallow_share=1.0,
    min_mask_region_area=4096, stability_score_offset=0.001, least_visible=0.1,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny() -> torch.nn.Module:
    torch.manual_seed(3)  # its masks differ from stone to stone
    return build_model(TINY)


@pytest.fixture
def network(tiny: torch.nn.Module) -> SamNetwork:
    return SamNetwork(tiny, name="tiny", sha256="t", config="tiny")


@pytest.fixture
def weights(tiny: torch.nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    write_weights(tiny, path, {"config": str(TINY)})
    return path


def window(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (128, 128, 3)).astype(np.uint8)


def test_models_are_built_from_anywhere_and_leave_hydra_alone(tmp_path: Path, monkeypatch: Any) -> None:
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    monkeypatch.chdir(tmp_path)
    assert not GlobalHydra.instance().is_initialized()
    first = build_model(SMALLEST)
    second = build_model(os.path.relpath(TINY))
    assert (first.image_size, second.image_size) == (256, 128)
    assert not GlobalHydra.instance().is_initialized()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text("answer: 42\n")
    with hydra.initialize_config_dir(str(tmp_path / "conf"), version_base=None):
        build_model(TINY)
        assert hydra.compose("mine").answer == 42


def test_our_small_model_is_small(tiny: torch.nn.Module) -> None:
    from napari_mosaic.sam.checkpoints import image_weights

    parameters = sum(value.numel() for value in image_weights(build_model(SMALLEST)).values())
    assert 4 * parameters < 15_000_000
    assert not any(name.startswith(VIDEO_PARTS) for name in image_weights(tiny))


def test_weights_come_back_and_are_recognised(weights: Path, tiny: torch.nn.Module, tmp_path: Path) -> None:
    again, config = load_model(weights)
    assert config == str(TINY)
    for name, value in read_weights(weights)[0].items():
        torch.testing.assert_close(again.state_dict()[name], value)
    published = tmp_path / "published.pt"
    torch.save({"model": build_model(SMALLEST).state_dict()}, published)
    assert load_model(published)[1] == SMALLEST
    assert weights_signature(read_weights(published)[0]) == config_signature(SMALLEST)
    torch.save({"module." + k: v for k, v in tiny.state_dict().items()}, published)
    assert load_model(published, TINY)[1] == str(TINY)
    loaded = load_sam(published, config=TINY, device="cpu", precision="fp32")
    assert (loaded.image_size, loaded.name, len(loaded.sha256)) == (128, "published", 64)


def test_bad_files_are_told_in_one_sentence(weights: Path, tmp_path: Path, tiny: torch.nn.Module) -> None:
    with pytest.raises(ModelError, match="does not fit"):
        load_model(weights, SMALLEST)
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:5000])
    whole_file = tmp_path / "whole.pt"
    torch.save({"model": tiny.state_dict()}, whole_file)
    (tmp_path / "cut.pt").write_bytes(whole_file.read_bytes()[:5000])
    (tmp_path / "code.pt").write_bytes(pickle.dumps({"model": _Evil()}))
    for name in ("cut.safetensors", "cut.pt", "code.pt"):
        with pytest.raises(ModelError, match="cannot be read"):
            load_model(tmp_path / name)
    assert not _Evil.ran
    with pytest.raises(ModelError, match="unknown size"):
        load_model(whole_file)
    torch.save({"a": torch.zeros(2)}, whole_file)
    with pytest.raises(ModelError, match="another network"):
        load_model(whole_file)
    torch.save({k: v for k, v in tiny.state_dict().items() if "iou_token" not in k}, whole_file)
    with pytest.raises(ModelError, match="1 weights are missing"):
        load_model(whole_file, TINY)
    with pytest.raises(MissingError):
        load_model(tmp_path / "nowhere.pt")


class _Evil:
    ran = False

    def __reduce__(self) -> Any:
        return setattr, (_Evil, "ran", True)


def test_unknown_configurations_are_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of"):
        build_model("sam2-hiera-gigantic")
    other = tmp_path / "other.yaml"
    for text in ("a: [1", "a: 1", "model: {image_encoder: 3}"):
        other.write_text(text)
        with pytest.raises(ModelError, match="no configuration"):
            build_model(other)
    other.write_text(TINY.read_text().replace("sam2.modeling.sam2_base.SAM2Base", "os.system"))
    with pytest.raises(ModelError, match="may not make"):
        build_model(other)


def test_without_sam2_one_sentence_names_the_extra(monkeypatch: Any) -> None:
    monkeypatch.delitem(sys.modules, "sam2", raising=False)
    monkeypatch.setattr(building.importlib, "import_module", _missing)
    with pytest.raises(DependencyError, match=r"napari-mosaic\[sam2\]"):
        build_model(TINY)


def _missing(name: str) -> Any:
    raise ModuleNotFoundError(name, name=name)


def test_the_registry_names_the_eight_published_models() -> None:
    entries = sam_registry()
    assert len(entries) == 9
    mosaic = entries.pop("mosaic-sam2")
    assert mosaic.url == "https://huggingface.co/ckapelonis02/SAM2-mosaic"
    assert mosaic.sha256 is None
    for name, entry in entries.items():
        assert name in config_names()
        assert entry.url is not None
        assert entry.url.startswith("https://dl.fbaipublicfiles.com/segment_anything_2/")
        assert entry.licence == "Apache-2.0"
        assert len(str(entry.sha256)) == 64
    assert len({entry.sha256 for entry in entries.values()}) == 8
    assert PRESETS["mosaic-sam2"].model in entries


def test_a_checkpoint_is_taken_in_and_given_by_name(
    tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str], tiny: torch.nn.Module
) -> None:
    from napari_mosaic.cli import main
    from napari_mosaic.sam.registry import present_models

    monkeypatch.setenv("NAPARI_MOSAIC_CACHE", str(tmp_path / "cache"))
    assert present_models() == {}
    published = tmp_path / "published.pt"
    torch.save({"model": build_model(SMALLEST).state_dict()}, published)
    assert main(["models", "download", "mosaic-sam2"]) == 1
    assert "models import --name mosaic-sam2" in capsys.readouterr().err
    known = sam_registry()["mosaic-sam2"]
    assert main(["models", "import", str(published), "--name", "mosaic-sam2"]) == 0
    assert "large" in known.summary
    told = sam_registry()["mosaic-sam2"]  # a small model under the name of the large one
    assert told.summary == f"SAM 2 ({SMALLEST}), imported from published.pt."
    assert told.licence == "as its owner says"
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(registry, "_MOSAIC_CONFIGS", (SMALLEST,))  # as if it were large
    assert main(["models", "import", str(published), "--name", "mosaic-sam2"]) == 0
    assert "--sam2.model mosaic-sam2" in capsys.readouterr().out
    taken = sam_registry()["mosaic-sam2"]
    for name in ("licence", "summary", "tessera_px", "mean", "std"):
        assert getattr(taken, name) == getattr(known, name)
    words = ["--name", "mosaic-sam2", "--licence", "CC0", "--overwrite"]
    assert main(["models", "import", str(published), *words]) == 0
    assert (sam_registry()["mosaic-sam2"].licence, known.tessera_px) == ("CC0", 100.0)
    assert list(present_models()) == ["mosaic-sam2"]
    loaded = load_sam("mosaic-sam2", device="cpu", precision="fp32")
    assert (loaded.config, loaded.image_size, loaded.tessera_px) == (SMALLEST, 256, 100.0)
    assert pickle.loads(pickle.dumps(loaded)).sha256 == loaded.sha256
    for words, reason in (
        (["--name", "mosaic-sam2"], "already"),
        (["--name", "sam2-hiera-large"], "published model"),
        (["--config", "mine.yaml"], "known configuration"),
        (["--config", "sam2.1-hiera-tiny"], "does not fit"),
    ):
        assert main(["models", "import", str(published), *words]) == 1
        assert reason in capsys.readouterr().err
    published.write_bytes(published.read_bytes()[:9000])
    assert main(["models", "import", str(published), "--name", "cut"]) == 1
    with pytest.raises(ModelError, match="loaded from a file"):
        pickle.dumps(SamNetwork(tiny))


def test_models_can_be_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from napari_mosaic.cli import main

    assert main(["models", "list"]) == 0
    assert "sam2.1-hiera-base-plus" in capsys.readouterr().out
    assert main(["models", "show", "sam2-hiera-large"]) == 0
    assert "072824/sam2_hiera_large.pt" in capsys.readouterr().out


def test_a_model_is_fetched_by_name_and_checked(tmp_path: Path, monkeypatch: Any, tiny: torch.nn.Module) -> None:
    from napari_mosaic.sam import network as module

    served = tmp_path / "served.pt"
    torch.save({"model": build_model(SMALLEST).state_dict()}, served)
    monkeypatch.setenv("NAPARI_MOSAIC_CACHE", str(tmp_path / "cache"))
    with _serving(tmp_path) as address:
        entry = replace(sam_registry()["sam2-hiera-tiny"], name=SMALLEST, url=f"{address}/served.pt", sha256="0" * 64)
        monkeypatch.setattr(module, "sam_registry", lambda: {SMALLEST: entry})
        with pytest.raises(ModelError, match="SHA-256 differs"):
            load_sam(SMALLEST, device="cpu")
        entry = replace(entry, sha256=hash_file(served))
        monkeypatch.setattr(module, "sam_registry", lambda: {SMALLEST: entry})
        assert load_sam(SMALLEST, device="cpu", precision="fp32").config == SMALLEST
    assert load_sam(SMALLEST, device="cpu", precision="fp32").image_size == 256


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_prompts_in_any_batch_give_the_same_masks(network: SamNetwork, monkeypatch: Any) -> None:
    embedding = network.embed(window())
    points = np.random.default_rng(1).uniform(0, 128, (7, 2))
    boxes = np.concatenate([points - 9, points + 9], 1).clip(0, 128)
    masks = np.random.default_rng(2).normal(size=(7, 32, 32)).astype(np.float32)
    prompts = Prompts(points=points, boxes=boxes, masks=masks)
    ((_, all_at_once),) = network.predict(embedding, prompts, batch=7, multimask=False)
    assert all_at_once.logits.shape == (7, 1, 32, 32)
    decode, tried = network._decode, []

    def poor(*arguments: Any) -> Any:
        tried.append(len(arguments[1]))
        if tried[-1] > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return decode(*arguments)

    monkeypatch.setattr(network, "_decode", poor)
    parts = list(network.predict(embedding, prompts, batch=7, multimask=False))
    assert tried == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert [part for part, _ in parts] == [slice(k, k + 1) for k in range(7)]
    np.testing.assert_allclose(np.concatenate([a.logits for _, a in parts]), all_at_once.logits, atol=1e-4)
    monkeypatch.setattr(network, "_decode", lambda *_: poor(None, [0] * 9))
    with pytest.raises(ModelError, match="Not even one prompt"):
        list(network.predict(embedding, prompts, batch=7))
    assert 1 <= network.fitting_batch() <= 64
    with pytest.raises(InputError, match="128 x 128"):
        network.embed(window()[:64])


def test_answers_are_those_of_sam2_itself(tiny: torch.nn.Module, network: SamNetwork) -> None:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    theirs = SAM2ImagePredictor(tiny)
    theirs._bb_feat_sizes = [(32, 32), (16, 16), (8, 8)]
    theirs.set_image(window(4))
    _, scores, logits = theirs.predict(np.array([[40.0, 70.0]]), np.array([1]), multimask_output=True)
    mine = next(network.predict(network.embed(window(4)), Prompts(points=np.array([[70.5, 40.5]])), batch=1))[1]
    np.testing.assert_allclose(mine.scores[0], scores, atol=1e-4)
    np.testing.assert_allclose(mine.logits[0].clip(-32, 32), logits, atol=1e-3)


@pytest.mark.parametrize(("mode", "share"), [(GUIDED, 0.5), (AUTOMATIC, 0.95)])
def test_random_masks_are_the_same_for_any_tiles(
    network: SamNetwork, tmp_path: Path, brightness: FunctionSegmenter, mode: str, share: float
) -> None:
    picture, found = bordered(68)[11:151, 11:171], []
    some = next(network.predict(network.embed(picture[:128, :128]), Prompts(points=np.full((4, 2), 57.0)), batch=4))[1]
    params = replace(PARAMS, mask_threshold=float(np.quantile(some.logits, share)))
    with start(tmp_path / "a.mosaic.zarr", picture, brightness) as record:
        for run in ({"tile_size": 64, "workers": 2}, {"tile_size": 1024}):
            masks_of(record, picture, network, mode, params, **run)
            box = Box(0, 0, *record.shape)
            found.append(whole(record) if mode == GUIDED else record.label_layer("sam2").read(box))
        assert not record.label_layer("sam2").table()["fallback"].to_numpy().all()
    np.testing.assert_array_equal(*found)
    assert len(np.unique(found[0])) > 2


def test_segment_runs_sam2_from_a_file(tmp_path: Path, weights: Path, photograph: Any) -> None:
    from PIL import Image

    from napari_mosaic.cli import main
    from napari_mosaic.engine.sam.methods import _METHODS, register_mask_method

    register_mask_method("brightness", *_METHODS["grout+sam2"])
    try:
        Image.fromarray(photograph((90, 110))).save(tmp_path / "floor.png")
        words = ["segment", str(tmp_path / "floor.png"), "--method", "brightness", "--scale", "1.0", "--device", "cpu"]
        words += ["--sam2.tessera-px", "24", "--sam2.points-per-batch", "8", "--into", "sam2"]
        assert main([*words, "--sam2.model", str(weights)]) == 0
        assert main([*words, "--sam2.model", str(weights), "--resume"]) == 0
        assert main([*words, "--sam2.model", str(tmp_path / "none.pt"), "--overwrite"]) == 1
    finally:
        del _METHODS["brightness"]


@pytest.mark.parametrize(("method", "into"), [("sam2", "tesserae"), ("grout+sam2", "auto")])
def test_the_command_finds_masks_with_the_bundled_network(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], method: str, into: str
) -> None:
    import json

    from PIL import Image

    from napari_mosaic.cli import main
    from napari_mosaic.record import open_record
    from napari_mosaic.synthetic import draw_mosaic

    drawing = draw_mosaic(150, 3, "grid", tessera_px=24.0, damaged=False)
    Image.fromarray(drawing.image).save(tmp_path / "floor.png")
    words = ["segment", str(tmp_path / "floor.png"), "--method", method, "--into", into, "--scale", "1.0", "--json"]
    words += ["--sam2.model", str(weights), "--sam2.tessera-px", "24", "--sam2.points-per-side", "6"]
    words += ["--sam2.points-per-batch", "16", "--sam2.pred-iou-thresh", "0", "--sam2.stability-score-thresh", "0"]
    assert main([*words, "--device", "cpu"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["complete"]
    assert told["sam2"]["windows"] <= 9
    assert told["sam2"]["prompts"] > 0
    assert told["sam2"]["peak_bytes"] is None or told["sam2"]["peak_bytes"] > 1e6
    with open_record(told["record"]) as record:
        table = record.label_layer("sam2").table()
        assert record.count == len(table) == told["tesserae"]
        assert set(table.column_names) >= {"score", "stability", "fallback"}
    assert main([*words, "--device", "cpu", "--resume"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["tesserae"] == told["tesserae"]
    few = [*words[: words.index("--into")], "--scale", "1", "--device", "cpu", "--resume", "--json"]
    assert main(few) == 0
    assert json.loads(capsys.readouterr().out)["tesserae"] == told["tesserae"]
    assert main([*few, "--sam2.points-per-side", "32"]) == 1
    assert "points-per-side 6, not 32" in capsys.readouterr().err
    assert main([*few, "--sam2-preset", "ours", "--sam2.model", str(weights)]) == 1
    assert main([*words[:-2], "--sam2.points-per-batch", "8", "--overwrite", "--resume"]) == 2


def test_a_photograph_without_a_single_seed_is_told(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    from napari_mosaic.cli import main

    Image.new("RGB", (120, 90), (128, 128, 128)).save(tmp_path / "flat.png")
    words = ["segment", str(tmp_path / "flat.png"), "--method", "grout+sam2", "--scale", "1.0", "--device", "cpu"]
    assert main([*words, "--sam2.model", str(weights), "--sam2.tessera-px", "24"]) == 0
    assert "flat.png: no tessera was found, because" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(sam_registry()) - {"mosaic-sam2"}))
def test_published_architectures_are_built_and_run(name: str) -> None:
    model = build_model(name)
    assert weights_signature(model.state_dict()) == config_signature(name)
    network = SamNetwork(model)
    embedding = network.embed(np.zeros((1024, 1024, 3), np.uint8))
    ((_, answers),) = network.predict(embedding, Prompts(points=np.full((2, 2), 500.0)), batch=2)
    assert answers.logits.shape == (2, 3, 256, 256)
