"""Masks by rules, with a network that is ten lines of numpy: names, borders, overlaps, resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.engine.cluster import run_on
from napari_mosaic.engine.costs import Site
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.mapping import plan_work
from napari_mosaic.engine.planning import Choices, make_plan
from napari_mosaic.engine.sam import windows
from napari_mosaic.engine.sam.costs import count_masks
from napari_mosaic.engine.sam.methods import _METHODS, MaskRequest, register_mask_method
from napari_mosaic.engine.sam.plan import AUTOMATIC, GUIDED, MaskPlan, make_mask_plan
from napari_mosaic.engine.sam.windows import MaskContext
from napari_mosaic.engine.sam.work import choose_plan, mask_steps
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.engine.windows import MapContext
from napari_mosaic.errors import InputError, ReadError, RecordError
from napari_mosaic.image import open_image
from napari_mosaic.record import Record, create_record, open_record
from napari_mosaic.record.file_mask import FileMask
from napari_mosaic.record.sam2 import Sam2Files
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.automatic import grid_points
from napari_mosaic.sam.cleaning import erode_labels, largest_parts, open_labels
from napari_mosaic.sam.masks import Frame, Piece, connected_at, cut_mask, without_small_regions
from napari_mosaic.sam.merging import merge_fragments
from napari_mosaic.sam.overlaps import order_of, paint, suppressed
from napari_mosaic.sam.params import PRESETS, SamParams
from napari_mosaic.sam.prompts import Answers, Prompts
from napari_mosaic.sam.proposals import Found, Proposals, pack
from napari_mosaic.sam.registry import look_of
from napari_mosaic.segmentation import segment
from napari_mosaic.tesserae import Flag, TesseraParams, find_tesserae
from napari_mosaic.tiling import Box, Lattice
from napari_mosaic.weights import read_header

Photograph = Callable[..., NDArray[np.uint8]]
RULES = TesseraParams(reach=10, blob_limit=60, blob_cell=16, max_hole=8)
PARAMS = SamParams(tessera_px=96.0, overlap=0.1, points_per_batch=5, min_area=10, points_per_side=16, opening=1)
"""Windows of 512 px show 128 px of the photograph and keep 68; four pixels to one, so that logits lie on pixels."""


class BrightNetwork:
    """Answers a point with the bright stone under it, or, told so, with everything or nothing."""

    name, sha256, config, precision, image_size = "bright", "b", "none", "fp32", 512

    def __init__(self, answer: str = "stone") -> None:
        self.answer = answer
        self.encoded = self.prompted = 0

    def fitting_batch(self) -> int:
        return 8

    def peak_memory(self) -> int | None:
        return 1_000_000

    def embed(self, window: NDArray[np.uint8]) -> Any:
        self.encoded += 1
        grey = window[:, :, 0].astype(np.float32).reshape(128, 4, 128, 4).mean((1, 3))
        return ndimage.label(grey > 100)[0], grey

    def predict(
        self, embedding: Any, prompts: Prompts, *, batch: int, multimask: bool = True
    ) -> Iterator[tuple[slice, Answers]]:
        stones, grey = embedding
        for start in range(0, len(prompts), batch):
            points = np.floor(prompts.points[start : start + batch] / 4).astype(int)
            self.prompted += len(points)
            logits = np.full((len(points), 3 if multimask else 1, 128, 128), -9, np.float32)
            scores = np.zeros(logits.shape[:2], np.float32)
            for k, (y, x) in enumerate(points):
                inside = (stones == stones[y, x]) & (stones > 0)
                inside = {"stone": inside, "all": np.ones_like(inside), "none": np.zeros_like(inside)}[self.answer]
                logits[k, 0][inside] = 9
                scores[k, 0] = 0.6 + grey[y, x] / 1000
            yield slice(start, start + len(points)), Answers(logits, scores)


def bordered(core: int) -> NDArray[np.uint8]:
    """Stones exactly on the borders and corners of windows with cores of `core` px, and one between any two."""
    picture = np.full((230, 250, 3), 30, np.uint8)
    rng = np.random.default_rng(3)
    for y in range(0, 230, core // 2):
        for x in range(0, 250, core // 2):
            picture[max(0, y - 12) : y + 12, max(0, x - 12) : x + 12] = rng.integers(170, 250)
    return picture


def start(path: Path, picture: NDArray[np.uint8] | Path, brightness: FunctionSegmenter) -> Record:
    """A record with its map and shards of 64 px, the tesserae not yet cut."""
    image = open_image(picture)
    outside = Domain(image, open_areas(), 1.0)
    plan = make_plan(image, brightness, outside, Choices(method="brightness", scale=1.0, tesserae=RULES, shard=64))
    record = create_record(path, image, plan, areas=open_areas())
    work = plan_work(record, 64, context=MapContext(image, plan, brightness, outside))
    work.tiles.clear()
    for _ in run_on(None, work, 1):
        pass
    return record


def open_areas() -> Any:
    from napari_mosaic.areas import AreaSet

    return AreaSet()


def masks_of(
    record: Record, picture: NDArray[np.uint8], network: Any, mode: str, params: SamParams = PARAMS, **run: Any
) -> MaskPlan:
    image, begin, stop = open_image(picture), run.pop("begin", True), run.pop("stop", None)
    plan = choose_plan(record, MaskRequest(mode=mode, network=network, params=params), begin=begin)
    steps = mask_steps(MaskContext(record=record, image=image, plan=plan, network=network), **run)
    for count, _ in enumerate(steps):
        if stop is not None and count == stop:
            steps.close()
            break
    return plan


def whole(record: Record) -> NDArray[Any]:
    return record.read_labels(Box(0, 0, *record.shape))


def one_id_a_stone(labels: NDArray[Any], stones: NDArray[Any]) -> None:
    """Every drawn stone bears one id, no id lies on two, and nothing is missing."""
    stones = open_labels(stones, PARAMS.opening)
    for stone in range(1, stones.max() + 1):
        ids = np.unique(labels[stones == stone])
        assert len(ids) == 1
        assert ids[0] > 0
        np.testing.assert_array_equal(labels == ids[0], stones == stone)


@pytest.fixture
def bright_record(tmp_path: Path, brightness: FunctionSegmenter) -> Iterator[tuple[Record, NDArray[np.uint8]]]:
    picture = bordered(68)
    with start(tmp_path / "a.mosaic.zarr", picture, brightness) as record:
        yield record, picture


def test_guided_masks_are_whole_on_every_border_whatever_the_tiles(bright_record: Any) -> None:
    record, picture = bright_record
    stones = ndimage.label(picture[:, :, 0] > 100)[0]
    joints = find_tesserae(record.read_map(Box(0, 0, *record.shape)), RULES)
    found = []
    for run in ({"tile_size": 64, "workers": 3}, {"tile_size": 1024}, {"tile_size": 128, "focus": (220.0, 5.0)}):
        network = BrightNetwork()
        plan = masks_of(record, picture, network, GUIDED, **run)
        found.append(whole(record))
        assert network.encoded <= len(plan.lattice(0, record.shape)) == 16
        assert network.prompted == len(np.unique(joints)) - 1
    assert plan.layers[0].core == 68
    one_id_a_stone(found[0], stones)
    assert set(np.unique(found[0])) == set(np.unique(joints))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    rows, table = record.table(), record.label_layer("sam2").table()
    assert record.count == len(np.unique(found[0])) - 1 == len(table)
    assert not np.any(rows["flags"].to_numpy() & Flag.FALLBACK)
    ids, areas = np.unique(found[0][found[0] > 0], return_counts=True)
    order = np.argsort(rows["id"].to_numpy())
    np.testing.assert_array_equal(rows["area"].to_numpy()[order], areas)
    np.testing.assert_array_equal(rows["id"].to_numpy()[order], ids)
    assert min(table["score"].to_pylist()) > 0.6
    assert set(table["stability"].to_pylist()) == {1.0}
    assert record.state()["tesserae"] == (len(record.plan.shards),) * 2
    assert not (record.path / "work" / "sam2").exists()
    np.testing.assert_array_equal(record.tessera_levels[1][:], found[0][::2, ::2])


@pytest.mark.parametrize("answer", ["all", "none"])
def test_masks_that_swallow_or_vanish_leave_the_joints_tesserae(bright_record: Any, answer: str) -> None:
    record, picture = bright_record
    masks_of(record, picture, BrightNetwork(answer), GUIDED, PARAMS)
    joints = open_labels(find_tesserae(record.read_map(Box(0, 0, *record.shape)), RULES), 1)
    np.testing.assert_array_equal(whole(record), joints)
    assert np.all(record.table()["flags"].to_numpy() & Flag.FALLBACK)
    assert record.label_layer("sam2").table()["fallback"].to_numpy().all()


def test_a_stopped_run_goes_on_to_the_same_masks(bright_record: Any, tmp_path: Path) -> None:
    record, picture = bright_record
    masks_of(record, picture, BrightNetwork(), GUIDED, tile_size=64)
    before = whole(record)
    first = BrightNetwork()
    masks_of(record, picture, first, GUIDED, tile_size=64, stop=12)
    assert 0 < first.encoded < 16
    (record.path / "work" / "sam2" / "0_000000_000000.npz").write_bytes(b"broken")
    second = BrightNetwork()
    masks_of(record, picture, second, GUIDED, tile_size=192, begin=False)
    assert second.encoded <= 16 - first.encoded + 1
    np.testing.assert_array_equal(whole(record), before)
    with pytest.raises(RecordError, match="other settings"):
        masks_of(record, picture, second, GUIDED, SamParams(tessera_px=96.0, points_per_batch=5), begin=False)


def test_automatic_masks_are_one_a_stone_whatever_the_tiles(bright_record: Any) -> None:
    record, picture = bright_record
    stones = ndimage.label(picture[:, :, 0] > 100)[0]
    found = []
    for run in ({"tile_size": 64, "workers": 2}, {"tile_size": 1024}):
        network = BrightNetwork()
        plan = masks_of(record, picture, network, AUTOMATIC, **run)
        found.append(record.label_layer("sam2").read(Box(0, 0, *record.shape)))
        assert network.encoded == len(plan.lattice(0, record.shape))
        assert network.prompted == len(grid_points(Box(0, 0, *record.shape), 8.0))
    one_id_a_stone(found[0], stones)
    np.testing.assert_array_equal(*found)
    assert len(record.label_layer("sam2").table()) == stones.max()
    assert open_record(record.path).metadata.phases["sam2"] == "done"
    np.testing.assert_array_equal(record.label_layer("sam2").levels[1][:], found[0][::2, ::2])
    shard = record.path / "labels" / "sam2" / "0" / "c" / "1" / "1"
    shard.write_bytes(shard.read_bytes()[:-9])
    masks_of(record, picture, BrightNetwork(), AUTOMATIC, begin=False)
    np.testing.assert_array_equal(record.label_layer("sam2").read(Box(0, 0, *record.shape)), found[0])


def test_a_part_of_the_mosaic_equals_the_same_part_of_the_whole(bright_record: Any) -> None:
    record, picture = bright_record
    masks_of(record, picture, BrightNetwork(), GUIDED)
    expected = whole(record)
    network = BrightNetwork()
    masks_of(record, picture, network, GUIDED, tile_size=64, only=Box(70, 70, 90, 90))
    np.testing.assert_array_equal(whole(record)[64:128, 64:128], expected[64:128, 64:128])
    assert network.encoded <= 16


@pytest.mark.parametrize("mode", [GUIDED, AUTOMATIC])
def test_what_cannot_be_read_is_named_and_the_rest_is_finished(
    bright_record: Any, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    record, picture = bright_record
    masks_of(record, picture, BrightNetwork(), mode, tile_size=64)
    phase = "tesserae" if mode == GUIDED else "sam2"
    read = whole if mode == GUIDED else lambda record: record.label_layer("sam2").read(Box(0, 0, *record.shape))
    expected, shards = read(record), len(record.plan.shards)
    with monkeypatch.context() as context:
        broken = windows.read_patiently

        def fails_there(image: Any, corner: tuple[float, float], *rest: Any) -> Any:
            if corner[0] > 90 and corner[1] < 0:
                raise ReadError("the disk is gone")
            return broken(image, corner, *rest)

        context.setattr(windows, "read_patiently", fails_there)
        with pytest.raises(ReadError, match=r"the disk is gone.*--resume"):
            masks_of(record, picture, BrightNetwork(), mode, tile_size=64, workers=2)
        assert 0 < len(record.ledger.done(phase)) < shards
    masks_of(record, picture, BrightNetwork(), mode, begin=False)
    np.testing.assert_array_equal(read(record), expected)
    assert len(record.ledger.done(phase)) == shards


def test_what_it_cost_is_kept_and_added_up(bright_record: Any) -> None:
    record, picture = bright_record
    once = BrightNetwork()
    masks_of(record, picture, once, GUIDED)
    first = BrightNetwork()
    masks_of(record, picture, first, GUIDED, tile_size=64, stop=8)
    work = Sam2Files(record).read_work()
    assert work is not None
    assert (work["windows"], work["prompts"]) == (first.encoded, first.prompted)
    masks_of(record, picture, BrightNetwork(), GUIDED, begin=False)
    work = Sam2Files(record).read_work()
    assert work is not None
    assert (work["windows"], work["prompts"]) == (once.encoded, once.prompted)
    assert work["peak_bytes"] == 1_000_000


@pytest.mark.parametrize("mode", [GUIDED, AUTOMATIC])
def test_on_a_cluster_the_same_masks(tmp_path: Path, brightness: FunctionSegmenter, mode: str) -> None:
    distributed = pytest.importorskip("distributed")
    from PIL import Image

    picture = bordered(68)
    Image.fromarray(picture).save(tmp_path / "floor.png")
    read = whole if mode == GUIDED else lambda record: record.label_layer("sam2").read(Box(0, 0, *record.shape))
    with start(tmp_path / "a.mosaic.zarr", tmp_path / "floor.png", brightness) as record:
        masks_of(record, picture, BrightNetwork(), mode)
        expected, rows = read(record), record.label_layer("sam2").table().sort_by("id")
        request = MaskRequest(mode=mode, network=BrightNetwork(), params=PARAMS)
        plan = choose_plan(record, request, begin=True)
        image = open_image(tmp_path / "floor.png")
        sight = MaskContext(record=record, image=image, plan=plan, network=request.network)
        with distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
            phases = {step.phase for step in mask_steps(sight, tile_size=64, client=client)}
        np.testing.assert_array_equal(read(record), expected)
        assert {"sam2", "masks"} <= phases
        assert record.label_layer("sam2").table().sort_by("id").equals(rows)
        work = Sam2Files(record).read_work()
        assert work is not None
        assert 0 < work["windows"] <= 16


def test_settings_that_nobody_asks_for_are_those_that_it_was_begun_with(tmp_path: Path) -> None:
    picture, path, asked = bordered(68), tmp_path / "a.mosaic.zarr", []  # type: ignore[var-annotated]

    def load(params: SamParams) -> BrightNetwork:
        asked.append(params)
        return BrightNetwork()

    params = SegmentParams(method="brightness", scale=1.0)
    register_mask_method("brightness", GUIDED, load)
    try:
        segment(picture, path, params=params, sam=PARAMS).close()
        segment(picture, path, params=params, resume=True).close()
        assert asked == [PARAMS, PARAMS]
        with pytest.raises(RecordError, match="other settings"):
            segment(picture, path, params=params, resume=True, sam=replace(PARAMS, opening=0))
    finally:
        del _METHODS["brightness"]


def test_a_record_is_complete_once_sam_2_has_been_everywhere(tmp_path: Path) -> None:
    picture, path = np.tile(bordered(68), (1, 6, 1)), tmp_path / "a.mosaic.zarr"
    params = SegmentParams(method="brightness", scale=1.0, tile_size=1024)
    register_mask_method("brightness", AUTOMATIC, lambda _: BrightNetwork())
    try:
        with segment(picture, path, params=params, sam=PARAMS, only=(0, 0, 230, 900)) as part:
            assert part.metadata.has_tesserae
            assert part.metadata.phases["sam2"] == "partial"
            assert not part.complete
        with segment(picture, path, params=params, resume=True) as whole_one:
            assert whole_one.complete
    finally:
        del _METHODS["brightness"]


def test_an_image_without_a_stone_asks_nothing(tmp_path: Path, brightness: FunctionSegmenter) -> None:
    picture = np.full((100, 130, 3), 20, np.uint8)
    with start(tmp_path / "dark.mosaic.zarr", picture, brightness) as record:
        network = BrightNetwork()
        masks_of(record, picture, network, GUIDED)
        assert (network.encoded, network.prompted, record.count) == (0, 0, 0)
        assert record.state()["tesserae"][0] == len(record.plan.shards)


def proposals(boxes: list[Box], scores: list[float], **columns: list[int]) -> Proposals:
    found = [
        Found(
            id=columns.get("ids", list(range(1, 99)))[k], y=box.y0, x=box.x0, score=score, reach=box,
            piece=Piece(box, np.ones(box.shape, bool), 1.0), layer=columns.get("layers", [0] * 99)[k],
        )
        for k, (box, score) in enumerate(zip(boxes, scores, strict=True))
    ]  # fmt: skip
    return pack(found)


def test_a_mask_is_dropped_by_a_better_one_even_if_that_is_dropped() -> None:
    chain = [Box(0, 0, 10, 10), Box(0, 2, 10, 12), Box(0, 4, 10, 14), Box(40, 40, 50, 50)]
    assert suppressed(proposals(chain, [0.9, 0.8, 0.7, 0.1]), 0.6, 0.6).tolist() == [False, True, True, False]
    equal = proposals(chain[:2], [0.9, 0.9])
    assert suppressed(equal, 0.6, 0.6).tolist() == [False, True]
    deeper = proposals(chain[:2], [0.9, 0.5], layers=[0, 1])
    assert suppressed(deeper, 0.9, 0.6).tolist() == [True, False]
    assert suppressed(deeper, 0.6, 0.9).tolist() == [False, False]
    assert suppressed(proposals([chain[0], chain[3]], [0.9, 0.5], ids=[7, 7]), 0.6, 0.6).tolist() == [False, True]
    many = [Box(7 * k % 91, 13 * k % 97, 7 * k % 91 + 20, 13 * k % 97 + 20) for k in range(60)]
    scores = [(k * 37 % 11) / 11 for k in range(60)]
    plain = suppressed(proposals(many, scores), 0.2, 0.2)
    ranks = np.argsort(order_of(proposals(many, scores)))
    for i, box in enumerate(many):
        worse = any(
            ranks[j] < ranks[i] and box.intersect(o).area > 0.2 * (800 - box.intersect(o).area)
            for j, o in enumerate(many)
        )
        assert plain[i] == worse


def test_the_better_mask_has_the_pixels() -> None:
    both = proposals([Box(0, 0, 4, 4), Box(2, 2, 6, 6)], [0.5, 0.8])
    painted = paint(both, np.ones(2, bool), Box(1, 1, 7, 7))
    assert painted[0, 0] == 0
    assert painted[1, 1] == painted[4, 4] == 1
    assert painted[5, 5] == -1
    assert Proposals.from_arrays(both.arrays()).mask(1).all()


def test_a_mask_lies_where_its_logits_lie() -> None:
    logits = np.full((16, 16), -5, np.float32)
    logits[4:8, 6:9] = 5
    frame = Frame(Box(100, 200, 132, 232), 2.0, (500, 500))
    piece = cut_mask(logits, frame, 0.0, 1.0)
    assert piece.box == Box(108, 212, 116, 218)
    assert piece.bits.all()
    assert 0.5 < piece.stability <= 1
    clipped = cut_mask(logits, Frame(Box(-10, -14, 22, 18), 2.0, (500, 500)), 0.0, 1.0)
    assert clipped.box == Box(0, 0, 6, 4)
    assert cut_mask(-np.ones((16, 16), np.float32), frame, 0.0, 0.5).area == 0


def test_islands_and_holes() -> None:
    bits = np.zeros((12, 20), bool)
    bits[1:9, 1:9] = True
    bits[4, 4] = False
    bits[2, 15] = True
    piece = Piece(Box(10, 10, 22, 30), bits, 1.0)
    assert connected_at(piece, 12, 12).area == 64
    assert connected_at(piece, 12, 12).box == Box(11, 11, 19, 19)
    assert connected_at(piece, 10, 10).area == 0
    assert without_small_regions(piece, 4).area == 64
    assert without_small_regions(piece, 0) is piece


def test_opening_and_erosion_stone_by_stone() -> None:
    labels = np.zeros((12, 20), np.uint32)
    labels[2:10, 2:9], labels[2:10, 9:16] = 1, 2
    eroded = erode_labels(labels, 1)
    assert eroded[5, 7] == 1
    assert eroded[5, 8] == eroded[5, 9] == 0
    labels[5, 16:] = 2
    opened = open_labels(labels, 1)
    assert not opened[5, 17:].any()
    assert opened[5, 8] == 1
    np.testing.assert_array_equal(erode_labels(labels, 0), labels)


def test_every_point_of_the_grid_belongs_to_one_core() -> None:
    shape = (100, 170)
    parts = [grid_points(tile.core, 7.5) for tile in Lattice(shape=shape, core=23)]
    joined = np.concatenate(parts)
    everything = grid_points(Box(0, 0, *shape), 7.5)
    assert len(joined) == len(everything)
    assert {tuple(p) for p in joined} == {tuple(p) for p in everything}


def test_plans_of_the_presets_and_what_is_too_small(bright_record: Any) -> None:
    record, _ = bright_record
    network = BrightNetwork()
    network.image_size = 1024  # type: ignore[misc]
    for name, count in (("ours", 1), ("mosaic-sam2", 3)):
        plan = make_mask_plan(record.plan, network, PRESETS[name], AUTOMATIC)
        assert len(plan.layers) == count
        assert MaskPlan.from_json(plan.to_json()) == plan
    assert plan.batch == 4
    assert plan.layers[1].side == plan.layers[0].side // 2
    with pytest.raises(InputError, match="closer than"):
        make_mask_plan(record.plan, network, SamParams(points_per_side=256), AUTOMATIC)
    with pytest.raises(InputError, match="would show"):
        make_mask_plan(record.plan, network, SamParams(tessera_px=512, overlap=0.4, crop_n_layers=4), AUTOMATIC)
    with pytest.raises(InputError, match="leave none"):
        SamParams(points_per_side=4, crop_n_layers=4, crop_n_points_downscale_factor=8)
    with pytest.raises(RecordError, match="cannot be read"):
        MaskPlan.from_json({"mode": GUIDED})


def test_boxes_and_outlines_are_prompts_too(bright_record: Any, monkeypatch: Any) -> None:
    record, picture = bright_record
    network, asked = BrightNetwork(), []
    predict = network.predict

    def listening(embedding: Any, prompts: Prompts, **how: Any) -> Any:
        asked.append((prompts, how))
        return predict(embedding, prompts, **how)

    monkeypatch.setattr(network, "predict", listening)
    masks_of(record, picture, network, GUIDED, replace(PARAMS, box_prompt=True, mask_prompt=True))
    one_id_a_stone(whole(record), ndimage.label(picture[:, :, 0] > 100)[0])
    for prompts, how in asked:
        assert how["multimask"] is False
        for (y, x), box, mask in zip(prompts.points, prompts.boxes, prompts.masks, strict=True):
            assert box[0] <= y <= box[2]
            assert box[1] <= x <= box[3]
            rows, columns = np.nonzero(mask > 0)
            assert mask[int(y / 4), int(x / 4)] > 0
            np.testing.assert_allclose([rows.min() * 4, (columns.max() + 1) * 4], [box[0], box[3]], atol=0.01)
            assert set(np.unique(mask)) == {-8.0, 8.0}
        points, kinds = prompts.network_points()
        assert points.shape == (len(prompts), 3, 2)
        assert kinds[0].tolist() == [2, 3, 1]
        np.testing.assert_allclose(points[0, 2], prompts.points[0, ::-1] - 0.5)


@pytest.mark.parametrize("change", [{"use_m2m": True}, {"crop_n_layers": 1, "max_mask_share": 0.5}])
def test_refinement_and_further_layers_are_alike_for_any_tiles(bright_record: Any, change: dict[str, Any]) -> None:
    record, picture = bright_record
    found = []
    for tile_size in (64, 1024):
        network = BrightNetwork()
        plan = masks_of(record, picture, network, AUTOMATIC, replace(PARAMS, **change), tile_size=tile_size)
        windows = [len(plan.lattice(layer, record.shape)) for layer in range(len(plan.layers))]
        assert network.encoded == sum(windows)
        found.append(record.label_layer("sam2").read(Box(0, 0, *record.shape)))
    np.testing.assert_array_equal(*found)
    one_id_a_stone(found[0], ndimage.label(picture[:, :, 0] > 100)[0])
    layers = set(record.label_layer("sam2").table()["layer"].to_pylist())
    assert layers == ({0} if "use_m2m" in change else {0, 1}) or layers == {1}


def test_what_is_outside_bears_no_mask(tmp_path: Path, brightness: FunctionSegmenter) -> None:
    from shapely.geometry import box as rectangle

    picture = bordered(68)
    with start(tmp_path / "a.mosaic.zarr", picture, brightness) as record:
        record.areas = open_areas().add("exclude", rectangle(0, 0, 250, 101), name="no")
        network = BrightNetwork()
        masks_of(record, picture, network, AUTOMATIC)
        labels = record.label_layer("sam2").read(Box(0, 0, *record.shape))
        assert not labels[:100].any()
        assert labels[110:].any()
        assert network.prompted < len(grid_points(Box(0, 0, *record.shape), 8.0))


def test_fragments_without_a_joint_between_them_become_one_stone() -> None:
    labels = np.zeros((20, 40), np.uint32)
    labels[2:18, 2:10], labels[2:18, 11:16], labels[2:18, 17:20] = 7, 3, 9  # a stone in three parts
    labels[2:18, 22:38] = 5
    grout = np.zeros(labels.shape, np.uint8)
    grout[:, 20:22] = 255
    merged = merge_fragments(labels, grout, 0.3)
    assert set(np.unique(merged[:, :20])) == {0, 7, 9}  # 9 touches 3, which joins another: no chains
    np.testing.assert_array_equal(merged[3:17, 2:16], 7)
    np.testing.assert_array_equal(merged[:, 22:], labels[:, 22:])
    grout[:, 10] = 255
    np.testing.assert_array_equal(merge_fragments(labels, grout, 0.3)[:, :10], labels[:, :10])
    corner = np.zeros((9, 9), np.uint32)
    corner[:4, :4], corner[4:, 4:] = 1, 2
    np.testing.assert_array_equal(merge_fragments(corner, np.zeros((9, 9), np.uint8), 0.5), corner)
    parted = np.array([[1, 1, 0, 1], [2, 2, 2, 0], [0, 0, 0, 2]], np.uint32)
    assert largest_parts(parted).tolist() == [[1, 1, 0, 0], [2, 2, 2, 0], [0, 0, 0, 0]]


def test_merged_fragments_are_alike_for_any_tiles(bright_record: Any, brightness: FunctionSegmenter) -> None:
    record, picture = bright_record
    record.write_map(Box(0, 0, *record.shape), record.read_map(Box(0, 0, *record.shape)) // np.uint8(6))
    found = []
    for tile_size in (64, 1024):
        masks_of(
            record, picture, HalfNetwork(), AUTOMATIC, replace(PARAMS, merge_below=0.5, opening=0), tile_size=tile_size
        )
        found.append(record.label_layer("sam2").read(Box(0, 0, *record.shape)))
    np.testing.assert_array_equal(*found)
    masks_of(record, picture, HalfNetwork(), AUTOMATIC, replace(PARAMS, opening=0))
    apart = record.label_layer("sam2").read(Box(0, 0, *record.shape))
    assert len(np.unique(found[0])) < len(np.unique(apart))


class HalfNetwork(BrightNetwork):
    """Answers a point with the part of its stone in the same 16 px stripe."""

    def predict(
        self, embedding: Any, prompts: Prompts, *, batch: int, multimask: bool = True
    ) -> Iterator[tuple[slice, Answers]]:
        for part, answers in super().predict(embedding, prompts, batch=batch, multimask=multimask):
            points = np.floor(prompts.points[part] / 4).astype(int)
            rows = np.arange(128)
            for k, (y, _) in enumerate(points):
                answers.logits[k, 0][rows // 16 != y // 16] = -9
            yield part, answers


def test_what_sam_2_will_be_asked_is_counted_before_its_model_is_loaded(bright_record: Any, tmp_path: Path) -> None:
    """The windows are those that the run encodes, the prompts of the automatic generator those that it asks."""
    record, picture = bright_record
    network = BrightNetwork()
    plan = make_mask_plan(record.plan, network, PARAMS, AUTOMATIC)
    file = tmp_path / "look.yaml"
    file.write_text("model:\n  image_size: 512\n")
    site = Site(record.plan, record.areas, FileMask(np.ones(picture.shape[:2], bool), picture.shape[:2]))
    found = count_masks(site, AUTOMATIC, replace(PARAMS, config=str(file)))
    masks_of(record, picture, network, AUTOMATIC)
    assert found.windows == network.encoded == len(plan.lattice(0, record.shape))
    assert found.prompts == pytest.approx(network.prompted, rel=0.1)
    part = count_masks(site, AUTOMATIC, replace(PARAMS, config=str(file)), Box(0, 0, 60, 60))
    assert 0 < part.windows < found.windows
    guided = count_masks(site, GUIDED, replace(PARAMS, config=str(file)))
    assert guided.windows == found.windows
    small = Path(__file__).parent / "data" / "sam2-mosaic-small.safetensors"
    assert look_of(str(small)) == (256, float(read_header(small)["tessera_px"]))
    assert look_of("sam2.1-hiera-large")[0] == 1024
