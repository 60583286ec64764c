"""Automatic masks of one window beside those of sam2's own generator, mask by mask.

Our rules that differ, and how each is switched off here (`docs/sam2.md` names them for users):

- windows of a lattice: one window is the whole picture, so no mask is at the border of another window;
- points lie on centres of pixels, and sam2 adds half a pixel to each of its own: it is given the pixels of ours;
- one mask a point: one is asked for; of three, sam2 is left with the best that passes (`OneMaskEach`);
- a better mask drops another even if it is dropped itself: `greedily` lets only those drop that stay;
- no mask over `max_mask_share` of a window: a share of 1;
- small regions are removed on the pixels of the photograph, in sam2 on the logits and on CUDA alone: none are;
- opening, erosion, least area, one piece a stone, one stone a pixel: of composing, which comes after what is compared.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_mosaic.sam.automatic import ask_automatic, grid_points
from napari_mosaic.sam.masks import Frame
from napari_mosaic.sam.overlaps import order_of, suppressed
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.proposals import Proposals
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.tiling import Box

if importlib.util.find_spec("sam2") is None:  # importing it here would initialise hydra
    pytest.skip("sam2 is not installed", allow_module_level=True)
from napari_mosaic.sam.network import SamNetwork, load_sam

SMALL = Path(__file__).parent / "data" / "sam2-mosaic-small.safetensors"
SIDE = 10
PARAMS = SamParams(
    points_per_side=SIDE, pred_iou_thresh=0.5, stability_score_thresh=0.6, box_nms_thresh=1.0, max_mask_share=1.0,
    min_mask_region_area=0, multimask_output=False,
)  # fmt: skip
Mask = tuple[bytes, float, float]


@pytest.fixture(scope="module")
def network() -> SamNetwork:
    return load_sam(SMALL, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def window(network: SamNetwork) -> NDArray[np.uint8]:
    size = network.image_size
    return draw_mosaic(size, 800_010, "bond", tessera_px=network.tessera_px, damaged=False, effects=False).image


def points_of(size: int) -> NDArray[np.int64]:
    return grid_points(Box(0, 0, size, size), size / SIDE)


def ours(network: SamNetwork, window: NDArray[np.uint8], params: SamParams) -> Proposals:
    """All masks of a window that is the whole picture, before any is dropped."""
    size = network.image_size
    frame = Frame(Box(0, 0, size, size), 1.0, (size, size))
    return ask_automatic(network, window, frame, points_of(size), params, batch=16)


def theirs(network: SamNetwork, window: NDArray[np.uint8], params: SamParams) -> list[dict[str, Any]]:
    """What sam2's generator finds, with the points of our grid."""
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    class OneMaskEach(SAM2AutomaticMaskGenerator):  # type: ignore[misc]
        """Of the masks of a point that pass, the one with the best score."""

        def _process_batch(self, *given: Any, **named: Any) -> Any:
            data = super()._process_batch(*given, **named)
            best: dict[tuple[float, ...], int] = {}
            for row, point in enumerate(map(tuple, data["points"].tolist())):
                if point not in best or data["iou_preds"][row] > data["iou_preds"][best[point]]:
                    best[point] = row
            import torch

            data.filter(torch.tensor(sorted(best.values()), dtype=torch.long))
            return data

    size = network.image_size
    names = (
        "pred_iou_thresh", "stability_score_thresh", "stability_score_offset", "mask_threshold", "box_nms_thresh",
        "min_mask_region_area", "use_m2m", "multimask_output",
    )  # fmt: skip
    made = (OneMaskEach if params.multimask_output else SAM2AutomaticMaskGenerator)(
        network.model,
        points_per_side=None,
        point_grids=[points_of(size)[:, ::-1] / size],
        points_per_batch=16,
        **{name: getattr(params, name) for name in names},
    )
    made.predictor._bb_feat_sizes = [(size // stride, size // stride) for stride in (4, 8, 16)]
    return list(made.generate(window))


def greedily(found: Proposals, within: float) -> NDArray[np.bool_]:
    """Which masks stay if one that is dropped drops none, best first."""
    stay = np.zeros(len(found), bool)
    for row in order_of(found):
        stay[row] = True
        stay[row] = not suppressed(found.part(stay), within, within)[int(stay[:row].sum())]
    return stay


def assert_same(found: Proposals, other: list[dict[str, Any]], size: int) -> None:
    """The same masks, pixel for pixel, each with its score and stability, of the same points."""
    there = {tuple(np.rint(one["point_coords"][0]).astype(int)): one for one in other}
    assert len(there) == len(other)
    assert {(int(x), int(y)) for x, y in zip(found.columns["x"], found.columns["y"], strict=True)} == set(there)
    for row in range(len(found)):
        whole = np.zeros((size, size), bool)
        whole[Box(*map(int, found.boxes[row])).slices] = found.mask(row)
        one = there[int(found.columns["x"][row]), int(found.columns["y"][row])]
        np.testing.assert_array_equal(whole, one["segmentation"])
        assert found.columns["score"][row] == pytest.approx(one["predicted_iou"], abs=1e-5)
        pixel = 1.5 / whole.sum()  # a logit on the very threshold is on one side or the other, as processors add up
        assert found.columns["stability"][row] == pytest.approx(one["stability_score"], abs=pixel)


CASES = {
    "one mask a point": {},
    "three masks a point": {"multimask_output": True},
    "refined": {"use_m2m": True},
    "another threshold": {"mask_threshold": 0.5, "stability_score_offset": 0.7},
}


@pytest.mark.parametrize("case", CASES)
def test_masks_of_one_window_are_those_of_sam2(network: SamNetwork, window: NDArray[np.uint8], case: str) -> None:
    params = replace(PARAMS, **CASES[case])
    found = ours(network, window, params)
    assert len(found) > 30
    assert_same(found, theirs(network, window, params), network.image_size)


def test_what_overlaps_is_dropped_as_in_sam2_or_more(network: SamNetwork, window: NDArray[np.uint8]) -> None:
    """With our rule off, the same masks stay; with it on, some of them."""
    params = replace(PARAMS, box_nms_thresh=0.6)
    found = ours(network, window, params)
    stay = greedily(found, params.box_nms_thresh)
    assert 0 < stay.sum() < len(found)
    assert_same(found.part(stay), theirs(network, window, params), network.image_size)
    kept = ~suppressed(found, params.box_nms_thresh, params.crop_nms_thresh)
    assert kept.any()
    assert stay[kept].all()
