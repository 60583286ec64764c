"""The grout network in torch: build it, read its weights, run or compile it.

One decision: the quick network reads and writes at half resolution in channels, not in pixels: the last
decoder stage works at half size on the image's own pixels folded into channels, and its output is unfolded
to full size. The full-size layers, dearest in any U-Net, are not there; the accurate one has one such stage.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from napari_mosaic.dependencies import needed_for
from napari_mosaic.downloads import hash_file
from napari_mosaic.errors import InputError, ModelError
from napari_mosaic.framing import SIDES
from napari_mosaic.onnx_models import is_graph
from napari_mosaic.paddings import settle_paddings
from napari_mosaic.smp_encoders import find_encoder
from napari_mosaic.torch_files import BAD_FILE, read_torch_file, why_unread
from napari_mosaic.trials import JOINTS, WINDOW, bundled_window, pack_joints, spread
from napari_mosaic.weights import BASE, LITE, ModelCard, WeightsEntry, is_safetensors, read_header

CHANNELS = ("grout", "core")
UNET = "smp-unet-"
"""How the architecture of an smp U-Net begins; the encoder's name follows."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

_PLAIN: dict[bool, dict[str, str]] = {
    True: {},
    False: {
        "channels": '["grout"]',
        "mean": "[0.485, 0.456, 0.406]",
        "std": "[0.229, 0.224, 0.225]",
    },
}
"""What a checkpoint without a header is, whether of the bundled architecture or of GROUT's."""


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


@dataclass(frozen=True)
class Layout:
    """What sets one of our architectures apart.

    `encoder` is timm's name; `widths` the channels of the decoder's stages, from the coarsest; `finest` those of a
    stage at full size, 0 where there is none.
    """

    encoder: str
    widths: tuple[int, ...]
    finest: int = 0


LAYOUTS = {
    LITE: Layout("tf_efficientnet_lite0", (96, 48, 32, 32)),
    BASE: Layout("tf_efficientnet_lite2", (128, 64, 48, 32), finest=16),
}


class LiteNetwork(nn.Module):
    """U-Net on an EfficientNet-Lite, logits of `channels` maps at full size.

    Its last stage is at half size, or, where the layout has a finest one, at full size.
    """

    def __init__(self, layout: Layout = LAYOUTS[LITE], channels: int = len(CHANNELS)) -> None:
        super().__init__()
        widths = layout.widths
        self.encoder = timm.create_model(layout.encoder, features_only=True, pretrained=False)
        half, quarter, eighth, sixteenth, deepest = self.encoder.feature_info.channels()
        skips = (sixteenth, eighth, quarter, half + 12)
        inputs = (deepest, *widths[:-1])
        self.decoder = nn.ModuleList(
            _Stage(deep + skip, width) for deep, skip, width in zip(inputs, skips, widths, strict=True)
        )
        self.finest = _Stage(widths[-1] + 3, layout.finest) if layout.finest else None
        self.head = nn.Conv2d(layout.finest or widths[-1], channels * (1 if layout.finest else 4), 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        half, quarter, eighth, sixteenth, deep = self.encoder(image)
        fine = torch.cat([half, functional.pixel_unshuffle(image, 2)], dim=1)
        for stage, skip in zip(self.decoder, (sixteenth, eighth, quarter, fine), strict=True):
            deep = stage(deep, skip)
        if self.finest is not None:
            return self.head(self.finest(deep, image))  # type: ignore[no-any-return]
        return functional.pixel_shuffle(self.head(deep), 2)


class PixelsToMaps(nn.Module):
    """A network with what stands before and after it: `(N, H, W, 3)` uint8 to `(N, C, H, W)` uint8."""

    def __init__(self, network: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(card.mean).reshape(1, 3, 1, 1))
        self.register_buffer("scale", 1 / (255 * torch.tensor(card.std).reshape(1, 3, 1, 1)))

    def forward(self, pixels: Tensor) -> Tensor:
        image = (pixels.permute(0, 3, 1, 2).float() - self.mean) * self.scale
        logits = self.network(image)
        return (torch.sigmoid(logits) * 255 + 0.5).to(torch.uint8)


class TorchRun:
    """Run a network in torch: windows `(N, H, W, 3)` to maps `(N, C, H, W)`, both uint8."""

    def __init__(
        self, model: nn.Module, card: ModelCard, device: torch.device, dtype: torch.dtype, *, threads: int | None
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        fuse_norms(model.eval())
        self._device, self._dtype = device, dtype
        self._model = model.to(device=device, dtype=dtype, memory_format=torch.channels_last)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(card.mean, device=device).reshape(shape) * 255.0
        self._scale = 1.0 / (torch.tensor(card.std, device=device).reshape(shape) * 255.0)

    def __call__(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(windows)).to(self._device).permute(0, 3, 1, 2)
            logits = self._model(((pixels.float() - self._mean) * self._scale).to(self._dtype))
            probability = logits.float().sigmoid_().mul_(255.0).round_().to(torch.uint8)
            return np.asarray(probability.contiguous().cpu().numpy())


def to_openvino(model: nn.Module, card: ModelCard) -> Any:
    """The network from pixels to maps as an OpenVINO model of any batch and size."""
    import openvino

    fuse_norms(model.eval())
    example = torch.zeros(1, SIDES[0], SIDES[0], 3, dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = PixelsToMaps(model, card).eval()
        converted = openvino.convert_model(whole, example_input=example, input=[-1, -1, -1, 3])
    settle_paddings(converted, card.stride)
    return converted


def write_trial(path: Path, entry: WeightsEntry, whole: Any) -> Path:
    """Write a network of OpenVINO with what it is tried by on a processor; see `trials`."""
    import openvino

    graph = path.with_suffix(".xml")
    openvino.save_model(whole, graph, compress_to_fp16=False)
    window = bundled_window()
    content = {
        "graph": np.frombuffer(graph.read_bytes(), np.uint8),
        "constants": np.fromfile(graph.with_suffix(".bin"), np.uint8),
    }
    save_file(content | trial_answers(entry, window), path)
    return path


def trial_answers(entry: WeightsEntry, window: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """The trial window, and its joints by a network in single precision."""
    model, card = read_model(entry)
    run = TorchRun(model, card, torch.device("cpu"), torch.float32, threads=None)
    return {WINDOW: window, JOINTS: pack_joints(run(spread(window)[None])[0])}


def read_model(entry: WeightsEntry) -> tuple[nn.Module, ModelCard]:
    """Build the network that a weights file holds and fill it; nothing in the file is executed."""
    path = Path(str(entry.path))
    if is_graph(entry):
        raise ModelError(
            f"{path} is a network as ONNX, which can be run but neither trained nor written in another form; give the "
            "checkpoint that it was exported from."
        )
    safe = is_safetensors(path)
    try:
        content = load_file(path) if safe else read_torch_file(path)
    except BAD_FILE as error:
        raise ModelError(f"{path} is no model that can be read safely: {why_unread(path, error)}.") from error
    state = _state_dict(content, path)
    header = read_header(path) if safe else _recipe_header(content)
    lite = header.get("architecture", "") in LAYOUTS or any(name.startswith("head.") for name in state)
    own = BASE if any(name.startswith("finest.") for name in state) else LITE
    known = header.get("architecture") or (own if lite else UNET + _encoder_of(state, content, path))
    model, maps = _build_lite(state, LAYOUTS.get(known, LAYOUTS[own])) if lite else _build_unet(state, known)
    try:
        model.load_state_dict({name: value.float() for name, value in state.items()})
    except (RuntimeError, AttributeError) as error:
        raise ModelError(
            f"The weights in {path} do not fit {known}: layers are missing, left over or of "
            f"another shape; only networks trained here and U-Nets like GROUT's can be loaded."
        ) from error
    card = ModelCard.from_header(_PLAIN[lite] | {"architecture": known} | header, entry, hash_file(path))
    check_maps(path, maps, card)
    return model, card


def check_maps(path: Path, maps: int, card: ModelCard) -> None:
    """Raise `ModelError` where a network gives another number of maps than its card names."""
    if maps != len(card.channels):
        raise ModelError(
            f"The network in {path} gives {maps} maps, not {' and '.join(card.channels)}, so nobody knows what they "
            "show; a network of one class, the joints, can be taken, one of several classes cannot."
        )


def cuda_devices() -> list[str]:
    """The GPUs of this machine that torch can use, as it names them."""
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


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
    if precision != "auto":
        return DTYPES[precision]
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
    if not all(bool(value.isfinite().all()) for value in content.values() if value.is_floating_point()):
        raise ModelError(
            f"Some weights in {path} are no numbers (NaN or infinite), so the network knows nothing; its training went "
            "wrong there: give a checkpoint of before."
        )
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _recipe_header(content: Any) -> dict[str, str]:
    """What a checkpoint of this package's training says of its network, as a header would."""
    recipe = content.get("recipe") if isinstance(content, Mapping) else None
    if not isinstance(recipe, Mapping):
        return {}
    plain = {"architecture": str(recipe["architecture"]), "channels": json.dumps(CHANNELS[: int(recipe["channels"])])}
    return plain | {name: json.dumps(recipe[name]) for name in ("mean", "std", "tessera_px", "halo")}


def _encoder_of(state: Mapping[str, Tensor], content: Any, path: Path) -> str:
    """The encoder of a U-Net whose file has no header: by its weights, what its `config` says being looked at first."""
    config = content.get("config") if isinstance(content, Mapping) else None
    named = str(config.get("encoder", "")) if isinstance(config, Mapping) else ""
    encoder = find_encoder(state, named)
    if encoder is None:
        raise ModelError(
            f"The weights in {path} belong to a network that is not known here; only networks trained here and "
            "U-Nets of segmentation-models-pytorch, as GROUT's, can be loaded."
        )
    return encoder


def _build_lite(state: Mapping[str, Tensor], layout: Layout) -> tuple[nn.Module, int]:
    """A network of one of our architectures, as wide and with as many maps as its weights are; and those."""
    widths = [state.get(f"decoder.{stage}.layers.0.weight") for stage in range(len(layout.widths))]
    head, finest = state.get("head.weight"), state.get("finest.layers.0.weight")
    if head is None or any(width is None for width in widths) or (finest is None) != (layout.finest == 0):
        return LiteNetwork(layout), len(CHANNELS)
    sizes = tuple(int(width.shape[0]) for width in widths if width is not None)
    maps = max(1, head.shape[0] // (1 if layout.finest else 4))
    return LiteNetwork(replace(layout, widths=sizes, finest=0 if finest is None else len(finest)), maps), maps


def _build_unet(state: Mapping[str, Tensor], architecture: str) -> tuple[nn.Module, int]:
    with needed_for("A GROUT checkpoint"):
        import segmentation_models_pytorch as smp
    head = state.get("segmentation_head.0.weight")
    if head is None or not architecture.startswith(UNET):
        raise ModelError(
            "The weights belong to a network that is not known here; only networks trained here and U-Nets like "
            "GROUT's can be loaded."
        )
    encoder = architecture.removeprefix(UNET)
    try:
        return smp.Unet(encoder, encoder_weights=None, in_channels=3, classes=head.shape[0]), int(head.shape[0])
    except (KeyError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"The encoder {encoder!r} of these weights is not known to the installed version.") from error


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies in bfloat16 by itself; an emulated one is slower than single precision."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe()) if probe is not None else False
