"""What a model may learn from photographs that nobody has labelled: what it sees alike in several sizes and turns.

One decision: truth is what is fused of all views, known only where enough of the single views say the same: stones that
they find too, and joints close to such stones. All else is unknown and counts nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.areas import AreaSet
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.planning import Choices, make_plan
from napari_mosaic.engine.resample import read_resampled
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.engine.views import BEST_SIZES, WAYS_TO_LIE, View, fuse
from napari_mosaic.engine.windows import read_window, view_to_working
from napari_mosaic.errors import InputError, MissingError
from napari_mosaic.file_types import PICTURES
from napari_mosaic.image import MosaicImage
from napari_mosaic.metrics import count_overlaps
from napari_mosaic.record import Plan
from napari_mosaic.tesserae import GROUT, TesseraParams, find_in_window
from napari_mosaic.tiling import Box
from napari_mosaic.training.data import Picture
from napari_mosaic.training.truth import number

_WAYS = 2
"""Ways to lie at each size; the six views differ all. *Not varied.*"""
_WINDOW = 512
"""Side of what is read at once and kept as one picture, working px. *Not varied.*"""
_SAME = 0.6
"""IoU from which two views see the same stone. *Not varied.*"""
_AGREE = 0.8
"""Part of the views that must see a stone, or a joint: five of six. *Not varied.*"""
_NEAR = 0.35
"""How far from a sure stone a joint is known, of a pitch: farther off no view may show a stone. *Not varied.*"""
_FEWEST = 8
"""Sure stones that a picture must have to be learned from. *Not varied.*"""


def photographs_in(folder: Path) -> list[Path]:
    """The photographs of a folder, in order; `MissingError` where there are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES) if folder.is_dir() else []
    if not found:
        raise MissingError(f"There is no photograph in {folder}; give a folder that holds PNG, JPEG or TIFF files.")
    return found


def agreed_pictures(image: MosaicImage, name: str, plan: Plan, segmenter: Segmenter) -> Iterator[tuple[str, Picture]]:
    """The windows of a photograph with what is sure of them, by name; those with too few sure stones are left out."""
    for tile in plan.lattice:
        picture = agreed_picture(image, plan, segmenter, tile.index)
        if picture is not None:
            yield f"{name}-{tile.index[0]}-{tile.index[1]}", picture


def plan_views(image: MosaicImage, segmenter: Segmenter) -> Plan:
    """The plan of a run over a photograph whose views are all that must agree.

    Raises
    ------
    InputError
        If the method tells nothing of the insides of stones, by which views are compared.
    """
    if segmenter.channels < 2:
        raise InputError(
            f"The model {segmenter.name} gives no map of the insides of tesserae; choose another to learn from."
        )
    choices = Choices(method="grout", scale="auto", tesserae=TesseraParams())
    plan = make_plan(image, segmenter, Domain(image, AreaSet(), 1.0), choices)
    whole = plan.tessera_px or segmenter.tessera_px
    views = [
        View(size / whole, *WAYS_TO_LIE[k * _WAYS + way]) for k, size in enumerate(BEST_SIZES) for way in range(_WAYS)
    ]
    return replace(plan, views=tuple(views), window=_WINDOW, zones=None)


def agreed_picture(image: MosaicImage, plan: Plan, segmenter: Segmenter, index: tuple[int, int]) -> Picture | None:
    """One window with its labels and where they are known; None where too little is sure."""
    seen = read_window(image, plan, index)
    maps = [
        view_to_working(plan, index, view, segmenter.predict(pixels[None])[0])
        for view, pixels in zip(plan.views, seen, strict=True)
    ]
    labels, known = agree(maps, plan.tesserae, plan.tessera_px or segmenter.tessera_px)
    if len(np.unique(labels[known])) <= _FEWEST:
        return None
    core = plan.lattice.tile(index).core
    pixels = read_resampled(image, (core.y0 / plan.factor, core.x0 / plan.factor), plan.factor, core.shape)
    return Picture(pixels, labels, known)


def agree(
    maps: list[NDArray[np.uint8]], rules: TesseraParams, pitch: float
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Labels 1..N of what is fused of some maps `(C, Y, X)` of one place, and where enough of the maps agree with them.

    `pitch` is the distance of two stones, px. Stones that touch the border are cut off and not known.
    """
    box = Box(0, 0, *maps[0].shape[1:])
    labels = number(find_in_window(fuse(maps), box, box, box.shape, rules).labels)
    need = int(np.ceil(_AGREE * len(maps)))
    votes = np.zeros(int(labels.max(initial=0)) + 1, int)
    for map_ in maps:
        votes += _matched(labels, find_in_window(map_, box, box, box.shape, rules).labels)
    sure = votes >= need
    sure[0] = False
    sure[np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))] = False
    stone = sure[labels]
    joint = (labels == 0) & (sum((map_[GROUT] > 127).astype(int) for map_ in maps) >= need)
    reach = cv2.distanceTransform((~stone).astype(np.uint8), cv2.DIST_L2, 5)
    rim = cv2.dilate(stone.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    known = stone | (joint & (reach <= _NEAR * pitch)) | (rim & (labels == 0))
    return labels, np.asarray(known, bool)


def _matched(labels: NDArray[np.uint32], other: NDArray[np.integer]) -> NDArray[np.bool_]:
    """For each number of `labels`, whether `other` has the same stone."""
    both = count_overlaps(other, labels)
    ids, other_at = np.unique(both.predicted, return_inverse=True)
    own = np.bincount(both.truth.astype(int), both.area, int(labels.max(initial=0)) + 1)
    theirs = np.bincount(other_at, both.area, len(ids))
    iou = both.area / (own[both.truth.astype(int)] + theirs[other_at] - both.area)
    found = np.zeros(len(own), bool)
    found[both.truth[(iou > _SAME) & (both.truth > 0) & (both.predicted > 0)].astype(int)] = True
    return found
