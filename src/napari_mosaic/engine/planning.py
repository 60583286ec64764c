"""Make the plan of a run: scale, windows, zones.

One decision: everything is decided before the first shard, from the source and the method alone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.scale import ScaleEstimate, estimate_scale, zone_scales
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.engine.views import PLAIN, best_views
from napari_mosaic.errors import InputError
from napari_mosaic.image import MosaicImage
from napari_mosaic.record import SHARD, Plan
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Lattice

_SMALLEST, _LARGEST = 1 / 64, 16.0
"""Scales that may be given; not varied."""
_ZONE_WINDOW = 512
"""Core of windows where they have scales of their own; not varied."""
_WINDOW_SHARDS = 1
"""Larger windows waste less on halos, but the network needs 0.35 GB a megapixel: memory decides. Not varied."""
USUAL_PX = 24.0
"""Size of tessera that `min_area` is given for, and that is assumed where none was found; not varied."""


Quality = Literal["quick", "best"]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the caller fixes: the method's name, the scale or "auto", the tessera rules, the quality, the shard."""

    method: str
    scale: float | str
    tesserae: TesseraParams
    quality: Quality = "quick"
    shard: int = SHARD


def make_plan(image: MosaicImage, segmenter: Segmenter, domain: Domain, choices: Choices) -> Plan:
    """The plan for `image`; finds the scale where it is "auto"."""
    if isinstance(choices.scale, str):
        estimate = _remembered_scale(image, segmenter, domain)
    else:
        estimate = ScaleEstimate(check_scale(choices.scale), None, ())
    factor = estimate.factor
    shape = working_shape(image.shape, factor)
    window = _WINDOW_SHARDS * choices.shard
    tessera_px = None if estimate.source_px is None else estimate.source_px * factor
    zones = _zones(estimate, shape, _ZONE_WINDOW if choices.shard == SHARD else choices.shard)
    if zones is not None and choices.shard == SHARD:
        window = _ZONE_WINDOW
    return Plan(
        source_shape=image.shape,
        shape=shape,
        factor=factor,
        tessera_px=tessera_px,
        method=choices.method,
        model=segmenter.name,
        model_sha256=segmenter.sha256,
        channels=segmenter.channels,
        stride=segmenter.stride,
        window=window,
        halo=segmenter.halo,
        shard=choices.shard,
        zones=zones,
        runtime=segmenter.runtime,
        precision=segmenter.precision,
        batch=segmenter.batch,
        tesserae=sized(choices.tesserae, tessera_px),
        views=(PLAIN,) if choices.quality == "quick" else best_views(tessera_px, segmenter.tessera_px),
    )


_SCALES: deque[tuple[tuple[Any, ...], ScaleEstimate]] = deque(maxlen=4)
"""The last estimates: a person who looks at the cost of a run first does not wait for its scale twice."""


def _remembered_scale(image: MosaicImage, segmenter: Segmenter, domain: Domain) -> ScaleEstimate:
    source = image.source
    key = (source.location, source.fingerprint, image.shape, domain.areas, segmenter.sha256, segmenter.precision)
    for known, estimate in _SCALES:
        if source.location and segmenter.sha256 and known == key:
            return estimate
    estimate = estimate_scale(image, segmenter, domain)
    _SCALES.append((key, estimate))
    return estimate


def sized(params: TesseraParams, tessera_px: float | None) -> TesseraParams:
    """The rules with the smallest area scaled to the tesserae's size on the working grid."""
    if tessera_px is None:
        return params
    least = round(params.min_area * (tessera_px / USUAL_PX) ** 2)
    return replace(params, min_area=min(400, least))


def asked_area(min_area: int, tessera_px: float | None) -> int:
    """A smallest area on the working grid as it was asked for: what `sized` makes it of."""
    return min_area if tessera_px is None else min(400, round(min_area * (USUAL_PX / tessera_px) ** 2))


def check_scale(scale: float) -> float:
    """A factor given by hand; `InputError` outside of 1/64 to 16."""
    if not _SMALLEST <= scale <= _LARGEST:
        raise InputError(
            f"A scale of {scale:g} is outside of {_SMALLEST:g} to {_LARGEST:g} (pixels of the analysis per "
            'pixel of the photograph); give a number within, or "auto".'
        )
    return float(scale)


def working_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """Shape of the working grid of a source of `shape`."""
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def _zones(estimate: ScaleEstimate, shape: tuple[int, int], window: int) -> tuple[tuple[float, ...], ...] | None:
    lattice = Lattice(shape=shape, core=window)
    rows, columns = lattice.counts
    centres = np.array(
        [
            [
                ((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2)
                for box in (lattice.tile((i, j)).core for j in range(columns))
            ]
            for i in range(rows)
        ]
    )
    scales = zone_scales(estimate, centres / estimate.factor)
    return None if scales is None else tuple(tuple(float(value) for value in row) for row in scales)
