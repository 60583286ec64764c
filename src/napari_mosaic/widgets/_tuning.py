"""From the two sliders to the rules that cut tesserae, and the preview of a view.

One decision: sensitivity is one slider for both of the map's channels: who sees joints sooner sees the
inside of a stone later. Only a search parts the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.record import Record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import preview_tesserae
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._facts import Tuning

PREVIEW_PX = 3_000_000
"""Most pixels of the working grid that are cut at a time, and most of a preview that are kept; not varied."""

_PART = 1536
"""Side of a part of a preview, in pixels of the working grid: its pixels are fewer than `PREVIEW_PX`."""


@dataclass(frozen=True)
class PreviewPlan:
    """How a box of the working grid is previewed: every `step`-th pixel is kept, and `parts`, the middle first."""

    tuning: Tuning
    box: Box
    step: int
    parts: tuple[Box, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Of what is kept."""
        height, width = self.box.shape
        return -(-height // self.step), -(-width // self.step)

    def place(self, part: Box) -> tuple[slice, slice]:
        """Where a part lies in what is kept."""
        moved = part.shift(-self.box.y0, -self.box.x0)
        return Box(*(-(-edge // self.step) for edge in moved)).slices


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


def plan_preview(box: Box, tuning: Tuning) -> PreviewPlan:
    """All of a box at once where that is quick, else part by part; no more is kept than a screen can show."""
    if box.area <= PREVIEW_PX:
        return PreviewPlan(tuning, box, 1, (box,))
    step = 2 ** int(np.ceil(np.log2(box.area / PREVIEW_PX) / 2))
    side = max(step, _PART // step * step)
    corners = [(y, x) for y in range(box.y0, box.y1, side) for x in range(box.x0, box.x1, side)]
    parts = [Box(y, x, y + side, x + side).intersect(box) for y, x in corners]
    middle = np.array([box.y0 + box.y1, box.x0 + box.x1])
    parts.sort(key=lambda part: float(np.hypot(*(np.array([part.y0 + part.y1, part.x0 + part.x1]) - middle))))
    return PreviewPlan(tuning, box, step, tuple(parts))


def preview(record: Record, plan: PreviewPlan, number: int) -> tuple[PreviewPlan, int, NDArray[Any]]:
    """Tesserae of a part of a box of the working grid with other sliders: what of them is kept."""
    labels = preview_tesserae(record, plan.parts[number], tessera_params(plan.tuning, record.plan.tesserae))
    return plan, number, np.ascontiguousarray(labels[:: plan.step, :: plan.step])


def central(box: Box, most: int) -> Box:
    """The middle of a box, with at most `most` pixels."""
    if box.area <= most:
        return box
    share = (most / box.area) ** 0.5
    height, width = (max(1, int(side * share)) for side in box.shape)
    y0, x0 = box.y0 + (box.shape[0] - height) // 2, box.x0 + (box.shape[1] - width) // 2
    return Box(y0, x0, y0 + height, x0 + width)
