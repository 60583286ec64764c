"""What a user asks of a segmentation: how, where to, and which part.

One decision: defaults, limits and help of every parameter stand once, for the API, the command line and forms: those of
the rules that cut tesserae in `TesseraParams`, which `SegmentParams` holds and gives by their own names, too.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from napari_mosaic.area_files import AreaSource
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.sam.params import SamParams
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    from napari_mosaic.engine.costs import Costs

RULES = ("threshold", "core_threshold", "min_area", "max_hole", "min_seed", "reach")
"""The rules of `TesseraParams` that a person gives: `SegmentParams` takes and has them by these names."""


@dataclass(frozen=True, kw_only=True)
class SegmentParams:
    """How to segment: the method, where and how exactly it runs, and the rules that cut tesserae.

    Each of the `RULES` in `tesserae` can be given, replaced and read by its own name: `SegmentParams(min_area=90)` is
    `SegmentParams(tesserae=TesseraParams(min_area=90))`. Of the two temperatures the one here counts, and that of
    `tesserae` follows it: 1 where the model decides.
    """

    model: Annotated[str, "name or file of the model"] = "grout-lite"
    method: Annotated[
        str,
        "how: grout, grout-augmented, grout+sam2, sam2; to compare with unet-watershed, gradient-watershed, "
        "quadrangles, edges, dis",
    ] = "grout"
    quality: Annotated[
        Literal["quick", "best"], "quick: each place is looked at once; best: in several sizes and turns, fused"
    ] = "quick"
    scale: Annotated[float | Literal["auto"], "pixels of the analysis per pixel of the photograph, or auto"] = "auto"
    tile_size: Annotated[int, Limits(low=64, high=65536, help="block that is worked on at once, in pixels")] = 2048
    device: Annotated[str, "auto, cpu, cuda, mps; cuda:all for every GPU of this machine"] = "auto"
    precision: Annotated[Literal["auto", "int8", "fp32", "bf16", "fp16"], "number format of the network"] = "auto"
    runtime: Annotated[Literal["auto", "torch", "openvino"], "what executes the network"] = "auto"
    workers: Annotated[int, Limits(low=0, high=256, help="threads beside the network, 0 = half of the cores")] = 0
    tesserae: TesseraParams = TesseraParams()  # noqa: RUF009 - frozen
    temperature: Annotated[
        float | Literal["auto"],
        "how confidence is told: 1 as the model says, above 1 less sure, auto as the model's file asks; moves no stone",
    ] = "auto"

    if TYPE_CHECKING:  # what `_with_rules` adds
        threshold: float = TesseraParams.threshold
        core_threshold: float = TesseraParams.core_threshold
        min_area: int = TesseraParams.min_area
        max_hole: int = TesseraParams.max_hole
        min_seed: int = TesseraParams.min_seed
        reach: int = TesseraParams.reach

    def __post_init__(self) -> None:
        check_limits(self)
        temperature = 1.0 if self.temperature == "auto" else self.temperature
        object.__setattr__(self, "tesserae", replace(self.tesserae, temperature=temperature))


class _Rule:
    """One of the rules in `tesserae`; of the class its default."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, params: SegmentParams | None, owner: type[SegmentParams]) -> Any:
        return getattr(owner.tesserae if params is None else params.tesserae, self._name)


def _with_rules(cls: type[SegmentParams]) -> None:
    """Let the rules in `tesserae` be given and read by their own names."""
    make: Any = cls.__init__

    @functools.wraps(make)
    def __init__(self: SegmentParams, **values: Any) -> None:
        rules = {name: values.pop(name) for name in RULES if name in values}
        given = values.get("tesserae", cls.tesserae)
        if given.temperature != 1.0:
            values.setdefault("temperature", given.temperature)
        make(self, **values | {"tesserae": replace(given, **rules)})

    cls.__init__ = __init__  # type: ignore[method-assign]
    for name in RULES:
        setattr(cls, name, _Rule(name))


_with_rules(SegmentParams)


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """What a run will need: seconds, bytes on disk, and the scale that it will use.

    `seconds` are those of a run begun now in this program. Those of loading the model and finding the scale, which are
    in memory by now, are `preparing`: a program that begins anew needs them, too. `megapixels` of the working grid will
    be computed; `costs.of(box)` tells seconds and bytes of a part of it. `core_seconds` are what it takes of the
    machine, `memory` the bytes that this program will use at most, None where the system does not say. `prompts` are
    those that SAM 2 is asked, and `untimed` says why its time is not among the seconds; "" where all are.
    """

    seconds: float
    bytes_on_disk: int
    path: Path
    factor: float
    tessera_px: float | None
    megapixels: float
    preparing: float = 0.0
    costs: Costs | None = None
    core_seconds: float = 0.0
    memory: int | None = None
    prompts: int = 0
    untimed: str = ""


class RunOptions(TypedDict, total=False):
    """What `segment` and its kin take by name beside the source: the fields of `RunRequest`, all but `output`."""

    region: AreaSource | None
    exclude: AreaSource | None
    pixel_mm: float | None
    pixel_origin: str
    overwrite: bool
    resume: bool
    discard_edits: bool
    only: Box | tuple[int, int, int, int] | None
    focus: tuple[float, float] | None
    sam: SamParams | None
    given: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Where the result goes and what part of the source is wanted.

    `given` are names of parameters that a record which is gone on with must have been begun with even where they are
    the defaults, those of `sam` as `sam.NAME`. Where such names are in it, all else of `sam` is as it was begun with;
    where none is, all of it is asked for.
    """

    output: str | Path | None = None
    region: AreaSource | None = None
    exclude: AreaSource | None = None
    pixel_mm: float | None = None
    pixel_origin: str = "user"
    overwrite: bool = False
    resume: bool = False
    discard_edits: bool = False
    only: Box | None = None
    focus: tuple[float, float] | None = None
    sam: SamParams | None = None
    given: frozenset[str] = frozenset()


def request_of(output: str | Path | None, options: RunOptions) -> RunRequest:
    """What is asked for by name, as a value; people give a box as four numbers."""
    given: Any = options
    only = options.get("only")
    return RunRequest(output=output, **given | {"only": None if only is None else Box(*only)})
