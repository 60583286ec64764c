"""Parameters of drawing, training and fine-tuning, with the named recipes.

One decision: everything that decides a run's result stands here and in its checkpoint, and nothing of it
is a clock; minutes become a number of steps before the first one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

from napari_mosaic.errors import InputError
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.synthetic import GEOMETRIES

LITE_ENCODER, BASE_ENCODER = "lite", "base"
CORES = os.cpu_count() or 2
"""How many drawings are made at a time by default."""
MIXES = ("mix", "grout", "floors", "both")
"""Named sets of drawings: ours, GROUT's with its own layouts, colours and joints, worn floors, and ours by halves."""


def check_geometry(geometry: str) -> None:
    """Raise `InputError` where there is no such layout or mix of layouts."""
    if geometry not in MIXES and geometry not in GEOMETRIES:
        known = ", ".join([*MIXES, *GEOMETRIES])
        raise InputError(f"There is no geometry {geometry!r} to draw; choose one of {known}.")


@dataclass(frozen=True, kw_only=True)
class SynthesisParams:
    """What a set of drawn mosaics holds."""

    count: Annotated[int, Limits(low=1, high=1_000_000, help="how many mosaics to draw")] = 100
    size: Annotated[int, Limits(low=64, high=2048, help="side of each picture in pixels")] = 512
    seed: Annotated[int, Limits(low=0, high=2**31, help="the same seed draws the same set")] = 42
    geometry: Annotated[
        str,
        "layouts: mix (ours), floors (worn ones), both (half of each), grout (GROUT's set: 40 % running bond, 30 % "
        "circles, 30 % cells; 15 % of one colour, 10 % without joints), or one of " + ", ".join(GEOMETRIES),
    ] = "mix"
    processes: Annotated[int, Limits(low=1, high=256, help="drawings at a time")] = CORES

    def __post_init__(self) -> None:
        check_limits(self)
        check_geometry(self.geometry)


class RunParams(Protocol):
    """What the parameters of both networks say alike of a run: how long it is, and what is drawn for it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def steps(self) -> int | None:
        """End after so many steps."""

    @property
    def minutes(self) -> float | None:
        """End after about so many minutes."""

    @property
    def epochs(self) -> int | None:
        """End after so many times through the data."""

    @property
    def round_steps(self) -> int:
        """Steps between checkpoints, 0 = once through the data."""

    @property
    def drawings(self) -> int:
        """Drawn mosaics to learn from."""

    @property
    def drawing_size(self) -> int:
        """Side of a drawn mosaic, px."""

    @property
    def geometry(self) -> str:
        """Layouts of the drawn mosaics."""

    @property
    def processes(self) -> int:
        """Drawings at a time."""

    @property
    def entropy(self) -> float:
        """Weight of the cross-entropy."""

    @property
    def dice(self) -> float:
        """Weight of the Dice loss."""


@dataclass(frozen=True, kw_only=True)
class TrainParams:
    """Parameters of a training run; the defaults are the recipe of the bundled weights.

    `steps`, `minutes` or `epochs` end it, the first of them that is given; 5000 steps without any.
    """

    encoder: Annotated[
        str,
        "lite (the bundled network), base (a stronger one, half as slow again to train), or an encoder of "
        "segmentation-models-pytorch by name",
    ] = LITE_ENCODER
    maps: Annotated[Literal["both", "grout"], "joints and insides of stones, or joints only as in GROUT"] = "both"
    start: Annotated[str, "first weights: imagenet, chance, or a model to go on from"] = "imagenet"
    steps: Annotated[int | None, "end after so many steps (one batch each); 5000 where no end is given"] = None
    minutes: Annotated[float | None, "end after about so many minutes; a short trial turns them into steps"] = None
    epochs: Annotated[int | None, "end after so many times through the data"] = None
    batch: Annotated[int, Limits(low=1, high=1024, help="crops a step")] = 8
    side: Annotated[int, Limits(low=64, high=2048, help="side of a crop in pixels, a multiple of 32")] = 224
    rate: Annotated[float, Limits(low=1e-8, high=1.0, help="highest learning rate")] = 2e-3
    encoder_rate: Annotated[float, Limits(low=0.0, high=1.0, help="part of it for the encoder")] = 0.5
    schedule: Annotated[
        Literal["cycle", "plateau"], "learning rate: up and down once, or lower where validation stands still"
    ] = "cycle"
    patience: Annotated[int, Limits(low=0, high=1000, help="rounds without gain before a plateau lowers the rate")] = 5
    factor: Annotated[float, Limits(low=0.01, high=1.0, help="by how much it does")] = 0.5
    least_rate: Annotated[float, Limits(low=0.0, high=1.0, help="lowest rate of a plateau schedule")] = 1e-7
    early_stop: Annotated[int, Limits(low=0, high=10_000, help="rounds without gain that end the run, 0 = never")] = 0
    entropy: Annotated[float, Limits(low=0.0, high=10.0, help="weight of the cross-entropy")] = 1.0
    dice: Annotated[float, Limits(low=0.0, high=10.0, help="weight of the Dice loss")] = 0.5
    connectivity: Annotated[float, Limits(low=0.0, high=10.0, help="weight of unbroken joint lines, 0 = off")] = 0.0
    edges: Annotated[float, Limits(low=0.0, high=20.0, help="extra weight of outlines in the cross-entropy")] = 2.0
    optimiser: Annotated[Literal["adamw", "adam"], "adamw, or adam, in which the decay is a part of the gradient"] = (
        "adamw"
    )
    weight_decay: Annotated[float, Limits(low=0.0, high=1.0, help="decay of the weights")] = 1e-4
    clip: Annotated[float, Limits(low=0.0, high=1e6, help="longest gradient, 0 = any")] = 1.0
    ema: Annotated[float, Limits(low=0.0, high=0.99999, help="memory of the averaged weights, 0 = no average")] = 0.999
    amp: Annotated[
        Literal["auto", "bfloat16", "off"],
        "half precision while training: auto where a GPU has it; bfloat16 on processors with instructions for it too",
    ] = "auto"
    freeze: Annotated[
        Literal["nothing", "norms", "encoder", "encoder-weights"],
        "what stays as it is: the norms' statistics, the encoder and those, or the encoder's weights alone",
    ] = "nothing"
    drawings: Annotated[
        int, Limits(low=0, high=10_000_000, help="drawn mosaics to learn from, 0 = a new one for each crop")
    ] = 5000
    drawing_size: Annotated[int, Limits(low=64, high=2048, help="side of a drawn mosaic in pixels")] = 320
    geometry: Annotated[
        str, "layouts of the drawn mosaics: mix, floors, both, grout, or one of " + ", ".join(GEOMETRIES)
    ] = "mix"
    validation: Annotated[int, Limits(low=0, high=10_000, help="drawn mosaics to validate on")] = 24
    validation_part: Annotated[float, Limits(low=0.0, high=0.5, help="part of a folder to validate on")] = 0.15
    test_part: Annotated[float, Limits(low=0.0, high=0.5, help="part of a folder to test on at the end")] = 0.0
    round_steps: Annotated[
        int, Limits(low=0, high=1_000_000, help="steps between checkpoints, 0 = once through the data")
    ] = 250
    seed: Annotated[int, Limits(low=0, high=2**31, help="seed of crops, split and first weights")] = 42
    device: Annotated[str, "auto, cpu, cuda or mps"] = "auto"
    processes: Annotated[int, Limits(low=1, high=256, help="drawings at a time")] = CORES
    workers: Annotated[int, Limits(low=0, high=256, help="processes that cut crops beside the network")] = 1

    def __post_init__(self) -> None:
        check_run(self)
        if self.side % 32 or (self.drawings and self.drawing_size < self.side):
            raise InputError(
                f"Crops of {self.side} px from drawings of {self.drawing_size} px cannot be trained on; "
                f"the crop's side must be a multiple of 32, 64 at least, and no larger than the drawing."
            )


def check_run(params: RunParams) -> None:
    """Raise `InputError` where a training run could not begin or learn nothing."""
    check_limits(params)
    check_geometry(params.geometry)
    if any(stop is not None and stop <= 0 for stop in (params.steps, params.minutes, params.epochs)):
        raise InputError("A training run needs some time; give at least one step, epoch or part of a minute.")
    if params.entropy + params.dice <= 0:
        raise InputError("Without cross-entropy and Dice there is nothing to learn; give one of them a weight.")


PRESETS: dict[str, TrainParams] = {
    "mosaic": TrainParams(),
    "grout": TrainParams(
        encoder="efficientnet-b3", maps="grout", epochs=200, batch=32, side=512, rate=1e-4, encoder_rate=1.0,
        schedule="plateau", patience=5, factor=0.5, least_rate=1e-7, early_stop=15, entropy=0.3, dice=0.5, edges=0.0,
        optimiser="adam", weight_decay=1e-5, clip=1.0, ema=0.0, drawings=1500, drawing_size=512, geometry="grout",
        validation=225, validation_part=0.15, test_part=0.15, round_steps=0,
    ),
}  # fmt: skip
"""Named recipes: that of the bundled weights, and GROUT's (Lovecky 2026)."""


@dataclass(frozen=True, kw_only=True)
class FinetuneParams:
    """How a model learns from a few pictures of one's own."""

    model: Annotated[str, "model to begin with: a name or a file"] = "grout-lite"
    stage: Annotated[
        Literal["1", "2", "both"], "1: only the decoder learns; 2: everything, slowly; both: one after the other"
    ] = "both"
    masks: Annotated[
        Literal["labels", "tesserae", "grout", "agreed"],
        "what the masks show: a number for each stone, white stones, or white joints; agreed: there are none, "
        "photographs teach what the model sees alike in several sizes and turns",
    ] = "labels"
    recipe: Annotated[
        Literal["mosaic", "grout"], "loss, schedule and what is frozen: as the bundled model's training, or as GROUT's"
    ] = "mosaic"
    steps: Annotated[int, Limits(low=1, high=1_000_000, help="steps in each stage")] = 120
    epochs: Annotated[
        int,
        Limits(low=0, high=10_000, help="times through the pictures in stage 1, half as many in stage 2; 0: by steps"),
    ] = 0
    rate: Annotated[float, Limits(low=1e-8, high=0.1, help="learning rate of stage 1; stage 2 takes a fifth")] = 5e-4
    later_rate: Annotated[float, Limits(low=0.0, high=0.1, help="learning rate of stage 2; 0: a fifth")] = 0.0
    batch: Annotated[int, Limits(low=1, high=256, help="crops a step")] = 8
    side: Annotated[int, Limits(low=64, high=1024, help="side of a crop in pixels, a multiple of 32")] = 192
    rehearsal: Annotated[
        float, Limits(low=0.0, high=0.9, help="part of the crops that are drawn mosaics, so that nothing is forgotten")
    ] = 0.5
    keep: Annotated[
        float,
        Limits(low=0.0, high=1.0, help="part of the old weights in the mean of old and new; more forgets less"),
    ] = 0.5
    drawings: Annotated[int, Limits(low=1, high=100_000, help="drawn mosaics to rehearse on")] = 150
    geometry: Annotated[str, "their layouts: mix, floors, both, grout, or one by name"] = "mix"
    validation_part: Annotated[float, Limits(low=0.0, high=0.5, help="part of the pictures kept back to judge by")] = (
        0.0
    )
    seed: Annotated[int, Limits(low=0, high=2**31, help="seed of the crops")] = 42
    device: Annotated[str, "auto, cpu, cuda or mps"] = "auto"
    processes: Annotated[int, Limits(low=1, high=256, help="drawings at a time")] = CORES
    workers: Annotated[int, Limits(low=0, high=256, help="processes that cut crops beside the network")] = 1

    def __post_init__(self) -> None:
        check_limits(self)
        check_geometry(self.geometry)
        if self.side % 32:
            raise InputError(f"Crops of {self.side} px do not fit the network; choose a multiple of 32.")

    def epochs_of(self, stage: int) -> int:
        """Times through the pictures in a stage, 1 or 2; 0 where steps are counted."""
        return max(1, self.epochs // stage) if self.epochs else 0


FINETUNE_PRESETS: dict[str, FinetuneParams] = {
    "mosaic": FinetuneParams(),
    "grout": FinetuneParams(
        recipe="grout", masks="grout", epochs=20, rate=1e-4, later_rate=1e-6, batch=16, side=512, rehearsal=0.0,
        keep=0.0, validation_part=0.15,
    ),
}  # fmt: skip
"""Named recipes: ours, which forgets little, and GROUT's (Lovecky 2026)."""
