"""SAM 2's part of a run: windows, tiles, smaller levels.

One decision: tiles go in order, and before each the windows that it needs are computed; so finished parts can
be looked at while the rest runs, and stopping loses nothing but the window in hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from napari_mosaic.engine.local import pyramid_steps, tile_lattice, yield_to_network
from napari_mosaic.engine.mask_methods import MaskRequest
from napari_mosaic.engine.mask_plan import GUIDED, MaskPlan, make_mask_plan
from napari_mosaic.engine.mask_windows import MaskContext, Prepared, ProposalSource, Window, prepare_window
from napari_mosaic.errors import RecordError
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.masks import NAME, MaskStore
from napari_mosaic.record.tables import rows_in
from napari_mosaic.sam.composing import Around, compose
from napari_mosaic.tiling import Box, Tile

_AHEAD = 2
PYRAMID = f"{NAME}-pyramid"


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
        record.ledger.forget("tesserae")
        record.ledger.forget("pyramid")
    store.write_plan(wanted.to_json())
    return wanted


def mask_steps(
    context: MaskContext,
    *,
    tile_size: int = 2048,
    workers: int = 1,
    only: Box | None = None,
    focus: tuple[float, float] | None = None,
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
    """
    record, run = context.record, _MaskRun(context)
    yield from run.steps(run.unfinished(tile_size, only, focus), max(1, workers))
    if run.finished():
        MaskStore(record).forget_proposals()
    if context.plan.into == NAME:
        record.set_phase(**{NAME: "done" if run.finished() else "partial"})


class _MaskRun:
    """The moving parts of one run."""

    def __init__(self, context: MaskContext) -> None:
        self._context = context
        self._record = context.record
        self._plan = context.plan
        self._source = ProposalSource(context)
        self._store = MaskStore(context.record)
        self._phase = "tesserae" if context.plan.into == "tesserae" else NAME
        if self._phase == NAME:
            self._store.prepare_labels()
            damaged = self._store.damaged()
            self._record.ledger.forget(NAME, damaged)
            self._record.ledger.forget(PYRAMID, damaged)
        self._around = Around(
            proposals=self._source.meeting,
            tesserae=context.joints if context.plan.mode == GUIDED else None,
            outside=context.outside.mask,
            shape=context.shape,
        )

    def unfinished(self, tile_size: int, only: Box | None, focus: tuple[float, float] | None) -> list[Tile]:
        """The tiles with shards that are not done, nearest to `focus` first."""
        plan, done = self._record.plan, self._record.ledger.done(self._phase)
        lattice = tile_lattice(plan.shape, plan.shard, tile_size)
        wanted = (only or Box(0, 0, *plan.shape)).clip(plan.shape)
        tiles = [lattice.tile(index) for index in lattice.overlapping(wanted)]
        tiles = [tile for tile in tiles if not done.issuperset(plan.shards.overlapping(tile.core))]
        if focus is not None:
            y, x = focus
            tiles.sort(
                key=lambda tile: (
                    ((tile.core.y0 + tile.core.y1) / 2 - y) ** 2 + ((tile.core.x0 + tile.core.x1) / 2 - x) ** 2
                )
            )
        return tiles

    def finished(self) -> bool:
        """Whether every shard is done."""
        return len(self._record.ledger.done(self._phase)) == len(self._record.plan.shards)

    def steps(self, tiles: list[Tile], workers: int) -> Iterator[Progress]:
        """Windows and tiles in turn, then the smaller levels."""
        total = sum(tile.core.area for tile in tiles) / 1e6
        running: dict[Future[list[Index]], Tile] = {}
        done = 0.0
        with (
            ThreadPoolExecutor(workers, "masks", initializer=yield_to_network) as pool,
            ThreadPoolExecutor(_AHEAD, "read") as reader,
        ):
            try:
                for tile in tiles:
                    yield from self._windows(tile.core, reader)
                    running[pool.submit(self._compose, tile)] = tile
                    while len(running) > 2 * workers or (tile is tiles[-1] and running):
                        future = next(iter(running))
                        self._record.ledger.add(self._phase, future.result())
                        finished = running.pop(future)
                        done += finished.core.area / 1e6
                        yield Progress(phase="masks", done=done, total=total, region=finished.core)
            finally:
                self._note(running)
        if self._phase == NAME:
            self._store.update_pyramid()
        else:
            yield from pyramid_steps(self._record)

    def _note(self, running: dict[Future[list[Index]], Tile]) -> None:
        """Enter in the ledger what is finished when the run stops; what waits is not begun."""
        for future in running:
            if not future.cancel() and future.exception() is None:
                self._record.ledger.add(self._phase, future.result())

    def _windows(self, core: Box, reader: ThreadPoolExecutor) -> Iterator[Progress]:
        """Compute the windows that a tile is likely to need, reading ahead; what else it needs it fetches itself."""
        missing = self._source.missing(self._source.windows(core.grow(self._plan.margin)))
        waiting, ahead = deque(missing), deque[Future[Prepared]]()
        try:
            for count in range(1, len(missing) + 1):
                while waiting and len(ahead) <= _AHEAD:
                    ahead.append(reader.submit(prepare_window, self._context, waiting.popleft()))
                prepared = ahead.popleft().result()
                self._source.compute(prepared)
                region = self._core(prepared.window)
                yield Progress(phase="sam2", done=count, total=len(missing), unit="windows", region=region)
        finally:
            for future in ahead:
                future.cancel()

    def _core(self, window: Window) -> Box:
        return self._plan.lattice(window[0], self._context.shape).tile(window[1:]).core

    def _compose(self, tile: Tile) -> list[Index]:
        """Compose one tile and write its shards; their indices."""
        found = compose(tile.core, self._around, self._plan.params)
        shards = self._record.plan.shards
        written = shards.overlapping(tile.core)
        for index in written:
            box = shards.tile(index).core
            labels, rows = found.labels[box.within(tile.core)], rows_in(found.columns, box)
            if self._phase == NAME:
                self._store.write_shard(index, labels, rows)
            else:
                self._store.write_rows(index, rows)
                self._record.write_tesserae(index, labels, rows)
        return written
