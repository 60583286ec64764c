"""Methods with masks: after the joints, a network that answers prompts.

One decision: a method with masks is an entry here, how it prompts and what loads its network; the engine knows
no model by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_mosaic.dependencies import needed_for
from napari_mosaic.engine.sam.plan import AUTOMATIC, GUIDED
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import MaskNetwork

Loader = Callable[[SamParams], MaskNetwork]


@dataclass(frozen=True, kw_only=True)
class MaskRequest:
    """Masks that were asked for: how prompts are found, the network, the parameters."""

    mode: str
    network: MaskNetwork
    params: SamParams


def _load_sam2(params: SamParams) -> MaskNetwork:
    with needed_for("SAM 2", extra="sam2"):
        from napari_mosaic.sam.network import load_sam

    return load_sam(params.model, config=params.config, device=params.device, precision=params.precision)


_METHODS: dict[str, tuple[str, Loader]] = {"grout+sam2": (GUIDED, _load_sam2), "sam2": (AUTOMATIC, _load_sam2)}


def register_mask_method(name: str, mode: str, loader: Loader) -> None:
    """Add a method with masks; a method of the same name must find the joints."""
    _METHODS[name] = (mode, loader)


def mask_mode(method: str) -> str:
    """How a method with masks finds its prompts; empty for methods without."""
    return _METHODS[method][0] if method in _METHODS else ""


def request_masks(method: str, params: SamParams | None = None) -> MaskRequest | None:
    """The masks that a method asks for, their network loaded; None for methods without masks.

    Raises
    ------
    MosaicError
        One of its kinds, with one sentence, where the network cannot be loaded.
    """
    if method not in _METHODS:
        return None
    mode, loader = _METHODS[method]
    chosen = params or SamParams()
    return MaskRequest(mode=mode, network=loader(chosen), params=chosen)
