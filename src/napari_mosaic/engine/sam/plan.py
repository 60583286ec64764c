"""The plan of SAM 2's part of a run: windows, prompts, model, batch.

One decision: it is fixed before the first window and kept in the record, beside the plan of the map; whoever
goes on with the run, or does a part of it elsewhere, follows it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from typing import Any

from napari_mosaic.engine.planning import USUAL_PX
from napari_mosaic.errors import InputError, RecordError
from napari_mosaic.ids import CELL
from napari_mosaic.record import Plan
from napari_mosaic.sam.masks import Frame
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import MaskNetwork, tessera_size
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box, Lattice

GUIDED, AUTOMATIC = "guided", "automatic"
_ROOM = 1.25
"""Halo, in tesserae, that the widest windows have at least; not varied."""
_SMALLEST_CORE = 4
"""Pixels of the working grid that a window must keep; not varied."""


@dataclass(frozen=True, kw_only=True)
class MaskLayer:
    """One lattice of windows, in working pixels: each reads `side`, of which `core` is its own.

    `pitch` is the distance of prompts of the automatic generator.
    """

    side: int
    core: int
    pitch: float

    @property
    def halo(self) -> int:
        """What a window reads around its core."""
        return (self.side - self.core) // 2


@dataclass(frozen=True, kw_only=True)
class MaskPlan:
    """Everything that decides SAM 2's masks of one record. `into` is "sam2" or "tesserae"."""

    mode: str
    into: str
    model: str
    model_sha256: str
    config: str
    precision: str
    image_size: int
    batch: int
    layers: tuple[MaskLayer, ...]
    tesserae: TesseraParams
    params: SamParams

    def lattice(self, layer: int, shape: tuple[int, int]) -> Lattice:
        """The windows of a layer over a working grid of `shape`."""
        return Lattice(shape=shape, core=self.layers[layer].core, halo=self.layers[layer].halo)

    def frame(self, layer: int, index: tuple[int, int], shape: tuple[int, int]) -> Frame:
        """Where a window over a grid of `shape` lies; where it reaches over that, the photograph is mirrored."""
        chosen = self.layers[layer]
        y0, x0 = (k * chosen.core - chosen.halo for k in index)
        read = Box(y0, x0, y0 + chosen.side, x0 + chosen.side)
        return Frame(read, self.image_size / chosen.side, shape, layer)

    @property
    def margin(self) -> int:
        """How far from the core of its window an object of the plan may reach."""
        rules = self.tesserae
        halo = max(layer.halo for layer in self.layers)
        return max(halo, rules.reach + rules.blob_limit + rules.max_hole) if self.mode == GUIDED else halo + CELL

    @property
    def needed(self) -> int:
        """How far around a tile the map is read for it, but for odd masks that reach through several windows."""
        return 5 * self.margin

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> MaskPlan:
        """The plan of JSON values; `RecordError` where a field is missing or unknown."""
        try:
            return cls(
                **{
                    **values,
                    "layers": tuple(MaskLayer(**layer) for layer in values["layers"]),
                    "tesserae": TesseraParams(**values["tesserae"]),
                    "params": SamParams(**values["params"]),
                }
            )
        except (KeyError, TypeError, InputError) as error:
            raise RecordError(
                f"The plan of SAM 2 in sam2.json cannot be read ({error}); delete the file and run SAM 2 again."
            ) from error

    def same_masks(self, other: MaskPlan) -> bool:
        """Whether both plans give the same masks: all fields but batch, and where and how exactly SAM 2 runs."""
        mine, theirs = (replace(plan, batch=1, model="", params=_deciding(plan.params)) for plan in (self, other))
        return mine == theirs

    def other_settings(self, begun: MaskPlan) -> str:
        """The parameters in which a plan that was begun differs from this one, in brackets; empty where none does."""
        mine, theirs = (dataclasses.asdict(_deciding(plan.params)) for plan in (self, begun))
        told = [
            f"{name.replace('_', '-')} {theirs[name]}, not {mine[name]}" for name in mine if mine[name] != theirs[name]
        ]
        return f" ({'; '.join(told)})" if told else ""


def _deciding(params: SamParams) -> SamParams:
    """Parameters without what the plan has in fields of its own or what changes no mask."""
    return replace(params, device="auto", precision="auto", points_per_batch=0, model="", config=None)


def usual_size(plan: Plan) -> float:
    """Size of a tessera on the working grid, px: as the record found it, else the usual one."""
    return plan.tessera_px or USUAL_PX


def make_mask_plan(plan: Plan, network: MaskNetwork, params: SamParams, mode: str) -> MaskPlan:
    """The plan of SAM 2's part for a record with `plan`.

    Raises
    ------
    InputError
        If the windows or prompts that the parameters ask for are too small.
    """
    usual = usual_size(plan)
    side = max(1, round(network.image_size * usual / tessera_size(network, params.tessera_px)))
    layers = tuple(
        _layer(side, depth, usual, params) for depth in range(1 + params.crop_n_layers * (mode == AUTOMATIC))
    )
    if mode == AUTOMATIC:
        check_pitch(layers[-1].pitch)
    into = params.into if params.into != "auto" else ("tesserae" if mode == GUIDED else "sam2")
    return MaskPlan(
        mode=mode,
        into=into,
        model=network.name,
        model_sha256=network.sha256,
        config=network.config,
        precision=network.precision,
        image_size=network.image_size,
        batch=params.points_per_batch or network.fitting_batch(),
        layers=layers,
        tesserae=plan.tesserae,
        params=params,
    )


def check_pitch(pitch: float) -> None:
    """Raise `InputError` where points of the automatic generator would be too close, in working pixels."""
    if pitch < CELL:
        raise InputError(
            f"Prompts {pitch:.1f} px of the analysis apart are closer than the {CELL} px that tell two "
            "masks apart; give fewer points a side, or larger windows (a smaller tessera_px)."
        )


def _layer(widest: int, depth: int, usual: float, params: SamParams) -> MaskLayer:
    side = round(widest / 2**depth)
    halo = round(params.overlap * side)
    if depth == 0:
        halo = max(halo, min(math.ceil(_ROOM * usual), side // 4))
    core = side - 2 * halo
    points = params.points_per_side // params.crop_n_points_downscale_factor**depth
    if core < _SMALLEST_CORE:
        raise InputError(
            f"A window of SAM 2 would show {side} px of the analysis and keep {max(0, core)}; make tessera_px or "
            "overlap smaller, or use fewer layers."
        )
    return MaskLayer(side=side, core=core, pitch=side / points)
