"""OpenVINO: what executes a network on a CPU, about twice as fast as torch there.

One decision: nothing here needs torch. A quantised network is a graph and its constants in one safetensors
file, so it carries no code and loads in half a second.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from napari_mosaic.dependencies import has_package
from napari_mosaic.errors import ModelError
from napari_mosaic.model_cache import compile_cached, hash_content

Run = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
RUNTIMES = ("torch", "openvino")


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return has_package("openvino")


def read_quantised(path: Path) -> tuple[bytes, NDArray[np.uint8]]:
    """Graph and constants of a quantised network; `ModelError` where the file is damaged."""
    try:
        content = load_file(path)
        return content["graph"].tobytes(), content["constants"]
    except (SafetensorError, KeyError, OSError) as error:
        raise ModelError(f"{path} holds no quantised network; delete it or make it again.") from error


def load_openvino(graph: bytes, constants: NDArray[np.uint8], *, precision: str, threads: int | None) -> Run:
    """Compile a stored graph for the CPU."""
    import openvino

    try:
        model = openvino.Core().read_model(model=graph, weights=openvino.Tensor(constants))
    except RuntimeError as error:
        raise ModelError(
            "The quantised network cannot be read by this OpenVINO; update it, or choose the precision fp32."
        ) from error
    return OpenVinoRun(model, precision=precision, threads=threads, content=hash_content(graph, constants))


class OpenVinoRun:
    """A compiled OpenVINO model: any batch and any window whose sides fit the network.

    `streams` windows are computed side by side, each by its share of the cores. A core that is busy with
    something else then holds up one window, where it would hold up every layer of the only one.
    `content` is a hash of the network, under which the compiled one is kept; None keeps none.
    """

    def __init__(self, model: Any, *, precision: str, threads: int | None, content: str | None = None) -> None:
        cores = threads or len(usable_cores())
        self.streams = streams_for(cores) if precision == "int8" else 1
        options: dict[str, Any] = {
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": cores,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        compiled = compile_cached(model, options, content)
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.streams):
            self._free.put(compiled.create_infer_request())

    def __call__(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        request = self._free.get()
        try:
            request.infer({0: np.ascontiguousarray(windows)}, share_inputs=True)
            return np.array(request.get_output_tensor(0).data)
        finally:
            self._free.put(request)


def streams_for(cores: int) -> int:
    """Windows to compute side by side: each takes a third of a gigabyte, so there are never many."""
    return 4 if cores >= 8 else min(2, cores)


def usable_cores() -> set[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
