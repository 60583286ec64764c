"""A crop as `segment` would find masks in it, with the network's answers kept, so that thresholds are tried without it.

One decision: a crop is a photograph of its own. Its scale, windows, layers, points and its grid are planned by the code
of `segment`, and labels lie on its own pixels when they are compared, so what is measured here is found there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.sam.plan import AUTOMATIC, MaskPlan, make_mask_plan
from napari_mosaic.engine.sam.windows import SamWindow, automatic_points, read_frame
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.image import MosaicImage, open_image
from napari_mosaic.measurement.source_grid import places_under
from napari_mosaic.metrics import Metrics, evaluate_labels
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import Plan
from napari_mosaic.record_setup import initial_areas, plan_segmentation
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.automatic import ask_automatic
from napari_mosaic.sam.composing import Around, compose
from napari_mosaic.sam.masks import Frame
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import MaskNetwork, Prompts
from napari_mosaic.sam.proposals import join
from napari_mosaic.tiling import Box
from napari_mosaic.training.data import Picture
from napari_mosaic.training.sam.crops import Cutout
from napari_mosaic.training.sam.prediction_cache import (
    CachedPredictions,
    cache_predictions,
    read_predictions,
    write_predictions,
)

_NO_PIXELS = np.zeros((0, 0, 3), np.uint8)
LabelArray = NDArray[np.int64]


@dataclass(frozen=True)
class PlannedCrop:
    """A crop before the network is asked: the photograph, what is true of it, and how `segment` would go about it.

    `labels` and `ignore` lie on the photograph's pixels; `ignore` is None where all is known.
    """

    image: MosaicImage
    labels: LabelArray
    ignore: NDArray[np.bool_] | None
    grid: Plan
    masks: MaskPlan
    domain: Domain

    def windows(self) -> Iterator[tuple[SamWindow, Frame, NDArray[np.int64]]]:
        """All windows that have something to ask, in the order of `segment`: frame and points."""
        for layer in range(len(self.masks.layers)):
            lattice = self.masks.lattice(layer, self.grid.shape)
            for index in lattice.overlapping(Box(0, 0, *self.grid.shape)):
                points = automatic_points(self.masks, (layer, *index), self.grid.shape, self.domain)
                if len(points):
                    yield (layer, *index), self.masks.frame(layer, index, self.grid.shape), points

    @property
    def mark(self) -> str:
        """What tells its answers from those of another crop or plan."""
        layers = [[layer.side, layer.core, layer.pitch] for layer in self.masks.layers]
        digest = hashlib.sha256(json.dumps([layers, self.grid.factor, self.grid.shape]).encode())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class AskedWindow:
    """A window and what the network answered to its points."""

    frame: Frame
    points: NDArray[np.int64]
    answers: CachedPredictions


@dataclass(frozen=True)
class KeptCrop:
    """A crop with the network's answers."""

    plan: PlannedCrop
    windows: tuple[AskedWindow, ...]

    def find(self, params: SamParams) -> LabelArray:
        """The labels that `segment` finds by `params`, which differ from those of the plan in thresholds alone.

        On the pixels of the photograph.
        """
        batch, shape, factor = self.plan.masks.batch, self.plan.grid.shape, self.plan.grid.factor
        found = join([ask_automatic(w.answers, _NO_PIXELS, w.frame, w.points, params, batch) for w in self.windows])
        y0, x0, y1, x1 = found.reaches.T
        around = Around(
            proposals=lambda box: found.part((y0 < box.y1) & (y1 > box.y0) & (x0 < box.x1) & (x1 > box.x0)),
            tesserae=None, outside=self.plan.domain.mask, shape=shape,
        )  # fmt: skip
        labels = np.asarray(compose(Box(0, 0, *shape), around, params).labels, np.int64)
        height, width = self.plan.labels.shape
        rows, columns = places_under(0, height, factor, shape[0]), places_under(0, width, factor, shape[1])
        return labels[np.ix_(rows, columns)]

    def compare(self, labels: LabelArray) -> Metrics:
        """The field's figures of labels, as `evaluate` has them."""
        return evaluate_labels(labels, self.plan.labels, ignore=self.plan.ignore)


def plan_crop(
    picture: Picture, place: Cutout, segmenter: Segmenter, network: MaskNetwork, params: SamParams
) -> PlannedCrop:
    """Plan the part of a square that lies on its picture.

    Raises
    ------
    InputError
        If the windows or prompts that the parameters ask for are too small.
    """
    inside = np.s_[max(0, place.y) : place.y + place.cut, max(0, place.x) : place.x + place.cut]
    image = open_image(np.ascontiguousarray(picture.image[inside]))
    areas = initial_areas(image)
    grid = plan_segmentation(image, segmenter, SegmentParams(method="sam2"), areas)
    return PlannedCrop(
        image=image,
        labels=np.asarray(picture.labels[inside], np.int64),
        ignore=None if picture.known is None else ~np.asarray(picture.known[inside], bool),
        grid=grid,
        masks=make_mask_plan(grid, network, params, AUTOMATIC),
        domain=Domain(image, areas, grid.factor),
    )


def ask_crop_steps(network: MaskNetwork, crop: PlannedCrop, folder: Path, floor: float) -> Steps[KeptCrop]:
    """The network's answers to all windows of a crop, down to the logit `floor`; asked where they are not kept yet."""
    size, asked, windows = crop.masks.image_size, [], list(crop.windows())
    for number, (window, frame, points) in enumerate(windows):
        yield Progress(phase="asking", done=number, total=len(windows), unit="windows")
        path = folder / crop.mark / f"{'_'.join(map(str, window))}.npz"
        answers = read_predictions(path, size, floor)
        if answers is None:
            centres = points + 0.5
            prompts = Prompts(points=frame.to_network(centres[:, 0], centres[:, 1]))
            pixels = read_frame(crop.image, frame, crop.grid.factor, size)
            multimask = crop.masks.params.multimask_output
            answers = cache_predictions(
                network, pixels, prompts, floor=floor, batch=crop.masks.batch, multimask=multimask
            )
            write_predictions(path, answers)
        asked.append(AskedWindow(frame, points, answers))
    return KeptCrop(crop, tuple(asked))
