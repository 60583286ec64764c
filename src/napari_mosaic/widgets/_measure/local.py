"""The figures of a part of a floor that somebody draws, at once.

One decision: they come from the table that was measured, not from pixels, so they follow a shape while it is moved. A
stone belongs where its centre of gravity lies; for density and joints one that the outline cuts counts by the part of
its rectangle inside, as in the figures of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.widgets._floor_words import swatch
from napari_mosaic.widgets._measured import MeasuredFloor
from napari_mosaic.words import counted

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Local:
    """The figures of a part.

    Lengths and areas are in `unit` and its square; `count` of those whose centres lie in what is preserved of it;
    `worth` the same with those at its edge by their share; `side` the median, None without any; `palette` holds the
    colour, its name and its part of the stones' area.
    """

    unit: str
    area: float
    count: int
    worth: float
    side: float | None
    joint_share: float | None
    palette: tuple[tuple[str, float], ...] = ()

    @property
    def words(self) -> str:
        """As rich text."""
        if not self.area:
            return "Nothing of what is preserved lies in it: draw it over the floor."
        mm = self.unit == "mm"
        density = self.worth / self.area * 1e4 if mm else self.worth / self.area * 1e6
        lines = [
            f"<b>{counted(self.count, 'stone')}</b> on {self.area / 1e4:.4g} dm²" if mm
            else f"<b>{counted(self.count, 'stone')}</b> on {self.area / 1e6:.4g} MP",
            f"{density:.4g} per dm²" if mm else f"{density:.4g} per megapixel",
        ]  # fmt: skip
        if self.side is not None:
            lines.append(f"median side {self.side:.3g} {self.unit}")
        if self.joint_share is not None:
            lines.append(f"joints {self.joint_share:.1%}")
        shares = [f"{swatch(colour)} {share:.0%}" for colour, share in self.palette]
        return " · ".join(lines) + ("<br>" + "  ".join(shares) if shares else "")


@dataclass(frozen=True)
class LocalFigures:
    """What is looked up again and again while a shape moves: centres, areas and rectangles of all stones."""

    floor: MeasuredFloor
    area: Floats
    palette: NDArray[np.int64]
    corners: Floats
    reach: float
    colours: tuple[str, ...] = field(default=())

    def of(self, region: BaseGeometry) -> tuple[Local, NDArray[np.bool_]]:
        """The figures of a region, px of the photograph, and `(n,)` which stones lie in it."""
        floor, kept = self.floor, shapely.intersection(region, self.floor.preserved)
        inside = np.zeros(len(floor.ids), bool)
        x, y = floor.centres.T
        x0, y0, x1, y1 = np.nan_to_num(
            np.array(kept.bounds if not kept.is_empty else (0.0,) * 4)
        ) + self.reach * np.array([-1, -1, 1, 1])
        near = np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)) if not kept.is_empty else np.zeros(0, int)
        shapely.prepare(kept)
        inside[near] = shapely.contains_xy(kept, x[near], y[near])
        shares = inside[near].astype(float)
        rectangles = shapely.polygons(self.corners[near]) if len(near) else np.zeros(0, object)
        cut = np.flatnonzero(shapely.intersects(rectangles, kept) & ~shapely.contains_properly(kept, rectangles))
        whole = np.maximum(shapely.area(rectangles[cut]), 1e-9)
        shares[cut] = shapely.area(shapely.intersection(rectangles[cut], kept)) / whole
        area, edge = float(kept.area), floor.edge
        own = self.area[inside]
        total = max(float(own.sum()), 1e-9)
        classes = self.palette[inside]
        local = Local(
            unit=floor.unit,
            area=area * edge**2,
            count=int(inside.sum()),
            worth=float(shares.sum()),
            side=float(np.sqrt(np.median(own))) * edge if len(own) else None,
            joint_share=max(0.0, 1 - float((shares * self.area[near]).sum()) / area) if area else None,
            palette=tuple(
                (colour, share)
                for k, colour in enumerate(self.colours)
                if (share := float(own[classes == k].sum()) / total) >= 0.005
            ),
        )
        return local, inside


def local_figures(floor: MeasuredFloor) -> LocalFigures:
    """What the figures of parts of a floor are looked up in."""
    suffix = floor.unit
    length, width = (floor.column(f"rectangle_{side}_{suffix}") / floor.edge for side in ("length", "width"))
    area = floor.column("area_px") if "area_px" in floor.schema.names else floor.column("area_mm2") / floor.edge**2
    side = np.sqrt(area)
    length, width = np.where(np.isfinite(length), length, side), np.where(np.isfinite(width), width, side)
    turn = np.radians(np.nan_to_num(floor.column("rectangle_angle_deg")))
    along = np.column_stack([np.cos(turn), -np.sin(turn)]) * length[:, None] / 2
    across = np.column_stack([np.sin(turn), np.cos(turn)]) * width[:, None] / 2
    corners = np.stack([along + across, along - across, -along - across, across - along], 1) + floor.centres[:, None]
    coloured = "palette_class" in floor.classes
    palette = floor.words_of("palette_class")[1] if coloured else np.full(len(area), -1)
    colours = tuple(str(colour["srgb"]) for colour in floor.whole["palette"]) if coloured else ()
    reach = float(np.max(np.hypot(length, width), initial=0.0)) / 2
    return LocalFigures(floor, area, palette, corners, reach, colours)
