"""A network ready to run: load it by name, predict windows with it.

One decision: what executes a network is chosen once, when it is loaded. On a CPU that is OpenVINO in eight-bit
integers where a quantised file lies beside the weights, and torch is not even imported; single precision
compiled from the weights where there is none; torch itself on every other device. What OpenVINO cannot compute on this
processor (see `trials`) is not used, and what is used in its place is said in one line.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.dependencies import has_package, install_command, missing, needed_for
from napari_mosaic.downloads import hash_file
from napari_mosaic.errors import InputError, ModelError, MosaicWarning, UnfitError
from napari_mosaic.framing import predict_framed
from napari_mosaic.memory import is_out_of_memory
from napari_mosaic.onnx_models import is_graph, read_graph
from napari_mosaic.runtimes import (
    NO_AMX,
    RUNTIMES,
    OpenVinoRun,
    Run,
    has_amx,
    has_openvino,
    load_openvino,
    openvino_limits,
    read_quantised,
)
from napari_mosaic.trials import Case, judge
from napari_mosaic.weights import DEFAULT, INT8, ModelCard, WeightsEntry, find_weights, quantised_sibling, read_header

_BY_TORCH = f"or, where that has no wheels, choose the runtime torch, which comes by: {install_command('torch')}"
PRECISIONS = ("auto", "fp32", "bf16", "fp16", INT8)
_NAMES = {
    INT8: "eight-bit integers",
    "fp32": "single precision",
    "bf16": "half precision (bf16)",
    "fp16": "half precision",
}
_LOADING = threading.RLock()
"""Which instructions OpenVINO may use is settled by the first network of a process: one is loaded at a time."""


class GroutNetwork:
    """A loaded network; `card` says what it is, `predict` runs it. Safe to call from several threads.

    Parameters
    ----------
    card
        What the network is.
    run
        From windows `(N, H, W, 3)` to maps `(N, C, H, W)`, both uint8.
    device, precision, runtime
        Where and how it runs, as the plan of a run names them.
    """

    def __init__(self, card: ModelCard, run: Run, *, device: str, precision: str, runtime: str) -> None:
        self.card, self.device, self.precision, self.runtime = card, device, precision, runtime
        self._run = run
        self.streams: int = getattr(run, "streams", 1)
        self._most: int | None = 1 if device == "cpu" else None  # on a CPU the batch is a part of the tried shape
        self._lock = threading.Lock()

    def predict(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Probability maps of a batch of windows.

        Parameters
        ----------
        windows
            (N, H, W, 3) sRGB; H and W are multiples of `card.stride`. What is computed are windows of
            `framing.SHAPES`, one at a time on a CPU.

        Returns
        -------
        numpy.ndarray
            (N, C, H, W), 0..255 for 0..1, channels as `card.channels` names them.

        Raises
        ------
        InputError
            If the windows have another shape or dtype.
        ModelError
            If not even one window fits into the device's memory.
        """
        self._check(windows)
        if not len(windows):
            return np.zeros((0, len(self.card.channels), *windows.shape[1:3]), np.uint8)
        return predict_framed(self._predict, windows, self.card.halo, len(self.card.channels))

    def _predict(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Maps of windows of a shape of the table, as many at a time as fit."""
        maps, start = [], 0
        while start < len(windows):
            count = min(self._most or len(windows), len(windows) - start)
            try:
                maps.append(self._run(windows[start : start + count]))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._lower(count, windows.shape[1:3], error)
                continue
            start += count
        return np.concatenate(maps) if len(maps) > 1 else maps[0]

    def _lower(self, count: int, shape: tuple[int, ...], error: BaseException) -> None:
        if count <= 1:
            raise ModelError(
                f"A window of {shape[0]} x {shape[1]} px does not fit into the memory of {self.device}; "
                f"choose smaller windows or the CPU."
            ) from error
        with self._lock:
            self._most = max(1, min(self._most or count, count) // 2)
        if self.device.startswith("cuda"):
            sys.modules["torch"].cuda.empty_cache()

    def _check(self, windows: NDArray[np.uint8]) -> None:
        stride = self.card.stride
        if windows.ndim != 4 or windows.shape[3] != 3 or windows.dtype != np.uint8:
            raise InputError(
                f"Windows must be (N, H, W, 3) uint8, not {windows.shape} {windows.dtype}; convert the image first."
            )
        if windows.shape[1] % stride or windows.shape[2] % stride or min(windows.shape[1:3]) < stride:
            raise InputError(
                f"Windows of {windows.shape[1]} x {windows.shape[2]} px do not fit this network, whose stride is "
                f"{stride}; pad them to multiples of it."
            )


def load_network(
    name_or_path: str | Path = DEFAULT,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    runtime: str = "auto",
) -> GroutNetwork:
    """Load the bundled network, a GROUT checkpoint or a file of one's own.

    Parameters
    ----------
    name_or_path
        A name that `weights.registry()` knows, or a path of safetensors, of a checkpoint of this package's
        training or of GROUT (`model_state_dict`, `state_dict` or bare), or of ONNX.
    device
        `auto`, `cpu`, `cuda`, `cuda:1`, `mps`; what came as ONNX runs on a CPU only.
    precision
        `auto`, `fp32`, `bf16`, `fp16` or `int8`; `auto` takes eight-bit integers on a CPU where the weights have
        such a file, half precision where the device is fast in it, else single.
    threads
        Threads of the CPU; None leaves them as they are.
    runtime
        `auto`, `torch` or `openvino`; `auto` is OpenVINO on a CPU where it is installed.

    Raises
    ------
    MissingError
        If there is no such file.
    ModelError
        If the file is no model, is damaged, carries code, or does not fit.
    InputError
        If the device, the precision or the runtime is unknown, or they do not go together.
    UnfitError
        If this processor cannot compute what was asked for by name; with `auto` the next in line is taken instead.
    DependencyError
        If what is asked for needs torch or OpenVINO, which is not installed.

    Warns
    -----
    MosaicWarning
        In one line, once a process, if the first choice cannot be computed on this processor.

    Examples
    --------
    >>> network = load_network("grout-lite", device="cpu")
    >>> network.card.channels
    ('grout', 'core')
    """
    if precision not in PRECISIONS:
        raise InputError(f"There is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    if runtime not in ("auto", *RUNTIMES):
        raise InputError(f"There is no runtime {runtime!r}; choose auto, {' or '.join(RUNTIMES)}.")
    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads cannot predict; give at least 1.")
    if runtime == "openvino" and not has_openvino():
        raise missing("The runtime openvino", "openvino", instead=_BY_TORCH)
    entry = find_weights(name_or_path)
    if is_graph(entry):
        return _graph(entry, device, precision, runtime, threads)
    quantised = quantised_sibling(entry)
    alone = quantised is not None and quantised == entry.path
    if device == "auto":
        on_cpu = alone or precision == INT8 or runtime == "openvino" or not may_have_gpu()
        device = "cpu" if on_cpu else _best_device()
    on_cpu = device == "cpu" and runtime != "torch" and has_openvino()
    if precision == INT8 and (quantised is None or not on_cpu):
        raise _no_int8(entry, on_cpu)
    if alone and not (on_cpu and precision in ("auto", INT8)):
        raise UnfitError(
            f"{entry.name} is here in eight-bit integers only, which OpenVINO computes on a CPU; leave device, "
            "runtime and precision to auto."
        )
    refused: list[str] = []
    with _LOADING:
        if on_cpu and quantised is not None and precision in ("auto", INT8):
            network = _quantised(entry, quantised, threads, refused)
            if network is None and (precision == INT8 or alone):
                raise _unfit(entry, refused)
            precision = "fp32"
        else:
            network = None
        if network is None:
            network = _from_weights(entry, device, precision, threads, runtime, refused)
    if refused:
        _say_once(f"{entry.name} runs in {_words(network)} here: {'; '.join(refused)}.")
    return network


def _quantised(entry: WeightsEntry, path: Path, threads: int | None, refused: list[str]) -> GroutNetwork | None:
    """The eight-bit file, whose card is that of the weights it was made from; None where it cannot be computed here."""
    header = read_header(path)
    graph, constants = read_quantised(path)
    model = hash_file(path)
    for limit in openvino_limits(INT8):
        verdict = judge(Case(model=model, precision=INT8, limit=limit, threads=threads), lambda _: path)
        if verdict.fit:
            run = load_openvino(graph, constants, precision=INT8, threads=threads, limit=limit)
            card = ModelCard.from_header(header, entry, header["parent_sha256"])
            return GroutNetwork(card, run, device="cpu", precision=INT8, runtime="openvino")
        refused.append(f"{_way(INT8, limit)} failed its trial on this processor ({verdict.reason})")
    return None


def _from_weights(
    entry: WeightsEntry, device: str, precision: str, threads: int | None, runtime: str, refused: list[str]
) -> GroutNetwork:
    with needed_for(_what_needs_torch(entry, device, runtime, refused)):
        from napari_mosaic import grout

    chosen = grout.choose_device(device)
    name = grout.DTYPE_NAMES[grout.choose_dtype(precision, chosen)]
    model, card = grout.read_model(entry)
    if chosen.type == "cpu" and runtime != "torch" and has_openvino():
        whole = grout.to_openvino(model, card)
        for tried in dict.fromkeys((name, "fp32") if precision == "auto" else (name,)):
            for limit in openvino_limits(tried):
                case = Case(model=card.sha256, precision=tried, limit=limit, threads=threads)
                verdict = judge(case, lambda folder: grout.write_trial(folder / "trial", entry, whole))
                if verdict.fit:
                    run = OpenVinoRun(whole, precision=tried, threads=threads, limit=limit)
                    return GroutNetwork(card, run, device=str(chosen), precision=tried, runtime="openvino")
                refused.append(f"{_way(tried, limit)} failed its trial on this processor ({verdict.reason})")
        if runtime == "openvino":
            raise _unfit(entry, refused or [f"OpenVINO has no {_NAMES[name]} in a program that began with {NO_AMX}"])
        name = "fp32" if precision == "auto" else name
    elif runtime == "openvino":
        raise InputError(
            f"The runtime OpenVINO is for CPUs, not for {device}; choose the device cpu or the runtime torch."
        )
    torch_run = grout.TorchRun(model, card, chosen, grout.DTYPES[name], threads=threads)
    return GroutNetwork(card, torch_run, device=str(chosen), precision=name, runtime="torch")


def _graph(entry: WeightsEntry, device: str, precision: str, runtime: str, threads: int | None) -> GroutNetwork:
    """A network that came as ONNX, on the CPU in single precision: there is no other program to try it against."""
    if device not in ("auto", "cpu") or runtime == "torch" or precision not in ("auto", "fp32"):
        raise InputError(
            f"{entry.name} came as ONNX and runs by OpenVINO on a CPU in single precision; leave device, runtime and "
            "precision to auto, or give the checkpoint that it was exported from."
        )
    if not has_openvino():
        raise missing("A model as ONNX", "openvino")
    whole, card = read_graph(entry)
    run = OpenVinoRun(whole, precision="fp32", threads=threads, limit=openvino_limits("fp32")[0])
    return GroutNetwork(card, run, device="cpu", precision="fp32", runtime="openvino")


def _way(precision: str, limit: str | None) -> str:
    """A precision in words, with what is left out of the processor's instructions."""
    return _NAMES[precision] + (" without AMX" if limit == NO_AMX and has_amx() else f" up to {limit}" if limit else "")


def _words(network: GroutNetwork) -> str:
    by = "" if network.runtime == "openvino" else f" by {network.runtime}"
    return f"{_NAMES[network.precision]}{by}"


def _unfit(entry: WeightsEntry, refused: list[str]) -> UnfitError:
    return UnfitError(f"{entry.name} cannot be computed so: {'; '.join(refused)}; leave the precision to auto.")


_SAID: set[str] = set()


def _say_once(sentence: str) -> None:
    if sentence not in _SAID:
        _SAID.add(sentence)
        warnings.warn(sentence, MosaicWarning, stacklevel=3)


def _what_needs_torch(entry: WeightsEntry, device: str, runtime: str, refused: list[str]) -> str:
    """Why the bundled eight-bit network on OpenVINO is not what runs, as the subject of a sentence."""
    if refused:
        return f"Running {entry.name} another way, for {'; '.join(refused)},"
    if device != "cpu" or runtime == "torch":
        return f"Running the network on {device} by torch"
    return f"Running the weights of {entry.name}" if has_openvino() else "Running the network without OpenVINO"


def _best_device() -> str:
    """What torch finds: a driver alone is no GPU, and without torch there is only the CPU."""
    if not has_package("torch"):
        return "cpu"
    with needed_for("A GPU"):
        from napari_mosaic.grout import choose_device

    return str(choose_device("auto"))


def may_have_gpu() -> bool:
    """Whether a driver for computing on a GPU is there at all; quick, and without torch."""
    if sys.platform == "darwin":
        return True
    if Path("/dev/kfd").exists():
        return True
    with suppress(OSError):
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        return True
    return False


def unused_gpu() -> str | None:
    """One line for a person whose GPU is not used because torch is not installed; None for all others.

    torch has no wheels for Macs with Intel processors any more, so nothing is offered there.
    """
    intel_mac = sys.platform == "darwin" and platform.machine() != "arm64"
    if has_package("torch") or intel_mac or not may_have_gpu():
        return None
    return f"There may be a GPU here that is not used, for lack of the package torch; run: {install_command('torch')}"


def _no_int8(entry: WeightsEntry, on_cpu: bool) -> InputError:
    if not on_cpu:
        return InputError("Eight-bit integers are computed by OpenVINO on a CPU; choose another precision.")
    return InputError(
        f"The model {entry.name!r} has no eight-bit file beside it; choose another precision, or make that file "
        f"with `napari-mosaic export-model`."
    )
