"""Masks without a guide: a grid of points over the whole mosaic.

One decision: there is one grid of points for the whole working grid, and a mask is named by the 3 x 3 cell
of its point. So two masks of one name compete like two that overlap, and of the masks of one point only the best is
kept: a pixel can belong to one stone only.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.ids import CELL, id_at
from napari_mosaic.sam.masks import NOTHING, Frame, Piece, cut_mask, hull, touches_window_edge, without_small_regions
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import Answers, MaskNetwork, Prompts
from napari_mosaic.sam.proposals import Found, Proposals, pack
from napari_mosaic.tiling import Box

_EDGE = 20
"""Pixels of the window from its border within which a mask may be cut off, as in sam2."""


def grid_points(core: Box, pitch: float) -> NDArray[np.int64]:
    """The points of the grid in a core: the pixels `(y, x)` that hold `(k + 0.5) * pitch`, row by row."""
    rows, columns = (
        np.floor((np.arange(max(0, math.floor(low / pitch) - 1), math.ceil(high / pitch) + 1) + 0.5) * pitch)
        for low, high in ((core.y0, core.y1), (core.x0, core.x1))
    )
    rows = rows[(rows >= core.y0) & (rows < core.y1)].astype(np.int64)
    columns = columns[(columns >= core.x0) & (columns < core.x1)].astype(np.int64)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)


def ask_automatic(
    network: MaskNetwork,
    pixels: NDArray[np.uint8],
    frame: Frame,
    points: NDArray[np.int64],
    params: SamParams,
    batch: int,
) -> Proposals:
    """The best mask of every point of a window that passes the thresholds.

    Parameters
    ----------
    network
        What answers prompts.
    pixels
        `(S, S, 3)` uint8, the window.
    frame, points
        Where the window lies; the points of the grid in its core, `(N, 2)` as `(y, x)` on the working grid.
    params, batch
        Thresholds; prompts at a time.
    """
    if len(points) == 0:
        return pack([])
    centres = points + 0.5
    prompts = Prompts(points=frame.to_network(centres[:, 0], centres[:, 1]))
    embedding = network.embed(pixels)
    found = []
    for part, first in network.predict(embedding, prompts, batch=batch, multimask=params.multimask_output):
        refined = _refine(network, embedding, prompts.part(part), first, batch) if params.use_m2m else first
        for k in range(len(refined.scores)):
            piece, score = _best(refined, k, frame, params)
            if piece is not NOTHING:
                found.append(_found(points[part.start + k], piece, score, frame))
    return pack(found)


def _refine(network: MaskNetwork, embedding: object, prompts: Prompts, first: Answers, batch: int) -> Answers:
    """Every mask once more, with itself as a prompt."""
    again = []
    for which in range(first.logits.shape[1]):
        asked = replace(prompts, masks=first.as_prompts(which))
        again.extend([list(network.predict(embedding, asked, batch=batch, multimask=False))])
    return Answers(
        np.concatenate([np.concatenate([answers.logits for _, answers in one]) for one in again], 1),
        np.concatenate([np.concatenate([answers.scores for _, answers in one]) for one in again], 1),
    )


def _best(answers: Answers, k: int, frame: Frame, params: SamParams) -> tuple[Piece, float]:
    scores = answers.scores[k]
    largest = params.max_mask_share * frame.read.area
    for which in np.argsort(-scores, kind="stable"):
        if scores[which] <= params.pred_iou_thresh and params.pred_iou_thresh > 0:
            break
        piece = cut_mask(answers.logits[k, which], frame, params.mask_threshold, params.stability_score_offset)
        piece = without_small_regions(piece, params.min_mask_region_area)
        if 0 < piece.area <= largest and piece.stability >= params.stability_score_thresh:
            if touches_window_edge(piece, frame, max(1, round(_EDGE / frame.zoom))):
                continue
            return piece, float(scores[which])
    return NOTHING, 0.0


def _found(point: NDArray[np.int64], piece: Piece, score: float, frame: Frame) -> Found:
    y, x = int(point[0]), int(point[1])
    cell = Box(y // CELL * CELL, x // CELL * CELL, y // CELL * CELL + CELL, x // CELL * CELL + CELL)
    return Found(
        id=int(id_at(y, x, frame.shape[1])),
        y=y,
        x=x,
        piece=piece,
        score=score,
        reach=hull([piece.box, cell]),
        layer=frame.layer,
    )
