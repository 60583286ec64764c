"""The plan: everything that decides the pixels of a record, fixed before its first shard.

One decision: what was chosen by trial (scale, runtime, precision, windows) is chosen once and stored,
so that a resumed run and every worker compute the same map.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from napari_mosaic.errors import RecordError
from napari_mosaic.limits import check_kinds
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Lattice

SHARD = 1024
"""Side of a shard in pixels of the working grid; it belongs to the format."""

_LARGEST_TESSERA = 1e6
"""Px; what says more was damaged. Not varied."""


class View(NamedTuple):
    """One way in which a window is shown to the network.

    Network pixels per pixel of the working grid (times the zone), quarter turns anticlockwise, and whether it is
    then mirrored, left to right.
    """

    scale: float
    turns: int
    mirrored: bool


PLAIN = View(1.0, 0, False)
"""As it is."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one source becomes one record.

    `factor` is working pixels per source pixel; `window` and `halo` the core and halo of the lattice
    that the network runs on, in pixels of the working grid; `zones` one relative scale a window, row
    by row, where parts of the mosaic are drawn finer or coarser than the rest, or None.
    `views` are the ways in which every window is shown to the network, whose answers are fused.
    """

    source_shape: tuple[int, int]
    shape: tuple[int, int]
    factor: float
    tessera_px: float | None
    method: str
    model: str
    model_sha256: str
    channels: int
    stride: int
    window: int
    halo: int
    shard: int = SHARD
    zones: tuple[tuple[float, ...], ...] | None = None
    runtime: str = "torch"
    precision: str = "fp32"
    batch: int = 1
    tesserae: TesseraParams = field(default_factory=TesseraParams)
    views: tuple[View, ...] = (PLAIN,)

    @property
    def lattice(self) -> Lattice:
        """The windows of the map pass."""
        return Lattice(shape=self.shape, core=self.window, halo=self.halo)

    @property
    def shards(self) -> Lattice:
        """The shards of every array at level 0."""
        return Lattice(shape=self.shape, core=self.shard)

    def zone(self, index: tuple[int, int]) -> float:
        """Scale of a window relative to the working grid."""
        return 1.0 if self.zones is None else self.zones[index[0]][index[1]]

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values; of views only those that are not the usual one."""
        values = dataclasses.asdict(self)
        if self.views == (PLAIN,):
            del values["views"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        """The plan of JSON values; `RecordError` where a field is missing or unknown."""
        try:
            zones = values["zones"]
            plan = cls(
                **{
                    **values,
                    "source_shape": tuple(values["source_shape"]),
                    "shape": tuple(values["shape"]),
                    "zones": None if zones is None else tuple(tuple(row) for row in zones),
                    "tesserae": TesseraParams(**values["tesserae"]),
                    "views": tuple(View(*view) for view in values.get("views", (PLAIN,))),
                }
            )
            check_kinds(plan)
            check_kinds(plan.tesserae)
            plan._check_sizes()
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(
                f"The plan in mosaic.json cannot be read ({error}); it was damaged or written by another "
                "version: restore the file or segment again."
            ) from error
        return plan

    def _check_sizes(self) -> None:
        """Raise `ValueError` where sizes are none, or do not go together."""
        sizes = (*self.source_shape, *self.shape, self.channels, self.window, self.shard, self.factor)
        if min(sizes) <= 0 or self.halo < 0 or not 0 < (self.tessera_px or 1) < _LARGEST_TESSERA:
            raise ValueError("a size is no size")
        if any(abs(own - side * self.factor) > 1 for own, side in zip(self.shape, self.source_shape, strict=True)):
            raise ValueError(f"{self.shape} px are not {self.factor:g} times {self.source_shape} px")
        rows, columns = self.lattice.counts
        if self.zones is not None and [len(row) for row in self.zones] != [columns] * rows:
            raise ValueError("zones do not fit the windows")

    def differences(self, other: Plan) -> dict[str, tuple[Any, Any]]:
        """What gives another map or other tesserae: the values here and there by name, the rules' among them.

        Only the batch, which leaves no trace, may differ.
        """
        mine, theirs = (dataclasses.asdict(plan) | dataclasses.asdict(plan.tesserae) for plan in (self, other))
        names = (name for name in mine if name not in ("tesserae", "batch"))
        return {name: (mine[name], theirs[name]) for name in names if mine[name] != theirs[name]}
