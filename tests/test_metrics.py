"""Metrics against figures worked out by hand and against the independent scorer of the shared data."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mosaic.errors import InputError
from napari_mosaic.grout_metrics import evaluate_grout, thin
from napari_mosaic.metrics import (
    THRESHOLDS,
    PixelMetrics,
    add_overlaps,
    count_overlaps,
    evaluate_labels,
    evaluate_masks,
    sort_stones,
    summarise,
)
from napari_mosaic.synthetic import draw_mosaic

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CROPS = ("rabbit", "bull", "griffin1", "onager")
needs_data = pytest.mark.skipif(not (DATA / "score.py").exists(), reason="shared data are not here")


def blocks(rows: int, columns: int, size: int = 10, gap: int = 2) -> np.ndarray:
    """Square stones numbered in reading order, parted by grout."""
    stone = np.zeros((size, size), int)
    stone[gap // 2 : size - gap // 2, gap // 2 : size - gap // 2] = 1
    return np.kron(np.arange(1, rows * columns + 1).reshape(rows, columns), stone)


@pytest.fixture(scope="module")
def scorer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("shared_score", DATA / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def disturb(labels: np.ndarray, seed: int) -> np.ndarray:
    """Merge, drop, shift and speckle: everything that a segmentation gets wrong."""
    rng = np.random.default_rng(seed)
    top = int(labels.max())
    table = np.arange(top + 1)
    table[rng.integers(1, top, top // 8)] = 0
    table[rng.integers(1, top, top // 8)] = rng.integers(1, top, top // 8)
    shifted = np.roll(table[labels], rng.integers(-4, 5, 2), (0, 1))
    specks = rng.random(labels.shape) < 0.001
    shifted[specks] = top + 1 + np.arange(specks.sum())
    return shifted


def agree(ours: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None, scorer: ModuleType) -> None:
    expected = scorer.score(truth, ours, ignore)
    found = evaluate_labels(ours, truth, ignore=ignore)
    got = {
        "n": found.truth,
        "pred": found.predicted,
        "cnt": found.cnt,
        "prec": found.prec,
        "rec": found.rec,
        "fm": found.fm,
        "f1_50": found.at(0.5).f1,
        "f1_75": found.at(0.75).f1,
        "pq": found.at(0.5).panoptic_quality,
        "miou": found.mean_best_iou,
        "pix_iou": found.pixels.iou,
    }
    assert got == pytest.approx({k: float(v) for k, v in expected.items()}, abs=1e-6)


@needs_data
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_the_independent_scorer(crop: str, seed: int, scorer: ModuleType) -> None:
    _, truth, ignore = scorer.crop_truth(crop)
    agree(disturb(truth, seed), truth, ignore, scorer)
    agree(disturb(truth, seed), truth, None, scorer)


@needs_data
@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_agrees_with_the_scorer_on_noise(seed: int, scorer: ModuleType) -> None:
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 12, (6, 7)), np.ones((5, 5), int))
    prediction = np.roll(np.kron(rng.integers(0, 15, (6, 7)), np.ones((5, 5), int)), rng.integers(0, 5), 1)
    if truth.any() and prediction.any():
        agree(prediction, truth, None, scorer)


def test_perfect_prediction_scores_one_everywhere() -> None:
    truth = blocks(3, 4)
    found = evaluate_labels(truth, truth)
    assert (found.truth, found.predicted, found.cnt) == (12, 12, 0)
    assert (found.prec, found.rec, found.fm, found.mean_best_iou) == (1, 1, 1, 1)
    assert all(m.f1 == m.panoptic_quality == m.mean_matched_iou == 1 for m in found.matching)
    assert found.pixels.iou == found.pixels.accuracy == 1


def test_ids_may_be_sparse_and_large() -> None:
    truth = blocks(3, 4)
    ids = np.concatenate([[0], np.random.default_rng(0).choice(2**40, 12, replace=False) + 1]).astype(np.uint64)
    assert evaluate_labels(ids[truth], truth) == evaluate_labels(truth, truth)


def test_one_huge_region_has_full_recall_but_no_match() -> None:
    truth = blocks(3, 4)
    found = evaluate_labels(np.ones_like(truth), truth)
    assert found.rec == 1
    assert found.prec == pytest.approx(64 / 1200)
    assert found.at(0.5).true_positives == 0


def test_merged_pair_counts_as_one_miss_and_one_false() -> None:
    truth = blocks(1, 4)
    merged = np.where(truth == 2, 1, truth)
    found = evaluate_labels(merged, truth)
    assert (found.truth, found.predicted, found.cnt) == (4, 3, 0.25)
    assert found.at(0.5).true_positives == 2  # an IoU of exactly one half is no match
    assert found.prec == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)


def test_matching_is_one_to_one_with_the_greatest_sum() -> None:
    truth = np.array([[1] * 6 + [2] * 6])
    prediction = np.array([[1] * 4 + [2] * 8])
    found = evaluate_labels(prediction, truth)
    assert found.at(0.5).true_positives == 2
    assert found.at(0.5).mean_matched_iou == pytest.approx((4 / 6 + 6 / 8) / 2)


def test_regions_in_ignored_places_do_not_count() -> None:
    truth = blocks(2, 4)
    prediction = np.where(truth > 6, 0, truth)
    prediction[11:19, 31:39] = 50
    ignore = np.zeros(truth.shape, bool)
    ignore[10:, 20:] = True
    found = evaluate_labels(prediction, truth, ignore=ignore)
    assert (found.truth, found.predicted) == (6, 6)
    assert found.pixels.iou == 1


def test_slivers_at_the_edge_do_not_count() -> None:
    truth = blocks(2, 4)
    prediction = truth.copy()
    prediction[0, 5] = 90  # two pixels cut off by the edge
    prediction[10, 15] = 91  # the same inside the image is a false tessera
    assert evaluate_labels(prediction, truth).predicted == 9


def test_tables_of_tiles_add_up() -> None:
    truth = blocks(4, 5)
    prediction = np.roll(truth, (1, 2), (0, 1))
    ignore = np.zeros(truth.shape, bool)
    ignore[5:17, 8:24] = True
    parts = []
    for y in range(0, 40, 16):
        cut = slice(y, y + 16)
        edges = (y == 0, y + 16 >= 40, True, True)
        parts.append(count_overlaps(prediction[cut], truth[cut], ignore=ignore[cut], edges=edges))
    assert summarise(add_overlaps(parts)) == evaluate_labels(prediction, truth, ignore=ignore)


def test_no_prediction_scores_nothing() -> None:
    truth = blocks(2, 2)
    found = evaluate_labels(np.zeros_like(truth), truth)
    assert (found.predicted, found.cnt, found.prec, found.rec, found.fm, found.mean_best_iou) == (0, 1, 0, 0, 0, 0)
    for matching in found.matching:
        assert (matching.true_positives, matching.false_positives, matching.false_negatives) == (0, 0, 4)
        assert (matching.f1, matching.precision, matching.recall) == (0, 0, 0)
        assert (matching.panoptic_quality, matching.mean_matched_iou) == (0, 0)
    assert found.pixels == PixelMetrics(iou=0, dice=0, accuracy=float((truth == 0).mean()), precision=0, recall=0)


@needs_data
def test_no_prediction_scores_as_the_independent_scorer_says(scorer: ModuleType) -> None:
    truth = blocks(3, 4)
    theirs, mine = scorer.score(truth, np.zeros_like(truth)), evaluate_labels(np.zeros_like(truth), truth)
    assert (mine.truth, mine.predicted, mine.cnt) == (theirs["n"], theirs["pred"], theirs["cnt"])
    assert (mine.prec, mine.rec, mine.fm) == (theirs["prec"], theirs["rec"], theirs["fm"])
    assert (mine.at(0.5).f1, mine.at(0.75).f1) == (theirs["f1_50"], theirs["f1_75"])
    assert (mine.at(0.5).panoptic_quality, mine.mean_best_iou) == (theirs["pq"], theirs["miou"])
    assert mine.pixels.iou == theirs["pix_iou"]


@pytest.mark.parametrize(
    ("found", "there", "figure", "accuracy"), [(0, 1, 0, 0.75), (1, 0, 0, 0.75), (0, 0, 1, 1.0), (1, 1, 1, 1.0)]
)
def test_empty_masks_are_a_figure(found: int, there: int, figure: float, accuracy: float) -> None:
    mask = np.zeros((4, 4), bool)
    mask[:2, :2] = True
    metrics = evaluate_masks(mask & bool(found), mask & bool(there))
    assert metrics == PixelMetrics(iou=figure, dice=figure, accuracy=accuracy, precision=figure, recall=figure)
    with pytest.raises(InputError, match="Every pixel lies in an ignored place"):
        evaluate_masks(mask, mask, ignore=np.ones_like(mask))


@pytest.mark.parametrize("prediction", ["black", "white"])
@pytest.mark.parametrize("ignored", [0, 7])
def test_a_mask_without_lines_agrees_with_no_line(prediction: str, ignored: int) -> None:
    """Whether nothing is joint or everything is: a map of no tessera at all is white, and had a clDice of 1."""
    truth = blocks(3, 4, gap=4) == 0
    ignore = np.zeros_like(truth)
    ignore[:ignored] = True
    flat = np.full(truth.shape, prediction == "white")
    flat[ignore] = truth[ignore]
    for one, other in ((flat, truth), (truth, flat)):
        found = evaluate_grout(one, other, ignore=ignore)
        assert found.centreline_dice == 0
        assert (found.boundary_f, found.boundary_precision, found.boundary_recall) == (0, 0, 0)
        assert found.pixels == evaluate_masks(one, other, ignore=ignore)


@pytest.mark.parametrize(("found", "there", "figure"), [(0, 0, 1), (1, 1, 1), (0, 1, 0), (1, 0, 0)])
def test_two_masks_without_lines_agree_if_they_are_the_same(found: int, there: int, figure: float) -> None:
    metrics = evaluate_grout(np.full((9, 9), bool(found)), np.full((9, 9), bool(there)))
    assert (metrics.boundary_f, metrics.boundary_precision, metrics.boundary_recall) == (figure,) * 3
    assert metrics.centreline_dice == figure


def test_metrics_become_json() -> None:
    truth = blocks(2, 2)
    parsed = json.loads(json.dumps(evaluate_labels(truth, truth).to_dict()))
    assert [m["threshold"] for m in parsed["matching"]] == list(THRESHOLDS)


def test_mask_metrics_by_hand() -> None:
    found = evaluate_masks(np.array([[1, 1, 0, 0]]), np.array([[1, 0, 1, 0]]))
    assert (found.iou, found.dice, found.accuracy) == (1 / 3, 0.5, 0.5)


def test_centre_line_of_a_bar_is_one_pixel_wide_and_whole() -> None:
    mask = np.zeros((15, 40), bool)
    mask[5:10, 3:37] = True
    line = thin(mask)
    assert line.sum(axis=0).max() == 1
    assert line[7, 6:34].all()
    assert not (line & ~mask).any()


def test_of_two_middle_rows_the_upper_one_stays_as_in_figures_of_before() -> None:
    mask = np.zeros((8, 12), bool)
    mask[2:6, 1:11] = mask[:, 4:6] = True
    line = np.zeros((8, 12), bool)
    line[3, 3:10] = line[:3, 5] = True
    assert np.array_equal(thin(mask), line)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_thinning_keeps_the_number_of_pieces(seed: int) -> None:
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((40, 50)), 2)
    mask = noise > np.median(noise)
    pieces = [ndimage.label(m, np.ones((3, 3)))[1] for m in (mask, thin(mask))]
    assert pieces[0] == pieces[1]


def test_grout_lines_within_the_tolerance_agree() -> None:
    truth = blocks(3, 4, gap=4) == 0
    moved = np.roll(truth, 1, 1)
    assert evaluate_grout(moved, truth, tolerance=1.5).boundary_f == pytest.approx(1, abs=0.02)
    assert evaluate_grout(moved, truth, tolerance=0).boundary_f < 0.8
    assert evaluate_grout(truth, truth).centreline_dice == 1


def test_a_missing_joint_lowers_the_centreline_dice() -> None:
    truth = blocks(3, 4, gap=4) == 0
    broken = truth.copy()
    broken[:, 18:22] = False
    found = evaluate_grout(broken, truth)
    assert 0.5 < found.centreline_dice < 0.97


@pytest.mark.parametrize(
    ("prediction", "truth", "words"),
    [
        (np.zeros((4, 4), int), np.zeros((4, 5), int), "do not correspond"),
        (np.zeros((4, 4)), np.ones((4, 4), int), "name no tesserae"),
        (np.full((4, 4), -1), np.ones((4, 4), int), "negative"),
        (np.ones((4, 4), int), np.zeros((4, 4), int), "no tessera"),
    ],
)
def test_unusable_arrays_are_refused_in_one_sentence(prediction: np.ndarray, truth: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        evaluate_labels(prediction, truth)


def test_unknown_threshold_is_refused() -> None:
    truth = blocks(2, 2)
    with pytest.raises(InputError, match="choose one of"):
        evaluate_labels(truth, truth).at(0.42)


def test_stones_are_sorted_as_they_are_counted() -> None:
    drawing = draw_mosaic(160, 3, "grid", tessera_px=20.0)
    prediction = np.where(drawing.labels % 5 == 0, 0, np.roll(drawing.labels, (4, 3), axis=(0, 1)))
    prediction[70:74, 70:74] = prediction.max() + 1
    overlaps = count_overlaps(prediction, drawing.labels, ignore=~drawing.valid)
    stones, counted = sort_stones(overlaps), summarise(overlaps).at(0.5)
    assert 0 < len(stones.found) == len(stones.right) == counted.true_positives
    assert 0 < len(stones.missed) == counted.false_negatives
    assert 0 < len(stones.false) == counted.false_positives
