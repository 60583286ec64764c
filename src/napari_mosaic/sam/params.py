"""How SAM 2 is asked and what its masks must be: the one source of defaults and limits.

One decision: lengths are given as shares of a window or in tesserae, so that the same settings fit every
model and every photograph; a preset is a value of this class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_mosaic.errors import InputError
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.sam.registry import DEFAULT


@dataclass(frozen=True, kw_only=True)
class SamParams:
    """Model, windows, prompts, thresholds and finishing of SAM 2's masks.

    Areas and radii are in pixels of the working grid, scores and shares from 0 to 1, thresholds of masks in
    logits. The names of the automatic generator's parameters are those of sam2. The defaults were not varied as a set;
    `sam2-tune` fits the thresholds to a mosaic.
    """

    model: Annotated[str, "name or file of the SAM 2 model"] = DEFAULT
    config: Annotated[str | None, "configuration of a model file: a name or a .yaml; recognised by default"] = None
    into: Annotated[
        Literal["auto", "sam2", "tesserae"],
        "where the masks of SAM 2 go: a layer of their own (sam2) or the tesserae; auto: guided ones into the tesserae",
    ] = "auto"
    tessera_px: Annotated[
        float, Limits(low=0, high=512, help="size of a tessera in pixels that SAM 2 sees, 0 = as the model is used to")
    ] = 0.0
    overlap: Annotated[float, Limits(low=0, high=0.4, help="share of a window that it reads around its core")] = 0.125
    box_prompt: Annotated[bool, "also give each tessera's box as a prompt"] = False
    mask_prompt: Annotated[bool, "also give each tessera's outline as a prompt"] = False
    multimask_output: Annotated[bool, "ask for three masks a point and choose"] = True
    points_per_batch: Annotated[int, Limits(low=0, high=1024, help="prompts at a time, 0 = what memory allows")] = 0
    mask_threshold: Annotated[float, Limits(low=-10, high=10, help="logit above which a pixel is in the mask")] = 0.0
    stability_score_offset: Annotated[
        float, Limits(low=0, high=10, help="change of the threshold that measures a mask's stability")
    ] = 1.0
    least_share: Annotated[
        float, Limits(low=0, high=1, help="guided: a mask smaller than this share of its tessera has vanished")
    ] = 0.4
    most_share: Annotated[
        float, Limits(low=1, high=100, help="guided: a mask larger than this many tesserae leaks")
    ] = 2.5
    swallow_share: Annotated[
        float, Limits(low=0, high=1, help="guided: covering this share of a neighbour swallows it")
    ] = 0.5
    least_visible: Annotated[float, Limits(low=0, high=1, help="share of a mask that better ones must leave of it")] = (
        0.3
    )
    points_per_side: Annotated[int, Limits(low=1, high=256, help="automatic: prompts along a window's side")] = 32
    pred_iou_thresh: Annotated[float, Limits(low=0, high=1, help="automatic: smallest score of a mask")] = 0.7
    stability_score_thresh: Annotated[float, Limits(low=0, high=1, help="automatic: smallest stability of a mask")] = (
        0.85
    )
    box_nms_thresh: Annotated[float, Limits(low=0, high=1, help="automatic: overlap of boxes of two equal masks")] = 0.6
    crop_n_layers: Annotated[int, Limits(low=0, high=4, help="automatic: further layers of windows, half as wide")] = 0
    crop_nms_thresh: Annotated[
        float, Limits(low=0, high=1, help="automatic: overlap of boxes of two equal masks of different layers")
    ] = 0.7
    crop_n_points_downscale_factor: Annotated[
        int, Limits(low=1, high=8, help="automatic: how much fewer prompts a side in each further layer")
    ] = 1
    min_mask_region_area: Annotated[
        int, Limits(low=0, high=4096, help="automatic: smaller islands and holes of a mask are removed")
    ] = 0
    use_m2m: Annotated[bool, "automatic: refine each mask by giving it back as a prompt"] = False
    max_mask_share: Annotated[
        float, Limits(low=0, high=1, help="automatic: masks over this share of a window are dropped")
    ] = 0.1
    merge_below: Annotated[
        float, Limits(low=0, high=1, help="fragments with less joint than this between them are merged, 0 = never")
    ] = 0.0
    opening: Annotated[int, Limits(low=0, high=8, help="radius of the opening that smooths masks")] = 0
    min_area: Annotated[int, Limits(low=0, high=4096, help="smaller masks are dropped")] = 25
    erosion: Annotated[int, Limits(low=0, high=8, help="pixels taken off to part touching tesserae")] = 0
    device: Annotated[str, "auto, cpu, cuda or mps"] = "auto"
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], "number format of SAM 2"] = "auto"

    def __post_init__(self) -> None:
        check_limits(self)
        if self.crop_n_layers and self.points_per_side // self.crop_n_points_downscale_factor**self.crop_n_layers < 1:
            raise InputError(
                f"{self.points_per_side} prompts a side, {self.crop_n_points_downscale_factor} times fewer in each of "
                f"{self.crop_n_layers} layers, leave none; give more prompts or fewer layers."
            )

    @property
    def reach(self) -> int:
        """How far, in working pixels, finishing looks around a pixel."""
        return 2 * self.opening + self.erosion


PRESETS = {
    "ours": SamParams(),
    "mosaic-sam2": SamParams(
        model="sam2-hiera-large",
        tessera_px=100.0,
        overlap=0.15,
        points_per_batch=4,
        pred_iou_thresh=0.8,
        stability_score_thresh=0.8,
        mask_threshold=0.5,
        box_nms_thresh=0.7,
        crop_n_layers=2,
        crop_n_points_downscale_factor=2,
        min_mask_region_area=25,
        opening=1,
        erosion=1,
    ),
}
"""`ours`, and the settings that Mosaic-SAM2 was published and tested with (Kapelonis et al., arXiv 2512.18406)."""
