"""One mask for every tessera that the joints show.

One decision: the joints say which stones there are and what they are called, SAM 2 only where they end. A mask
that vanishes, leaks, or swallows a neighbour is not believed: the joints' tessera stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.sam.masks import NOTHING, Frame, Piece, connected_at, cut_mask, hull, touches_window_edge
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import MASK_STRIDE, Answers, MaskNetwork, Prompts
from napari_mosaic.sam.proposals import Found, Proposals, pack
from napari_mosaic.tiling import Box

_SURE = 8.0
"""Logit of a mask prompt inside the tessera, and negative outside."""


@dataclass(frozen=True, kw_only=True)
class Guide:
    """The tesserae around one window.

    Parameters
    ----------
    labels
        `(h, w)` ids over `near`.
    near
        The part of the working grid that the window reads.
    columns
        Rows, sorted by id, of the tesserae whose seeds lie in the window's core.
    """

    labels: NDArray[Any]
    near: Box
    columns: dict[str, NDArray[Any]]

    @cached_property
    def areas(self) -> dict[int, int]:
        """Pixels in `near` of every tessera, by id."""
        ids, counts = np.unique(self.labels[self.labels > 0], return_counts=True)
        return dict(zip(ids.tolist(), counts.tolist(), strict=True))

    @property
    def ids(self) -> NDArray[Any]:
        """Ids to ask for."""
        return self.columns["id"]


def ask_guided(
    network: MaskNetwork, pixels: NDArray[np.uint8], frame: Frame, guide: Guide, params: SamParams, batch: int
) -> Proposals:
    """A mask, or the word that there is none to believe, for every tessera of a window.

    Parameters
    ----------
    network
        What answers prompts.
    pixels
        `(S, S, 3)` uint8, the window.
    frame, guide
        Where the window lies, and the tesserae around it.
    params, batch
        Rules for masks; prompts at a time.
    """
    if len(guide.ids) == 0:
        return pack([])
    points = inner_points(guide)
    prompts = make_prompts(guide, frame, points, network.image_size, params)
    alone = not (params.box_prompt or params.mask_prompt)
    embedding = network.embed(pixels)
    found = []
    for part, answers in network.predict(embedding, prompts, batch=batch, multimask=params.multimask_output and alone):
        for k in range(len(answers.scores)):
            row = part.start + k
            pieces = _pieces(answers, k, frame, points[row], params)
            piece, score = _believed(pieces, int(guide.ids[row]), frame, guide, params)
            found.append(_found(guide, row, piece, score))
    return pack(found)


def inner_points(guide: Guide) -> NDArray[np.int64]:
    """The pixel of each tessera nearest to its centroid, `(N, 2)` as `(y, x)` on the working grid."""
    ids, labels = guide.ids, guide.labels
    y, x = np.nonzero(labels)
    row = np.searchsorted(ids, labels[y, x])
    row[row == len(ids)] = 0
    own = ids[row] == labels[y, x]
    y, x, row = y[own], x[own], row[own]
    count = np.maximum(np.bincount(row, minlength=len(ids)), 1)
    middle_y = np.bincount(row, y, len(ids)) / count
    middle_x = np.bincount(row, x, len(ids)) / count
    distance = (y - middle_y[row]) ** 2 + (x - middle_x[row]) ** 2
    order = np.lexsort((x, y, distance, row))
    points = np.stack([guide.columns["y"], guide.columns["x"]], 1).astype(np.int64)
    rows, first = np.unique(row[order], return_index=True)
    points[rows] = np.stack([y[order][first] + guide.near.y0, x[order][first] + guide.near.x0], 1)
    return points


def make_prompts(guide: Guide, frame: Frame, points: NDArray[np.int64], size: int, params: SamParams) -> Prompts:
    """A point for each tessera, with its box and its outline where the parameters ask for them."""
    boxes = masks = None
    if params.box_prompt:
        columns = guide.columns
        corners = [frame.to_network(columns[y], columns[x]) for y, x in (("y0", "x0"), ("y1", "x1"))]
        boxes = np.clip(np.concatenate(corners, 1), 0, size)
    if params.mask_prompt:
        masks = np.where(_sampled(guide, frame, size)[None] == guide.ids[:, None, None], _SURE, -_SURE)
        masks = masks.astype(np.float32)
    centres = points + 0.5
    return Prompts(points=frame.to_network(centres[:, 0], centres[:, 1]), boxes=boxes, masks=masks)


def _sampled(guide: Guide, frame: Frame, size: int) -> NDArray[Any]:
    """The ids at the middles of the pixels of a mask prompt, 0 outside of the image."""
    step = MASK_STRIDE / frame.zoom
    places = (np.arange(size // MASK_STRIDE) + 0.5) * step
    y = np.floor(frame.read.y0 + places).astype(int) - guide.near.y0
    x = np.floor(frame.read.x0 + places).astype(int) - guide.near.x0
    height, width = guide.labels.shape
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
    ids = guide.labels[np.clip(y, 0, height - 1)[:, None], np.clip(x, 0, width - 1)]
    return np.where(inside, ids, 0)


def _pieces(
    answers: Answers, k: int, frame: Frame, point: NDArray[np.int64], params: SamParams
) -> Iterator[tuple[Piece, float]]:
    """The masks of one prompt around its point, with their scores, the best score first."""
    for which in np.argsort(-answers.scores[k], kind="stable"):
        piece = cut_mask(answers.logits[k, which], frame, params.mask_threshold, params.stability_score_offset)
        yield connected_at(piece, int(point[0]), int(point[1])), float(answers.scores[k, which])


def _believed(
    pieces: Iterator[tuple[Piece, float]], id_: int, frame: Frame, guide: Guide, params: SamParams
) -> tuple[Piece, float]:
    """The first mask that can be believed, and its score; `NOTHING` where there is none."""
    for piece, score in pieces:
        if is_believable(piece, id_, frame, guide, params):
            return piece, score
    return NOTHING, 0.0


def is_believable(piece: Piece, id_: int, frame: Frame, guide: Guide, params: SamParams) -> bool:
    """Whether a mask neither vanishes, nor leaks, nor is cut by its window, nor swallows a neighbour."""
    own, area = guide.areas.get(id_, 1), piece.area
    if area == 0 or not params.least_share * own <= area <= params.most_share * own:
        return False
    if touches_window_edge(piece, frame):
        return False
    inside = piece.box.intersect(guide.near)
    under = guide.labels[inside.within(guide.near)][piece.bits[inside.within(piece.box)]]
    ids, counts = np.unique(under[(under > 0) & (under != id_)], return_counts=True)
    return all(
        count < params.swallow_share * guide.areas[other]
        for other, count in zip(ids.tolist(), counts.tolist(), strict=True)
    )


def _found(guide: Guide, row: int, piece: Piece, score: float) -> Found:
    columns = guide.columns
    tessera = Box(*(int(columns[edge][row]) for edge in ("y0", "x0", "y1", "x1")))
    return Found(
        id=int(columns["id"][row]),
        y=int(columns["y"][row]),
        x=int(columns["x"][row]),
        piece=piece,
        score=score,
        reach=hull([piece.box, tessera]),
        fallback=piece is NOTHING,
        flags=int(columns["flags"][row]),
    )
