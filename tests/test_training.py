"""Training: targets by hand, runs of a few steps, resumed and killed, presets, export."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from skimage.measure import label  # noqa: E402

from napari_mosaic.errors import InputError, MissingError, ModelError, WriteError  # noqa: E402
from napari_mosaic.grout import LiteNetwork  # noqa: E402
from napari_mosaic.inference import load_network  # noqa: E402
from napari_mosaic.progress import Progress  # noqa: E402
from napari_mosaic.synthetic import draw_mosaic  # noqa: E402
from napari_mosaic.training import (  # noqa: E402
    FINETUNE_PRESETS,
    PRESETS,
    FinetuneParams,
    TrainParams,
    export_weights,
    train,
    train_steps,
)
from napari_mosaic.training import learner as learner_module  # noqa: E402
from napari_mosaic.training import loop as loop_module  # noqa: E402
from napari_mosaic.training.checkpoints import BEST, LAST, read_checkpoint  # noqa: E402
from napari_mosaic.training.data import (  # noqa: E402
    Mixture,
    Picture,
    core_target,
    draw_batch,
    edge_weight,
    grout_target,
    random_crop,
)
from napari_mosaic.training.history import read_history  # noqa: E402
from napari_mosaic.training.learner import cut_step  # noqa: E402
from napari_mosaic.training.loop import Standing  # noqa: E402
from napari_mosaic.training.losses import line_loss, map_loss  # noqa: E402
from napari_mosaic.training.network import freeze, make_unet  # noqa: E402
from napari_mosaic.training.optimising import Optimiser  # noqa: E402
from napari_mosaic.training.pool import Endless, draw_one, draw_pool, open_pool  # noqa: E402
from napari_mosaic.training.run import _recipe  # noqa: E402
from napari_mosaic.training.validation import count_blobs  # noqa: E402

SMALL = TrainParams(
    steps=4, drawings=3, drawing_size=96, side=64, batch=2, validation=1, start="chance", round_steps=2,
    processes=1, workers=0,
)  # fmt: skip


WORDS = [
    "--steps", "4", "--drawings", "3", "--drawing-size", "96", "--side", "64", "--batch", "2", "--validation", "1",
    "--start", "chance", "--round-steps", "2", "--processes", "1", "--workers", "0",
]  # fmt: skip
"""`SMALL` on the command line."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run of `SMALL`."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder, SMALL)
    return folder


def pool_of(whole: Path, folder: Path) -> Path:
    """The same drawings in another run's folder, not drawn again."""
    folder.mkdir(exist_ok=True)
    (folder / "pool").symlink_to(whole / "pool")
    return folder


def test_stones_that_touch_have_a_joint_on_their_border() -> None:
    labels = np.array([[1, 1, 2, 2, 0], [1, 1, 2, 2, 0]])
    np.testing.assert_array_equal(grout_target(labels), [[0, 1, 1, 0, 1], [0, 1, 1, 0, 1]])


@pytest.mark.parametrize("seed", range(4))
def test_every_stone_has_one_core_apart_from_all_others(seed: int) -> None:
    labels = draw_mosaic(160, seed=seed, geometry="figure", tessera_px=22, damaged=False).labels
    core = core_target(labels) > 0
    blobs, n = label(core, connectivity=2, return_num=True)
    assert not core[labels == 0].any()
    owners = {int(blob): np.unique(labels[blobs == blob]).tolist() for blob in range(1, n + 1)}
    assert all(len(owner) == 1 for owner in owners.values())
    named = [owner[0] for owner in owners.values()]
    assert len(set(named)) == len(named)
    wide = np.bincount(labels.ravel())[1:] > 60
    assert np.isin(np.flatnonzero(wide) + 1, named).mean() > 0.98


def test_nothing_drawn_has_no_core_and_all_joint() -> None:
    labels = np.zeros((40, 40), np.int32)
    assert grout_target(labels).all()
    assert not core_target(labels).any()
    assert np.isfinite(edge_weight(labels)).all()


def test_outlines_weigh_most() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:30] = 1
    weight = edge_weight(labels)
    assert weight[10, 20] > 1.5 * weight[20, 20]
    assert weight.min() >= 1


def test_crops_keep_picture_and_truth_together() -> None:
    labels = np.zeros((96, 96), np.int32)
    labels[20:60, 30:80] = 5
    image = np.repeat((labels > 0).astype(np.uint8)[..., None] * 200, 3, axis=2)
    for seed in range(5):
        crop = random_crop(np.random.default_rng(seed), Picture(image, labels), 64)
        assert crop.image.shape == (64, 64, 3)
        assert crop.labels.shape == (64, 64)
        bright = crop.image.max(axis=2) > 100
        assert (bright == (crop.labels > 0)).mean() > 0.93


def test_what_nobody_knows_weighs_nothing() -> None:
    labels = np.ones((50, 30), np.int32)
    known = np.zeros(labels.shape, bool)
    known[:, :10] = True
    picture = Picture(np.zeros((50, 30, 3), np.uint8), labels, known, factor=1.0)
    batch = draw_batch([picture] * 4, np.random.default_rng(0), 64)
    seen = (batch.weights > 0).mean()
    assert 0.05 < seen < 0.3
    everywhere = draw_batch([Picture(picture.image, labels)], np.random.default_rng(0), 64)
    assert (everywhere.weights[0] > 0).mean() < 0.5


def test_pictures_are_cut_at_the_size_of_their_stones() -> None:
    labels = np.zeros((400, 400), np.int32)
    labels[:, 200:] = 1
    image = np.repeat((labels > 0).astype(np.uint8)[..., None] * 200, 3, axis=2)
    large = [random_crop(np.random.default_rng(s), Picture(image, labels, factor=0.5), 64) for s in range(8)]
    assert all(crop.known is None for crop in large)
    assert sum(0 < (crop.labels > 0).mean() < 1 for crop in large) >= 2


def test_the_loss_is_least_for_the_truth() -> None:
    target = (torch.rand(2, 2, 16, 16) > 0.5).float()
    right, wrong = (map_loss(sign * 20 * (target - 0.5), target, torch.ones(2, 16, 16)) for sign in (1, -1))
    assert float(right) < 0.01 < 5 < float(wrong)


def test_blobs_are_counted_by_stone() -> None:
    labels = np.zeros((20, 40), np.int32)
    labels[2:18, 2:12], labels[2:18, 14:24], labels[2:18, 26:36] = 1, 2, 3
    core = np.zeros(labels.shape, bool)
    core[8:12, 5:9] = True
    core[4:6, 17:20] = core[12:14, 17:20] = True
    core[8:10, 38:40] = True
    assert count_blobs(core, labels) == (3, 1, 2)


def test_pixels_that_nobody_knows_do_not_count_in_the_loss() -> None:
    target = (torch.rand(1, 2, 16, 16) > 0.5).float()
    logits = 20 * (target - 0.5)
    weights = torch.ones(1, 16, 16)
    weights[:, :8] = 0
    logits[:, :, :8] *= -1
    assert float(map_loss(logits, target, weights)) < 0.01 < float(map_loss(logits, target, torch.ones(1, 16, 16)))


def test_a_broken_line_costs_more_than_a_thin_one() -> None:
    true = torch.zeros(1, 1, 24, 24)
    true[..., 10:13, :] = 1
    thin, broken = torch.zeros_like(true), true.clone()
    thin[..., 11, :] = 1
    broken[..., 8:16] = 0
    loss = [float(line_loss(20 * (mask - 0.5), true)) for mask in (true, thin, broken)]
    assert loss[0] < 0.1
    assert loss[1] < loss[2]


def test_a_pool_is_drawn_once_and_only_what_is_missing(tmp_path: Path) -> None:
    drawing = draw_pool(tmp_path, 25, size=64, seed=5, processes=1)
    assert next(drawing) == 0
    assert next(drawing) == 20
    drawing.close()
    (tmp_path / "drawn").write_text("0\n")
    before = open_pool(tmp_path).images[3].copy()
    assert list(draw_pool(tmp_path, 25, size=64, seed=5, processes=1)) == [20, 25]
    assert list(draw_pool(tmp_path, 25, size=64, seed=5, processes=1)) == [25]
    pool = open_pool(tmp_path)
    np.testing.assert_array_equal(pool.images[3], before)
    np.testing.assert_array_equal(pool[21].image, draw_mosaic(64, 26).image)
    with pytest.raises(MissingError):
        open_pool(tmp_path / "nowhere")


def test_mixes_draw_their_layouts_and_nothing_else() -> None:
    drawn = {draw_one(64, seed, "grout").geometry for seed in range(30)}
    assert drawn == {"bond", "circles", "cells"}
    assert draw_one(64, 3, "grid").geometry == "grid"
    np.testing.assert_array_equal(Endless(64)[7].image, draw_mosaic(64, 1_000_007).image)


def test_a_batch_follows_from_seed_and_step_alone() -> None:
    mixture = Mixture((Endless(96, count=50), Endless(96, count=50, first_seed=9)), (0.5, 0.5))
    again = [cut_step(mixture, SMALL, 2, step)[0] for step in (7, 8, 7)]
    assert torch.equal(again[0], again[2])
    assert not torch.equal(again[0], again[1])
    other = cut_step(mixture, replace(SMALL, seed=1), 1, 7)
    assert other[1].shape == (2, 1, 64, 64)
    assert not torch.equal(other[0], again[0])


def test_a_run_trains_goes_on_and_exports(whole: Path, tmp_path: Path) -> None:
    out = pool_of(whole, tmp_path / "run")
    seen: list[Progress] = []
    checkpoint = train(out, SMALL, on_progress=seen.append)
    assert {p.phase for p in seen} == {"draw", "train"}
    assert (seen[-1].done, seen[-1].total) == (4, 4)
    assert read_checkpoint(checkpoint)["step"] == 4
    train(out, replace(SMALL, steps=5), resume=True)
    assert read_checkpoint(checkpoint)["step"] == 5
    rows = read_history(out)
    assert [row["step"] for row in rows] == [2, 4, 5]
    assert all(row["loss"] > 0 and 0 <= row["score"] <= 1 for row in rows)
    assert (out / "history.png").stat().st_size > 1000
    assert list((out / "tensorboard").iterdir())
    path = export_weights(checkpoint, out / "mine.safetensors", name="mine", command="train")
    for source in (path, checkpoint, out / BEST):
        network = load_network(source, device="cpu", precision="fp32", runtime="torch")
        assert network.predict(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 2, 64, 64)
    assert load_network(path, device="cpu", runtime="torch").card.name == "mine"
    assert not list(out.glob("*.tmp"))


def test_a_run_that_is_stopped_anywhere_ends_like_an_undisturbed_one(whole: Path, tmp_path: Path) -> None:
    out = pool_of(whole, tmp_path / "run")
    steps = train_steps(out, SMALL)
    while (progress := next(steps)).phase != "train" or progress.done < 3:
        pass
    steps.close()
    assert read_checkpoint(out / LAST)["step"] == 3
    train(out, replace(SMALL, workers=1), resume=True)
    assert (out / "history.csv").read_text() == (whole / "history.csv").read_text()
    ours, theirs = (read_checkpoint(folder / LAST)["average"] for folder in (out, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_checkpoints_hold_what_they_held_before_so_older_runs_go_on(whole: Path) -> None:
    content = read_checkpoint(whole / LAST)
    assert content.keys() == {
        "model", "average", "optimiser", "scaler", "standing", "recipe", "step", "total", "seconds", "params", "losses",
    }  # fmt: skip
    assert list(content["standing"]) == ["rate", "best", "best_step", "since_best", "since_change", "stopped"]
    assert [(len(group["params"]) > 0, group["scale"]) for group in content["optimiser"]["param_groups"]] == [
        (True, 0.5), (True, 1.0)
    ]  # fmt: skip
    assert json.loads((whole / "run.json").read_text()).keys() == {"total", "params", "recipe"}


def test_a_run_that_is_killed_twice_ends_like_an_undisturbed_one(whole: Path, tmp_path: Path) -> None:
    out = pool_of(whole, tmp_path / "run")
    words = ["train", "--synthetic", "-o", str(out), *WORDS, "--resume"]
    script = f"""
import os, signal, sys
import torch
torch.set_num_threads({torch.get_num_threads()})  # sums come out alike only over as many threads
from napari_mosaic.training import learner
from napari_mosaic.cli import main
take = learner.GroutLearner.take_step
def fatal(self, batch):
    if self.course.step == int(sys.argv[1]):
        (learner.Path({str(out)!r}) / "history.csv").open("a").write("4,0.5,0.1,0.1,0.1,0.1,0.1\\n5,0.")
        os.kill(os.getpid(), signal.SIGKILL)
    return take(self, batch)
learner.GroutLearner.take_step = fatal
main({words!r})
"""
    for step, kept in ((1, False), (3, True)):
        command = [sys.executable, "-c", script, str(step)]
        killed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert killed.returncode == -9, killed.stderr
        assert (out / LAST).exists() == kept
    assert read_checkpoint(out / LAST)["step"] == 2
    train(out, SMALL, resume=True)
    assert (out / "history.csv").read_text() == (whole / "history.csv").read_text()


def test_minutes_become_steps_once_and_for_all(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = pool_of(whole, tmp_path / "run")
    monkeypatch.setattr(loop_module, "_seconds_a_step", lambda *_: 1.0)
    params = replace(SMALL, steps=None, minutes=0.05)
    steps = train_steps(out, params)
    while next(steps).phase != "train":
        pass
    del steps
    monkeypatch.setattr(loop_module, "_seconds_a_step", lambda *_: 0.001)
    assert read_checkpoint(train(out, params, resume=True))["step"] == 3


def test_a_trial_says_how_long_a_step_takes(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_module, "_TRIAL", 3)
    out = pool_of(whole, tmp_path / "run")
    steps = train_steps(out, replace(SMALL, steps=None, minutes=10.0))
    while (progress := next(steps)).phase != "train":
        pass
    assert progress.total > 10
    steps.close()


def test_grouts_recipe_trains_any_encoder_on_joints_alone(whole: Path, tmp_path: Path) -> None:
    recipe = replace(
        PRESETS["grout"], encoder="resnet18", start="chance", drawings=3, drawing_size=96, geometry="mix", side=64,
        batch=2, validation=1, epochs=2, device="cpu", processes=1, workers=0,
    )  # fmt: skip
    out, stopped = (pool_of(whole, tmp_path / name) for name in ("run", "stopped"))
    checkpoint = train(out, recipe)
    assert checkpoint == out / BEST
    assert read_checkpoint(out / LAST)["step"] == 4
    best = max(read_history(out), key=lambda row: row["score"])["step"]
    assert read_checkpoint(checkpoint)["step"] == best == json.loads((out / "delivered.json").read_text())["step"]
    steps = train_steps(stopped, recipe)
    while (progress := next(steps)).phase != "train" or progress.done < 3:
        pass
    steps.close()
    train(stopped, recipe, resume=True)
    assert (stopped / "history.csv").read_text() == (out / "history.csv").read_text()
    assert set(read_history(out)[0]) == {"step", "loss", "rate", "grout_dice", "score"}
    for source in (checkpoint, export_weights(checkpoint, tmp_path / "r.safetensors", name="r")):
        network = load_network(source, device="cpu", precision="fp32", runtime="torch")
        assert network.card.architecture == "smp-unet-resnet18"
        assert network.card.channels == ("grout",)
        assert network.card.mean == (0.485, 0.456, 0.406)
        assert network.predict(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 1, 64, 64)


def test_bfloat16_trains_on_a_processor_and_the_weights_stay_single(whole: Path, tmp_path: Path) -> None:
    run = pool_of(whole, tmp_path / "run")
    content = read_checkpoint(train(run, replace(SMALL, amp="bfloat16")))
    assert all(v.dtype in (torch.float32, torch.int64) for v in content["average"].values())
    single = read_checkpoint(whole / LAST)["average"]
    moved = [float((v - single[k]).abs().mean()) for k, v in content["average"].items() if k.endswith("weight")]
    assert 0 < max(moved) < 0.05


def test_grouts_recipe_is_its_own() -> None:
    grout = PRESETS["grout"]
    assert (grout.encoder, grout.epochs, grout.batch, grout.rate) == ("efficientnet-b3", 200, 32, 1e-4)
    assert (grout.dice, grout.entropy, grout.clip, grout.seed) == (0.5, 0.3, 1.0, 42)
    assert (grout.schedule, grout.patience, grout.factor, grout.least_rate) == ("plateau", 5, 0.5, 1e-7)
    assert (grout.optimiser, grout.weight_decay) == ("adam", 1e-5)
    assert (grout.early_stop, grout.validation_part, grout.test_part) == (15, 0.15, 0.15)


def test_grouts_fine_tuning_is_its_own() -> None:
    params = FINETUNE_PRESETS["grout"]
    first, second = (_recipe(params, stage, "grout-lite") for stage in ("1", "2"))
    assert (first.rate, second.rate) == (1e-4, 1e-6)
    assert (first.epochs, second.epochs) == (20, 10)
    assert (first.freeze, second.freeze) == ("encoder-weights", "nothing")
    for stage in (first, second):
        assert (stage.optimiser, stage.weight_decay, stage.batch, stage.side) == ("adamw", 1e-5, 16, 512)
        assert (stage.schedule, stage.patience, stage.factor, stage.early_stop) == ("plateau", 3, 0.5, 10)
        assert (stage.dice, stage.entropy, stage.edges, stage.steps) == (0.5, 0.3, 0.0, None)
    assert (params.keep, params.rehearsal, params.masks, params.validation_part) == (0.0, 0.0, "grout", 0.15)
    usual = FinetuneParams()
    assert _recipe(usual, "2", "grout-lite").rate == usual.rate / 5
    assert _recipe(usual, "1", "grout-lite").freeze == "encoder"


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_a_step_is_that_of_the_optimiser_that_was_asked_for(kind: str) -> None:
    """Decay belongs to the gradient of Adam, whose first step is then the rate whatever the decay; not to AdamW's."""
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    ours = Optimiser([weight], rate=0.1, weight_decay=0.5, clip=0.0, device=torch.device("cpu"), half=None, kind=kind)
    ours.add_gradient((weight * 3).sum(), 0)
    ours.update(0.1)
    assert float(weight.detach()) == pytest.approx(1.9 if kind == "adam" else 2.0 * (1 - 0.05) - 0.1, abs=1e-4)


def test_a_frozen_encoders_norms_may_still_see_what_comes() -> None:
    network = LiteNetwork()
    freeze(network.train(), "encoder-weights")
    assert not any(p.requires_grad for p in network.encoder.parameters())
    assert all(p.requires_grad for p in network.decoder.parameters())
    assert network.encoder.training


def test_a_plateau_lowers_the_rate_and_ends_the_run() -> None:
    params = replace(PRESETS["grout"], patience=1, early_stop=5, least_rate=0.3)
    standing = Standing(rate=1.0)
    rates = []
    for score in (0.5, 0.6, 0.6, 0.5, 0.5, 0.5):
        standing.note(score, len(rates), params)
        rates.append(standing.rate)
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.3]
    assert not standing.stopped
    assert standing.best_step == 1
    standing.note(0.1, 9, params)
    assert standing.stopped


def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = pool_of(whole, tmp_path / "run")
    train(out, replace(SMALL, steps=2))
    monkeypatch.setattr(learner_module, "map_loss", lambda *_, **__: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(ModelError, match="no number any more at step 3"):
        train(out, SMALL, resume=True)
    content = read_checkpoint(out / LAST)
    assert content["step"] == 2
    assert all(torch.isfinite(v).all() for v in content["model"].values() if v.is_floating_point())


def test_a_full_disk_keeps_the_last_checkpoint(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = pool_of(whole, tmp_path / "run")
    train(out, replace(SMALL, steps=2))

    def full(_content: object, stream: object) -> None:
        stream.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WriteError, match="disk is full"):
        train(out, SMALL, resume=True)
    assert read_checkpoint(out / LAST)["step"] == 2
    assert not list(out.glob("*.tmp"))


def test_a_run_is_not_lost_by_starting_another(whole: Path) -> None:
    with pytest.raises(InputError, match="--resume"):
        train(whole, SMALL)
    with pytest.raises(InputError, match=r"begun with batch 2, not 3"):
        train(whole, replace(SMALL, batch=3), resume=True)


def test_a_run_that_goes_on_with_other_parameters_is_refused_before_its_drawings_are_replaced(whole: Path) -> None:
    before = (whole / "pool" / "pool.json").read_bytes()
    steps = train_steps(whole, replace(SMALL, drawings=4), resume=True)
    with pytest.raises(InputError, match=r"begun with drawings 3, not 4"):
        next(steps)
    assert (whole / "pool" / "pool.json").read_bytes() == before


def test_what_is_no_checkpoint_is_refused(whole: Path, tmp_path: Path) -> None:
    out = pool_of(whole, tmp_path / "run")
    (out / LAST).write_bytes(b"nothing")
    with pytest.raises(ModelError, match="checkpoint"):
        train(out, SMALL, resume=True)
    with pytest.raises(ModelError, match="checkpoint"):
        export_weights(out / LAST, tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    "wrong",
    [{"side": 100}, {"side": 320, "drawing_size": 96}, {"batch": 0}, {"minutes": 0.0}, {"geometry": "square"},
     {"entropy": 0.0, "dice": 0.0}],
)  # fmt: skip
def test_parameters_that_cannot_train_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        TrainParams(**wrong)


def test_encoders_that_are_not_there_are_named() -> None:
    with pytest.raises(InputError, match="no-such-net"):
        make_unet("no-such-net", 1)


def test_weights_that_cannot_be_fetched_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import segmentation_models_pytorch as smp

    real = smp.Unet

    def offline(name: str, encoder_weights: str | None, **words: int) -> torch.nn.Module:
        if encoder_weights:
            raise OSError("no connection")
        return real(name, encoder_weights=None, **words)

    monkeypatch.setattr(smp, "Unet", offline)
    with pytest.raises(ModelError, match="start from chance"):
        make_unet("resnet18", 1, "imagenet")
