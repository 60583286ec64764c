"""One stone at a time, by clicks: what a person says about it, and the masks that SAM 2 suggests.

One decision: the window that is encoded is chosen by the place, from overlapping lattices of windows, so every stone
lies well inside of one and the next click near by finds its window encoded already.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.areas import rasterise
from napari_mosaic.sam.masks import NOTHING, Frame, Piece, connected_at, cut_mask, tighten
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import MaskNetwork, Prompts, tessera_size
from napari_mosaic.tiling import Box

Point = tuple[float, float]
KEPT = 16
"""Encoded windows that are kept: of the largest model some 16 MB each."""


@dataclass(frozen=True, kw_only=True)
class Clicks:
    """What is known of one stone: places `(y, x)` in pixels of the working grid, the middle of the first (0.5, 0.5).

    `inside` and `outside` are points on and off it, `box` `(y0, x0, y1, x1)` and `outline` are drawn around it.
    """

    inside: tuple[Point, ...] = ()
    outside: tuple[Point, ...] = ()
    box: tuple[float, float, float, float] | None = None
    outline: tuple[Point, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing says yet where the stone is."""
        return not (self.inside or self.box or len(self.outline) > 2)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The box around everything that is known, `(y0, x0, y1, x1)`."""
        places = [*self.inside, *self.outside, *self.outline]
        if self.box is not None:
            places += [self.box[:2], self.box[2:]]
        y, x = zip(*places, strict=True)
        return min(y), min(x), max(y), max(x)

    @property
    def limit(self) -> Any:
        """The polygon `(x, y)` that the stone lies in; None where nothing was drawn around it."""
        if len(self.outline) > 2:
            return shapely.make_valid(shapely.Polygon([(x, y) for y, x in self.outline]))
        if self.box is not None:
            y0, x0, y1, x1 = self.box
            return shapely.box(x0, y0, x1, y1)
        return None

    def points(self) -> tuple[Point, ...]:
        """The points on the stone; where there are none, one in the middle of what was drawn around it."""
        if self.inside or self.limit is None:
            return self.inside
        middle = shapely.maximum_inscribed_circle(self.limit, 1.0) if len(self.outline) > 2 else None
        if middle is not None and not middle.is_empty:
            x, y = middle.coords[0]
            return ((float(y), float(x)),)
        y0, x0, y1, x1 = self.extent
        return (((y0 + y1) / 2, (x0 + x1) / 2),)


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What the stone may be: masks from the smallest to the largest, their scores, and which is believed most.

    `logits` `(M, s, s)`, in the same order, and `frame` let the next click build on this one.
    """

    pieces: tuple[Piece, ...]
    scores: tuple[float, ...]
    chosen: int
    frame: Frame
    logits: NDArray[np.float32]

    @property
    def piece(self) -> Piece:
        """The mask that is chosen."""
        return self.pieces[self.chosen]

    @property
    def score(self) -> float:
        """The overlap that SAM 2 expects of it, 0 to 1."""
        return self.scores[self.chosen]

    def other(self, step: int) -> Suggestion:
        """The next larger mask, or the next smaller one for -1; the same at the ends."""
        return replace(self, chosen=min(max(self.chosen + step, 0), len(self.pieces) - 1))


class ClickSession:
    """Masks for clicks on one mosaic. May be used from any thread, by one at a time.

    Parameters
    ----------
    network
        What answers prompts.
    read
        From a frame to its window `(S, S, 3)` uint8.
    shape
        Of the working grid.
    usual
        Size of a tessera on the working grid, px.
    params
        Size of a tessera that SAM 2 sees, thresholds.
    kept
        Encoded windows that are kept.
    """

    def __init__(
        self, network: MaskNetwork, read: Callable[[Frame], NDArray[np.uint8]], shape: tuple[int, int], *,
        usual: float, params: SamParams, kept: int = KEPT,
    ) -> None:  # fmt: skip
        self.network, self.shape = network, shape
        self._read, self._params, self._kept = read, params, kept
        self._usual = usual
        self._embeddings: OrderedDict[Frame, Any] = OrderedDict()
        self._lock = threading.RLock()

    def frame_for(self, clicks: Clicks, current: Frame | None = None) -> Frame:
        """The window for some clicks: `current` as long as they lie well inside of it.

        Windows show a tessera at the size of the parameters; what does not fit into one is shown smaller.
        """
        y0, x0, y1, x1 = clicks.extent
        margin = self._usual
        need = (y0 - margin, x0 - margin, y1 + margin, x1 + margin)
        if current is not None and _holds(current.read, need):
            return current
        depth = 0
        while True:
            frame = self._frame(depth, ((y0 + y1) / 2, (x0 + x1) / 2))
            if _holds(frame.read, need) or frame.read.shape[0] > 4 * max(self.shape):
                return frame
            depth += 1

    def _frame(self, depth: int, middle: Point) -> Frame:
        """The window of a lattice, each twice as wide as their distance, whose middle is nearest."""
        size = self.network.image_size
        seen = tessera_size(self.network, self._params.tessera_px)
        side = max(4, round(size * self._usual / seen)) * 2**depth
        pitch = side // 2
        y, x = (int(place // pitch) * pitch + pitch // 2 - side // 2 for place in middle)
        return Frame(Box(y, x, y + side, x + side), size / side, self.shape, depth)

    def is_warm(self, frame: Frame) -> bool:
        """Whether a window is encoded already."""
        return frame in self._embeddings

    def warm(self, frame: Frame) -> Any:
        """The encoded window; the ones used last are kept."""
        with self._lock:
            if frame not in self._embeddings:
                self._embeddings[frame] = self.network.embed(self._read(frame))
            self._embeddings.move_to_end(frame)
            while len(self._embeddings) > self._kept:
                self._embeddings.popitem(last=False)
            return self._embeddings[frame]

    def suggest(self, clicks: Clicks, before: Suggestion | None = None) -> Suggestion | None:
        """The masks for some clicks; None where SAM 2 sees nothing there.

        Parameters
        ----------
        clicks
            Not empty.
        before
            What was suggested for all but the last of them: its mask is refined.
        """
        frame = self.frame_for(clicks, None if before is None else before.frame)
        before = before if before is not None and before.frame == frame else None
        with self._lock:
            embedding = self.warm(frame)
            asked = _prompts(clicks, frame, before)
            alone = asked.points.shape[1] == 1 and before is None and asked.boxes is None
            ((_, answers),) = self.network.predict(embedding, asked, batch=1, multimask=alone)
        params, found = self._params, []
        for k, score in enumerate(answers.scores[0].tolist()):
            piece = cut_mask(answers.logits[0, k], frame, params.mask_threshold, params.stability_score_offset)
            piece = _one_stone(piece, clicks)
            if piece is not NOTHING:
                found.append((piece.area, k, piece, float(score)))
        if not found:
            return None
        found.sort(key=lambda one: one[:2])
        scores = tuple(one[3] for one in found)
        return Suggestion(
            pieces=tuple(one[2] for one in found),
            scores=scores,
            chosen=int(np.argmax(scores)),
            frame=frame,
            logits=answers.logits[0, [one[1] for one in found]],
        )


def _holds(outer: Box, need: tuple[float, float, float, float]) -> bool:
    return outer.y0 <= need[0] and outer.x0 <= need[1] and outer.y1 >= need[2] and outer.x1 >= need[3]


def _prompts(clicks: Clicks, frame: Frame, before: Suggestion | None) -> Prompts:
    """One prompt of everything that is known."""
    on, off = clicks.points(), clicks.outside
    places = np.array([*on, *off], float).reshape(-1, 2)
    boxes = masks = None
    if clicks.limit is not None:
        x0, y0, x1, y1 = clicks.limit.bounds
        corners = frame.to_network(np.array([y0, y1]), np.array([x0, x1]))
        boxes = np.clip(corners, 0, frame.zoom * frame.read.shape[0]).reshape(1, 4)
    if before is not None:
        masks = np.clip(before.logits[before.chosen], -32, 32)[None]
    return Prompts(
        points=frame.to_network(places[:, 0], places[:, 1])[None],
        boxes=boxes,
        masks=masks,
        inside=np.array([[True] * len(on) + [False] * len(off)]),
    )


def _one_stone(piece: Piece, clicks: Clicks) -> Piece:
    """The part of a mask that is meant: inside of what was drawn, around a point, in one piece without holes."""
    if piece.area and clicks.limit is not None:
        piece = tighten(replace(piece, bits=piece.bits & rasterise(clicks.limit, piece.box, 1.0)))
    for y, x in clicks.inside:
        part = connected_at(piece, int(y), int(x))
        if part is not NOTHING:
            return part
    if piece.area == 0 or clicks.inside:
        return NOTHING
    parts, count = ndimage.label(piece.bits)
    largest = parts == 1 + int(np.argmax(ndimage.sum_labels(piece.bits, parts, range(1, count + 1))))
    return tighten(replace(piece, bits=np.asarray(ndimage.binary_fill_holes(largest))))
