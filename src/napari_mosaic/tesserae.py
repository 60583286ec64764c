"""From a map of joints to tesserae, by rules of bounded reach.

One decision: *a tessera is named by its place*. Its id is the 3 x 3 cell of the canonical pixel (the
seed) of its core blob, so a label is a function of the map around it: any window that sees `halo`
pixels around its core computes the same labels for that core as the whole image would, and tiles need
no seams to be repaired. Everything here takes arrays and returns arrays.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic import _flood
from napari_mosaic.confidence import temperature_scale_bytes
from napari_mosaic.errors import InputError
from napari_mosaic.ids import CELL, id_at, id_dtype
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.tiling import Box

GROUT, CORE = 0, 1

_COUNT_RADIUS = 24
"""A tessera's area is counted within this of its seed, px: it bounds the reach of the filter (docs/architecture.md)."""
_DISTANCE_CAP = 24
"""Depths of a map without a core channel are cut here, px: an operator of bounded reach. Not varied."""
_DISTANCE_NEIGHBOURHOOD = 12
"""A seed of such a map is deepest within this, px: half of a tessera of 24. Not varied."""


class Flag(enum.IntFlag):
    """What a look at a tessera should know."""

    OVERSIZED = 1
    """Its core was larger than the limit and was parted by the rule of place."""
    EDGE = 2
    """It touches the border of the image."""
    EDITED = 4
    """A person made it or changed it."""
    FALLBACK = 8
    """SAM 2 was asked, its mask was not believed, and the joints' tessera stands for it."""


@dataclass(frozen=True, kw_only=True)
class TesseraParams:
    """How tesserae are cut from a map. Lengths and areas are in pixels of the working grid.

    The defaults were not varied as a set; `tune` fits them to a mosaic.
    """

    threshold: Annotated[float, Limits(low=0.05, high=0.95, help="joint probability above which a pixel is joint")] = (
        0.5
    )
    core_threshold: Annotated[
        float, Limits(low=0.05, high=0.95, help="probability above which a pixel is the inside of a stone")
    ] = 0.5
    min_area: Annotated[
        int, Limits(low=0, high=400, help="smallest tessera kept, in pixels where a usual one is 24 across")
    ] = 60
    """In a plan, and wherever a map is cut, in pixels of that map (`engine.planning.sized`)."""
    max_hole: Annotated[int, Limits(low=0, high=64, help="largest hole filled inside a tessera")] = 30
    min_seed: Annotated[int, Limits(low=1, high=64, help="smallest inner part that makes a tessera")] = 5
    reach: Annotated[int, Limits(low=8, high=200, help="largest growth of a tessera from its inside")] = 40
    blob_limit: Annotated[int, Limits(low=16, high=512, help="largest inner part kept whole")] = 96
    blob_cell: Annotated[int, Limits(low=8, high=256, help="grid that parts larger ones")] = 36
    temperature: Annotated[
        float, Limits(low=0.05, high=20, help="how confidence is told: above 1 less sure than the model says")
    ] = 1.0
    """Acts on `score` and on probabilities that are written, on no label."""

    def __post_init__(self) -> None:
        check_limits(self)

    @property
    def settled(self) -> int:
        """Margin within which final labels are wanted around a core."""
        return self.max_hole + self.reach + self.blob_limit + _COUNT_RADIUS

    @property
    def flooded(self) -> int:
        """Margin of the flood around a core."""
        return self.settled + self.reach

    @property
    def halo(self) -> int:
        """Margin of the map that a core needs for exact labels."""
        filters = _DISTANCE_CAP + _DISTANCE_NEIGHBOURHOOD
        return self.flooded + self.blob_cell + self.blob_limit + CELL + filters


@dataclass(frozen=True)
class Tesserae:
    """Labels of one core and the figures of the tesserae whose seeds lie in it.

    `labels` is `(h, w)`, uint32 or uint64. The columns have one entry a tessera, sorted by id, in
    pixels of the whole working grid: seed `y, x`, box `y0, x0, y1, x1`, `area`, `score` (0..1, mean
    probability of being stone), `flags`.
    """

    labels: NDArray[Any]
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)


def find_tesserae(map_: NDArray[np.uint8], params: TesseraParams | None = None) -> NDArray[Any]:
    """Label the tesserae of a whole map held in memory.

    Parameters
    ----------
    map_
        `(C, Y, X)` uint8; channel 0 the probability of a joint (255 = 1), channel 1, where there is
        one, the core map.
    params
        Thresholds and limits.

    Returns
    -------
    numpy.ndarray
        `(Y, X)` ids, 0 = no tessera. Sparse: see `id_at`.

    Examples
    --------
    >>> import numpy as np
    >>> grout = np.full((1, 40, 40), 255, np.uint8)
    >>> grout[:, 5:17, 5:35] = 0
    >>> len(np.unique(find_tesserae(grout))) - 1
    1
    """
    box = Box(0, 0, map_.shape[1], map_.shape[2])
    return find_in_window(map_, box, box, box.shape, params or TesseraParams()).labels


def find_in_window(
    map_: NDArray[np.uint8], window: Box, core: Box, shape: tuple[int, int], params: TesseraParams
) -> Tesserae:
    """Label the tesserae of `core`, seeing the map of `window`.

    Exact (equal to the labels of the whole image) where `window` holds `params.halo` pixels around
    `core`, or ends at the border of the image.

    Parameters
    ----------
    map_
        `(C, h, w)` uint8 over `window`.
    window, core
        Boxes on the working grid; `core` inside `window`, both inside the image.
    shape
        Of the whole working grid: ids depend on its width.
    params
        Thresholds and limits.
    """
    if map_.ndim != 3 or map_.shape[1:] != window.shape:
        raise InputError(
            f"A map of shape {map_.shape} does not cover the window {tuple(window)}; "
            "give (channels, height, width) of that window."
        )
    limit = joint_limit(params.threshold)
    near = core.grow(params.flooded).intersect(window)
    numbers, seeds = _find_seeds(map_, window, near, shape, params)
    grout = np.ascontiguousarray(map_[GROUT][near.within(window)])
    _flood.flood(numbers, grout, limit, params.reach)
    names = np.concatenate([[0], seeds.ids]).astype(id_dtype(shape))
    seeds = seeds.inside(near)
    _drop_small(numbers, len(names), seeds, near, params.min_area)
    _fill_holes(numbers, params.max_hole)
    told = temperature_scale_bytes(grout, params.temperature)
    columns = _columns(numbers, told, seeds.inside(core), near, shape)
    return Tesserae(names[numbers[core.within(near)]], columns)


@dataclass(frozen=True)
class _Seeds:
    """Seeds by id: `numbers` count the ids of a window from 1, in order, and stand for them until the end.

    The flood tells equal costs by the smaller id, which is the smaller number.
    """

    numbers: NDArray[np.int32]
    ids: NDArray[Any]
    yx: NDArray[np.int64]
    flags: NDArray[np.uint8]

    def inside(self, box: Box) -> _Seeds:
        """Those whose seeds lie in a box."""
        y, x = self.yx[:, 0], self.yx[:, 1]
        return self.chosen((y >= box.y0) & (y < box.y1) & (x >= box.x0) & (x < box.x1))

    def chosen(self, kept: NDArray[np.bool_]) -> _Seeds:
        """Some of them."""
        return _Seeds(self.numbers[kept], self.ids[kept], self.yx[kept], self.flags[kept])


def joint_limit(threshold: float) -> int:
    """The largest byte that is no joint: a pixel is joint where its probability, byte / 255, is above `threshold`."""
    return math.floor(threshold * 255 + 1e-9)


def core_mask(map_: NDArray[np.uint8], params: TesseraParams) -> NDArray[np.bool_]:
    """The inner parts of the stones: of the core map where there is one, else of the distance to a joint.

    Without a core map, the pixels whose distance to the joints, capped at 24 px, is at least 0.6 of
    the largest within 12 px: a bounded form of the marker rule usual for the watershed.
    """
    stone: NDArray[np.bool_] = map_[GROUT] <= joint_limit(params.threshold)
    if len(map_) > CORE:
        return np.asarray((map_[CORE] >= round(params.core_threshold * 255)) & stone)
    distance = np.minimum(ndimage.distance_transform_edt(stone), _DISTANCE_CAP).astype(np.float32)
    summit = ndimage.maximum_filter(distance, size=2 * _DISTANCE_NEIGHBOURHOOD + 1)
    return np.asarray(stone & (distance >= np.maximum(1.5, 0.6 * summit)))


def _find_seeds(
    map_: NDArray[np.uint8], window: Box, near: Box, shape: tuple[int, int], params: TesseraParams
) -> tuple[NDArray[np.int32], _Seeds]:
    """Core blobs of the window, each known by the id of its first pixel; the numbers of `near`, and all seeds."""
    blobs, count = _flood.label_components(core_mask(map_, params), 0, 0, 0)
    rows = _flood.component_boxes(blobs, count)
    oversized = np.maximum(rows[:, 3] - rows[:, 1], rows[:, 4] - rows[:, 2]) > params.blob_limit
    parted = np.zeros(count + 1, bool)
    if oversized.any():
        pieces, extra = _flood.label_components(oversized[blobs], params.blob_cell, window.y0, window.x0)
        piece_rows = _flood.component_boxes(pieces, extra)
        blobs[oversized[blobs]] = 0
        blobs[pieces > 0] = pieces[pieces > 0] + count
        rows[oversized] = 0
        rows = np.concatenate([rows, piece_rows[1:]])
        parted = np.concatenate([parted, np.ones(extra, bool)])
    kept, seeds = _name_blobs(rows, parted, window, shape, params.min_seed)
    number_of = np.zeros(len(rows), np.int32)
    number_of[kept] = seeds.numbers
    return number_of[blobs[near.within(window)]], seeds


def _name_blobs(
    rows: NDArray[np.int64], parted: NDArray[np.bool_], window: Box, shape: tuple[int, int], min_seed: int
) -> tuple[NDArray[np.int64], _Seeds]:
    """Which blobs are seeds, and these, under the ids of their first pixels' cells; of two in one the first stays."""
    keep = np.flatnonzero(rows[:, 0] >= max(1, min_seed))
    y, x = rows[keep, 5] + window.y0, rows[keep, 6] + window.x0
    ids = id_at(y, x, shape[1])
    order = np.lexsort((x, y, ids))
    first = np.ones(len(ids), bool)
    first[1:] = ids[order][1:] != ids[order][:-1]
    order = order[first]
    keep = keep[order]
    flags = np.where(parted[keep], int(Flag.OVERSIZED), 0).astype(np.uint8)
    numbers = np.arange(1, len(keep) + 1, dtype=np.int32)
    yx = np.stack([y[order], x[order]], 1).astype(np.int64)
    return keep, _Seeds(numbers, ids[order].astype(id_dtype(shape)), yx, flags)


def _drop_small(numbers: NDArray[np.int32], count: int, seeds: _Seeds, near: Box, min_area: int) -> None:
    """Clear, in place, the stones with fewer than `min_area` pixels around their seeds."""
    counts = _flood.count_near(numbers, seeds.yx - np.array(near[:2]), _COUNT_RADIUS)
    gone = np.zeros(count, bool)
    gone[seeds.numbers[counts < min_area]] = True
    if gone.any():
        _flood.clear(numbers, gone)


def _fill_holes(numbers: NDArray[np.int32], largest: int) -> None:
    """Give, in place, unlabelled pixels that one stone encloses to that stone."""
    if largest == 0:
        return
    holes, count = _flood.label_components(numbers == 0, 0, 0, 0)
    owner = _flood.hole_owners(holes, count, numbers, largest)
    if owner.any():
        _flood.fill(numbers, holes, owner)


def _columns(
    numbers: NDArray[np.int32], grout: NDArray[np.uint8], seeds: _Seeds, near: Box, shape: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """Figures of the stones of `seeds` that are left."""
    y, x = (seeds.yx - np.array(near[:2])).T
    seeds = seeds.chosen(numbers[y, x] == seeds.numbers)
    rows = _flood.stone_figures(numbers, seeds.numbers, grout)
    y0, x0, y1, x1 = (rows[:, 1:5] + np.array([near.y0, near.x0] * 2)).T
    edge = (y0 == 0) | (x0 == 0) | (y1 == shape[0]) | (x1 == shape[1])
    score = 1 - rows[:, 5] / np.maximum(rows[:, 0], 1) / 255
    return {
        "id": seeds.ids,
        "y": seeds.yx[:, 0].astype(np.int32),
        "x": seeds.yx[:, 1].astype(np.int32),
        "y0": y0.astype(np.int32),
        "x0": x0.astype(np.int32),
        "y1": y1.astype(np.int32),
        "x1": x1.astype(np.int32),
        "area": rows[:, 0].astype(np.int32),
        "score": score.astype(np.float32),
        "flags": (seeds.flags | np.where(edge, int(Flag.EDGE), 0)).astype(np.uint8),
    }
