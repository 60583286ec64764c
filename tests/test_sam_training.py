"""SAM 2 learns: from chance, from folders and exports, with a frozen encoder, again after a stop; on a tiny model."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_mosaic.cli import main
from napari_mosaic.errors import InputError
from napari_mosaic.progress import drain
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import Answers, Prompts
from napari_mosaic.sam.registry import sam_registry
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.training.data import Picture
from napari_mosaic.training.history import read_history
from napari_mosaic.training.sam.params import PRESETS, USUAL_GROUP, VALIDATION, SamTrainParams, SamTuneParams

if importlib.util.find_spec("sam2") is None:  # importing it here would initialise hydra
    pytest.skip("sam2 is not installed", allow_module_level=True)
from napari_mosaic.sam.building import build_model
from napari_mosaic.sam.checkpoints import read_weights, write_weights
from napari_mosaic.sam.network import SamNetwork, load_sam
from napari_mosaic.training.annotations import decode_coco, decode_label_studio, store_annotations
from napari_mosaic.training.sam import finetuning, learner, losses
from napari_mosaic.training.sam.crops import Cutout, SamCrop, ask, fixed_places, take_free, take_place
from napari_mosaic.training.sam.finetuning import train_material
from napari_mosaic.training.sam.network import Levels, decode, encode, learning, mark_learning, start_model
from napari_mosaic.training.sam.prediction_cache import EmbeddingCache, cache_predictions
from napari_mosaic.training.sam.sources import mosaic_of, sam_material
from napari_mosaic.training.sam.tuning import tune_sam_steps
from napari_mosaic.training.sam.validation import automatic_labels, guided_labels, judge

TINY = Path(__file__).parent / "data" / "sam2_tiny.yaml"
CHEAP = {"steps": 2, "most_prompts": 4, "stones": 16, "device": "cpu", "judge": "prompts", "most_judged": 1}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_weights(build_model(TINY), path, {"config": str(TINY)})
    return path


def floor(seed: int, size: int = 96) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    drawing = draw_mosaic(size, seed, "grid", tessera_px=18.0, damaged=False, effects=False)
    return drawing.image, drawing.labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two crops of one mosaic and one of another, as Mosaic-SAM2 keeps them."""
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for seed, name in enumerate(("athens_crop1", "athens_crop2", "delos_crop1")):
        image, labels = floor(seed)
        cv2.imwrite(str(tmp_path / "data" / "images" / f"{name}.jpg"), image[..., ::-1])
        cv2.imwrite(str(tmp_path / "data" / "masks" / f"{name}.png"), (_parted(labels) * 255).astype(np.uint8))
    return tmp_path / "data"


def _words(text: str) -> list[str]:
    return text.split()


def _parted(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Stones that do not touch."""
    return np.asarray(cv2.erode((labels > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def tune_of(weights: Path, **changes: Any) -> SamTrainParams:
    return SamTrainParams(model=str(weights), **{**CHEAP, "epochs": None, "validation_part": 0.4, **changes})


def learn(folder: Path, out: Path, params: SamTrainParams, **options: Any) -> Path:
    return drain(finetuning.finetune_sam_steps([folder], out, params, **options))


def test_a_small_model_is_trained_from_chance_by_one_command(tmp_path: Path, capsys: Any) -> None:
    words = f"sam2-finetune --synthetic --preset small --config {TINY} -o {tmp_path / 'mine'} --half".split()
    words += _words("--drawings 8 --drawing-size 96 --geometry grid --validation 1 --steps 2 --round-steps 1")
    words += ["--batch", "1", "--most-prompts", "4", "--stones", "16", "--processes", "1", "--device", "cpu"]
    assert main(words) == 0
    assert "--sam2.model" in capsys.readouterr().out
    file = tmp_path / "mine" / "mine.safetensors"
    values, header = read_weights(file)
    assert {value.dtype for value in values.values()} == {torch.float16}
    assert (header["tessera_px"], header["base"], header["step"]) == ("32", "chance", header["step"])
    assert load_sam(file, device="cpu").image_size == 128
    rows = read_history(tmp_path / "mine")
    assert [row["step"] for row in rows] == [1, 2]
    assert {"loss", "rate", "iou", "dice", "f1", "score"} <= rows[0].keys()
    assert (tmp_path / "mine" / "history.png").stat().st_size > 1000
    assert list((tmp_path / "mine" / "tensorboard").iterdir())
    assert main(words) == 1
    assert "--resume" in capsys.readouterr().err


def test_a_frozen_encoder_stays_and_runs_once_for_each_crop(
    tmp_path: Path, folder: Path, weights: Path, monkeypatch: Any
) -> None:
    seen = []
    monkeypatch.setattr(learner, "encode", lambda model, images: seen.append(len(images)) or encode(model, images))
    params = tune_of(weights, rate=1e-3, steps=9, stones=25, round_steps=9)
    out = learn(folder, tmp_path / "out", params)
    split = json.loads((tmp_path / "out" / "split.json").read_text())
    assert sorted(split["train"] + split["validation"]) == ["athens", "delos"]
    crops = json.loads((tmp_path / "out" / "run.json").read_text())["crops"]
    assert crops in (8, 16)
    assert sum(seen) == min(crops, 36)
    before, after = read_weights(weights)[0], read_weights(out)[0]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("sam_prompt_encoder.", "sam_mask_decoder.")) for name in changed)
    assert not any("conv_s" in name for name in changed)


def test_a_stopped_run_ends_like_an_undisturbed_one(tmp_path: Path, folder: Path, weights: Path) -> None:
    params = tune_of(weights, rate=1e-3, steps=3, round_steps=1, learn="all", turns="free", prompts="mixed", ema=0.9)
    params = replace(params, answers="best", entropy=1.0, accumulate=1, batch=2)
    whole = learn(folder, tmp_path / "whole", params)
    steps = finetuning.finetune_sam_steps([folder], tmp_path / "cut", params)
    for progress in steps:
        if progress.phase == "train" and progress.done == 2:
            break
    steps.close()
    content = learner.read_sam_checkpoint(tmp_path / "cut" / "checkpoint.pt")
    assert content.keys() == {
        "learned", "average", "optimiser", "scaler", "config", "base", "base_sha256", "step", "total", "best",
        "best_step", "losses", "params",
    }  # fmt: skip
    again = learn(folder, tmp_path / "cut", params, resume=True)
    for name, value in read_weights(whole)[0].items():
        torch.testing.assert_close(value, read_weights(again)[0][name], rtol=0, atol=0)
    assert read_history(tmp_path / "whole") == read_history(tmp_path / "cut")
    with pytest.raises(InputError, match="was begun with rate"):
        learn(folder, tmp_path / "cut", replace(params, rate=1e-4), resume=True)


def test_what_is_told_is_of_the_file_that_is_delivered(
    tmp_path: Path, folder: Path, weights: Path, monkeypatch: Any, capsys: Any
) -> None:
    """The best of three rounds is the first one: its figures are told, those of the last are not."""
    left, real = [0.0, 0.9, 0.2, 0.1], learner.judge  # first comes the model before

    def scored(*given: Any, automatic: bool) -> dict[str, float]:
        figures = real(*given, automatic=automatic)
        return figures | {"score": left.pop(0)} if left else figures

    monkeypatch.setattr(learner, "judge", scored)
    words = ["sam2-finetune", str(folder), "-o", str(tmp_path / "out"), "--model", str(weights), "--half", "--json"]
    words += _words("--steps 3 --round-steps 1 --rate 0.01 --accumulate 1 --stones 16 --most-prompts 4 --device cpu")
    words += _words("--validation-part 0.3 --test-part 0.3 --most-judged 1 --judge prompts --learn lora --group (.+)")
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    params = SamTrainParams(
        model=str(weights), stones=16, most_judged=1, judge="prompts", validation_part=0.3, test_part=0.3,
        group="(.+)", device="cpu",
    )  # fmt: skip
    network = load_sam(answer["model"], device="cpu", precision="fp32")
    material = drain(sam_material([folder], tmp_path / "again", params, "auto"))
    for part, some in (("validation", material.validation), ("test", material.test)):
        places = fixed_places(material.pictures, some, 16)
        chosen = places[int(np.random.default_rng(params.seed).permutation(len(places))[0])]
        sample = take_place(material.pictures, chosen, 0, network.image_size)
        assert answer["delivered"][part] == judge(network, [sample], params, automatic=False)
        for name, labels in (("found", guided_labels(network, sample, params)[0]), ("true", sample.labels)):
            np.save(tmp_path / f"{name}.npy", labels)
        assert main(["evaluate", str(tmp_path / "found.npy"), str(tmp_path / "true.npy"), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)["metrics"]
        for name in ("dice", "accuracy", "precision", "recall"):
            assert answer["delivered"][part][name] == pytest.approx(told["pixels"][name], abs=1e-9)
        assert answer["delivered"][part]["f1"] == pytest.approx(told["matching"][0]["f1"], abs=1e-9)
    assert answer["delivered"]["step"] == 1
    assert [row["step"] for row in answer["history"]] == [1, 2, 3]
    test = json.loads((tmp_path / "out" / "test.json").read_text())
    assert test == {"crops": 1, "step": 1, **answer["delivered"]["test"]}
    assert {"accuracy", "recall", "precision", "pixel_iou", "dice"} <= test.keys()
    assert answer["before"].keys() == answer["delivered"]["validation"].keys()


def test_one_of_two_mosaics_is_kept_back_unless_nothing_is_asked_for(tmp_path: Path, folder: Path) -> None:
    for part, kept in ((0.2, 1), (0.0, 0)):
        params = SamTrainParams(validation_part=part)
        assert len(drain(sam_material([folder], tmp_path / "run", params, "auto")).split["validation"]) == kept


def test_crops_of_one_mosaic_are_known_by_their_names() -> None:
    names = {
        "athens_crop1": "athens", "athens_r2_c3": "athens", "delos-tile_12_rot90": "delos", "rome_3_flip_h": "rome_3",
        "villa_casale": "villa_casale", "museum_rotunda": "museum_rotunda", "museum_07": "museum_07",
        "crop_1": "crop_1",
    }  # fmt: skip
    assert {name: mosaic_of(name, USUAL_GROUP) for name in names} == names
    assert mosaic_of("x_7", "(.+)_[0-9]+") == "x"
    assert mosaic_of("other", "(.+)_[0-9]+") == "other"


def test_low_rank_parts_learn_and_are_merged(tmp_path: Path, folder: Path, weights: Path) -> None:
    params = tune_of(weights, rate=1e-2, steps=2, learn="lora", rank=2, validation_part=0.0)
    start = start_model(params)
    names = set(learning(start.model))
    assert any("parametrizations.weight.0.down" in name for name in names)
    assert not any(name.endswith("weight.original") for name in names)
    after, before = read_weights(learn(folder, tmp_path / "out", params))[0], read_weights(weights)[0]
    assert after.keys() == before.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name]) and "image_encoder" in name}
    assert changed
    assert all(re.search(r"attn\.(qkv|proj)\.weight$", name) for name in changed)


def test_the_grid_runs_all_and_keeps_the_best(
    tmp_path: Path, folder: Path, weights: Path, monkeypatch: Any, capsys: Any
) -> None:
    runs = [(run.rate, run.weight_decay, run.accumulate) for run in finetuning.grid_of(SamTrainParams())]
    assert (len(set(runs)), runs[0], runs[-1]) == (12, (1e-5, 1e-4, 4), (3e-5, 1e-5, 8))
    assert runs[7 - 1] == (1e-5, 1e-5, 4)
    assert {round(run.rate * run.least_rate, 12) for run in finetuning.grid_of(SamTrainParams())} == {1e-6}
    monkeypatch.setattr(finetuning, "GRID_RATES", (1e-3, 1e-2))
    monkeypatch.setattr(finetuning, "GRID_DECAYS", (1e-5,))
    monkeypatch.setattr(finetuning, "GRID_BATCHES", (1,))
    words = ["sam2-finetune", str(folder), "-o", str(tmp_path / "out"), "--grid", "--model", str(weights)]
    words += _words("--steps 1 --stones 16 --most-prompts 4 --validation-part 0.5 --most-judged 1 --judge prompts")
    assert main([*words, "--device", "cpu", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in answer["grid"]] == [1, 2]
    assert Path(answer["model"]).is_file()
    assert len(list((tmp_path / "out" / "embeddings").glob("*.safetensors"))) == 1


def test_validation_with_the_generator_uses_the_published_settings(weights: Path) -> None:
    assert (VALIDATION.points_per_side, VALIDATION.pred_iou_thresh, VALIDATION.stability_score_thresh) == (16, 0.7, 0.7)
    image, labels = floor(4, 128)
    sample = SamCrop(image, labels)
    network = Perfect(labels)
    params = SamTrainParams(model="x", judge="automatic")
    figures = judge(network, [sample], params, automatic=True)  # type: ignore[arg-type]
    assert figures["iou"] > 0.7
    assert figures["dice"] > 0.8
    assert figures["automatic_dice"] > 0.8
    assert figures["score"] == figures["automatic_dice"]


class Perfect:
    """A network that answers with the truth, as far as its cells tell."""

    name = sha256 = config = ""
    precision = "fp32"
    encoded = prompted = 0

    def __init__(self, labels: NDArray[np.int32]) -> None:
        self.labels, self.image_size = labels, labels.shape[0]

    def embed(self, window: NDArray[np.uint8]) -> None:
        return None

    def predict(self, embedding: Any, prompts: Prompts, *, batch: int, multimask: bool = True) -> Any:
        side = self.image_size // 4
        for start in range(0, len(prompts), batch):
            part = slice(start, min(start + batch, len(prompts)))
            places = np.floor(prompts.points[part].reshape(-1, 2)).astype(int)
            ids = self.labels[tuple(places.T)]
            bits = (self.labels[None] == ids[:, None, None]) & (ids > 0)[:, None, None]
            cells = bits.reshape(len(ids), side, 4, side, 4).mean((2, 4)).astype(np.float32)
            logits = np.repeat((cells[:, None] - 0.5) * 16, 3, 1)
            yield part, Answers(logits, np.tile(np.float32([0.9, 0.5, 0.1]), (len(ids), 1)))

    def fitting_batch(self) -> int:
        return 64

    def peak_memory(self) -> int | None:
        return None


def test_thresholds_are_searched_without_the_network(
    tmp_path: Path, folder: Path, weights: Path, monkeypatch: Any, capsys: Any
) -> None:
    words = ["sam2-tune", str(folder), "-o", str(tmp_path / "out"), "--sam2.model", str(weights), "--stones", "16"]
    words += _words("--sam2.points-per-side 4 --sam2.device cpu --crops 2 --goal dice --json --trials")
    assert main([*words, "2"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["trials"], first["crops"]) == (2, 2)
    monkeypatch.setattr(SamNetwork, "embed", None)
    assert main([*words, "4"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["trials"] == 4
    assert second["score"] >= first["score"] >= first["before"]
    assert json.loads((tmp_path / "out" / "best.json").read_text())["best"].keys() == first["best"].keys()
    assert (tmp_path / "out" / "history.png").is_file()


def test_a_stopped_search_leaves_what_it_found(tmp_path: Path, folder: Path, weights: Path) -> None:
    sam = SamParams(model=str(weights), points_per_side=4, device="cpu")
    params = SamTuneParams(trials=9, crops=1, stones=16)
    steps = tune_sam_steps([folder], tmp_path / "out", sam, params)
    scores = [progress.figures["score"] for progress in islice((p for p in steps if p.phase == "trying"), 2)]
    steps.close()
    best = json.loads((tmp_path / "out" / "best.json").read_text())
    assert (best["history"], best["score"]) == (scores, max(scores))


def test_kept_answers_give_the_masks_of_the_network(weights: Path) -> None:
    image, labels = floor(5, 128)
    network = load_sam(weights, device="cpu", precision="fp32")
    points = np.random.default_rng(0).uniform(5, 120, (5, 2))
    prompts = Prompts(points=points)
    kept = cache_predictions(network, image, prompts, floor=-0.5, batch=2)
    ((_, mine),) = kept.predict(None, prompts, batch=9)
    ((_, theirs),) = network.predict(network.embed(image), prompts, batch=9)
    np.testing.assert_allclose(mine.scores, theirs.scores, atol=1e-5)
    above = theirs.logits > -0.5
    np.testing.assert_allclose(mine.logits[above], theirs.logits[above], atol=1e-4)
    params = SamParams(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0, max_mask_share=1.0)
    grid = np.stack(np.meshgrid(*[(np.arange(4) + 0.5) * 32] * 2, indexing="ij"), -1).reshape(-1, 2) // 1 + 0.5
    all_kept = cache_predictions(network, image, Prompts(points=grid), floor=-2.0, batch=8)
    sample = SamCrop(image, labels)
    np.testing.assert_array_equal(automatic_labels(all_kept, sample, params), automatic_labels(network, sample, params))


def test_crops_show_about_so_many_stones_and_prompts_lie_in_them() -> None:
    image, labels = floor(1, 256)
    pictures = [Picture(image, labels)]
    places = fixed_places(pictures, [0], 36)
    assert len(places) >= 4
    covered = np.zeros(labels.shape, bool)
    for place in places:
        covered[place.y : place.y + place.cut, place.x : place.x + place.cut] = True
    assert covered.all()
    sample = take_place(pictures, places[0], 5, 128)
    assert 20 <= sample.count <= 60
    asked = ask(sample, SamTrainParams(model="x"), None)
    inside = sample.labels[asked.points[:, 0, 1].astype(int), asked.points[:, 0, 0].astype(int)]
    np.testing.assert_array_equal(inside, np.arange(1, sample.count + 1))
    areas = np.bincount(sample.labels.ravel())[1:]
    np.testing.assert_allclose(asked.targets.sum((1, 2)) * 16, areas, rtol=1e-5)
    rng = np.random.default_rng(2)
    mixed = [ask(sample, PRESETS["small"], rng, 6) for _ in range(12)]
    assert {asked.kinds.shape[1] for asked in mixed} == {1, 2}
    assert all(len(asked.points) == 6 for asked in mixed)
    free = take_free(pictures, [0], rng, 36, 128)
    assert 10 <= free.count <= 90


def test_what_is_unknown_is_never_asked_for() -> None:
    image, labels = floor(2, 128)
    known = np.ones(labels.shape, bool)
    known[:, :64] = False
    sample = take_place([Picture(image, labels, known)], Cutout(0, 0, 0, 128), 0, 128)
    assert sample.ignore is not None
    assert not sample.labels[sample.ignore].any()
    assert 0 < sample.count < len(np.unique(labels)) - 1
    with pytest.raises(InputError, match="nothing to ask for"):
        fixed_places([Picture(image, np.zeros_like(labels))], [0], 16)
    with pytest.raises(InputError, match="next to no tesserae"):
        take_free([Picture(image, np.zeros_like(labels))], [0], np.random.default_rng(0), 16, 128)


@pytest.mark.parametrize("loss", [losses.first_loss, losses.best_loss])
def test_losses_fall_with_better_masks_and_honest_scores(loss: Any) -> None:
    targets = torch.zeros(2, 16, 16)
    targets[0, 2:5, 2:6] = targets[1, 8:13, 9:12] = 1
    boxes = torch.tensor([[8.0, 8, 20, 24], [32, 36, 52, 48]])
    good = ((targets - 0.5) * 20)[:, None].repeat(1, 4, 1, 1)
    weights = losses.Weights(1.0, 1.0, 1.0)
    right, wrong = torch.ones(2, 4), torch.zeros(2, 4)
    best = loss(good, right, targets, boxes, weights)
    assert best < 0.1
    assert loss(good, wrong, targets, boxes, weights) > best + 0.5
    assert loss(-good, right, targets, boxes, weights) > 1
    assert loss(torch.full_like(good, -8.0), wrong, targets, boxes, weights) > 1
    only_third = torch.cat([-good[:, :3], good[:, 3:]], 1)
    dice = losses.Weights(1.0, 0.0, 0.0)
    gain = loss(-good, wrong, targets, boxes, dice) - loss(only_third, wrong, targets, boxes, dice)
    assert (gain > 0.5) == (loss is losses.best_loss)


def test_what_is_decoded_is_what_inference_decodes(weights: Path) -> None:
    image, labels = floor(3, 128)
    network = load_sam(weights, device="cpu", precision="fp32")
    asked = ask(SamCrop(image, labels), SamTrainParams(model="x"), None, 3)
    with torch.no_grad():
        logits, scores = decode(network.model, encode(network.model, [image]), 0, asked)
    prompts = Prompts(points=asked.points[:, 0, ::-1].astype(float) + 0.5)
    ((_, answers),) = network.predict(network.embed(image), prompts, batch=3)
    np.testing.assert_allclose(logits[:, 1:].numpy(), answers.logits, atol=1e-4)
    np.testing.assert_allclose(scores[:, 1:].numpy(), answers.scores, atol=1e-4)
    _, overlaps = guided_labels(network, SamCrop(image, labels), SamTrainParams(model="x"))
    assert len(overlaps) == int(labels.max())


def test_embeddings_of_another_model_are_not_taken(tmp_path: Path) -> None:
    made = []

    def make() -> Levels:
        made.append(1)
        return Levels(*(torch.full((1, 2, 2, 2), float(len(made))) for _ in range(3)))

    first = EmbeddingCache(tmp_path / "e", "a")
    for _ in range(2):
        assert float(first.take(3, make, torch.device("cpu")).image.mean()) == 1
    (tmp_path / "e" / "000003.safetensors").write_bytes(b"cut")
    assert float(EmbeddingCache(tmp_path / "e", "a").take(3, make, torch.device("cpu")).fine.mean()) == 2
    assert float(EmbeddingCache(tmp_path / "e", "b").take(3, make, torch.device("cpu")).fine.mean()) == 3
    assert (first.hits, first.misses) == (1, 1)


def _packed(mask: NDArray[np.bool_]) -> list[int]:
    """Label Studio's bytes for a mask: one literal run."""
    values = np.repeat(mask.ravel(), 4).astype(np.uint8) * 255
    bits = f"{len(values):032b}{7:05b}{31 % 16:04b}" + f"{15:04b}" * 3
    for start in range(0, len(values), 60000):
        part = values[start : start + 60000]
        bits += f"0{0:02b}{len(part) - 1:016b}" + "".join(f"{value:08b}" for value in part)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


def _coco_text(counts: Sequence[int]) -> str:
    """Run lengths as COCO packs them."""
    text = ""
    for k, count in enumerate(counts):
        value = count - (counts[k - 2] if k > 2 else 0)
        while True:
            bits, value = value & 31, value >> 5
            more = value != -1 if bits & 16 else value != 0
            text += chr((bits | 32 if more else bits) + 48)
            if not more:
                break
    return text


def test_run_lengths_are_read() -> None:
    mask = np.random.default_rng(0).random((7, 11)) > 0.6
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [not flat[-1]]])))
    counts = np.diff(np.concatenate([[0], edges])).tolist()
    np.testing.assert_array_equal(decode_coco({"size": [7, 11], "counts": counts}), mask)
    np.testing.assert_array_equal(decode_coco({"size": [7, 11], "counts": _coco_text(counts)}), mask)
    np.testing.assert_array_equal(decode_label_studio(_packed(mask), (7, 11)), mask)
    repeated = f"{77 * 4:032b}{7:05b}" + f"{9:04b}" * 4 + f"1{0:02b}{307:010b}{255:08b}"
    repeated += "0" * (-len(repeated) % 8)
    data = [int(repeated[k : k + 8], 2) for k in range(0, len(repeated), 8)]
    assert decode_label_studio(data, (7, 11)).all()
    with pytest.raises(ValueError, match="do not fill"):
        decode_coco({"size": [7, 11], "counts": [5]})
    with pytest.raises(ValueError, match="cut off"):
        decode_label_studio(_packed(mask)[:40], (7, 11))


def _picture(folder: Path, name: str, size: tuple[int, int] = (60, 80)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), np.full((*size, 3), 90, np.uint8))


def _square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def test_label_studio_exports_are_read(tmp_path: Path) -> None:
    _picture(tmp_path / "images", "floor.png")
    brush = np.zeros((60, 80), bool)
    brush[40:50, 10:20] = brush[40:50, 30:40] = True
    same = {"original_width": 80, "original_height": 60}
    regions = [
        {"type": "polygonlabels", "value": {"points": _square(10, 10, 20), "polygonlabels": ["tessera"]}, **same},
        {"type": "brushlabels", "value": {"format": "rle", "rle": _packed(brush), "brushlabels": ["tessera"]}, **same},
        {"type": "rectanglelabels", "value": {"x": 60, "y": 10, "width": 20, "height": 20, "rotation": 0}, **same},
        {"type": "ellipselabels", "value": {"x": 85, "y": 80, "radiusX": 8, "radiusY": 8, "rotation": 30}, **same},
        {"type": "choices", "value": {"choices": ["good"]}},
    ]
    task = {"data": {"image": "/data/upload/1/1a2b3c4d-floor.png"}, "annotations": [{"result": regions}]}
    task |= {"file_upload": "1a2b3c4d-floor.png"}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    stored = drain(store_annotations(tmp_path / "export.json", tmp_path / "out"))
    labels = np.asarray(stored[0].labels)
    areas = sorted(np.bincount(labels.ravel())[1:].tolist())
    assert len(areas) == 5
    assert abs(areas[0] - np.pi * 6.4 * 4.8) <= 4  # the ellipse, of 72 corners
    assert areas[1:] == [100, 100, 16 * 12, 16 * 12]
    assert labels[6 + 3, 8 + 3] > 0
    assert labels[9, 52] > 0


@pytest.mark.parametrize(
    ("segmentation", "pixels"),
    [
        ([[20, 10, 60, 10, 60, 50, 20, 50]], 40 * 40),
        ([20, 10, 60, 10, 60, 50, 20, 50], 40 * 40),
        ([[10, 10, 40, 10, 40, 40, 10, 40], [30, 30, 60, 30, 60, 55, 30, 55]], 30 * 30 + 30 * 25 - 10 * 10),
    ],
    ids=["a square", "without the list around it", "two parts that overlap"],
)
def test_coco_outlines_hold_the_pixels_that_they_enclose(tmp_path: Path, segmentation: list[Any], pixels: int) -> None:
    _picture(tmp_path, "floor.png")
    values = {
        "images": [{"id": 1, "file_name": "floor.png", "width": 80, "height": 60}],
        "annotations": [{"image_id": 1, "segmentation": segmentation}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(values))
    stored = drain(store_annotations(tmp_path / "coco.json", tmp_path / "out"))
    assert int((np.asarray(stored[0].labels) > 0).sum()) == pixels


def test_coco_exports_are_read_and_small_stones_lie_on_top(tmp_path: Path) -> None:
    _picture(tmp_path, "floor.png")
    ring = [value for point in _square(10, 10, 30) for value in point]
    hole = [value for point in _square(20, 20, 10) for value in point]
    inner = [value for point in _square(22, 22, 6) for value in point]
    values = {
        "images": [{"id": 7, "file_name": "floor.png", "width": 80, "height": 60}, {"id": 8, "file_name": "b.png"}],
        "annotations": [
            {"image_id": 7, "segmentation": [inner]},
            {"image_id": 7, "segmentation": [ring, hole]},
            {"image_id": 7, "segmentation": {"size": [60, 80], "counts": [60 * 70, 600]}},
            {"image_id": 8, "segmentation": []},
        ],
        "categories": [],
    }
    (tmp_path / "coco.json").write_text(json.dumps(values))
    stored = drain(store_annotations(tmp_path / "coco.json", tmp_path / "out"))
    labels = np.asarray(stored[0].labels)
    assert len(stored) == 1
    assert len(np.unique(labels)) == 4
    assert labels[25, 25] not in (0, labels[12, 12])
    assert labels[21, 21] == 0
    assert (labels[:, 70:] == labels[0, 75]).all()


def _say(capsys: Any, words: Sequence[Any]) -> str:
    assert main([str(word) for word in words]) in (1, 2)
    text = str(capsys.readouterr().err)
    assert "Traceback" not in text
    assert "nobody expected" not in text
    return " ".join(text.split())


def test_bad_input_is_told_in_one_sentence(tmp_path: Path, folder: Path, weights: Path, capsys: Any) -> None:
    common = ["-o", tmp_path / "out", "--model", weights, "--steps", "1", "--device", "cpu"]
    assert "one thing to learn from" in _say(capsys, ["sam2-finetune", *common])
    assert "There is no" in _say(capsys, ["sam2-finetune", tmp_path / "nowhere", *common])
    wrong = ["-o", tmp_path / "o2", "--model", weights, "--config", "sam2.1-hiera-tiny", "--steps", "1"]
    assert "does not fit the SAM 2 configuration" in _say(capsys, ["sam2-finetune", folder, *wrong])
    assert "From chance" in _say(capsys, ["sam2-finetune", folder, "-o", tmp_path / "o3", "--model", "chance"])
    assert "no regular expression" in _say(capsys, ["sam2-finetune", folder, *common, "--group", "("])
    (tmp_path / "bare" / "masks").mkdir(parents=True)
    (tmp_path / "bare" / "images").mkdir()
    assert "no picture" in _say(capsys, ["sam2-finetune", tmp_path / "bare", *common])
    assert "name at least one folder" in _say(capsys, ["sam2-tune", "-o", tmp_path / "o4"])
    with pytest.raises(InputError, match="tune without merge_below"):
        drain(tune_sam_steps([folder], tmp_path / "o5", SamParams(model=str(weights), merge_below=0.3)))
    assert not (tmp_path / "o5").exists()


def test_masks_and_exports_without_stones_are_told(tmp_path: Path, folder: Path, weights: Path, capsys: Any) -> None:
    common = ["-o", tmp_path / "out", "--model", weights, "--steps", "1", "--device", "cpu"]
    empty = tmp_path / "empty.json"
    image, drawn = {"id": 1, "file_name": "a.png"}, {"image_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    for text, word in (
        ("[1", "cannot be read as JSON"),
        ("{}", "neither COCO nor Label Studio"),
        ("[3]", "neither COCO nor Label Studio"),
        ('{"images": [], "annotations": []}', "no picture with a polygon"),
        (json.dumps({"images": [image], "annotations": [drawn]}), "is neither beside it"),
    ):
        empty.write_text(text)
        assert word in _say(capsys, ["sam2-finetune", empty, *common])
    cv2.imwrite(str(folder / "masks" / "delos_crop1.png"), np.zeros((96, 96), np.uint8))
    assert "is empty" in _say(capsys, ["sam2-finetune", folder, *common])
    one = np.zeros((96, 96), np.uint8)
    one[30:60, 30:60] = 255
    for mask in (folder / "masks").iterdir():
        cv2.imwrite(str(mask), one)
    assert "nothing to ask for" in _say(capsys, ["sam2-finetune", folder, *common])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [name for name, entry in sorted(sam_registry().items()) if entry.sha256])
def test_published_architectures_have_sam2s_own_names(name: str) -> None:
    from hydra.core.global_hydra import GlobalHydra
    from sam2.build_sam import build_sam2

    from napari_mosaic.sam.registry import config_names

    if not GlobalHydra.instance().is_initialized():
        from hydra import initialize_config_module

        initialize_config_module("sam2", version_base="1.2")
    try:
        theirs = build_sam2(config_names()[name], None, device="cpu").state_dict()
    finally:
        GlobalHydra.instance().clear()
    mine = build_model(name).state_dict()
    assert {key: value.shape for key, value in mine.items()} == {key: value.shape for key, value in theirs.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, entry in sorted(sam_registry().items()) if entry.sha256])
def test_published_architectures_learn_for_some_steps(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    write_weights(build_model(name), tmp_path / "start.safetensors", {"config": name})
    params = replace(tune_of(tmp_path / "start.safetensors", steps=2, accumulate=1), drawings=8, drawing_size=96)
    params = replace(params, validation=1, processes=1, geometry="grid", round_steps=2)
    material = drain(sam_material([], tmp_path / "out", params, "auto"))
    drain(train_material(tmp_path / "out", params, material, resume=False))
    rows = read_history(tmp_path / "out")
    assert rows[-1]["step"] == 2
    assert np.isfinite(rows[-1]["loss"])
    model = build_model(name)
    mark_learning(model, params)
    assert 3e6 < sum(p.numel() for p in learning(model).values()) < 6e6
