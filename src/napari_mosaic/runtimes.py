"""OpenVINO: what executes a network on a CPU, about twice as fast as torch there.

One decision: nothing here needs torch. A quantised network is a graph and its constants in one safetensors
file, so it carries no code and loads in half a second.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from napari_mosaic.dependencies import has_package
from napari_mosaic.errors import ModelError
from napari_mosaic.framing import SIDES
from napari_mosaic.model_cache import compile_cached, hash_content

Run = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
RUNTIMES = ("torch", "openvino")
_LIMIT = "ONEDNN_MAX_CPU_ISA"
_LIMITS = (_LIMIT, "DNNL_MAX_CPU_ISA")
"""Where oneDNN, OpenVINO's library of kernels, reads the newest instructions it may use; the second is its old name."""
NO_AMX = "AVX512_CORE_VNNI"
"""The newest instructions that the eight-bit network needs. AMX, one step further, makes it no faster (35 MP in 16.3 s
with it, in 16.4 s without), and the kernels that use it are those that died."""
_PLUGIN = "openvino_intel_cpu_plugin"
_USUAL = (1, SIDES[-1], SIDES[-1], 3)


class _Process:
    """What this process has settled: which instructions OpenVINO reads that it may use, once and for all."""

    lock = threading.RLock()
    settled = False
    limit: str | None = None


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


def openvino_limits(precision: str) -> tuple[str | None, ...]:
    """Limits of the instructions that OpenVINO can run a precision with in this process, the first choice first.

    None is OpenVINO as it is, or as the person's own variable has it. There is nothing to choose once OpenVINO has been
    loaded; half precision needs newer instructions than `NO_AMX` leaves.
    """
    with _Process.lock:
        if _Process.settled:
            return () if precision == "bf16" and _Process.limit == NO_AMX else (_Process.limit,)
        free = not (any(os.environ.get(name) for name in _LIMITS) or _is_loaded())
        if precision != "int8" or not free or platform.machine() not in ("x86_64", "AMD64"):
            return (None,)
        return (NO_AMX, None) if has_amx() else (None, NO_AMX)


def settle_instructions(limit: str | None) -> None:
    """Have OpenVINO read which instructions it may use; `ModelError` where others are settled already.

    It reads the variable once, when it is first asked what it can do. Other libraries read the same one, so it is set
    for that moment alone.
    """
    with _Process.lock:
        if _Process.settled:
            if _Process.limit != limit:
                raise ModelError(
                    f"OpenVINO runs with the instructions {_Process.limit or 'of the processor'} in this program "
                    f"already, not with {limit or 'those of the processor'}; start the program again."
                )
            return
        with _variable(limit):
            import openvino

            openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        _Process.settled, _Process.limit = True, limit


@contextmanager
def _variable(limit: str | None) -> Iterator[None]:
    before = os.environ.get(_LIMIT)
    if limit is None or before is not None:
        yield
        return
    os.environ[_LIMIT] = limit
    try:
        yield
    finally:
        del os.environ[_LIMIT]


def _is_loaded() -> bool:
    """Whether somebody else in this process has loaded OpenVINO's kernels: then it is too late for a limit."""
    if "openvino" not in sys.modules:
        return False
    if sys.platform == "linux":
        return _PLUGIN in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    if sys.platform == "win32":
        return bool(ctypes.windll.kernel32.GetModuleHandleW(f"{_PLUGIN}.dll"))
    return True


def has_amx() -> bool:
    """Whether the processor says that it has AMX; False where it cannot be asked."""
    return any(flag.startswith("amx") for flag in processor()[1])


def processor() -> tuple[str, tuple[str, ...]]:
    """Model of the processor, and which sets of instructions it has that kernels are chosen by."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), ()
    found = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts = (found.get(name, "") for name in ("model name", "cpu family", "model", "stepping"))
    flags = found.get("flags", found.get("Features", "")).split()
    kinds = ("amx", "avx", "fma", "sse4", "asimd", "sve")
    return " ".join(part for part in parts if part), tuple(sorted(flag for flag in flags if flag.startswith(kinds)))


def load_openvino(
    graph: bytes, constants: NDArray[np.uint8], *, precision: str, threads: int | None, limit: str | None = None
) -> Run:
    """Compile a stored graph for the CPU, with instructions up to `limit`."""
    settle_instructions(limit)
    import openvino

    try:
        model = openvino.Core().read_model(model=graph, weights=openvino.Tensor(constants))
    except RuntimeError as error:
        raise ModelError(
            "The quantised network cannot be read by this OpenVINO; update it, or choose the precision fp32."
        ) from error
    content = hash_content(graph, constants)
    return OpenVinoRun(model, precision=precision, threads=threads, limit=limit, content=content)


class OpenVinoRun:
    """A compiled OpenVINO model; `GroutNetwork` sees to it that it gets windows of `framing.SHAPES` alone.

    `streams` windows are computed side by side, each by its share of the cores. A core that is busy with
    something else then holds up one window, where it would hold up every layer of the only one.
    `content` is a hash of the network, under which the compiled one is kept; None keeps none.

    The usual window is compiled for its own shape, all others for any: 0.16 core-seconds instead of 0.19 for a window
    of 1152 px, and half the memory (70 MB a stream instead of 148). Either is compiled when it is first needed.
    """

    def __init__(
        self, model: Any, *, precision: str, threads: int | None, limit: str | None = None, content: str | None = None
    ) -> None:
        settle_instructions(limit)
        cores = threads or len(usable_cores())
        self.streams = streams_for(cores) if precision == "int8" else 1
        self._model, self._content, self._limit = model, content, limit
        self._options: dict[str, Any] = {
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": cores,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        self._free: dict[bool, SimpleQueue[Any]] = {}
        self._compiling = threading.Lock()

    def __call__(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        free = self._requests(usual=windows.shape == _USUAL)
        request = free.get()
        try:
            request.infer({0: np.ascontiguousarray(windows)}, share_inputs=True)
            return np.array(request.get_output_tensor(0).data)
        finally:
            free.put(request)

    def _requests(self, *, usual: bool) -> SimpleQueue[Any]:
        """What computes windows of the usual shape, or of any, for one window at a time each."""
        with self._compiling:
            if usual not in self._free:
                model = self._model.clone() if usual else self._model
                if usual:
                    model.reshape(list(_USUAL))
                compiled = compile_cached(model, self._options, self._content, self._limit)
                self._free[usual] = SimpleQueue()
                for _ in range(self.streams):
                    self._free[usual].put(compiled.create_infer_request())
            return self._free[usual]


def streams_for(cores: int) -> int:
    """Windows to compute side by side: beyond one a core they only wait for each other, beyond four for memory."""
    return 4 if cores >= 8 else min(2, cores)


def usable_cores() -> set[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
