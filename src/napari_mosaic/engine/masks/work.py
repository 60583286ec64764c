"""SAM 2's part of a run as work: which windows and tiles are left, and how one is made.

One decision: a tile is a function of the plan and the windows' proposals, which lie in the record as files; so windows
need no ledger, and a tile that needs one more than was likely computes it on the way.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from typing import Any

from napari_mosaic.engine.cluster import Cluster
from napari_mosaic.engine.mapping import tiles_left, update_levels
from napari_mosaic.engine.masks.methods import MaskRequest
from napari_mosaic.engine.masks.plan import GUIDED, MaskPlan, make_mask_plan
from napari_mosaic.engine.masks.windows import MaskContext, Prepared, ProposalSource, Window, prepare_window
from napari_mosaic.engine.outside import Outside
from napari_mosaic.engine.schedule import nearest_first, run_work
from napari_mosaic.engine.threads import Threads
from napari_mosaic.errors import ReadError, RecordError
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.record.arrays import damaged, discard
from napari_mosaic.record.label_layer import SAM2
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.masks import MaskStore
from napari_mosaic.record.pyramid import update_unsettled
from napari_mosaic.record.store import open_for_worker
from napari_mosaic.record.tables import rows_in
from napari_mosaic.sam.composing import Around, compose
from napari_mosaic.sam.prompts import MaskNetwork
from napari_mosaic.tiling import Box, Tile


def settle_plan(record: Record, request: MaskRequest, *, begin: bool) -> MaskPlan:
    """The plan to follow: the stored one where the run goes on, else a new one, which is stored.

    Raises
    ------
    RecordError
        If SAM 2 was begun in this record with other settings and `begin` does not say to begin again.
    """
    store = MaskStore(record)
    wanted = make_mask_plan(record.plan, request.network, request.params, request.mode)
    values = None if begin else store.read_plan()
    if values is not None:
        stored = MaskPlan.from_json(values)
        if not wanted.same_masks(stored):
            raise RecordError(
                f"SAM 2 was begun in {record.path} with {stored.model} and other settings; go on with those, or begin "
                "again with --overwrite."
            )
        return replace(wanted, batch=stored.batch)
    store.forget()
    if wanted.into == "tesserae":
        record.forget_tesserae()
    store.write_plan(wanted.to_json())
    return wanted


def mask_steps(
    context: MaskContext,
    *,
    tile_size: int = 2048,
    workers: int = 1,
    only: Box | None = None,
    focus: tuple[float, float] | None = None,
    client: Any = None,
) -> Iterator[Progress]:
    """Find SAM 2's masks and write them; stop between two yields to keep what is done.

    Parameters
    ----------
    context
        Its record is open for writing and has its map where masks are guided; its plan is from `settle_plan`.
    tile_size, workers
        Pixels worked on at once, and threads that compose tiles; neither changes the result.
    only, focus
        A box on the working grid to work in; a point to begin near.
    client
        A `dask.distributed.Client` whose workers do it.

    Raises
    ------
    ReadError
        At the end, with the first place that could not be read.
    """
    work = _plan_work(context, tile_size, only, focus)
    executor = Threads(work.maker, workers=workers) if client is None else Cluster(client, work)
    started, here = time.monotonic(), client is None
    try:
        yield from run_work(work, executor)
    finally:
        MaskStore(context.record).add_work(
            windows=work.maker.spent["windows"],
            prompts=work.maker.spent["prompts"],
            seconds=time.monotonic() - started if here else 0.0,
            peak_bytes=context.network.peak_memory() if here else None,
        )


class MaskMaker:
    """Asks SAM 2 about windows, composes and writes tiles.

    Parameters
    ----------
    context
        What the work needs; its record is open for writing.
    """

    def __init__(self, context: MaskContext) -> None:
        self.source = ProposalSource(context)
        self._context = context
        self._around = Around(
            proposals=self.source.meeting,
            tesserae=context.joints if context.plan.mode == GUIDED else None,
            outside=context.outside.mask,
            joints=context.grout,
            shape=context.shape,
        )

    @property
    def spent(self) -> Counter[str]:
        """Windows that were encoded, and prompts."""
        return self.source.spent

    @spent.setter
    def spent(self, spent: Counter[str]) -> None:
        self.source.spent = spent

    def read(self, window: Window) -> Prepared | None:
        """Read a window and find what to ask there; None where a tile has computed it on its way."""
        if not self.source.missing([window]):
            return None
        try:
            return prepare_window(self._context, window)
        except ReadError as error:
            self.source.give_up(window, error)
            raise

    def predict(self, windows: Sequence[Window], inputs: Sequence[Prepared | None]) -> Sequence[Prepared | None]:
        """Ask about windows that are read, and keep the answers on disk."""
        for prepared in inputs:
            if prepared is not None:
                self.source.compute(prepared)
        return inputs

    def keep(self, window: Window, answer: Any) -> None:
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


def _open_maker(path: str, plan: MaskPlan, network: MaskNetwork) -> MaskMaker:
    """A maker in another process."""
    record = open_for_worker(path)
    image = record.open_source()
    outside = Outside(image, record.areas, record.plan.factor)
    return MaskMaker(MaskContext(record=record, image=image, plan=plan, network=network, outside=outside))


@dataclass(kw_only=True)
class MaskWork:
    """What is left to do: windows that SAM 2 is asked about, and tiles of masks, in order of tiles."""

    context: MaskContext
    tiles: list[Tile]
    needs_all = False
    names = ("sam2", "masks")
    unit = "windows"
    batch = 1

    @cached_property
    def maker(self) -> MaskMaker:
        """How pieces are made here."""
        return MaskMaker(self.context)

    @property
    def open_elsewhere(self) -> Callable[[], MaskMaker]:
        """What a worker of a cluster is sent."""
        return partial(_open_maker, str(self.context.record.path), self.context.plan, self.context.network)

    @cached_property
    def _likely(self) -> dict[Tile, list[Window]]:
        """The windows that tiles are likely to need; what else they need is computed on the way."""
        margin = self.context.plan.margin
        return {tile: self.maker.source.windows(tile.core.grow(margin)) for tile in self.tiles}

    @cached_property
    def windows(self) -> list[Window]:
        """Those that are not computed yet, in the order in which tiles need them."""
        return self.maker.source.missing(list(dict.fromkeys(chain.from_iterable(self._likely.values()))))

    def missing(self, tile: Tile) -> set[Window]:
        """Those that a tile waits for."""
        return set(self.windows).intersection(self._likely[tile])

    def place(self, window: Window) -> Box:
        """The core of a window."""
        return self.context.plan.lattice(window[0], self.context.shape).tile(window[1:]).core

    def size(self, window: Window) -> float:
        """One."""
        return 1.0

    def writes_to(self, window: Window) -> Window:
        """A file of its own."""
        return window

    def note(self, window: Window) -> None:
        """Nothing: a window whose file is there is finished."""

    def note_tile(self, shards: Iterable[Index]) -> None:
        """Enter the shards of a tile in the ledger."""
        self.context.record.ledger.add(self.context.phase, shards)

    def settle(self, *, last: bool) -> Iterator[Progress]:
        """At the end the smaller levels; where every tile is done, what the windows proposed goes."""
        if not last:
            return
        record, store, phase = self.context.record, MaskStore(self.context.record), self.context.phase
        finished = len(record.ledger.done(phase)) == len(record.plan.shards)
        if phase == SAM2:
            update_unsettled(store.layer)
            record.set_phase(**{SAM2: "done" if finished else "partial"})
        else:
            yield from update_levels(record)
        if finished:
            store.forget_proposals()


def _plan_work(context: MaskContext, tile_size: int, only: Box | None, focus: tuple[float, float] | None) -> MaskWork:
    """The unfinished pieces, nearest to `focus` first; the masks' layer is made, and damage in it struck off."""
    record = context.record
    if context.phase == SAM2:
        layer = record.add_label_layer(SAM2)
        broken = damaged(layer, layer.done)
        layer.forget(broken)
        discard(layer, broken)
    tiles = tiles_left(record.plan, tile_size, record.ledger.done(context.phase), only)
    return MaskWork(context=context, tiles=nearest_first(tiles, lambda tile: tile.core, focus))
