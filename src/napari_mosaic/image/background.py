"""The background of a photograph: the black cloth, the white paper, the empty corner of a scan, a panel's frame.

One decision: better too little than a stone too much. Only what is flat, near black or near white, thick
and joined to the picture's border counts, and a look at full resolution must confirm it; and a frame only where it is
quiet beside the mosaic and ends in a straight line on all four sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    from napari_mosaic.image.model import MosaicImage

LARGEST = 2048
"""Longest side in pixels of the level that is looked at. *Not varied.*"""

BLACK = 30
"""What the brightest band of a black background is at most, of 255. *Not varied.*"""

WHITE = 244
"""What the darkest band of a white background is at least, of 255. *Not varied.*"""

FLAT = 3.0
"""Standard deviation in windows of 7 x 7 px below which a neighbourhood is flat, of 255 levels. *Not varied.*"""

THICK = 0.012
"""Half the thickness that a region must have somewhere, of the picture's longest side: what is thinner may be a stone
at the border. *Not varied.*"""

LEAST = 0.004
"""Share of the picture below which a region is left. *Not varied.*"""

GAP = 3
"""Pixels by which the window of the flatness stops short of the mosaic's edge: half of it."""

ALONG = 15
"""Pixels of a side whose deviation is looked at: along a frame wood has its fibres and a moulding its lines, and across
every one of its members a mosaic has joints. Of the 24 drawn frames of marble and wood it was chosen on it finds 20,
and windows of 7 x 7 px 8; of 18 others of wood 6. Of 41 drawings without a frame, half of them with a border of other
stones, 1 is taken for one, and was 6 times."""

QUIET, LIVELY = 0.35, 0.6
"""Of the deviation in the middle of the picture, or of that part of it where less: what a frame has at most, and what a
mosaic has at least. Drawn frames of veined marble and of wood have 0.09 to 0.32; of breccia, as lively as a mosaic and
not told from one, 0.14 to 1.4."""

SIDES, STRAIGHT, SHARE = 8, 0.01, 0.65
"""Parts of a side that must agree where a frame ends, by what part of the longest side they may differ, and how many
must agree. They do on three sides at most of a development photograph, where white paper is beyond, and on all four of
none of 120 drawings without a frame."""

STEP = 0.04
"""Depth that is compared on both sides of where a frame may end, as part of the picture's longest side: two stones."""

NARROWEST = 0.03
"""Width of the narrowest frame, as part of the picture's longest side. *Not varied.*"""

LOOKS = 16
FLAT_LOOKS = 14
"""Windows at full resolution that are looked at, and how many of them must be flat. *Not varied.*"""


def background_mask(image: MosaicImage) -> tuple[NDArray[np.bool_], float]:
    """Coarse mask of a flat white or black surround.

    Parameters
    ----------
    image
        An opened image.

    Returns
    -------
    mask
        `(h, w)` bool at a small level of the pyramid; True is background.
    factor
        Level-0 pixels for each pixel of the mask.

    Notes
    -----
    A pixel counts where its neighbourhood hardly varies and is near black or near white; regions thinner
    than about 1 % of the picture are dropped, because a stone at the border is that thin, then those that do
    not touch the border, then those that show texture at full resolution.
    """
    level = next(k for k, shape in enumerate(image.level_shapes) if max(shape) <= LARGEST or _is_last(image, k))
    height, width = image.level_shapes[level]
    factor = image.shape[0] / height
    mask = np.zeros((height, width), dtype=bool)
    rgb = image.read(Box(0, 0, height, width), level)
    valid = image.read_valid(Box(0, 0, height, width), level)
    for candidate in flat_regions(rgb, valid):
        if factor <= 1 or _is_flat_closely(image, candidate, factor):
            mask |= candidate
    panel = framed_panel(rgb)
    if panel is not None:
        around = np.ones_like(mask)
        around[panel.slices] = False
        mask |= around
    return mask, factor


def _is_last(image: MosaicImage, level: int) -> bool:
    return level == len(image.level_shapes) - 1


def flat_regions(rgb: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> list[NDArray[np.bool_]]:
    """Thick flat regions, black or white, that touch the border of a picture `(h, w, 3)`.

    What is outside already (`valid` False) counts as border.
    """
    flat = _flatness(rgb) < FLAT
    found: list[NDArray[np.bool_]] = []
    for near in (_brightest(rgb) <= BLACK, _darkest(rgb) >= WHITE):
        if (near & flat).mean() >= LEAST:
            found += _bordering(near & flat, near, valid)
    return found


def framed_panel(rgb: NDArray[np.uint8]) -> Box | None:
    """What a frame of stone or wood leaves of a picture `(h, w, 3)` of a panel; None where there is no frame.

    The mosaic's joints make the picture uneven everywhere; a frame is quiet beside it, whatever its colour and veins.
    """
    across, down = _flatness(rgb, (1, ALONG)), _flatness(rgb, (ALONG, 1)).T
    top, left, bottom, right = (_frame_depth(side) for side in (across, down, across[::-1], down[::-1]))
    height, width = across.shape
    return Box(top, left, height - bottom, width - right) if top and left and bottom and right else None


def _frame_depth(uneven: NDArray[np.float32]) -> int:
    """How deep a frame is along the first rows; 0 where none ends there in a straight line."""
    depth, length = uneven.shape
    middle = float(np.median(uneven[depth // 4 : -(depth // 4) or None, length // 4 : -(length // 4) or None]))
    longest = max(depth, length)
    wide = round(STEP * longest)
    if not middle or depth < 6 * wide or length < 6 * SIDES:
        return 0
    parts = np.array_split(uneven[:, round(0.2 * length) : round(0.8 * length)], SIDES, axis=1)
    profiles = np.array([np.median(part, axis=1) for part in parts])
    usual = np.minimum(np.median(profiles[:, depth // 4 : -(depth // 4)], axis=1), middle)[:, None]
    sums = np.cumsum(np.pad(profiles, ((0, 0), (1, 0))), axis=1)
    ahead = (sums[:, wide:] - sums[:, :-wide])[:, : depth // 2] >= LIVELY * usual * wide
    ends = np.where(ahead.any(axis=1), ahead.argmax(axis=1), depth // 2)
    found = int(np.median(ends))
    agree = np.mean(np.abs(ends - found) <= STRAIGHT * longest)
    quiet = np.median(uneven[: max(found, 1)]) <= QUIET * middle
    if found < NARROWEST * longest or agree < SHARE or not quiet:
        return 0
    places, near = np.arange(found, found + 2 * wide), wide // 2
    rises = (sums[:, places + near] - 2 * sums[:, places] + sums[:, places - near]).sum(axis=0)
    return int(places[rises.argmax()]) - GAP


def _flatness(rgb: NDArray[np.uint8], window: tuple[int, int] = (7, 7)) -> NDArray[np.float32]:
    """Standard deviation of the brightest band in windows of so many rows and columns."""
    grey = _brightest(rgb).astype(np.float32)
    mean = ndimage.uniform_filter(grey, window, mode="nearest")
    square = ndimage.uniform_filter(grey * grey, window, mode="nearest")
    deviation: NDArray[np.float32] = np.sqrt(np.maximum(square - mean * mean, 0))
    return deviation


def _brightest(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The greatest band of each pixel; pair by pair, ten times as fast as a reduction over three."""
    return np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])


def _darkest(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.minimum(np.minimum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])


def _bordering(
    flat: NDArray[np.bool_], near: NDArray[np.bool_], valid: NDArray[np.bool_] | None
) -> list[NDArray[np.bool_]]:
    """Parts of `flat` that are thick and touch the border, grown back into `near`."""
    radius = max(3.0, THICK * max(flat.shape))
    # beyond the border the background goes on: a strip along the edge counts as twice as thick
    padded = np.pad(flat, int(radius) + 1, mode="edge")
    core = ndimage.distance_transform_edt(padded) > radius
    grown = (ndimage.distance_transform_edt(~core) <= radius) & padded
    opened = grown[int(radius) + 1 : -int(radius) - 1, int(radius) + 1 : -int(radius) - 1]
    # the window of the flatness stops short of the mosaic's edge
    opened = ndimage.binary_dilation(opened, iterations=GAP, mask=near)
    border = np.zeros_like(flat)
    border[0], border[-1], border[:, 0], border[:, -1] = True, True, True, True
    if valid is not None and not valid.all():
        border |= ndimage.binary_dilation(~valid)
    labels, count = ndimage.label(opened)
    parts = [labels == label for label in range(1, count + 1) if (labels[border] == label).any()]
    return [part for part in parts if part.sum() >= LEAST * part.size and (part & border).sum() >= 4 * radius]


def _is_flat_closely(image: MosaicImage, region: NDArray[np.bool_], factor: float) -> bool:
    """Whether 16 windows at full resolution, well inside a coarse region, show no texture."""
    inner = ndimage.distance_transform_edt(region) > max(2.0, 24 / factor)
    places = np.argwhere(inner if inner.any() else region)
    chosen = places[np.linspace(0, len(places) - 1, LOOKS).astype(int)]
    flat = 0
    for y, x in (chosen + 0.5) * factor:
        window = image.read(Box(int(y) - 12, int(x) - 12, int(y) + 12, int(x) + 12))
        flat += bool(np.median(_flatness(window)) < 2 * FLAT)
    return flat >= FLAT_LOOKS
