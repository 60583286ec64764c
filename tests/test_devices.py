"""Several devices of one machine: a process for each, the faster one does more, the record is that of one."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import bright
from edit_model import whole
from napari_mosaic import SegmentParams, register_method, segment
from napari_mosaic.cli import main
from napari_mosaic.engine import devices
from napari_mosaic.engine.cluster import Cluster
from napari_mosaic.engine.segmenters import load_segmenter
from napari_mosaic.errors import ClusterError, InputError

pytest.importorskip("distributed")


def uneven(window: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A map by brightness that takes twenty times as long on one of two devices, and says which one made it."""
    name = worker_name()
    if name is not None:
        time.sleep(1.0 if name.startswith("0") else 0.05)
        with (Path(os.environ["WHO"]) / name.replace(" ", "-")).open("a", encoding="utf-8") as lines:
            lines.write("x")
    return bright.brightness_map(window)


def worker_name() -> str | None:
    from distributed import get_worker

    try:
        return str(get_worker().name)
    except ValueError:
        return None


@pytest.fixture
def floor(tmp_path: Path) -> Path:
    path = tmp_path / "floor.png"
    Image.fromarray(bright.bright_stones((512, 640))).save(path)
    return path


def test_two_unequal_devices_share_by_speed_and_make_the_record_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(bright.bright_stones((4096, 5120), pitch=40)).save(path)
    who = tmp_path / "who"
    who.mkdir()
    monkeypatch.setenv("WHO", str(who))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    register_method("uneven", uneven, gives="map", halo=8)
    params = SegmentParams(method="uneven", scale=1.0, tile_size=512)
    with (
        segment(path, tmp_path / "two.mosaic.zarr", params=replace(params, device="cpu,cpu")) as two,
        segment(path, tmp_path / "one.mosaic.zarr", params=params) as one,
    ):
        assert two.complete
        np.testing.assert_array_equal(whole(two), whole(one))
    slow, fast = (len((who / name).read_text(encoding="utf-8")) for name in ("0-cpu", "1-cpu"))
    assert fast > slow > 0


def test_gpus_are_meant_by_all_or_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("napari_mosaic.grout.cuda_devices", lambda: ["cuda:0", "cuda:1"])
    assert devices.several_devices("cuda:all") == ["cuda:0", "cuda:1"]
    assert devices.several_devices("cuda:1, cuda:0") == ["cuda:1", "cuda:0"]
    assert devices.one_device("cuda:all") == "cuda:0"
    assert devices.one_device("cuda:2,cuda:1") == "cuda:2", "one that was not named may be another's"
    for single in ("auto", "cpu", "cuda:1", "mps"):
        assert devices.several_devices(single) == []
        assert devices.one_device(single) == single
    monkeypatch.setattr("napari_mosaic.grout.cuda_devices", lambda: ["cuda:0"])
    assert devices.several_devices("cuda:all") == []
    assert devices.one_device("cuda:all") == "cuda"


def test_a_network_that_is_sent_runs_on_the_device_that_its_worker_sees() -> None:
    network: Any = load_segmenter("grout", "grout-lite", device="cpu")
    network._choices = ("grout-lite", "cuda:2", "auto", "auto", None)
    assert network.__reduce__()[1][1] == "cuda"


def test_no_gpu_and_a_list_that_names_none_are_said(
    floor: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("napari_mosaic.grout.cuda_devices", list)
    assert main(["segment", str(floor), "--device", "cuda:all"]) == 1
    assert "There is no GPU here that torch can use; choose the device auto, cpu or mps." in capsys.readouterr().err
    for nonsense in ("cuda:0,", "cuda:0,cpu", "mps,mps"):
        with pytest.raises(InputError, match=r"cannot be used together; name GPUs as in cuda:0,cuda:1"):
            devices.several_devices(nonsense)


@pytest.mark.parametrize(
    ("seen", "device", "expected"), [("", "cuda:1", "1"), ("4,6", "cuda:1", "6"), ("4", "cpu", None)]
)
def test_a_worker_sees_its_own_device_alone(
    monkeypatch: pytest.MonkeyPatch, seen: str, device: str, expected: str | None
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    assert devices._sight(device).get("CUDA_VISIBLE_DEVICES") == expected


def test_a_device_that_does_not_come_up_ends_in_a_sentence(
    floor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_COMING_S", 1)
    monkeypatch.setattr(devices.sys, "executable", "/bin/true")
    path = tmp_path / "floor.mosaic.zarr"
    params = SegmentParams(method="gradient-watershed", scale=1.0, device="cpu,cpu")
    with pytest.raises(ClusterError, match=r"Of 2 devices 0 came up in 1 s"):
        segment(floor, path, params=params)
    with segment(floor, path, params=SegmentParams(method="gradient-watershed"), resume=True) as record:
        assert record.complete


def test_a_task_for_a_network_is_a_batch_of_windows_that_share_no_shard_with_another() -> None:
    import distributed

    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        work: Any = SimpleNamespace(
            maker=None, send_maker=lambda: None, batch=4, writes_to=lambda window: window[0],
            windows=[(shard, number) for shard in range(5) for number in range(2)],
        )  # fmt: skip
        with pytest.warns(Warning, match="no worker yet"):
            cluster = Cluster(client, work)
        groups = cluster.group(work)
    assert [{window[0] for window in group} for group in groups] == [{0, 1}, {2, 3}, {4}]
