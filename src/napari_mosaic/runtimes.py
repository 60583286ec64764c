"""Runtimes: what executes a network, chosen once for a run and kept in its plan.

One decision: on a CPU that is OpenVINO, about twice as fast as torch there (`benchmarks/speed.py`), with
normalisation, network, sigmoid and rounding compiled together; torch runs everywhere else, and where
OpenVINO is not installed.
"""

from __future__ import annotations

import importlib.util
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_mosaic.errors import DependencyError, InputError

Run = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
RUNTIMES = ("torch", "openvino")


class PixelsToMaps(nn.Module):
    """A network with what stands before and after it: `(N, H, W, 3)` uint8 to `(N, C, H, W)` uint8."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("scale", 1 / (255 * torch.tensor(std).reshape(1, 3, 1, 1)))

    def forward(self, pixels: Tensor) -> Tensor:
        image = (pixels.permute(0, 3, 1, 2).float() - self.mean) * self.scale
        logits = self.network(image)
        return (torch.sigmoid(logits) * 255 + 0.5).to(torch.uint8)


def choose_runtime(runtime: str, device: torch.device) -> str:
    """The runtime to use: `auto` is OpenVINO on a CPU that has it, else torch."""
    found = importlib.util.find_spec("openvino") is not None
    if runtime == "auto":
        return "openvino" if found and device.type == "cpu" else "torch"
    if runtime not in RUNTIMES:
        raise InputError(f"There is no runtime {runtime!r}; choose auto, {' or '.join(RUNTIMES)}.")
    if runtime == "openvino" and not found:
        raise DependencyError(
            "The runtime OpenVINO is not installed; install it with: pip install openvino, or choose the runtime torch."
        )
    return runtime


def compile_openvino(module: PixelsToMaps, *, precision: str, threads: int | None) -> Run:
    """Compile for the CPU; any batch and any window whose sides fit the network."""
    import openvino

    example = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = openvino.convert_model(module.eval(), example_input=example, input=[-1, -1, -1, 3])
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    request = openvino.compile_model(model, "CPU", options).create_infer_request()
    lock = threading.Lock()

    def run(windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with lock:
            request.infer({0: np.ascontiguousarray(windows)}, share_inputs=True)
            return np.array(request.get_output_tensor(0).data)

    return run
