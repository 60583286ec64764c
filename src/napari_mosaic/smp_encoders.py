"""Which encoder a U-Net of segmentation-models-pytorch has, told by its weights alone.

One decision: names and shapes of an encoder's weights are its own, so they say which one it is; a checkpoint need
not name it. Encoders are built without memory for their weights, so looking through all of them takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from napari_mosaic.dependencies import needed_for

PREFIX = "encoder."
USUAL = ("efficientnet-b3", "resnet34", "resnet50", "efficientnet-b0", "mobilenet_v2")
"""Looked at first: those that GROUT's configuration names."""
_REFUSED = (KeyError, ValueError, TypeError, RuntimeError, NotImplementedError, AttributeError)
"""What an encoder may raise that the installed version cannot make, or not without memory."""

Shapes = dict[str, tuple[int, ...]]


def find_encoder(state: Mapping[str, Tensor], named: str = "") -> str | None:
    """The encoder of a U-Net's weights, or None where no known one has such.

    Parameters
    ----------
    state
        Weights by name, the encoder's beginning with `encoder.`.
    named
        What the checkpoint says that it is, which is looked at first; it may be one of timm's (`tu-...`).
    """
    wanted = {name.removeprefix(PREFIX): tuple(v.shape) for name, v in state.items() if name.startswith(PREFIX)}
    return next((name for name in _candidates(named) if wanted and encoder_shapes(name) == wanted), None)


def _candidates(named: str) -> Iterator[str]:
    with needed_for("A GROUT checkpoint"):
        import segmentation_models_pytorch as smp
    known = smp.encoders.encoders
    first = [name for name in (named, *USUAL) if name in known or name.startswith("tu-")]
    yield from dict.fromkeys([*first, *known])


def encoder_shapes(name: str) -> Shapes:
    """Shapes of the weights of an encoder, by name; empty where it cannot be made here."""
    with needed_for("A GROUT checkpoint"):
        import segmentation_models_pytorch as smp
    for device in ("meta", "cpu"):  # some ask for values while they are made, which what has no memory cannot give
        try:
            with torch.device(device):
                encoder = smp.encoders.get_encoder(name, in_channels=3, depth=5, weights=None)
        except _REFUSED:
            continue
        return {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    return {}
