"""Which tesserae need a look: every reason as a strength, 1 where it begins to count.

One decision: size and shape are judged against the nearest tesserae, not against the floor, so a fine emblema in a
coarse field is not suspicious, and what varies much on a floor has to stand out more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from napari_mosaic.areas import CLASSES
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.record.tables import Columns
from napari_mosaic.tesserae import Flag

REASONS = (
    "low confidence",
    "large for its neighbours",
    "small for its neighbours",
    "long for its neighbours",
    "odd shape",
    "two colours",
    "where no tessera should be",
    "parted by a rule",
    "SAM 2 was not believed",
    "several small doubts",
)
"""What can be suspicious of a tessera, in the words of the interface."""

EMPTY_KINDS = (*(one.name for one in CLASSES if one.bare), "exclude")
"""Areas in which no tessera should be."""

_NEIGHBOURS = 16
"""Nearest tesserae that one is judged against; not varied."""

_FEWEST = 6
"""Of them that must be known; with fewer nothing is said. Not varied."""

_SPREAD = 3 * 1.4826
"""Three standard deviations as a multiple of the median absolute deviation, which 1.4826 times is that of a normal
distribution (Rousseeuw and Croux 1993); three: not varied."""

_PLACE, _RULE = 5.0, 1.5
"""Strengths of lying where no tessera should be, and of a rule that parted a tessera or replaced a mask; not varied."""

_TOLD = slice(6, 9)
"""The reasons that are no guess: a place where none should be, and rules."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class QueueParams:
    """What makes a tessera suspicious; the limits are not varied."""

    score: Annotated[float, Limits(low=0, high=1, help="confidence below which a tessera needs a look")] = 0.7
    size: Annotated[float, Limits(low=1.1, high=20, help="times larger or smaller than the neighbours")] = 2.5
    elongation: Annotated[float, Limits(low=1.1, high=20, help="times longer than the neighbours")] = 1.8
    solidity: Annotated[
        float, Limits(low=0.02, high=0.9, help="share of its convex hull that a tessera lacks beyond the neighbours")
    ] = 0.12
    contrast: Annotated[
        float, Limits(low=2, high=100, help="difference of colour (CIELAB) between two halves of a stone")
    ] = 14.0
    without_colours: Annotated[bool, "do not look into the photograph for stones of two colours"] = False
    edited: Annotated[bool, "ask about tesserae that were edited by hand, too"] = False
    wrong: Annotated[float, Limits(low=0.01, high=1, help="how likely wrong a tessera is that needs a look")] = 0.2
    most: Annotated[int, Limits(low=1, high=1_000_000, help="longest list, the worst first")] = 20_000

    def __post_init__(self) -> None:
        check_limits(self)


def strengths(rows: Columns, around: Columns, params: QueueParams, empty: BaseGeometry, factor: float) -> Floats:
    """How suspicious tesserae are, `(n, len(REASONS))`: 1 where a reason begins to count, 0 where it says nothing.

    Parameters
    ----------
    rows
        Columns of the table, and `solidity`, `elongation` and `contrast` (NaN where not known).
    around
        The same for all tesserae near them, themselves among them.
    params
        The limits.
    empty
        Where no tessera should be, in pixels of the photograph.
    factor
        Working pixels per source pixel.
    """
    found = np.zeros((len(rows["id"]), len(REASONS)))
    if len(found) == 0:
        return found
    found[:, 0] = (1 - rows["score"]) / max(1 - params.score, 1e-6)
    near = nearest(rows, around)
    size, middle, spread = against(np.log(np.maximum(areas_of(rows), 1)), np.log(np.maximum(areas_of(around), 1)), near)
    apart = (size - middle) / np.maximum(np.log(params.size), spread)
    found[:, 1], found[:, 2] = apart, -apart
    long, middle, spread = against(np.log(rows["elongation"]), np.log(around["elongation"]), near)
    found[:, 3] = (long - middle) / np.maximum(np.log(params.elongation), spread)
    solid, middle, spread = against(rows["solidity"], around["solidity"], near)
    found[:, 4] = (middle - solid) / np.maximum(params.solidity, spread)
    found[:, 5] = rows["contrast"] / params.contrast
    found[:, 6] = np.where(_inside(rows, empty, factor), _PLACE, 0)
    for column, flag in ((7, Flag.OVERSIZED), (8, Flag.FALLBACK)):
        found[:, column] = np.where(rows["flags"] & int(flag), _RULE, 0)
    found[rows["flags"] & int(Flag.EDGE) > 0, 1:5] = 0
    found[found < 1] = 0
    return np.nan_to_num(found)


def severity(found: Floats, wrong: Floats, params: QueueParams) -> Floats:
    """How much tesserae need a look, 0 to 1, 0 where they do not; `found` gets its last column, small doubts.

    How likely they are `wrong`, or more where somebody said that no tessera should be there, or a rule parted it.
    """
    asked = (found > 0).any(axis=1)
    several = ~asked & (wrong >= params.wrong)
    found[several, -1] = 1
    told = found[:, _TOLD]
    joined = np.maximum(wrong, np.where(told > 0, 1 - 0.5 / np.maximum(told, 1), 0).max(axis=1))
    return np.where(asked | several, np.clip(np.round(joined, 4), 1e-4, 1), 0)


def areas_of(rows: Columns) -> Floats:
    """Areas as numbers to count with."""
    return np.asarray(rows["area"], np.float64)


def middles(rows: Columns) -> Floats:
    """Middles of the boxes, `(n, 2)`."""
    return np.column_stack([(rows[f"{axis}0"] + rows[f"{axis}1"]) / 2 for axis in "yx"]).astype(np.float64)


def nearest(rows: Columns, around: Columns) -> NDArray[np.int64]:
    """Places in `around` of the nearest tesserae of each row, `(n, k)`, itself left out; -1 where there are fewer."""
    from scipy.spatial import cKDTree  # late: it costs a start more than all else of editing

    count = min(_NEIGHBOURS + 1, len(around["id"]))
    _, places = cKDTree(middles(around)).query(middles(rows), k=np.arange(1, count + 1))
    own = around["id"][places] == rows["id"][:, None]
    return np.where(own, -1, places)


def against(values: Floats, around: Floats, near: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """The values, their neighbours' median, and how far those stray; NaN where too few are known."""
    others = np.where(near >= 0, around[near], np.nan)
    known = np.isfinite(others).sum(axis=1) >= _FEWEST
    middle, spread = np.full(len(values), np.nan), np.full(len(values), np.nan)
    if known.any():
        middle[known] = np.nanmedian(others[known], axis=1)
        spread[known] = _SPREAD * np.nanmedian(np.abs(others[known] - middle[known, None]), axis=1)
    return values, middle, spread


def _inside(rows: Columns, area: BaseGeometry, factor: float) -> NDArray[np.bool_]:
    if area.is_empty:
        return np.zeros(len(rows["id"]), bool)
    y, x = middles(rows).T / factor
    shapely.prepare(area)
    return np.asarray(shapely.contains_xy(area, x, y))
