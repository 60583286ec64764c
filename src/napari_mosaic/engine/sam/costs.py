"""How much SAM 2 will be asked in a run, before its model is loaded.

One decision: windows and prompts are counted, not timed. How long one takes is a matter of model and machine, and a
trial would load hundreds of megabytes; a record in which SAM 2 has run says it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from napari_mosaic.engine.costs import Site
from napari_mosaic.engine.sam.plan import AUTOMATIC, make_mask_plan, usual_size
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.registry import look_of
from napari_mosaic.tiling import Box


@dataclass(frozen=True)
class MaskAmount:
    """Windows that will be encoded, and about how many prompts they are asked with."""

    windows: int
    prompts: int


@dataclass(frozen=True)
class _Unloaded:
    """What a plan needs to know of a model that is not in memory."""

    image_size: int
    tessera_px: float
    name: str = ""
    sha256: str = ""
    config: str = ""
    precision: str = ""


def count_masks(site: Site, mode: str, params: SamParams, only: Box | None = None) -> MaskAmount:
    """What SAM 2 will be asked over all of a site, or over a box of the working grid.

    Raises
    ------
    InputError
        The windows or prompts that the parameters ask for are too small.
    """
    network: Any = _Unloaded(*look_of(params.model, params.config))
    plan = make_mask_plan(site.plan, network, replace(params, points_per_batch=1), mode)
    shape = site.plan.shape
    box = Box(0, 0, *shape) if only is None else only.clip(shape)
    windows, prompts = 0, 0.0
    for number, layer in enumerate(plan.layers):
        lattice = plan.lattice(number, shape)
        cores = [lattice.tile(index).core for index in lattice.overlapping(box)]
        inside = [core.area * float(share) for core, share in zip(cores, site.shares(cores), strict=True)]
        windows += sum(area > 0 for area in inside)
        pitch = layer.pitch if mode == AUTOMATIC else usual_size(site.plan)
        prompts += sum(inside) / pitch**2
    return MaskAmount(windows, round(prompts))
