"""How large are the tesserae? The resampling factor, found from windows spread over the mosaic.

One decision: the method itself is the ruler. At every place a few small windows are read at scales of a ladder; at the
right one the method finds stones of the size that it was trained for, surely and without gaps. The middle place looks
at the whole ladder, the others climb from what it found. Places vote; where they disagree by more than 1.5 times there
are zones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.resample import read_resampled
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.image import MosaicImage
from napari_mosaic.tesserae import GROUT, Flag, TesseraParams, find_in_window
from napari_mosaic.tiling import Box

LADDER = tuple(2.0 ** (k / 2) for k in range(-7, 5))
"""Trial factors, working pixels per source pixel: tesserae of 5 to 230 source pixels reach 20."""

_PROBE = 320
"""Side of a trial window, px: the smallest of the shapes that the network runs in (`framing.SHAPES`)."""
_PLACES = 9
"""Places that vote; not varied."""
_SPREAD = 0.45
"""How far, as a logarithm, a size may be from the model's before it tells against a factor; not varied."""
_FEWEST = 8
"""Whole tesserae that a window must show to have a say; not varied."""
_SURE = 0.25
"""Fit (0..1) from which a place is sure of its factor; not varied."""
_ENDS = 0.4
"""Fit at which a search ends that has climbed to it; below, the whole ladder is tried. Ended at 0.25, stones of 12 px
beside others of 48 were taken for these: their fit there is 0.26 to 0.39, at a factor of their own 0.72."""
_ZONE_RATIO = 1.5
"""Ratio of sizes from which places have zones of their own; not varied."""
_KEPT = 2.5
"""How many times the model's own size tesserae may keep; see `keep_resolution`. 2.5 keeps pixel IoU 0.930 on the
butterfly where reducing to the model's size reached 0.922 (commit ec73a8a)."""


@dataclass(frozen=True)
class Probe:
    """What one place says: its centre in source pixels, its best factor and how sure it is (0..1)."""

    y: float
    x: float
    factor: float
    weight: float


@dataclass(frozen=True)
class ScaleEstimate:
    """The factor for the working grid, the size of a tessera on the source, and what the places said."""

    factor: float
    source_px: float | None
    probes: tuple[Probe, ...]

    @property
    def spread(self) -> float:
        """Largest ratio between the places that are sure of their scale."""
        sure = [keep_resolution(probe.factor) for probe in self.probes if probe.weight > _SURE]
        return max(sure) / min(sure) if sure else 1.0


def estimate_scale(image: MosaicImage, segmenter: Segmenter, outside: Domain) -> ScaleEstimate:
    """Find the factor at which tesserae have the size that the method was trained for.

    Returns factor 1 and no size where no place shows stones at any scale.
    """
    places = probe_places(image, outside)
    middle = places.pop(len(places) // 2)
    with ThreadPoolExecutor(segmenter.streams, "scale") as pool:
        first = probe_scale(image, segmenter, middle, pool=pool)
        near = None if first is None else first.factor
        found = list(pool.map(lambda place: probe_scale(image, segmenter, place, near=near), places))
    probes = [probe for probe in (first, *found) if probe]
    if not probes:
        return ScaleEstimate(1.0, None, ())
    vote = _vote(probes)
    return ScaleEstimate(keep_resolution(vote), segmenter.tessera_px / vote, tuple(probes))


def keep_resolution(factor: float) -> float:
    """The factor to work at where the model's own size would be reached at `factor`.

    Small stones are enlarged to the size that the model was trained for; larger ones keep the
    photograph's own pixels as long as they are at most 2.5 times that size, and are reduced to that
    beyond: outlines are lost by reducing, and the model still knows stones of that size.
    """
    return factor if factor >= 1 else min(1.0, _KEPT * factor)


def working_pitch(pitch: float, trained_px: float) -> float:
    """The pitch of tesserae on the working grid, of that on the photograph, for a model trained for `trained_px`."""
    return pitch * keep_resolution(trained_px / pitch)


def probe_places(image: MosaicImage, outside: Domain, count: int = _PLACES) -> list[tuple[float, float]]:
    """Centres `(y, x)` in source pixels of about `count` places spread over what is inside."""
    height, width = image.shape
    rows = max(1, round(np.sqrt(count * height / width)))
    columns = max(1, round(count / rows))
    places = [((i + 0.5) / rows * height, (j + 0.5) / columns * width) for i in range(rows) for j in range(columns)]
    inside = [place for place in places if _is_inside(outside, place, image.shape)]
    return inside or places


def _is_inside(outside: Domain, place: tuple[float, float], shape: tuple[int, int]) -> bool:
    factor = outside.factor
    y, x = int(place[0] * factor), int(place[1] * factor)
    limit = (max(1, int(shape[0] * factor)), max(1, int(shape[1] * factor)))
    box = Box(y - 8, x - 8, y + 8, x + 8).clip(limit)
    mask = outside.mask(box) if box.area else None
    return mask is None or float(mask.mean()) < 0.5


def probe_scale(
    image: MosaicImage,
    segmenter: Segmenter,
    place: tuple[float, float],
    *,
    near: float | None = None,
    pool: ThreadPoolExecutor | None = None,
) -> Probe | None:
    """Ask one place for its scale; None where it shows no stones.

    Parameters
    ----------
    image, segmenter, place
        The photograph, the method, and the centre `(y, x)` in source pixels.
    near
        A factor to climb from: the rungs about it are tried until the best one has lower ones on both sides. Where that
        is not sure, or without `near`, every rung of the ladder is tried.
    pool
        Threads to try rungs in.
    """
    ladder = [f for f in LADDER if f == LADDER[-1] or _PROBE / f <= 2 * max(image.shape)]
    trials: dict[float, tuple[float, float]] = {}

    def attempt(factors: Iterable[float]) -> None:
        new = [factor for factor in factors if factor not in trials]
        results = (map if pool is None else pool.map)(lambda f: _try_factor(image, segmenter, place, f), new)
        trials.update(zip(new, results, strict=True))

    if near is None or not _climb(ladder, trials, attempt, near):
        attempt(ladder)
    weight, factor = max(trials.values())
    if not weight:
        return None
    size, _, _, count = read_trial(image, segmenter, place, factor)
    if count >= _FEWEST:
        factor *= float(np.clip(segmenter.tessera_px / size, 0.7, 1.4))
    return Probe(place[0], place[1], float(factor), float(weight))


def _climb(
    ladder: list[float],
    trials: dict[float, tuple[float, float]],
    attempt: Callable[[Iterable[float]], None],
    near: float,
) -> bool:
    """Try the rungs about `near`, and on towards the better ones; whether the best is sure and has lower neighbours."""
    at = min(range(len(ladder)), key=lambda k: abs(np.log(ladder[k] / near)))
    while True:
        attempt(ladder[max(0, at - 1) : at + 2])
        best = max(range(max(0, at - 1), min(len(ladder), at + 2)), key=lambda k: trials[ladder[k]])
        if best == at:
            return trials[ladder[at]][0] >= _ENDS
        at = best


def _try_factor(
    image: MosaicImage, segmenter: Segmenter, place: tuple[float, float], factor: float
) -> tuple[float, float]:
    """How well a factor fits a place (0..1; 0 without stones), and the factor that the stones found there ask for."""
    size, coverage, sureness, count = read_trial(image, segmenter, place, factor)
    if count < _FEWEST:
        return 0.0, factor
    misfit = np.log(size / segmenter.tessera_px)
    fit = float(coverage * sureness * np.exp(-((misfit / _SPREAD) ** 2) / 2))
    return fit, factor * segmenter.tessera_px / size


def read_trial(
    image: MosaicImage, segmenter: Segmenter, place: tuple[float, float], factor: float
) -> tuple[float, float, float, int]:
    """Look at one place at one scale.

    Returns
    -------
    tuple
        Pitch of the tesserae in working pixels, part of the window that they and their joints cover,
        mean certainty of the map (0..1), and how many there are.
    """
    side = -(-_PROBE // segmenter.stride) * segmenter.stride
    corner = (place[0] - side / factor / 2, place[1] - side / factor / 2)
    window = read_resampled(image, corner, factor, (side, side))
    map_ = segmenter.predict(window[None])[0]
    box = Box(0, 0, side, side)
    found = find_in_window(map_, box, box, box.shape, TesseraParams(min_area=20))
    return measure_trial(map_, found.columns)


def measure_trial(map_: NDArray[np.uint8], columns: dict[str, NDArray[np.generic]]) -> tuple[float, float, float, int]:
    """Pitch, coverage, certainty and count of a trial; see `read_trial`."""
    areas = np.asarray(columns["area"], float)
    whole = (np.asarray(columns["flags"], int) & int(Flag.EDGE | Flag.OVERSIZED)) == 0
    if not whole.any():
        return 0.0, 0.0, 0.0, 0
    typical = areas[whole]
    pitch = float(np.sqrt(np.median(typical))) + 2.5
    coverage = min(1.0, float((pitch**2) * len(areas)) / map_[GROUT].size)
    grout = map_[GROUT].astype(float) / 255
    return pitch, coverage, float(np.mean(np.abs(2 * grout - 1))), int(whole.sum())


def _vote(probes: list[Probe]) -> float:
    """Weighted median of the factors, on a logarithmic scale."""
    logs = np.log([probe.factor for probe in probes])
    weights = np.array([max(probe.weight, 1e-3) ** 2 for probe in probes])
    order = np.argsort(logs)
    share = np.cumsum(weights[order]) / weights.sum()
    return float(np.exp(logs[order][int(np.searchsorted(share, 0.5))]))


def zone_scales(estimate: ScaleEstimate, centres: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """One relative scale for each window centre, or None where one scale serves all.

    Parameters
    ----------
    estimate
        With its probes.
    centres
        `(rows, columns, 2)` centres of the windows in source pixels.

    Returns
    -------
    numpy.ndarray or None
        `(rows, columns)`: network pixels per working pixel, a power of the square root of 2, that of
        the nearest sure probe; 1 where that differs from the whole by less than 1.5 times.
    """
    sure = [probe for probe in estimate.probes if probe.weight > _SURE]
    if estimate.spread <= _ZONE_RATIO or len(sure) < 2:
        return None
    points = np.array([(probe.y, probe.x) for probe in sure])
    ratios = np.array([keep_resolution(probe.factor) / estimate.factor for probe in sure])
    steps = np.round(2 * np.log2(ratios)) / 2
    steps[np.maximum(ratios, 1 / ratios) < _ZONE_RATIO] = 0
    distance = np.linalg.norm(centres[:, :, None] - points, axis=-1)
    scales: NDArray[np.float64] = 2.0 ** steps[distance.argmin(-1)]
    return None if np.all(scales == 1) else scales
