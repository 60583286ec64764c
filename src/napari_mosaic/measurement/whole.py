"""The figures of a whole floor.

One decision: every share and density is over what is preserved, and what is lost, repaired or not legible stands beside
it; what is said of lost parts is an estimate and is called so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.bare import BareGround
from napari_mosaic.measurement.counting import Count
from napari_mosaic.measurement.floor import Floor
from napari_mosaic.measurement.opus import OPERA, OpusRegion
from napari_mosaic.measurement.palette import hex_of
from napari_mosaic.record.figure_words import areas_of, density_of
from napari_mosaic.record.looked_at import Figures
from napari_mosaic.words import counted

Floats = NDArray[np.float64]

_CELL = 10.0
"""Side of a cell of the map of joints, in usual sides of a tessera: some hundred tesserae. Not varied."""
_MOST_CELLS = 200
"""Most cells along a side of that map: what a sheet shows at once. Not varied."""
SIZES = ((4.0, "very fine"), (10.0, "fine"), (20.0, "middling"), (np.inf, "coarse"))
"""Size classes by the median side, up to so many mm. 4 mm is the usual bound of opus vermiculatum against tessellatum;
10 and 20 are not varied."""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a quantity, in `unit`."""

    lower: float
    median: float
    upper: float
    unit: str

    @property
    def words(self) -> str:
        """In words."""
        return f"{self.median:.3g} {self.unit} (quartiles {self.lower:.3g} to {self.upper:.3g})"


@dataclass(frozen=True, kw_only=True)
class PaletteColour:
    """A colour of the palette: its number, CIELAB, how a screen shows it, and how much of the floor has it.

    `share` is its part of the area of all tesserae.
    """

    number: int
    lab: tuple[float, float, float]
    srgb: str
    tesserae: int
    area: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Lost:
    """Tesserae of which the lacunae would have held so many, laid as densely as what is preserved: an estimate."""

    area: float
    tesserae: int
    low: int
    high: int


@dataclass(frozen=True)
class JointMap:
    """Median width of the joints by cells of `cell` px of the photograph; None where a cell has none."""

    cell: float
    widths: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Andamento:
    """How the floor was laid in rows.

    `rows` of at least three tesserae, the `share` of all that stand in one, the usual and the longest row, `coherence`
    of the direction field, and the usual `turn` from one tessera to the next in a row, degrees.
    """

    rows: int
    share: float
    usual: float
    longest: int
    coherence: float
    turn: float


@dataclass(frozen=True, kw_only=True)
class Whole:
    """The figures of a floor, of one label layer of a record; `unit` is that of all lengths, px or mm.

    Areas are in px2 or mm2. What cannot be told is None.
    """

    photograph: str
    labels: str
    unit: str
    figures: Figures
    count: Count
    density: str
    bare: BareGround
    lost: Lost | None
    sides: Mapping[str, Spread]
    size_class: str | None
    joint_share: float | None
    joint_width: Spread | None
    joint_map: JointMap | None
    palette: tuple[PaletteColour, ...] | None
    andamento: Andamento
    opus: tuple[OpusRegion, ...]

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values."""
        values = {name: value for name, value in asdict(self).items() if name != "figures"}
        bare = {"share": self.bare.share, "tesserae": self.bare.tesserae}
        return values | {"bare": bare, "looked_at": self.figures.to_json()}

    def entries(self) -> list[tuple[str, str, str]]:
        """All figures in words: what they are about, what each is, and the figure."""
        return list(_entries(self))


def _entries(whole: Whole) -> Any:
    count, area = whole.count, f"{whole.unit}²"
    yield "Count", "Imported" if count.basis == "imported" else "Found", f"{count.found:,}"
    if count.found:
        yield "Count", "Estimated", count.words
    yield "Count", "Density", f"{whole.density} of what is preserved"
    for name, value in areas_of(whole.figures):
        yield "Areas", name, value
    if whole.bare.words:
        yield "Bare ground", "Without a stone", whole.bare.words
    if whole.lost is not None:
        lost = whole.lost
        yield (
            "Areas",
            "Lost tesserae, an estimate",
            f"{lost.tesserae:,} ({lost.low:,} to {lost.high:,}), if the lacunae were laid like the rest",
        )
    if not whole.count.found and not whole.sides:
        return
    for name, spread in whole.sides.items():
        yield "Size", name, spread.words
    yield "Size", "Size class", whole.size_class or "not told without a confirmed pixel size"
    if whole.joint_share is not None:
        yield "Joints", "Share of what is preserved", f"{whole.joint_share:.1%}, sockets of lost stones among it"
    if whole.joint_width is not None:
        yield "Joints", "Width", whole.joint_width.words
    for colour in whole.palette or ():
        lab = ", ".join(f"{value:.0f}" for value in colour.lab)
        yield (
            "Palette",
            f"{colour.number} {colour.srgb}",
            f"CIELAB {lab}: {counted(colour.tesserae, 'tessera')}, {colour.area:.4g} {area}, "
            f"{colour.share:.1%} of their area",
        )
    if whole.palette is None:
        yield "Palette", "Colours", "not told: nobody looked at the photograph for them"
    laid = whole.andamento
    yield "Andamento", "Rows", f"{laid.rows:,}, with {laid.share:.0%} of all tesserae; usual length {laid.usual:.0f}"
    yield "Andamento", "Longest row", counted(laid.longest, "tessera")
    yield "Andamento", "Coherence of direction", f"{laid.coherence:.2f} (0 to 1)"
    yield "Andamento", "Turn from stone to stone", f"{laid.turn:.1f}°"
    unsure = [region.tesserae for region in whole.opus if region.opus == OPERA[-1]]
    for k, region in enumerate((region for region in whole.opus if region.opus != OPERA[-1]), start=1):
        words = f"{region.opus}: {counted(region.tesserae, 'tessera')}; {region.words}"
        yield "Opus, a suggestion", f"Region {k}", words
    if unsure:
        words = f"{counted(sum(unsure), 'tessera')} in {counted(len(unsure), 'region')}"
        yield "Opus, a suggestion", "Not determined", words


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What figures are made with: of a record, its unit and what counts as preserved.

    `edge` is a px of the working grid in the unit, `edge_px` in px of the photograph; `inside` `(n,)` says whose
    centres lie in what is preserved.
    """

    unit: str
    edge: float
    edge_px: float
    inside: NDArray[np.bool_]


def summarise(
    floor: Floor,
    figures: Figures,
    count: Count,
    setting: Setting,
    *,
    names: tuple[str, str],
    opus: tuple[OpusRegion, ...],
    bare: BareGround,
    density: Floats,
) -> Whole:
    """The figures of a floor.

    Parameters
    ----------
    floor
        With the columns of `SHAPE`, `joint_width`, and of `COLOUR` where the photograph is there.
    figures
        What was looked at.
    count
        The estimate of the count.
    setting
        Units, and who counts.
    names
        Of the photograph and of the label layer.
    opus
        The proposals.
    bare
        Ground without a stone.
    density
        `(n,)` local densities, px of the working grid.
    """
    inside = setting.inside
    area = floor.tesserae.columns["area"][inside].astype(float)
    sides = {
        "Side of the square of its area": np.sqrt(area) * setting.edge,
        "Longer side": floor.shapes.sides[inside, 0] * setting.edge,
        "Shorter side": floor.shapes.sides[inside, 1] * setting.edge,
    }
    spreads = {
        name: spread for name, values in sides.items() if (spread := spread_of(values, setting.unit)) is not None
    }
    joints = floor.measured["joint_width"]
    usual = spreads.get("Side of the square of its area")
    told = figures.area_px > 0 and inside.any()
    return Whole(
        photograph=names[0],
        labels=names[1],
        unit=setting.unit,
        figures=figures,
        count=count,
        density=density_of(figures),
        bare=bare,
        lost=_lost(figures, density[inside], setting),
        sides=spreads,
        size_class=size_class(usual.median) if usual is not None and setting.unit == "mm" else None,
        joint_share=max(0.0, 1 - float(area.sum()) * setting.edge_px**2 / figures.area_px) if told else None,
        joint_width=spread_of(joints[inside] * setting.edge, setting.unit),
        joint_map=_joint_map(floor, joints, setting),
        palette=_palette(floor, setting) if "lightness" in floor.measured else None,
        andamento=_andamento(floor, inside),
        opus=opus,
    )


def spread_of(values: Floats, unit: str) -> Spread | None:
    """Median and quartiles of what has a value; None where nothing has."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    lower, median, upper = (float(value) for value in np.quantile(values, (0.25, 0.5, 0.75)))
    return Spread(lower, median, upper, unit)


def size_class(side_mm: float) -> str:
    """The size class of a median side in mm, with its bounds."""
    least = 0.0
    for most, name in SIZES:
        if side_mm <= most:
            bounds = (
                f"over {least:g} mm"
                if most == np.inf
                else f"{least:g} to {most:g} mm"
                if least
                else f"up to {most:g} mm"
            )
            return f"{name} ({bounds})"
        least = most
    raise AssertionError


def _lost(figures: Figures, density: Floats, setting: Setting) -> Lost | None:
    """What the lacunae would have held; the interval is that of the density from place to place."""
    area = figures.px["lacuna"]
    density = density[np.isfinite(density)] / setting.edge_px**2
    if area <= 0 or figures.area_px <= 0 or len(density) == 0:
        return None
    low, high = np.quantile(density, (0.05, 0.95))
    middle = figures.worth / figures.area_px
    unit = (setting.edge / setting.edge_px) ** 2
    return Lost(
        area=area * unit,
        tesserae=round(area * middle),
        low=int(np.floor(area * min(low, middle))),
        high=int(np.ceil(area * max(high, middle))),
    )


def _joint_map(floor: Floor, widths: Floats, setting: Setting) -> JointMap | None:
    told = np.isfinite(widths) & setting.inside
    if not told.any():
        return None
    centres = floor.shapes.centres[told] * setting.edge_px
    side = _CELL * float(np.sqrt(np.median(floor.tesserae.columns["area"]))) * setting.edge_px
    side = max(side, float(centres.max()) / _MOST_CELLS)
    cells = np.floor(centres / side).astype(np.int64)
    shape = cells[:, 1].max() + 1, cells[:, 0].max() + 1
    key = cells[:, 1] * shape[1] + cells[:, 0]
    order = np.argsort(key, kind="stable")
    filled: list[float | None] = [None] * int(shape[0] * shape[1])
    values = widths[told][order] * setting.edge
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    for start, part in zip(starts, np.split(values, starts[1:]), strict=True):
        filled[int(key[order][start])] = round(float(np.median(part)), 3)
    rows = tuple(tuple(filled[k : k + shape[1]]) for k in range(0, len(filled), int(shape[1])))
    return JointMap(side, rows)


def _palette(floor: Floor, setting: Setting) -> tuple[PaletteColour, ...]:
    area = floor.tesserae.columns["area"].astype(float) * setting.inside
    total = max(float(area.sum()), 1.0)
    found = []
    for k, lab in enumerate(floor.palette.colours, start=1):
        mine = floor.palette_classes == k
        own = float(area[mine].sum())
        found.append(
            PaletteColour(
                number=k,
                lab=(round(float(lab[0]), 2), round(float(lab[1]), 2), round(float(lab[2]), 2)),
                srgb=hex_of(lab),
                tesserae=int((mine & setting.inside).sum()),
                area=own * setting.edge**2,
                share=own / total,
            )
        )
    return tuple(found)


def _andamento(floor: Floor, inside: NDArray[np.bool_]) -> Andamento:
    rows = floor.rows
    lengths = np.bincount(rows.row)[1:]
    lengths = lengths[lengths > 0]
    coherence = floor.directions.coherence[inside]
    turns = floor.turns[inside]
    turns = turns[np.isfinite(turns)]
    return Andamento(
        rows=len(lengths),
        share=float((rows.row[inside] > 0).mean()) if inside.any() else 0.0,
        usual=float(np.median(lengths)) if len(lengths) else 0.0,
        longest=int(lengths.max(initial=0)),
        coherence=float(coherence.mean()) if len(coherence) else 0.0,
        turn=float(np.median(turns)) if len(turns) else 0.0,
    )


__all__ = [
    "SIZES",
    "Andamento",
    "JointMap",
    "Lost",
    "PaletteColour",
    "Setting",
    "Spread",
    "Whole",
    "size_class",
    "spread_of",
    "summarise",
]
