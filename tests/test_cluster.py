"""Runs on the processes of a dask cluster: found by its address, workers that go, a scheduler that goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edit_model import whole
from napari_mosaic import SegmentParams, open_record, segment, segment_steps
from napari_mosaic.cli import main
from napari_mosaic.engine.cluster import Cluster, connect
from napari_mosaic.errors import ClusterError, MissingError, MosaicWarning
from napari_mosaic.progress import drain
from napari_mosaic.synthetic import draw_mosaic

pytest.importorskip("distributed")
PARAMS = SegmentParams(method="gradient-watershed", scale=1.0, tile_size=256)
WAIT = 60
"""Seconds that a process has to come up; only what hangs takes so long."""


def start(command: str, *words: str) -> subprocess.Popen[bytes]:
    script = f"from distributed.cli.dask_{command} import main; main()"
    words = (*words, "--no-dashboard", *(() if command == "scheduler" else ("--nthreads", "1", "--no-nanny")))
    return subprocess.Popen([sys.executable, "-c", script, *words], stderr=subprocess.DEVNULL)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler, known by its file, and two workers, each a process of its own: the scheduler comes first."""
    file = tmp_path / "scheduler.json"
    processes = [start("scheduler", "--port", "0", "--scheduler-file", str(file))]
    processes += [start("worker", "--scheduler-file", str(file)) for _ in range(2)]
    try:
        yield str(file), processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def floor(tmp_path: Path) -> Path:
    path = tmp_path / "floor.png"
    Image.fromarray(np.tile(draw_mosaic(256, 3).image, (5, 5, 1))).save(path)
    return path


def kill(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def address_of(file: str) -> str:
    return str(json.loads(Path(file).read_text(encoding="utf-8"))["address"])


def test_a_run_on_a_cluster_is_that_of_one_machine_though_a_worker_is_killed(
    cluster: tuple[str, Any], floor: Path, tmp_path: Path
) -> None:
    file, (_, first, _) = cluster
    with connect_when_there(file) as client:
        client.wait_for_workers(2, timeout=WAIT)
        steps = segment_steps(floor, tmp_path / "floor.mosaic.zarr", params=PARAMS, client=client)
        try:
            while True:
                step = next(steps)
                if step.phase == "joints" and first.poll() is None:
                    kill(first)
        except StopIteration as end:
            record = end.value
    with record, segment(floor, tmp_path / "alone.mosaic.zarr", params=PARAMS) as alone:
        assert record.complete
        np.testing.assert_array_equal(whole(record), whole(alone))


def test_where_the_scheduler_is_lost_the_run_ends_in_a_sentence_and_goes_on_later(
    cluster: tuple[str, Any], floor: Path, tmp_path: Path
) -> None:
    file, (scheduler, *_) = cluster
    path = tmp_path / "floor.mosaic.zarr"
    with connect_when_there(file) as client:
        client.wait_for_workers(2, timeout=WAIT)
        steps = segment_steps(floor, path, params=PARAMS, client=client)
        next(step for step in steps if step.phase == "joints")
        kill(scheduler)
        with pytest.raises(ClusterError, match=r"scheduler was lost; .* --resume"):
            drain(steps)
        client.close(timeout=1)
    with segment(floor, path, params=PARAMS, resume=True) as record:
        assert record.complete


def test_the_command_line_takes_the_address_of_a_scheduler(
    cluster: tuple[str, Any], floor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = cluster
    with connect_when_there(file) as client:
        client.wait_for_workers(1, timeout=WAIT)
    words = ["segment", str(floor), "--method", "gradient-watershed", "--scale", "1", "--scheduler", address_of(file)]
    assert main(words) == 0
    assert "tesserae" in capsys.readouterr().out
    with open_record(tmp_path / "floor.mosaic.zarr") as record:
        assert record.complete


def connect_when_there(file: str) -> Any:
    end = time.monotonic() + WAIT
    while not Path(file).is_file() and time.monotonic() < end:
        time.sleep(0.1)
    return connect(file)


def test_a_cluster_without_a_worker_is_waited_for_and_that_is_said() -> None:
    import distributed

    work: Any = SimpleNamespace(maker=None, send_maker=lambda: None)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as local,
        connect(local.scheduler_address) as client,
        pytest.warns(MosaicWarning, match="no worker yet; the run waits"),
    ):
        Cluster(client, work)


def test_a_scheduler_that_is_not_there_is_named(
    tmp_path: Path, floor: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_mosaic.engine.cluster._REACH_S", 1)
    with pytest.raises(ClusterError, match=r"No dask scheduler answers at tcp://127.0.0.1:9; start one"):
        connect("tcp://127.0.0.1:9")
    with pytest.raises(ClusterError, match="nonsense"):
        connect("nonsense://a b")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    for name in ("none.json", "broken.json"):
        with pytest.raises(
            MissingError, match=rf"{name} names no scheduler; give what dask scheduler --scheduler-file writes"
        ):
            connect(str(tmp_path / name))
    assert main(["segment", str(floor), "--scheduler", "tcp://127.0.0.1:9"]) != 0
    assert "No dask scheduler answers" in capsys.readouterr().err
