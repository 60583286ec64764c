"""Training: targets by hand, a run of a few steps, resume, export."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from skimage.measure import label  # noqa: E402

from napari_mosaic.errors import InputError, MissingError, ModelError  # noqa: E402
from napari_mosaic.inference import load_network  # noqa: E402
from napari_mosaic.progress import Progress  # noqa: E402
from napari_mosaic.synthetic import draw_mosaic  # noqa: E402
from napari_mosaic.training import TrainParams, export_weights, train, train_steps  # noqa: E402
from napari_mosaic.training.data import (  # noqa: E402
    core_target,
    draw_batch,
    draw_pool,
    edge_weight,
    grout_target,
    open_pool,
    random_crop,
)
from napari_mosaic.training.losses import map_loss  # noqa: E402
from napari_mosaic.training.validation import count_blobs  # noqa: E402

SMALL = TrainParams(
    steps=2, drawings=2, drawing_size=96, side=64, batch=2, validation_drawings=1, imagenet=False,
    processes=1, workers=0,
)  # fmt: skip


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
        crop, truth = random_crop(np.random.default_rng(seed), image, labels, 64)
        assert crop.shape == (64, 64, 3)
        assert truth.shape == (64, 64)
        bright = crop.max(axis=2) > 100
        assert (bright == (truth > 0)).mean() > 0.93


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


def test_a_pool_is_drawn_once(tmp_path: Path) -> None:
    assert list(draw_pool(tmp_path, 3, size=64, seed=5, processes=1))[-1] == 3
    before = (tmp_path / "images.npy").stat().st_mtime_ns
    assert list(draw_pool(tmp_path, 3, size=64, seed=5, processes=1)) == [3]
    assert (tmp_path / "images.npy").stat().st_mtime_ns == before
    pool = open_pool(tmp_path)
    np.testing.assert_array_equal(pool.images[1], draw_mosaic(64, 6).image)
    images, targets, weights = draw_batch(pool, np.random.default_rng(0), 2, 64)
    assert images.shape == (2, 64, 64, 3)
    assert targets.shape == (2, 2, 64, 64)
    assert weights.shape == (2, 64, 64)
    with pytest.raises(MissingError):
        open_pool(tmp_path / "nowhere")


def test_a_run_trains_resumes_and_exports(tmp_path: Path) -> None:
    seen: list[Progress] = []
    steps = train_steps(tmp_path, SMALL)
    checkpoint = None
    while checkpoint is None:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            checkpoint = stop.value
    assert {p.phase for p in seen} == {"draw", "train"}
    assert seen[-1].done == 2
    assert torch.load(checkpoint, weights_only=True)["step"] == 2
    train(tmp_path, replace(SMALL, steps=3), resume=True)
    assert torch.load(checkpoint, weights_only=True)["step"] == 3
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [int(float(row["step"])) for row in rows] == [2, 3]
    assert all(float(row["loss"]) > 0 for row in rows)
    path = export_weights(checkpoint, tmp_path / "mine.safetensors", name="mine", command="train")
    for source in (path, checkpoint):
        network = load_network(source, device="cpu", precision="fp32")
        assert network.predict(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 2, 64, 64)
    assert load_network(path, device="cpu").card.name == "mine"
    assert not list(tmp_path.glob("*.part"))


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="checkpoint"):
        train(tmp_path, SMALL, resume=True)
    with pytest.raises(ModelError, match="checkpoint"):
        export_weights(tmp_path / "checkpoint.pt", tmp_path / "x.safetensors")


@pytest.mark.parametrize("wrong", [{"side": 100}, {"side": 320, "drawing_size": 96}, {"batch": 0}, {"minutes": 0.0}])
def test_parameters_that_cannot_train_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        TrainParams(**wrong)
