"""Several devices of this machine: a worker process for each, under the scheduler that clusters have.

One decision: a worker sees its own device alone, as the one `cuda` there is, so nothing below knows that there are
several. A worker asks for the next piece when it has finished one; so a faster device takes more of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import ClusterError, InputError
from napari_mosaic.memory import ARENAS, MOST_ARENAS

if TYPE_CHECKING:
    from distributed import Client

ALL = "cuda:all"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_THREADS = 3
"""Of a worker: one that reads and one that cuts tesserae while a third has the network. *Not varied.*"""
_COMING_S = 120
"""How long a worker may take to come up, seconds: a cold disk reads torch for half a minute. *Not varied.*"""
_GOING_S = 10
"""How long a worker may take to end before it is killed, seconds. *Not varied.*"""
_QUIET = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "warning"}


def several_devices(device: str) -> list[str]:
    """The devices that are meant where several are: by `cuda:all`, or by name with commas; none for a single one.

    Raises
    ------
    InputError
        `cuda:all` is asked for where there is no GPU, or a name in a list is empty.
    DependencyError
        GPUs need torch, which is not installed.
    """
    if device == ALL:
        with needed_for("Computing on GPUs"):
            from napari_mosaic.grout import cuda_devices

        devices = cuda_devices()
        if not devices:
            raise InputError("There is no GPU here that torch can use; choose the device auto, cpu or mps.")
        return devices if len(devices) > 1 else []
    if "," not in device:
        return []
    names = [name.strip() for name in device.split(",")]
    kinds = {name.partition(":")[0] for name in names}
    if not all(names) or len(kinds) > 1 or not kinds <= {"cuda", "cpu"}:
        raise InputError(f"The devices {device!r} cannot be used together; name GPUs as in cuda:0,cuda:1, or cuda:all.")
    return names


def one_device(device: str) -> str:
    """The device of this process, where several may be meant: the first of them."""
    return next(iter(several_devices(device)), device.removesuffix(":all"))


@contextmanager
def on_devices(devices: list[str]) -> Iterator[Client]:
    """A client whose workers are processes of this machine, one for each device; they end with it.

    Raises
    ------
    ClusterError
        A worker does not come up.
    DependencyError
        `distributed` is not installed.
    """
    with needed_for("Computing on several devices", instead="or name one device"):
        from distributed import Client, LocalCluster
    workers: list[subprocess.Popen[bytes]] = []
    with (
        LocalCluster(
            n_workers=0, processes=False, dashboard_address="127.0.0.1:0", host="127.0.0.1", protocol="tcp://"
        ) as scheduler,
        Client(scheduler, set_as_default=False) as client,
    ):
        try:
            workers += [
                _start_worker(scheduler.scheduler_address, number, device) for number, device in enumerate(devices)
            ]
            try:
                client.wait_for_workers(len(devices), timeout=_COMING_S)
            except TimeoutError as error:
                raise ClusterError(
                    f"Of {len(devices)} devices {len(client.ncores())} came up in {_COMING_S} s; see whether another "
                    "program holds the rest, or name those that are free, as in cuda:0,cuda:1."
                ) from error
            yield client
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                _end(worker)


def _start_worker(scheduler: str, number: int, device: str) -> subprocess.Popen[bytes]:
    words = [scheduler, "--name", f"{number} {device}", "--nthreads", str(_THREADS), "--memory-limit", "0"]
    command = [sys.executable, "-m", "distributed.cli.dask_worker", *words, "--no-dashboard"]
    return subprocess.Popen(
        command, env={ARENAS: str(MOST_ARENAS)} | os.environ | _QUIET | _sight(device), stdout=subprocess.DEVNULL
    )


def _sight(device: str) -> dict[str, str]:
    """What lets a process see one GPU alone; those that this process sees may be some of the machine's."""
    kind, _, number = device.partition(":")
    if kind != "cuda" or not number:
        return {}
    seen = [name for name in os.environ.get(_VISIBLE, "").split(",") if name]
    return {_VISIBLE: seen[int(number)] if int(number) < len(seen) else number}


def _end(worker: subprocess.Popen[bytes]) -> None:
    try:
        worker.wait(_GOING_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
