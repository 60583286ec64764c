"""The whole path with a method that needs no network: records, resume, damage, laziness, order."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from napari_mosaic.engine.cluster import run_on
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.mapping import plan_work
from napari_mosaic.engine.planning import Choices, make_plan
from napari_mosaic.engine.segmenters import FunctionSegmenter, load_segmenter
from napari_mosaic.engine.windows import MapContext
from napari_mosaic.errors import InputError, LockedError, ReadError, RecordError, WriteError
from napari_mosaic.estimating import estimate_run
from napari_mosaic.ids import place_of
from napari_mosaic.image import open_image
from napari_mosaic.progress import drain
from napari_mosaic.record import Record, create_record, open_record
from napari_mosaic.record_setup import initial_areas
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import (
    apply_steps,
    lazy_tesserae,
    preview_tesserae,
    segment,
    segment_steps,
)
from napari_mosaic.tesserae import TesseraParams, find_tesserae
from napari_mosaic.tiling import Box

Photograph = Callable[..., NDArray[np.uint8]]
PARAMS = SegmentParams(method="brightness", scale=1.0, tile_size=64)
SMALL = TesseraParams(reach=10, blob_limit=60, blob_cell=16, max_hole=8)


def small_record(path: Path, picture: NDArray[np.uint8], segmenter: Any, **run: Any) -> Record:
    """A record with shards of 64 px, so that small pictures have many."""
    image = open_image(picture)
    choices = Choices(method="brightness", scale=run.pop("scale", 1.0), tesserae=SMALL, shard=64)
    areas = initial_areas(image)
    plan = make_plan(image, segmenter, Domain(image, areas, 1.0), choices)
    record = create_record(path, image, plan, areas=areas)
    context = MapContext(image, plan, segmenter, Domain(image, areas, plan.factor))
    for _ in run_on(None, plan_work(record, run.pop("tile_size", 64), context=context, **run), 2):
        pass
    return record


def whole(record: Record) -> NDArray[Any]:
    return record.read_labels(Box(0, 0, *record.shape))


@pytest.mark.parametrize(("tile_size", "focus"), [(64, None), (192, (10.0, 250.0)), (1024, None)])
def test_a_record_equals_the_untiled_labels(
    tmp_path: Path, photograph: Photograph, brightness: FunctionSegmenter, tile_size: int, focus: Any
) -> None:
    picture = photograph((300, 260))
    with small_record(tmp_path / "a.mosaic.zarr", picture, brightness, tile_size=tile_size, focus=focus) as record:
        map_ = record.read_map(Box(0, 0, 300, 260))
        np.testing.assert_array_equal(map_, brightness.predict(picture[None])[0])
        np.testing.assert_array_equal(whole(record), find_tesserae(map_, SMALL))
        ids = record.table(["id"])["id"].to_numpy()
        np.testing.assert_array_equal(np.sort(ids), np.unique(whole(record))[1:])
        assert record.count == len(ids)


def test_every_level_is_the_one_below_halved(
    tmp_path: Path, photograph: Photograph, brightness: FunctionSegmenter
) -> None:
    with small_record(tmp_path / "a.mosaic.zarr", photograph((140, 300)), brightness) as record:
        labels = whole(record)
        for level, array in enumerate(record.tessera_levels):
            np.testing.assert_array_equal(array[:], labels[:: 2**level, :: 2**level])
        mean = np.asarray(record.map_levels[0][:]).astype(int).reshape(2, 70, 2, 150, 2).sum((2, 4))
        np.testing.assert_array_equal(record.map_levels[1][:], (mean + 2) // 4)


def test_a_damaged_shard_is_made_again(tmp_path: Path, photograph: Photograph, brightness: FunctionSegmenter) -> None:
    picture = photograph((230, 180))
    with small_record(tmp_path / "a.mosaic.zarr", picture, brightness) as record:
        before = whole(record)
        path = record.path
        (path / "0" / "c" / "0" / "1" / "1").write_bytes(b"")
        (path / "labels" / "tesserae" / "0" / "c" / "3" / "2").unlink()
        broken = path / "labels" / "tesserae" / "0" / "c" / "0" / "0"
        broken.write_bytes(broken.read_bytes()[:-7])
        image = open_image(picture)
        context = MapContext(image, record.plan, brightness, Domain(image, record.areas, 1.0))
        work = plan_work(record, 64, context=context)
        assert work.windows == [(1, 1)]
        for _ in run_on(None, work, 2):
            pass
        np.testing.assert_array_equal(whole(record), before)
        assert not plan_work(record, 64).tiles


def test_cancel_keeps_what_is_done_and_resume_finishes_it(tmp_path: Path, photograph: Photograph) -> None:
    picture, path = photograph((2300, 2200)), tmp_path / "a.mosaic.zarr"
    steps = segment_steps(picture, path, params=PARAMS)
    for progress in steps:
        if progress.phase == "joints" and progress.done > 2:
            break
    steps.close()
    with open_record(path) as record:
        done, total = record.state()["map"]
        assert 0 < done < total
        assert not record.complete
    with segment(picture, path, params=PARAMS, resume=True) as record:
        assert record.complete
        np.testing.assert_array_equal(
            whole(record), find_tesserae(record.read_map(Box(0, 0, 2300, 2200)), PARAMS.tesserae)
        )


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import numpy as np
from bright import bright_stones
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment_steps
params = SegmentParams(method="brightness", scale=1.0, tile_size=64)
rename, left, running = os.replace, {after}, False

def replace(*names):
    # Rename, but die at one of these moments, when a file is written and not yet in its place.
    global left
    left -= running
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*names)

os.replace = replace
for step in segment_steps(bright_stones((2100, 2000)), {path!r}, params=params):
    running = running or step.phase != "preparing"
"""


@pytest.mark.parametrize("after", [1, 4, 11, 18])
def test_killed_at_any_moment_then_resumed_gives_the_same(tmp_path: Path, photograph: Photograph, after: int) -> None:
    path = tmp_path / "a.mosaic.zarr"
    script = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent), path=str(path), after=after)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    picture = photograph((2100, 2000))
    with segment(picture, path, params=PARAMS, resume=True) as record:
        map_ = record.read_map(Box(0, 0, *record.shape))
        assert record.complete
        np.testing.assert_array_equal(whole(record), find_tesserae(map_, PARAMS.tesserae))
        np.testing.assert_array_equal(record.tessera_levels[2][:], whole(record)[::4, ::4])


def test_lazy_blocks_equal_the_full_run_in_any_order(
    tmp_path: Path, photograph: Photograph, brightness: FunctionSegmenter
) -> None:
    picture = photograph((1300, 1500))
    levels = lazy_tesserae(picture, PARAMS)
    blocks = [(1, 2), (0, 0), (2, 1)]
    early = {block: levels[0].blocks[block].compute() for block in blocks}
    with segment(picture, tmp_path / "a.mosaic.zarr", params=PARAMS) as record:
        labels = whole(record)
        for (i, j), block in early.items():
            np.testing.assert_array_equal(block, labels[i * 512 : (i + 1) * 512, j * 512 : (j + 1) * 512])
        np.testing.assert_array_equal(levels[1][200:300, 100:250].compute(), labels[400:600:2, 200:500:2])
        np.testing.assert_array_equal(lazy_tesserae(record)[0][600:900, 700:720].compute(), labels[600:900, 700:720])


def test_find_in_view_computes_only_what_is_needed(tmp_path: Path, photograph: Photograph) -> None:
    picture, path = photograph((2600, 2600)), tmp_path / "a.mosaic.zarr"
    params = SegmentParams(method="brightness", scale=1.0, tile_size=1024)
    with segment(picture, path, params=params, only=Box(100, 100, 300, 300)) as record:
        assert record.state()["tesserae"][0] == 1
        assert record.state()["map"][0] < record.state()["map"][1]
        assert not record.complete
        first = record.read_labels(Box(0, 0, 1024, 1024))
    with segment(picture, path, params=params, resume=True) as record:
        assert record.complete
        np.testing.assert_array_equal(record.read_labels(Box(0, 0, 1024, 1024)), first)


def test_region_and_exclusion_are_never_computed(tmp_path: Path, photograph: Photograph) -> None:
    picture = photograph((1200, 2200))
    region, exclude = np.zeros((1200, 2200), bool), np.zeros((1200, 2200), bool)
    region[:, :900] = True
    exclude[:300, :300] = True
    with segment(picture, tmp_path / "a.mosaic.zarr", params=PARAMS, region=region, exclude=exclude) as record:
        labels = whole(record)
        assert not labels[:, 900:].any()
        assert not labels[:300, :300].any()
        assert labels[310:, 10:890].any()


def test_scale_and_place_are_kept(tmp_path: Path, photograph: Photograph) -> None:
    picture = photograph((600, 800))
    params = SegmentParams(method="brightness", scale=0.5)
    with segment(picture, tmp_path / "a.mosaic.zarr", params=params, pixel_mm=0.8) as record:
        assert record.shape == (300, 400)
        (_, joints, kind), (_, labels, other) = record.layers()
        assert (kind, other) == ("image", "labels")
        assert joints["scale"] == pytest.approx((1.6, 1.6))
        assert labels["translate"] == pytest.approx((0.4, 0.4))
        table = record.table()
        y, x = place_of(int(table["id"][0].as_py()), 400)
        assert abs(y - table["y"][0].as_py()) <= 1
        assert abs(x - table["x"][0].as_py()) <= 1


def test_auto_scale_brings_stones_to_the_size_of_the_model(tmp_path: Path, photograph: Photograph) -> None:
    del tmp_path
    factors = {}
    for pitch in (10, 40):
        estimate = estimate_run(photograph((900, 900), pitch=pitch), SegmentParams(method="brightness"))
        factors[pitch] = estimate.factor
    assert 2 < factors[10] / factors[40] < 8


def test_other_thresholds_without_the_network(tmp_path: Path, photograph: Photograph) -> None:
    picture = photograph((1200, 1100))
    with segment(picture, tmp_path / "a.mosaic.zarr", params=PARAMS) as record:
        other = TesseraParams(min_area=300)
        box = Box(200, 300, 500, 700)
        expected = find_tesserae(record.read_map(Box(0, 0, *record.shape)), other)
        np.testing.assert_array_equal(preview_tesserae(record, box, other), expected[box.slices])
        count = record.count
        with drain(apply_steps(record, other)) as changed:
            np.testing.assert_array_equal(whole(changed), expected)
            assert changed.count < count
            assert changed.plan.tesserae == other


def test_existing_records_are_not_replaced_by_accident(tmp_path: Path, photograph: Photograph) -> None:
    picture, path = photograph((300, 300)), tmp_path / "a.mosaic.zarr"
    segment(picture, path, params=PARAMS).close()
    with pytest.raises(RecordError, match="--overwrite"):
        segment(picture, path, params=PARAMS)
    with pytest.raises(RecordError, match="another photograph"):
        segment(photograph((300, 300), seed=9), path, params=PARAMS, resume=True)
    with pytest.raises(RecordError, match=r"begun with scale 1, not 0.7; .*--overwrite"):
        segment(picture, path, params=SegmentParams(method="brightness", scale=0.7), resume=True)
    segment(photograph((300, 300), seed=9), path, params=PARAMS, overwrite=True).close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mosaic.zarr"]


def test_one_process_writes_at_a_time(tmp_path: Path, photograph: Photograph) -> None:
    path = tmp_path / "a.mosaic.zarr"
    segment(photograph((300, 300)), path, params=PARAMS).close()
    with FileLock(path / "lock"), pytest.raises(LockedError, match="another process"):
        open_record(path, writable=True)
    open_record(path, writable=True).close()


def test_records_of_a_newer_format_and_other_folders_are_refused(tmp_path: Path, photograph: Photograph) -> None:
    path = tmp_path / "a.mosaic.zarr"
    segment(photograph((300, 300)), path, params=PARAMS).close()
    metadata = path / "mosaic.json"
    metadata.write_text(metadata.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(RecordError, match="newer than"):
        open_record(path)
    with pytest.raises(RecordError, match="no mosaic record"):
        open_record(tmp_path)
    metadata.write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        open_record(path)


def test_a_full_disk_is_said_before_and_during(
    tmp_path: Path, photograph: Photograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, path = photograph((2100, 1100)), tmp_path / "a.mosaic.zarr"
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
        with pytest.raises(WriteError, match=r"needs about [1-9][0-9.]* MB and .* has 1 kB free"):
            segment(picture, path, params=PARAMS)
    assert not path.exists()
    real, calls = Record.write_map, []

    def fill(self: Record, box: Box, map_: NDArray[np.uint8]) -> None:
        calls.append(box)
        if len(calls) == 2:
            raise WriteError(f"The disk with {self.path} is full")
        real(self, box, map_)

    with monkeypatch.context() as patch:
        patch.setattr(Record, "write_map", fill)
        with pytest.raises(WriteError, match="full"):
            segment(picture, path, params=PARAMS)
    with segment(picture, path, params=PARAMS, resume=True) as record:
        assert record.complete


def test_what_cannot_be_written_is_said(tmp_path: Path, photograph: Photograph) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written"):
        segment(photograph((300, 300)), tmp_path / "file" / "a.mosaic.zarr", params=PARAMS)


@pytest.mark.parametrize("scale", [0.0, 100.0, -1.0])
def test_scales_out_of_range_are_refused(photograph: Photograph, tmp_path: Path, scale: float) -> None:
    with pytest.raises(InputError, match="scale"):
        segment(
            photograph((300, 300)),
            tmp_path / "a.mosaic.zarr",
            params=SegmentParams(method="brightness", scale=scale),
        )


def test_what_fails_on_a_cluster_is_named_with_its_place(
    tmp_path: Path, photograph: Photograph, brightness: FunctionSegmenter
) -> None:
    distributed = pytest.importorskip("distributed")
    from PIL import Image

    source = tmp_path / "floor.png"
    picture = photograph((1500, 2200))
    picture[:200, 1100:1300] = 77
    Image.fromarray(picture).save(source)

    def fails_there(window: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if (window == 77).mean() > 0.02:
            raise RuntimeError("out of ink")
        return brightness.predict(window[None])[0]

    method = FunctionSegmenter(fails_there, name="brightness", channels=2, halo=8, tessera_px=24.0)
    path = tmp_path / "a.mosaic.zarr"
    with (
        distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client,
        pytest.raises(ReadError, match=r"x 1024-2048 px.*out of ink.*--resume"),
    ):
        drain(segment_steps(source, path, params=PARAMS, client=client, segmenter=method))
    with open_record(path) as record:
        done, total = record.state()["map"]
        assert 0 < done < total
    with segment(source, path, params=PARAMS, resume=True) as record:
        assert record.complete


@pytest.mark.torch
def test_the_network_goes_to_other_processes_by_name() -> None:
    method = load_segmenter("grout", "grout-lite", device="cpu")
    windows = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8)
    sent = pickle.dumps(method)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).predict(windows), method.predict(windows))


def test_on_a_cluster_the_same(tmp_path: Path, photograph: Photograph, brightness: FunctionSegmenter) -> None:
    distributed = pytest.importorskip("distributed")
    from PIL import Image

    picture = photograph((2200, 1500))
    source = tmp_path / "floor.png"
    Image.fromarray(picture).save(source)
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
        record = drain(
            segment_steps(source, tmp_path / "a.mosaic.zarr", params=PARAMS, client=client, segmenter=brightness)
        )
    with record, segment(source, tmp_path / "b.mosaic.zarr", params=PARAMS) as local_record:
        assert record.complete
        np.testing.assert_array_equal(whole(record), whole(local_record))
