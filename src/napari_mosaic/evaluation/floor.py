"""How good is it on this floor? A few random squares, counted by somebody, and what follows for the whole.

One decision: a tessera belongs to the square that holds its centre of gravity. So every stone is counted
once wherever the edges cut, and the squares are a fair sample of the floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from napari_mosaic.engine.domain import Domain
from napari_mosaic.errors import InputError
from napari_mosaic.evaluation.files import LabelGrid
from napari_mosaic.image import MosaicImage
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.measurement.moments import centres
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.measurement.table import typical_side
from napari_mosaic.measurement.windows import window_of
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box
from napari_mosaic.words import counted

RULE = "a tessera belongs to the square that holds its centre"
COUNTED, MISSED, WRONG = "counted", "missed", "wrong"
_TRIES = 4000
"""So many squares are drawn by lot before it is said that there is no room. *Not varied.*"""
_LEFT_OUT = 0.02
"""Part of a square that may lie outside of the computed area. *Not varied.*"""


@dataclass(frozen=True, kw_only=True)
class SquareParams:
    """Which squares to propose."""

    squares: Annotated[int, Limits(low=2, high=100, help="number of squares")] = 5
    size_mm: Annotated[float, Limits(low=1, high=10000, help="edge in mm, where the pixel size is known")] = 100.0
    stones: Annotated[float, Limits(low=2, high=100, help="edge in usual stones, where it is not")] = 10.0
    seed: Annotated[int, Limits(low=0, high=2**31, help="the same number proposes the same squares")] = 0

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class Square:
    """One square to count: its letter, its box in source pixels, and what is known of its tesserae.

    `found` is the record's number; `counted` somebody's; `missed` and `wrong` what they noted of the
    outlines: tesserae without an outline, and outlines that are no tessera or a part of one.
    """

    name: str
    box: Box
    seed: int = 0
    found: int = 0
    counted: int | None = None
    missed: int | None = None
    wrong: int | None = None


@dataclass(frozen=True, kw_only=True)
class FloorError:
    """What the squares say of the record.

    `error` is found over counted, less 1: negative where tesserae are missing. `low` and `high` bound it
    with 95 % confidence. `faults` is (missed + wrong) / counted with its own bounds, where they were
    noted. `total` is the number of tesserae of the whole floor that follows.
    """

    squares: int
    found: int
    counted: int
    error: float
    low: float
    high: float
    faults: tuple[float, float, float] | None
    total: tuple[int, int, int] | None


def propose_squares(record: Record, image: MosaicImage, params: SquareParams | None = None) -> list[Square]:
    """Random squares of the computed part of a mosaic that do not overlap.

    Parameters
    ----------
    record, image
        The record and its photograph, both open.
    params
        How many, how large, and the seed.

    Returns
    -------
    list of Square
        Named A, B, C … with the number of tesserae that the record holds in each.

    Raises
    ------
    InputError
        No tesserae, or no room for two squares of that size.

    """
    params = params or SquareParams()
    side = square_side(record, params)
    height, width = record.plan.source_shape
    if side > min(height, width):
        raise InputError(
            f"Squares of {side} px do not fit into the photograph of {width} x {height} px; ask for smaller ones "
            "with --size-mm or --stones."
        )
    rng = np.random.default_rng(params.seed)
    inside = _Inside(record, image)
    boxes: list[Box] = []
    for _ in range(_TRIES):
        y, x = (int(rng.integers(0, length - side + 1)) for length in (height, width))
        box = Box(y, x, y + side, x + side)
        if all(_apart(box, other) for other in boxes) and inside.holds(box):
            boxes.append(box)
        if len(boxes) == params.squares:
            break
    if len(boxes) < 2:
        raise InputError(
            f"There is no room for two squares of {side} px in the part of {record.path.name} that is computed; ask "
            "for smaller ones with --size-mm or --stones."
        )
    squares = [Square(name=_letter(k), box=box, seed=params.seed) for k, box in enumerate(boxes)]
    return count_found(record, squares)


def square_side(record: Record, params: SquareParams) -> int:
    """Edge of the squares in source pixels: millimetres where somebody vouches for them, else usual stones."""
    mm = record.pixel_mm
    if mm is not None:
        return max(1, round(params.size_mm / mm))
    usual = typical_side(record)
    if usual is None:
        raise InputError(f"{record.path.name} holds no tessera, so there is nothing to check; segment it first.")
    return max(1, round(params.stones * usual))


def _apart(box: Box, other: Box) -> bool:
    return box.y1 <= other.y0 or other.y1 <= box.y0 or box.x1 <= other.x0 or other.x1 <= box.x0


def _letter(k: int) -> str:
    return chr(65 + k) if k < 26 else f"{chr(65 + k // 26 - 1)}{chr(65 + k % 26)}"


class _Inside:
    """Answers whether a box in source pixels is computed and inside of the mosaic."""

    def __init__(self, record: Record, image: MosaicImage) -> None:
        self._record = record
        self._outside = Domain(image, record.areas, record.plan.factor)
        self._done = record.ledger.done("tesserae")

    def holds(self, box: Box) -> bool:
        work = box.scale(self._record.plan.factor).clip(self._record.shape)
        if not self._done.issuperset(self._record.plan.shards.overlapping(work)):
            return False
        mask = self._outside.mask(work)
        return mask is None or float(mask.mean()) <= _LEFT_OUT


def count_found(record: Record, squares: Iterable[Square]) -> list[Square]:
    """The squares with the number of the record's tesserae whose centres they hold."""
    return [replace(square, found=len(centres_in(record, square.box))) for square in squares]


def centres_in(record: Record, box: Box) -> NDArray[np.float64]:
    """Centres `(n, 2)`, `(y, x)` in source pixels, of the record's tesserae that a box in source pixels holds."""
    work = box.scale(record.plan.factor).clip(record.shape)
    columns = {name: record.table([name]).column(name).to_numpy() for name in ("id", "y0", "x0", "y1", "x1")}
    meets = (
        (columns["y1"] > work.y0) & (columns["y0"] < work.y1) & (columns["x1"] > work.x0) & (columns["x0"] < work.x1)
    )
    if not meets.any():
        return np.zeros((0, 2))
    window = window_of(record.read_labels, columns, np.flatnonzero(meets), work)
    there = np.isin(np.arange(1, len(window.rows) + 1), window.local)
    found = centres(window)[there] / record.plan.factor
    return np.asarray(found[_held(found, box)])


def _held(centres: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    return np.asarray(((centres >= (box.y0, box.x0)) & (centres < (box.y1, box.x1))).all(1))


def judge_squares(record: Record, squares: Iterable[Square], truth: LabelGrid) -> list[Square]:
    """The squares counted by true labels instead of by somebody.

    Parameters
    ----------
    record, squares
        The record and the squares.
    truth
        A grid of labels on the photograph, as `evaluation.files.open_labels` gives it.

    Returns
    -------
    list of Square
        With `counted`; a true tessera is missed, and a found one wrong, where no partner shares more
        than half of what the two cover together.

    """
    judged = []
    for square in squares:
        side = square.box.shape[0]
        around = square.box.grow(side // 2).clip(record.plan.source_shape)
        found, true = read_source_labels(record, around), np.asarray(truth.read(around))
        square_box = square.box.shift(-around.y0, -around.x0)
        counts = [_partners(mine, other, square_box) for mine, other in ((true, found), (found, true))]
        (counted, missed), (_, wrong) = counts
        judged.append(replace(square, counted=counted, missed=missed, wrong=wrong))
    return judged


def _partners(mine: NDArray[Any], other: NDArray[Any], box: Box) -> tuple[int, int]:
    """How many regions of `mine` have their centres in `box`, and how many of these have no partner in `other`."""
    ids, inverse = np.unique(mine, return_inverse=True)
    partners, theirs = np.unique(other, return_inverse=True)
    inverse, theirs = inverse.ravel(), theirs.ravel()
    shared = np.zeros((len(ids), len(partners)))
    np.add.at(shared, (inverse, theirs), 1)
    union = shared.sum(1)[:, None] + shared.sum(0)[None] - shared
    matched = ((shared > 0.5 * union) & (partners > 0)[None]).any(1)
    centres = np.array(ndimage.center_of_mass(np.ones_like(mine, bool), mine, ids)).reshape(-1, 2) + 0.5
    held = (ids > 0) & _held(centres, box)
    return int(held.sum()), int((held & ~matched).sum())


def estimate_error(squares: Sequence[Square], *, total: int | None = None, level: float = 0.95) -> FloorError:
    """Error of the record with its interval, from counted squares.

    The ratio estimator of a sample of clusters: found over counted of all squares together, with
    Student's t on the squares' residuals (few squares give a wide interval, as they should). Where every
    square agrees exactly the spread is nothing, and the bound is that of as many tesserae without one
    error instead.

    Parameters
    ----------
    squares
        At least two, all with `counted`.
    total
        Tesserae in the whole record, to say how many the floor has.
    level
        Part of such intervals that hold the truth.

    Raises
    ------
    InputError
        Fewer than two squares, one not counted, or nothing counted at all.

    References
    ----------
    Cochran, Sampling Techniques, 3rd edition (1977), chapter 6.

    """
    waiting = [square.name for square in squares if square.counted is None]
    if waiting or len(squares) < 2:
        what = f"Square {', '.join(waiting)} has no count" if waiting else "One square gives no interval"
        raise InputError(
            f"{what}, so the error cannot be bounded; count at least two squares, and all that are listed."
        )
    counted = np.array([square.counted for square in squares], float)
    found = np.array([square.found for square in squares], float)
    if counted.sum() == 0:
        raise InputError("No tessera was counted in any square, so there is no error to tell; take another --seed.")
    share, low, high = _ratio_interval(found, counted, level)
    faults = None
    if all(square.missed is not None and square.wrong is not None for square in squares):
        noted = np.array([(square.missed or 0) + (square.wrong or 0) for square in squares], float)
        part, least, most = _ratio_interval(noted, counted, level)
        faults = (part, max(0.0, least), most)
    whole = None
    if total is not None and share > 0:
        whole = (round(total / share), round(total / high), round(total / max(low, 1e-9)) if low > 0 else total)
    return FloorError(
        squares=len(squares),
        found=int(found.sum()),
        counted=int(counted.sum()),
        error=share - 1,
        low=low - 1,
        high=high - 1,
        faults=faults,
        total=whole,
    )


def _ratio_interval(part: NDArray[np.float64], whole: NDArray[np.float64], level: float) -> tuple[float, float, float]:
    """`sum(part) / sum(whole)` and the bounds of its interval."""
    tail = (1 - level) / 2
    count, total = len(whole), float(whole.sum())
    ratio = float(part.sum()) / total
    residual = part - ratio * whole
    spread = float(np.sqrt((residual**2).sum() / (count - 1) / count)) / (total / count)
    half = float(stats.t.ppf(1 - tail, count - 1)) * spread
    half = max(half, 1 - tail ** (1 / total))
    return ratio, max(0.0, ratio - half), ratio + half


def describe_error(error: FloorError, size: str) -> str:
    """The result in words for a report; `size` is that of the squares, as `describe_size` says it."""
    text = (
        f"In {error.squares} random squares of {size} the record holds {counted(error.found, 'tessera')} where "
        f"{error.counted:,} were counted: {_share(error.error)} (95 % interval: {_share(error.low)} to "
        f"{_share(error.high)}; {RULE})."
    )
    if error.faults is not None:
        part, least, most = (100 * value for value in error.faults)
        text += f" Of 100 tesserae {part:.1f} are missed or wrong ({least:.1f} to {most:.1f})."
    if error.total is not None:
        middle, least_total, most_total = error.total
        text += f" So the whole has about {counted(middle, 'tessera')} ({least_total:,} to {most_total:,})."
    return text


def _share(value: float) -> str:
    if abs(value) < 0.0005:
        return "as many"
    return f"{abs(100 * value):.1f} % too {'few' if value < 0 else 'many'}"


def describe_size(record: Record, squares: Sequence[Square]) -> str:
    """Edge of the squares in mm where it is known, else in pixels."""
    side, mm = squares[0].box.shape[0], record.pixel_mm
    return f"{side} x {side} px" if mm is None else f"{side * mm:.0f} x {side * mm:.0f} mm"
