"""Facts that docks are told: of a photograph, its size, a run and a record; values without any widget."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from napari_mosaic.engine.planning import Quality
from napari_mosaic.engine.sam.costs import MaskAmount
from napari_mosaic.progress import Progress
from napari_mosaic.record.label_layer import TESSERAE
from napari_mosaic.record.looked_at import Figures
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.params import SamParams


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What the two sliders say; `core_threshold` is that of a search, None where it follows the sensitivity."""

    threshold: float = SegmentParams.threshold
    min_area: int = SegmentParams.min_area
    core_threshold: float | None = None


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """The photograph that is worked on; `shape` in pixels, `location` empty for a layer without a file.

    `crs` is the name of its coordinate system, `affine` leads from its pixels into that; None where there is none.
    `note` is what a person should know of it.
    """

    name: str
    shape: tuple[int, int]
    location: str = ""
    note: str = ""
    crs: str = ""
    degrees: bool = False
    affine: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class SizeFacts:
    """Size of a source pixel in mm, whether somebody vouches for it, and whose word it is; analysis size in px/tessera.

    What nobody vouches for is shown and is used for no figure: `mm` is None then.
    """

    pixel_mm: Annotated[
        float | None,
        {
            "label": "Pixel size (mm)", "decimals": 4, "max": 1000.0,
            "tooltip": "Edge of one pixel of the photograph on the floor.",
        },
    ] = None  # fmt: skip
    confirmed: bool = False
    origin: str = ""
    analysis_px: Annotated[
        float | None,
        {
            "label": "Analysis size", "none": "measured", "suffix": " px per tessera", "decimals": 0, "max": 64.0,
            "tooltip": "Side of a tessera when it is analysed; larger sees finer joints and takes longer.",
        },
    ] = None  # fmt: skip

    @property
    def mm(self) -> float | None:
        """The pixel size as a figure to scale and measure with."""
        return self.pixel_mm if self.confirmed else None


@dataclass(frozen=True, kw_only=True)
class EstimateFacts:
    """What a run over all that is left would cost; `tessera_px` is a tessera's side in the photograph.

    `costs.of(box)` are the seconds and bytes of a part of it (`engine.costs.Costs`), all without SAM 2. What that is
    asked over all of it is in `masks`; `mask_seconds` is the time for that, None where nobody knows yet.
    """

    seconds: float
    disk: int
    tessera_px: float | None
    factor: float
    costs: Any = None
    masks: MaskAmount | None = None
    mask_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """A run that is going on."""

    title: str
    phase: str = ""
    done: float = 0.0
    total: float = 0.0
    unit: str = "MP"
    elapsed: float = 0.0
    stopping: bool = False

    def after(self, progress: Progress, elapsed: float) -> RunFacts:
        """The run after a step."""
        counted = bool(progress.unit)
        return replace(
            self,
            phase=sentence(progress.message or progress.phase),
            done=progress.done if counted else 0.0,
            total=progress.total if counted else 0.0,
            unit=progress.unit,
            elapsed=elapsed,
        )


@dataclass(frozen=True, kw_only=True)
class RecordFacts:
    """What is on disk; `covered_px` in pixels of the working grid, `figures` of all that was looked at.

    `count` and `figures` are of the labels that count, `labels`: what the method was asked for (SAM 2's masks, where it
    keeps them beside), or what a person looks at.
    """

    path: Path
    count: int
    complete: bool
    factor: float
    covered_px: float = 0.0
    flagged: int = 0
    pixel_mm: float | None = None
    pixel_confirmed: bool = False
    pixel_origin: str = ""
    tuning: Tuning = field(default_factory=Tuning)
    figures: Figures | None = None
    method: str = SegmentParams.method
    quality: Quality = SegmentParams.quality
    model: str = ""
    sam: SamParams | None = None
    labels: str = TESSERAE
    masks: int | None = None
    """How many masks of SAM 2 it keeps beside its tesserae; None where it keeps none."""


def sentence(text: str) -> str:
    """A text with a capital at its start."""
    return text[:1].upper() + text[1:]
