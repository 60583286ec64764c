"""One window of SAM 2's lattice: read it, find its prompts, ask, keep what it proposes.

One decision: what a window proposes is a function of the plan and its place, so it does not matter who computes
it, when, or for the sake of which tile.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.mapping import compute_tile
from napari_mosaic.engine.resample import read_patiently
from napari_mosaic.engine.sam.plan import GUIDED, MaskPlan
from napari_mosaic.errors import ReadError
from napari_mosaic.image import MosaicImage
from napari_mosaic.record import Record
from napari_mosaic.record.label_layer import SAM2
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.sam2 import Sam2Files
from napari_mosaic.record.tables import rows_in
from napari_mosaic.sam.automatic import ask_automatic, grid_points
from napari_mosaic.sam.composing import Around, compose
from napari_mosaic.sam.guided import Guide, ask_guided
from napari_mosaic.sam.masks import Frame
from napari_mosaic.sam.prompts import MaskNetwork
from napari_mosaic.sam.proposals import FIELDS, Proposals, join, pack
from napari_mosaic.tesserae import Tesserae
from napari_mosaic.tiling import Box

SamWindow = tuple[int, int, int]
"""Layer, row and column of a window."""
_KEPT = 256
"""Windows whose proposals are kept in memory; not varied."""
_NEEDED = {*FIELDS, "boxes", "reaches", "bits", "starts"}


@dataclass(frozen=True, kw_only=True)
class MaskContext:
    """What SAM 2's work needs: the record and the photograph, the plan, the network, what is left out."""

    record: Record
    image: MosaicImage
    plan: MaskPlan
    network: MaskNetwork

    @cached_property
    def domain(self) -> Domain:
        """Where nothing is asked."""
        return Domain(self.image, self.record.areas, self.record.plan.factor)

    @property
    def shape(self) -> tuple[int, int]:
        """Of the working grid."""
        return self.record.plan.shape

    @property
    def phase(self) -> str:
        """The phase of the record's ledger that the masks belong to."""
        return "tesserae" if self.plan.into == "tesserae" else SAM2

    def found(self, box: Box) -> Tesserae:
        """The joints' tesserae of a box and their rows; `ReadError` where the map around it is not complete."""
        self._require_map(box.grow(self.record.plan.tesserae.halo))
        return compute_tile(self.record.read_map, self.record.plan, box)

    def grout(self, box: Box) -> NDArray[np.uint8]:
        """The map of joints over a box; `ReadError` where it is not complete."""
        self._require_map(box)
        return np.asarray(self.record.read_map(box)[0])

    def _require_map(self, box: Box) -> None:
        if not self.record.ledger.done("map").issuperset(self.record.plan.lattice.overlapping(box)):
            raise ReadError("the joints around it are not found yet")


@dataclass(frozen=True)
class Prepared:
    """A window that is read, with what to ask; without anything to ask there are no pixels."""

    window: SamWindow
    pixels: NDArray[np.uint8] | None
    guide: Guide | None
    points: NDArray[np.int64] | None


def prepare_window(context: MaskContext, window: SamWindow) -> Prepared:
    """Read a window and find what to ask there; no network is needed for it."""
    layer, index = window[0], window[1:]
    frame = context.plan.frame(layer, index, context.shape)
    core = context.plan.lattice(layer, context.shape).tile(index).core
    guide = points = None
    if context.plan.mode == GUIDED:
        guide = _guide(context, frame.read.clip(context.shape), core)
        wanted = len(guide.ids)
    else:
        points = automatic_points(context.plan, window, context.shape, context.domain)
        wanted = len(points)
    if wanted == 0:
        return Prepared(window, None, guide, points)
    pixels = read_frame(context.image, frame, context.record.plan.factor, context.plan.image_size)
    return Prepared(window, pixels, guide, points)


def automatic_points(plan: MaskPlan, window: SamWindow, shape: tuple[int, int], domain: Domain) -> NDArray[np.int64]:
    """The points of the automatic generator in the core of a window over a grid of `shape`, `(N, 2)` as `(y, x)`."""
    core = plan.lattice(window[0], shape).tile(window[1:]).core
    points = grid_points(core, plan.layers[window[0]].pitch)
    outside = domain.mask(core)
    return points if outside is None else points[~outside[points[:, 0] - core.y0, points[:, 1] - core.x0]]


def read_frame(image: MosaicImage, frame: Frame, factor: float, size: int) -> NDArray[np.uint8]:
    """The photograph as a network of `size` px sees it in a window, `(size, size, 3)`."""
    return read_patiently(image, (frame.read.y0 / factor, frame.read.x0 / factor), factor * frame.zoom, (size, size))


def _guide(context: MaskContext, near: Box, core: Box) -> Guide:
    found = context.found(near)
    y, x = found.columns["y"], found.columns["x"]
    mine = (y >= core.y0) & (y < core.y1) & (x >= core.x0) & (x < core.x1)
    columns = {name: values[mine] for name, values in found.columns.items()}
    return Guide(labels=found.labels, near=near, columns=columns)


def ask_window(context: MaskContext, prepared: Prepared) -> Proposals:
    """What a prepared window proposes."""
    layer, index = prepared.window[0], prepared.window[1:]
    plan, frame = context.plan, context.plan.frame(layer, index, context.shape)
    if prepared.pixels is None:
        return pack([])
    if prepared.guide is not None:
        return ask_guided(context.network, prepared.pixels, frame, prepared.guide, plan.params, plan.batch)
    points = np.zeros((0, 2), np.int64) if prepared.points is None else prepared.points
    return ask_automatic(context.network, prepared.pixels, frame, points, plan.params, plan.batch)


class MaskMaker:
    """Makes windows' proposals, which are taken from disk where they are there, and tiles.

    Parameters
    ----------
    context
        What the work needs; its record is open for writing.
    """

    def __init__(self, context: MaskContext) -> None:
        self.spent: Counter[str] = Counter()
        """Windows that were encoded and prompts asked, on the way of a tile or not."""
        self._context = context
        self._store = Sam2Files(context.record)
        self._read = lru_cache(_KEPT)(self._read_proposals)
        self._asking = threading.RLock()
        self._lost: dict[SamWindow, str] = {}
        self._left_out: dict[SamWindow, bool] = {}
        self._around = Around(
            proposals=self.meeting,
            tesserae=(lambda box: context.found(box).labels) if context.plan.mode == GUIDED else None,
            outside=context.domain.mask,
            joints=context.grout,
            shape=context.shape,
        )

    def read(self, window: SamWindow) -> Prepared | None:
        """Read a window and find what to ask there; None where a tile has computed it on its way."""
        if not self.missing([window]):
            return None
        try:
            return prepare_window(self._context, window)
        except ReadError as error:  # whoever needs it is told the same
            self._lost[window] = str(error)
            raise

    def predict(self, windows: Sequence[SamWindow], inputs: Sequence[Prepared | None]) -> Sequence[Prepared | None]:
        """Ask about windows that are read, and keep the answers on disk."""
        for prepared in inputs:
            if prepared is not None:
                self.compute(prepared)
        return inputs

    def keep(self, window: SamWindow, answer: Any) -> None:
        """Nothing: proposals are on disk by now."""

    def write(self, core: Box) -> list[Index]:
        """Compose a tile and write its shards; their indices.

        Raises
        ------
        ReadError
            If the photograph cannot be read where the tile needs it.
        """
        record, layer = self._context.record, self._context.record.label_layer(SAM2)
        found = compose(core, self._around, self._context.plan.params)
        written = record.plan.shards.overlapping(core)
        for index in written:
            box = record.plan.shards.tile(index).core
            labels, rows = found.labels[box.within(core)], rows_in(found.columns, box)
            if self._context.phase == SAM2:
                layer.write_shard(index, labels, rows)
            else:
                layer.write_rows(index, rows)
                record.write_tesserae(index, labels, rows)
        return written

    def windows(self, box: Box) -> list[SamWindow]:
        """The windows whose proposals may reach into `box`; none that has nothing to ask, its core being left out."""
        plan, shape = self._context.plan, self._context.shape
        near = box.grow(plan.margin)
        found = (
            (layer, *index)
            for layer in range(len(plan.layers))
            for index in plan.lattice(layer, shape).overlapping(near)
        )
        return [window for window in found if not self._is_left_out(window)]

    def _is_left_out(self, window: SamWindow) -> bool:
        """Whether nothing lies in a window's core: neither a point nor a tessera's seed, so there are no proposals."""
        known = self._left_out.get(window)
        if known is None:
            core = self._context.plan.lattice(window[0], self._context.shape).tile(window[1:]).core
            known = self._left_out[window] = self._context.domain.covers(core)
        return known

    def missing(self, windows: Sequence[SamWindow]) -> list[SamWindow]:
        """Those that are not on disk, and can be read as far as is known."""
        return [
            window
            for window in windows
            if window not in self._lost and not self._store.has_proposals(window[0], window[1:])
        ]

    def compute(self, prepared: Prepared) -> None:
        """Ask the network about a window, and keep the answer on disk; one window at a time."""
        network = self._context.network
        with self._asking:
            encoded, prompted = network.encoded, network.prompted
            found = ask_window(self._context, prepared)
            self.spent.update(windows=network.encoded - encoded, prompts=network.prompted - prompted)
            self._store.write_proposals(prepared.window[0], prepared.window[1:], found.arrays())

    def _read_proposals(self, window: SamWindow) -> Proposals:
        """The proposals of a window from disk; `LookupError` where they are missing or damaged."""
        arrays = self._store.read_proposals(window[0], window[1:])
        if arrays is None or not set(arrays) >= _NEEDED:
            raise LookupError(window)
        return Proposals.from_arrays(arrays)

    def of_window(self, window: SamWindow) -> Proposals:
        """The proposals of one window; `ReadError` where it cannot be read."""
        if window in self._lost:
            raise ReadError(self._lost[window])
        with suppress(LookupError):
            return self._read(window)
        with self._asking:
            with suppress(LookupError):
                return self._read(window)
            self.compute(prepare_window(self._context, window))
            return self._read(window)

    def meeting(self, box: Box) -> Proposals:
        """All proposals that reach into `box`, in order of windows."""
        parts = []
        for window in self.windows(box):
            found = self.of_window(window)
            y0, x0, y1, x1 = found.reaches.T
            meets = (y0 < box.y1) & (y1 > box.y0) & (x0 < box.x1) & (x1 > box.x0)
            if meets.any():
                parts.append(found.part(meets))
        return join(parts)
