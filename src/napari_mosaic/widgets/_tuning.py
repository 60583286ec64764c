"""From the two sliders to the rules that cut tesserae, and the preview of a view.

One decision: sensitivity is one slider for both of the map's channels: who sees joints sooner sees the
inside of a stone later. Only a search parts the two.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.record import Record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import preview_tesserae
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._state import Tuning

PREVIEW_PX = 3_000_000
"""Most pixels of the working grid that a preview covers."""


def thresholds(tuning: Tuning) -> dict[str, Any]:
    """The fields of `TesseraParams` and `SegmentParams` that the sliders set."""
    core = tuning.core_threshold
    return {
        "threshold": tuning.threshold,
        "core_threshold": _following(tuning.threshold) if core is None else core,
        "min_area": tuning.min_area,
    }


def _following(threshold: float) -> float:
    return round(1 - threshold, 4)


def tessera_params(tuning: Tuning, base: TesseraParams) -> TesseraParams:
    """The rules of a record with other sliders."""
    return replace(base, **thresholds(tuning))


def tuning_of(record: Record) -> Tuning:
    """The sliders that a record was made with."""
    return tuning_like(record.plan.tesserae)


def tuning_like(rules: TesseraParams | SegmentParams) -> Tuning:
    """The sliders that say the same as some rules."""
    follows = abs(rules.core_threshold - _following(rules.threshold)) < 1e-6
    core = None if follows else rules.core_threshold
    return Tuning(threshold=rules.threshold, min_area=rules.min_area, core_threshold=core)


def preview(record: Record, box: Box, tuning: Tuning) -> tuple[Tuning, Box, list[NDArray[Any]]]:
    """Tesserae of a box of the working grid, cut down to what is quick, with other sliders.

    They come as a pyramid, so that napari draws no more of them than fits on the canvas.
    """
    box = central(box.clip(record.shape), PREVIEW_PX)
    params = tessera_params(tuning, record.plan.tesserae)
    labels = preview_tesserae(record, box, params)
    return tuning, box, [np.ascontiguousarray(labels[::step, ::step]) for step in (1, 2, 4)]


def central(box: Box, most: int) -> Box:
    """The middle of a box, with at most `most` pixels."""
    if box.area <= most:
        return box
    share = (most / box.area) ** 0.5
    height, width = (max(1, int(side * share)) for side in box.shape)
    y0, x0 = box.y0 + (box.shape[0] - height) // 2, box.x0 + (box.shape[1] - width) // 2
    return Box(y0, x0, y0 + height, x0 + width)
