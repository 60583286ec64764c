"""What a user asks of a segmentation: how, where to, and which part.

One decision: defaults, limits and help of every parameter stand here once, for the API, the command line and forms.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.sam.params import SamParams
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box


@dataclass(frozen=True, kw_only=True)
class SegmentParams:
    """How to segment. The one source of defaults and limits for the API, the command line and forms."""

    model: Annotated[str, "name or file of the model"] = "grout-lite"
    method: Annotated[
        str,
        "how: grout, grout-augmented, grout+sam2, sam2; for comparison unet-watershed, gradient-watershed, quadrangles",
    ] = "grout"
    scale: Annotated[float | Literal["auto"], "pixels of the analysis per pixel of the photograph, or auto"] = "auto"
    tile_size: Annotated[int, Limits(low=64, high=65536, help="block that is worked on at once, in pixels")] = 2048
    device: Annotated[str, "auto, cpu, cuda or mps"] = "auto"
    precision: Annotated[Literal["auto", "int8", "fp32", "bf16", "fp16"], "number format of the network"] = "auto"
    runtime: Annotated[Literal["auto", "torch", "openvino"], "what executes the network"] = "auto"
    workers: Annotated[int, Limits(low=0, high=256, help="threads beside the network, 0 = half of the cores")] = 0
    threshold: Annotated[float, Limits(low=0.05, high=0.95, help="joint probability above which a pixel is joint")] = (
        TesseraParams.threshold
    )
    core_threshold: Annotated[
        float, Limits(low=0.05, high=0.95, help="probability above which a pixel is the inside of a stone")
    ] = TesseraParams.core_threshold
    min_area: Annotated[
        int, Limits(low=0, high=400, help="smallest tessera kept, in pixels where a usual one is 24 across")
    ] = TesseraParams.min_area
    max_hole: Annotated[int, Limits(low=0, high=64, help="largest hole filled inside a tessera")] = (
        TesseraParams.max_hole
    )
    min_seed: Annotated[int, Limits(low=1, high=64, help="smallest inner part that makes a tessera")] = (
        TesseraParams.min_seed
    )
    reach: Annotated[int, Limits(low=8, high=200, help="largest growth of a tessera from its inside")] = (
        TesseraParams.reach
    )
    temperature: Annotated[
        float | Literal["auto"],
        "how confidence is told: 1 as the model says, above 1 less sure, auto as the model's file asks; moves no stone",
    ] = "auto"

    def __post_init__(self) -> None:
        check_limits(self)
        check_limits(self.tesserae)

    @property
    def tesserae(self) -> TesseraParams:
        """The rules for cutting tesserae from the map; where the model decides the temperature it is 1."""
        return TesseraParams(
            temperature=1.0 if self.temperature == "auto" else self.temperature,
            threshold=self.threshold,
            core_threshold=self.core_threshold,
            min_area=self.min_area,
            max_hole=self.max_hole,
            min_seed=self.min_seed,
            reach=self.reach,
        )


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """What a run will need: seconds, bytes on disk, and the scale that it will use.

    `seconds` are those of a run begun now in this program. Those of loading the model and finding the scale, which are
    in memory by now, are `preparing`: a program that begins anew needs them, too. `megapixels` of the working grid will
    be computed; `costs.of(box)` tells seconds and bytes of a part of it.
    """

    seconds: float
    bytes_on_disk: int
    path: Path
    factor: float
    tessera_px: float | None
    megapixels: float
    preparing: float = 0.0
    costs: Any = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """Where the result goes and what part of the source is wanted."""

    output: str | Path | None = None
    region: Any = None
    exclude: Any = None
    pixel_mm: float | None = None
    pixel_origin: str = "user"
    overwrite: bool = False
    resume: bool = False
    discard_edits: bool = False
    only: Box | None = None
    focus: tuple[float, float] | None = None
    sam: SamParams | None = None

    def __post_init__(self) -> None:
        if self.only is not None:  # people give four numbers
            object.__setattr__(self, "only", Box(*self.only))
