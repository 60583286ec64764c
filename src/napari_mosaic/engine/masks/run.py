"""SAM 2's part of a run: windows, tiles, smaller levels.

One decision: tiles go in order, and before each the windows that it needs are computed; so finished parts can
be looked at while the rest runs, and stopping loses nothing but the window in hand. What cannot be read is left out,
and named with its place when the rest is done.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from napari_mosaic.engine.local import Work, pyramid_steps, raise_failures, yield_to_network
from napari_mosaic.engine.masks.methods import MaskRequest
from napari_mosaic.engine.masks.plan import MaskPlan, make_mask_plan
from napari_mosaic.engine.masks.tiles import MaskTiles, phase_of, unfinished_tiles
from napari_mosaic.engine.masks.windows import MaskContext, Prepared, Window, prepare_window
from napari_mosaic.errors import ReadError, RecordError
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.record.arrays import damaged, discard
from napari_mosaic.record.label_layer import SAM2
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.pyramid import update_pending
from napari_mosaic.record.sam2 import Sam2Files
from napari_mosaic.tiling import Box, Tile

_AHEAD = 2


def settle_plan(record: Record, request: MaskRequest, *, begin: bool) -> MaskPlan:
    """The plan to follow: the stored one where the run goes on, else a new one, which is stored.

    Raises
    ------
    RecordError
        If SAM 2 was begun in this record with other settings and `begin` does not say to begin again.
    """
    store = Sam2Files(record)
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

    Raises
    ------
    ReadError
        At the end, with the first place that could not be read.
    """
    begin_masks(context)
    run, network = _MaskRun(context), context.network
    encoded, prompted, started = network.encoded, network.prompted, time.monotonic()
    try:
        yield from run.steps(unfinished_tiles(context, tile_size, only, focus), max(1, workers))
    finally:
        Sam2Files(context.record).add_work(
            windows=network.encoded - encoded,
            prompts=network.prompted - prompted,
            seconds=time.monotonic() - started,
            peak_bytes=network.peak_memory(),
        )
    yield from end_masks(context)
    raise_failures(Work(windows=[], tiles=[], failed=run.failed))


def begin_masks(context: MaskContext) -> None:
    """Make the layer of the masks where they have one, and strike off what is damaged in it."""
    if phase_of(context) == SAM2:
        layer = context.record.add_label_layer(SAM2)
        broken = damaged(layer, layer.done)
        layer.forget(broken)
        discard(layer, broken)


def end_masks(context: MaskContext) -> Iterator[Progress]:
    """The smaller levels; where every tile is done, what the windows proposed goes."""
    record, store, phase = context.record, Sam2Files(context.record), phase_of(context)
    finished = len(record.ledger.done(phase)) == len(record.plan.shards)
    if phase == SAM2:
        update_pending(store.layer)
        record.set_phase(**{SAM2: "done" if finished else "partial"})
    else:
        yield from pyramid_steps(record)
    if finished:
        store.forget_proposals()


class _MaskRun:
    """The moving parts of one run; `failed` are places that could not be read, and why."""

    def __init__(self, context: MaskContext) -> None:
        self._context = context
        self._ledger = context.record.ledger
        self._tiles = MaskTiles(context)
        self.failed: dict[Box, str] = {}

    def steps(self, tiles: list[Tile], workers: int) -> Iterator[Progress]:
        """Windows and tiles in turn."""
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
                    running[pool.submit(self._tiles.write, tile.core)] = tile
                    while len(running) > 2 * workers or (tile is tiles[-1] and running):
                        future = next(iter(running))
                        future.exception()
                        finished = running.pop(future)
                        if self._note(future, finished):
                            done += finished.core.area / 1e6
                            yield Progress(phase="masks", done=done, total=total, region=finished.core)
            finally:
                for future in [future for future in running if not future.cancel()]:
                    future.exception()
                    self._note(future, running[future])

    def _note(self, future: Future[list[Index]], tile: Tile) -> bool:
        """Enter a tile in the ledger; False where something in it could not be read."""
        try:
            self._ledger.add(self._tiles.phase, future.result())
        except ReadError as error:
            self.failed[tile.core] = str(error)
            return False
        return True

    def _windows(self, core: Box, reader: ThreadPoolExecutor) -> Iterator[Progress]:
        """Compute the windows that a tile is likely to need, reading ahead; what else it needs it fetches itself."""
        source = self._tiles.source
        missing = source.missing(self._tiles.windows(core))
        waiting, ahead = deque(missing), deque[tuple[Window, Future[Prepared]]]()
        try:
            for count in range(1, len(missing) + 1):
                while waiting and len(ahead) <= _AHEAD:
                    window = waiting.popleft()
                    ahead.append((window, reader.submit(prepare_window, self._context, window)))
                window, future = ahead.popleft()
                try:
                    source.compute(future.result())
                except ReadError as error:
                    source.give_up(window, error)
                region = self._core(window)
                yield Progress(phase="sam2", done=count, total=len(missing), unit="windows", region=region)
        finally:
            for _, future in ahead:
                future.cancel()

    def _core(self, window: Window) -> Box:
        return self._context.plan.lattice(window[0], self._context.shape).tile(window[1:]).core
