"""Parameters of training SAM 2, with the named recipes.

One decision: the recipes differ in values only. What a run does follows from this one value, be it the
fine-tuning of a published model with its encoder frozen or the training of a small one from chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_mosaic.errors import InputError
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.registry import SMALLEST
from napari_mosaic.synthetic import GEOMETRIES
from napari_mosaic.training.params import CORES, MIXES, check_run

CHANCE = "chance"
USUAL_GROUP = (
    r"(.*?)(?:[_-](?:(?:crop|tile|patch|part|piece|row|col)s?[_-]?\d*|[rcxy]\d+"
    r"|(?:aug|rot|flip)(?:[_-]?(?:h|v|lr|ud|\d+))*))*"
)
"""What of a file's name is the mosaic's: all but endings such as `_crop3` or `_r1_c2`."""


@dataclass(frozen=True, kw_only=True)
class SamTrainParams:
    """Parameters of a run; the defaults are Mosaic-SAM2's best run (Kapelonis et al., arXiv 2512.18406).

    `steps`, `minutes` or `epochs` end it, the first of them that is given; 10 epochs without any.
    """

    model: Annotated[str, "model to begin with: a name or a file; chance: random weights"] = "sam2-hiera-large"
    config: Annotated[str | None, "configuration: a name or a .yaml; recognised by default"] = None
    learn: Annotated[
        Literal["decoder", "lora", "all"],
        "what learns: prompt encoder and mask decoder; those and low-rank additions to the image encoder; everything",
    ] = "decoder"
    rank: Annotated[int, Limits(low=1, high=256, help="rank of the low-rank additions")] = 8
    prompts: Annotated[
        Literal["centroid", "mixed"], "one point a tessera, its centroid; or points anywhere in it, and boxes"
    ] = "centroid"
    answers: Annotated[
        Literal["first", "best"],
        "which of a prompt's answers learn: the first of three; or the single one and the best of three",
    ] = "first"
    stones: Annotated[int, Limits(low=4, high=2500, help="tesserae that a crop shows, about")] = 100
    most_prompts: Annotated[int, Limits(low=1, high=2500, help="prompts a crop and step, at most")] = 100
    turns: Annotated[
        Literal["eight", "free"],
        "crops: a fixed set, each in its eight turned and mirrored positions; or cut anew at chance, also in size "
        "and colour",
    ] = "eight"
    steps: Annotated[int | None, "end after so many steps"] = None
    minutes: Annotated[float | None, "end after about so many minutes; a short trial turns them into steps"] = None
    epochs: Annotated[int | None, "end after so many times through the crops"] = 10
    batch: Annotated[int, Limits(low=1, high=256, help="crops at a time")] = 1
    accumulate: Annotated[int, Limits(low=1, high=256, help="batches whose gradients make one step")] = 4
    rate: Annotated[float, Limits(low=1e-8, high=1.0, help="highest learning rate")] = 1e-5
    least_rate: Annotated[float, Limits(low=0.0, high=1.0, help="part of it that is left at the end")] = 0.1
    warm: Annotated[float, Limits(low=0.0, high=0.5, help="part of the run in which the rate rises")] = 0.0
    weight_decay: Annotated[float, Limits(low=0.0, high=1.0, help="decay of the weights")] = 1e-5
    clip: Annotated[float, Limits(low=0.0, high=1e6, help="longest gradient, 0 = any")] = 0.0
    dice: Annotated[float, Limits(low=0.0, high=100.0, help="weight of the Dice loss")] = 1.0
    entropy: Annotated[float, Limits(low=0.0, high=100.0, help="weight of the cross-entropy around each stone")] = 0.0
    score: Annotated[float, Limits(low=0.0, high=100.0, help="weight of the error of the expected overlap")] = 0.2
    ema: Annotated[float, Limits(low=0.0, high=0.99999, help="memory of the averaged weights, 0 = no average")] = 0.0
    cache: Annotated[
        Literal["auto", "off"], "keep on disk what a frozen encoder makes of fixed crops, so that it runs once for each"
    ] = "auto"
    amp: Annotated[Literal["auto", "off"], "half precision while training, where a GPU has it"] = "auto"
    validation_part: Annotated[float, Limits(low=0.0, high=0.5, help="part of the mosaics to validate on")] = 0.2
    test_part: Annotated[float, Limits(low=0.0, high=0.5, help="part of the mosaics to test on at the end")] = 0.0
    most_judged: Annotated[int, Limits(low=1, high=10_000, help="crops to validate on, at most")] = 200
    judge: Annotated[
        Literal["automatic", "prompts"],
        "whose Dice chooses the best: the automatic masks', or those of a point a stone",
    ] = "automatic"
    group: Annotated[str, "regular expression for a file's name; its first group is the mosaic that it shows"] = (
        USUAL_GROUP
    )
    drawings: Annotated[int, Limits(low=8, high=10_000_000, help="drawn mosaics to learn from")] = 400
    drawing_size: Annotated[int, Limits(low=64, high=2048, help="side of a drawn mosaic in pixels")] = 320
    geometry: Annotated[str, f"layouts of the drawn mosaics: {', '.join(MIXES)}, or one of {', '.join(GEOMETRIES)}"] = (
        "mix"
    )
    validation: Annotated[int, Limits(low=0, high=10_000, help="drawn mosaics to validate on")] = 24
    round_steps: Annotated[
        int, Limits(low=0, high=1_000_000, help="steps between checkpoints, 0 = once through the crops")
    ] = 0
    seed: Annotated[int, Limits(low=0, high=2**31, help="seed of crops, prompts, split and first weights")] = 22
    device: Annotated[str, "auto, cpu, cuda or mps"] = "auto"
    processes: Annotated[int, Limits(low=1, high=256, help="drawings at a time")] = CORES

    def __post_init__(self) -> None:
        check_run(self)
        if self.model == CHANCE and self.learn != "all":
            raise InputError(
                f"From chance everything must learn, not only {self.learn}: random weights that stay are of no use; "
                "give --learn all, or a model to begin with."
            )
        if self.model == CHANCE and self.config is None:
            raise InputError("From chance the size of the model is not known; name a configuration with --config.")

    @property
    def frozen(self) -> bool:
        """Whether the image encoder stays as it is."""
        return self.learn == "decoder"

    @property
    def cached(self) -> bool:
        """Whether embeddings are kept: only of fixed crops under a frozen encoder do they stay true."""
        return self.cache == "auto" and self.frozen and self.turns == "eight"


PRESETS: dict[str, SamTrainParams] = {
    "mosaic-sam2": SamTrainParams(),
    "small": SamTrainParams(
        model=CHANCE, config=SMALLEST, learn="all", prompts="mixed", answers="best", stones=36, most_prompts=12,
        turns="free", epochs=None, steps=8750, batch=6, accumulate=1, rate=1e-3, least_rate=0.01, warm=0.03,
        weight_decay=0.02, clip=1.0, entropy=2.0, score=1.0, ema=0.99, judge="prompts", drawings=4000,
        round_steps=250, most_judged=24,
    ),
}  # fmt: skip
"""`mosaic-sam2`: the published recipe; `small`: our own small model, from chance, on drawn mosaics."""

VALIDATION = SamParams(
    points_per_side=16, pred_iou_thresh=0.7, stability_score_thresh=0.7, stability_score_offset=1.0,
    mask_threshold=0.5, box_nms_thresh=0.7, min_mask_region_area=25, max_mask_share=0.1, min_area=25, least_visible=0.0,
)  # fmt: skip
"""The automatic generator while validating, as published; one layer of windows, for a crop is one window."""


@dataclass(frozen=True, kw_only=True)
class SamTuneParams:
    """How to search."""

    trials: Annotated[int, Limits(low=1, high=100_000, help="trials in all, those of earlier runs included")] = 10
    goal: Annotated[
        Literal["dice", "f1", "fm", "pq"],
        "what to improve: dice (pixels, as published), f1 (found), fm (the field's), pq (found and outlined)",
    ] = "dice"
    crops: Annotated[int, Limits(low=1, high=1000, help="crops to judge by, at most")] = 2
    stones: Annotated[
        int, Limits(low=0, high=2500, help="tesserae that a crop shows, about; 0 = as many as a window of segment")
    ] = 0
    seed: Annotated[int, Limits(low=0, high=2**31, help="chooses the crops; the same number searches alike")] = 0

    def __post_init__(self) -> None:
        check_limits(self)
