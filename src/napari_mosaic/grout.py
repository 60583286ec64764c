"""The grout network: build it, load it, predict windows with it.

One decision: the bundled network reads and writes at half resolution in channels, not in pixels: the last
decoder stage works at half size on the image's own pixels folded into channels, and its output is unfolded
to full size. The full-size layers, dearest in any U-Net, are not there.
"""

from __future__ import annotations

import json
import pickle
import struct
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from napari_mosaic.errors import DependencyError, InputError, ModelError
from napari_mosaic.runtimes import PixelsToMaps, Run, choose_runtime, compile_openvino
from napari_mosaic.weights import DEFAULT, WeightsEntry, file_hash, find_weights, is_safetensors, read_header

WIDTHS = (96, 48, 32, 24)
CHANNELS = ("grout", "core")
LITE = "lite0-half"
"""Architecture of the bundled weights, as their header names it."""
GROUT_B3 = "smp-unet-efficientnet-b3"
"""Architecture of GROUT's checkpoints: smp's U-Net on EfficientNet-B3, one logit."""
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
BAD_FILE = (
    pickle.UnpicklingError, zipfile.BadZipFile, struct.error, SafetensorError, RuntimeError, EOFError, ValueError,
    LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, OSError,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What must be known of a network to use it.

    `tessera_px` is the size of tessera on the working grid that it was trained for, `halo` how many pixels
    at a window's border should be read but not kept, `stride` what a window's sides must be multiples of.
    """

    name: str
    sha256: str
    architecture: str
    channels: tuple[str, ...]
    tessera_px: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride: int = 32
    halo: int = 64
    licence: str = ""


class _Stage(nn.Module):
    """Double the size, join what the encoder saw at that size, two convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        deep = functional.interpolate(deep, scale_factor=2.0, mode="nearest")
        return self.layers(torch.cat([deep, skip], dim=1))  # type: ignore[no-any-return]


class LiteNetwork(nn.Module):
    """U-Net on EfficientNet-Lite0 whose last stage is at half size; logits of `channels` maps at full size."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, channels: int = len(CHANNELS)) -> None:
        super().__init__()
        self.encoder = timm.create_model("tf_efficientnet_lite0", features_only=True, pretrained=False)
        half, quarter, eighth, sixteenth, deepest = self.encoder.feature_info.channels()
        skips = (sixteenth, eighth, quarter, half + 12)
        inputs = (deepest, *widths[:-1])
        self.decoder = nn.ModuleList(
            _Stage(deep + skip, width) for deep, skip, width in zip(inputs, skips, widths, strict=True)
        )
        self.head = nn.Conv2d(widths[-1], 4 * channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        half, quarter, eighth, sixteenth, deep = self.encoder(image)
        fine = torch.cat([half, functional.pixel_unshuffle(image, 2)], dim=1)
        for stage, skip in zip(self.decoder, (sixteenth, eighth, quarter, fine), strict=True):
            deep = stage(deep, skip)
        return functional.pixel_shuffle(self.head(deep), 2)


class GroutNetwork:
    """A loaded network; `card` says what it is, `predict` runs it. Safe to call from several threads."""

    def __init__(
        self,
        model: nn.Module,
        card: ModelCard,
        device: torch.device,
        dtype: torch.dtype,
        *,
        runtime: str = "torch",
        threads: int | None = None,
    ) -> None:
        self.card, self.device, self.dtype, self.runtime = card, device, dtype, runtime
        fuse_norms(model.eval())
        self._compiled: Run | None = None
        if runtime == "openvino":
            whole = PixelsToMaps(model, card.mean, card.std)
            self._compiled = compile_openvino(whole, precision=self.precision, threads=threads)
        self._model = model.to(device=device, dtype=dtype, memory_format=torch.channels_last)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(card.mean, device=device).reshape(shape) * 255.0
        self._scale = 1.0 / (torch.tensor(card.std, device=device).reshape(shape) * 255.0)
        self._most: int | None = None
        self._lock = threading.Lock()

    @property
    def precision(self) -> str:
        """`fp32`, `bf16` or `fp16`, as chosen."""
        return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]

    def predict(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Probability maps of a batch of windows.

        Parameters
        ----------
        windows
            (N, H, W, 3) sRGB; H and W are multiples of `card.stride`.

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
        maps, start = [], 0
        while start < len(windows):
            count = min(self._most or len(windows), len(windows) - start)
            try:
                maps.append(self._run(windows[start : start + count]))
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._lower(count, windows.shape[1:3], error)
                continue
            start += count
        if not maps:
            return np.zeros((0, len(self.card.channels), *windows.shape[1:3]), np.uint8)
        return np.concatenate(maps)

    def _run(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._compiled is not None:
            return self._compiled(windows)
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(windows)).to(self.device).permute(0, 3, 1, 2)
            logits = self._model(((pixels.float() - self._mean) * self._scale).to(self.dtype))
            probability = logits.float().sigmoid_().mul_(255.0).round_().to(torch.uint8)
            return np.asarray(probability.contiguous().cpu().numpy())

    def _lower(self, count: int, shape: tuple[int, ...], error: BaseException) -> None:
        if count <= 1:
            raise ModelError(
                f"A window of {shape[0]} x {shape[1]} px does not fit into the memory of {self.device}; "
                f"choose smaller windows or the CPU."
            ) from error
        with self._lock:
            self._most = max(1, min(self._most or count, count) // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

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
        training or of GROUT (`model_state_dict`, `state_dict` or bare).
    device
        `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
    precision
        `auto`, `fp32`, `bf16` or `fp16`; `auto` takes half precision where the device is fast in it.
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
        If the device or precision is unknown.

    Examples
    --------
    >>> network = load_network("grout-lite", device="cpu", precision="fp32")
    >>> network.card.channels
    ('grout', 'core')
    """
    entry = find_weights(name_or_path)
    chosen = choose_device(device)
    dtype = choose_dtype(precision, chosen)
    if threads is not None:
        if threads < 1:
            raise InputError(f"{threads} threads cannot predict; give at least 1.")
        torch.set_num_threads(threads)
    model, card = read_model(entry)
    chosen_runtime = choose_runtime(runtime, chosen)
    return GroutNetwork(model, card, chosen, dtype, runtime=chosen_runtime, threads=threads)


def read_model(entry: WeightsEntry) -> tuple[nn.Module, ModelCard]:
    """Build the network that a weights file holds and fill it; nothing in the file is executed."""
    path = Path(str(entry.path))
    safe = is_safetensors(path)
    try:
        content = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except BAD_FILE as error:
        raise ModelError(
            f"{path} is no model that can be read safely: it is damaged, is something else, or carries code "
            f"besides weights; use a safetensors file or a plain checkpoint."
        ) from error
    state = _state_dict(content, path)
    header = read_header(path) if safe else {}
    lite = header.get("architecture", "") == LITE or any(name.startswith("head.") for name in state)
    model = LiteNetwork() if lite else _build_b3(state)
    try:
        model.load_state_dict({name: value.float() for name, value in state.items()})
    except (RuntimeError, AttributeError) as error:
        raise ModelError(
            f"The weights in {path} do not fit {LITE if lite else GROUT_B3}: layers are missing, left over or of "
            f"another shape; only the bundled architecture and GROUT's EfficientNet-B3 U-Net can be loaded."
        ) from error
    return model, _card(entry, header, lite, file_hash(path))


def choose_device(device: str) -> torch.device:
    """The device meant by `auto` or a name; raises `InputError` where there is none like that."""
    if device == "auto":
        mps = getattr(torch.backends, "mps", None)
        best = "cuda" if torch.cuda.is_available() else "mps" if mps and mps.is_available() else "cpu"
        return torch.device(best)
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"There is no device {device!r} here; choose auto, cpu, cuda or mps.") from error
    return chosen


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type to compute in; `auto` is half precision on CUDA, bfloat16 on a CPU that has it, else single."""
    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision not in PRECISIONS:
        raise InputError(f"There is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return named[precision]
    if device.type == "cuda":
        return torch.float16
    if device.type == "cpu" and _cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def fuse_norms(module: nn.Module) -> None:
    """Fold every batch norm into the convolution before it, in place; the output stays what it was."""
    previous: tuple[str, nn.Conv2d] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            previous = (name, child)
        elif isinstance(child, nn.BatchNorm2d) and previous is not None:
            fused = nn.utils.fuse_conv_bn_eval(previous[1], child)
            setattr(module, previous[0], fused)
            setattr(module, name, getattr(child, "act", nn.Identity()))
            previous = None
        elif not isinstance(child, nn.Identity):
            previous = None
            fuse_norms(child)


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint of whichever layout, without a `module.` that parallel training leaves."""
    for key in ("average", "model_state_dict", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"{path} holds no network weights; give a safetensors file or a checkpoint of a U-Net.")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _build_b3(state: Mapping[str, Tensor]) -> nn.Module:
    try:
        import segmentation_models_pytorch as smp
    except ImportError as error:
        raise DependencyError(
            "A GROUT checkpoint needs segmentation-models-pytorch; run `pip install segmentation-models-pytorch`."
        ) from error
    if "segmentation_head.0.weight" not in state:
        raise ModelError(
            "The weights belong to a network that is not known here; only the bundled architecture and GROUT's "
            "EfficientNet-B3 U-Net can be loaded."
        )
    return smp.Unet("efficientnet-b3", encoder_weights=None, in_channels=3, classes=1)


def _card(entry: WeightsEntry, header: Mapping[str, str], lite: bool, sha256: str) -> ModelCard:
    mean: Any = json.loads(header.get("mean", "null")) or ((0.5,) * 3 if lite else (0.485, 0.456, 0.406))
    std: Any = json.loads(header.get("std", "null")) or ((0.5,) * 3 if lite else (0.229, 0.224, 0.225))
    return ModelCard(
        name=header.get("name", entry.name),
        sha256=sha256,
        architecture=LITE if lite else GROUT_B3,
        channels=CHANNELS if lite else CHANNELS[:1],
        tessera_px=float(header.get("tessera_px", entry.tessera_px)),
        mean=tuple(mean),
        std=tuple(std),
        halo=int(header.get("halo", 64)),
        licence=header.get("licence", entry.licence),
    )


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, on whatever device, or numpy ran out of memory."""
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in text for words in ("out of memory", "not enough memory", "can't allocate memory")
    )


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies in bfloat16 by itself; an emulated one is slower than single precision."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe()) if probe is not None else False
