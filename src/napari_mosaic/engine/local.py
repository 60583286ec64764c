"""Run a plan on this machine: the network here, the rest in threads beside it.

One decision: windows and tiles are interleaved. A tile of tesserae is computed as soon as the windows
around it are on disk, so finished parts can be looked at while the rest runs, and stopping loses
nothing but the window in hand.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.tasks import Context, Index, predict_maps, read_for_network, write_tile
from napari_mosaic.errors import InputError, ReadError
from napari_mosaic.progress import Progress
from napari_mosaic.record import Plan, Record
from napari_mosaic.record.pyramid import update_pyramid
from napari_mosaic.tiling import Box, Lattice, Tile

_READ_AHEAD = 2
_PYRAMID_EVERY = 24
_Predicted = list[tuple[Index, NDArray[np.uint8]]]


@dataclass(kw_only=True)
class Work:
    """What is left to do: windows of the map and tiles of tesserae, in order."""

    windows: list[Index]
    tiles: list[Tile]
    have: set[Index] = field(default_factory=set)
    failed: dict[Box, str] = field(default_factory=dict)


def plan_work(
    record: Record, tile_size: int, *, only: Box | None = None, focus: tuple[float, float] | None = None
) -> Work:
    """The unfinished pieces that meet `only` (a box on the working grid), nearest to `focus` first."""
    plan = record.plan
    _forget_damage(record)
    have = set(record.ledger.done("map"))
    done = record.ledger.done("tesserae")
    whole = Box(0, 0, *plan.shape)
    wanted = (only or whole).clip(plan.shape)
    tiles = []
    for index in tile_lattice(plan.shape, plan.shard, tile_size).overlapping(wanted):
        tile = tile_lattice(plan.shape, plan.shard, tile_size).tile(index)
        if not all(shard in done for shard in plan.shards.overlapping(tile.core)):
            tiles.append(tile)
    needed = {index for tile in tiles for index in windows_under(record, tile)}
    needed |= set(plan.lattice.overlapping(wanted))
    windows = _in_order(needed - have, plan, tile_lattice(plan.shape, plan.shard, tile_size))
    if focus is not None:
        windows.sort(key=lambda index: _distance(plan.lattice.tile(index).core, focus))
        tiles.sort(key=lambda tile: _distance(tile.core, focus))
    return Work(windows=windows, tiles=tiles, have=have)


def _in_order(windows: set[Index], plan: Plan, tiles: Lattice) -> list[Index]:
    """Windows row by row, but for the last row of tiles: there tile by tile.

    Tiles of that row would otherwise all become ready with the last windows, and be cut when nothing else is left.
    """
    last = (tiles.counts[0] - 1) * tiles.core

    def place(index: Index) -> tuple[int, ...]:
        core = plan.lattice.tile(index).core
        return (core.y0, 0, 0, core.x0) if core.y0 < last else (last, core.x0 // tiles.core, core.y0, core.x0)

    return sorted(windows, key=place)


def tile_lattice(shape: tuple[int, int], shard: int, tile_size: int) -> Lattice:
    """Tiles of tesserae: whole shards, `tile_size` pixels or the next multiple of a shard."""
    return Lattice(shape=shape, core=max(1, -(-tile_size // shard)) * shard)


def windows_under(record: Record, tile: Tile) -> list[Index]:
    """The windows of the map in the shards that a tile reads.

    Whole shards, because a window smaller than its shard rewrites it, and nobody may read it meanwhile.
    """
    return windows_below(record.plan, tile)


def windows_below(plan: Plan, tile: Tile) -> list[Index]:
    """`windows_under` by the plan alone."""
    shard = plan.shard
    read = tile.core.grow(plan.tesserae.halo).clip(plan.shape)
    whole = Box(
        read.y0 // shard * shard, read.x0 // shard * shard, -(-read.y1 // shard) * shard, -(-read.x1 // shard) * shard
    )
    return plan.lattice.overlapping(whole)


def without_network(record: Record, work: Work) -> Work:
    """The part of the work that needs no more of the map than is stored."""
    tiles = [tile for tile in work.tiles if work.have.issuperset(windows_under(record, tile))]
    return Work(windows=[], tiles=tiles, have=work.have)


def yield_to_network() -> None:
    """Let the threads of a network that computes one window at a time go first.

    It waits for the slowest of them at every layer. Where several windows are computed side by side nothing
    waits for anything, and tesserae that yield would be left over for the end.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)


def run_steps(context: Context | None, record: Record, work: Work, workers: int) -> Iterator[Progress]:
    """Do the work; yields as pieces are finished. Stop between two yields to keep what is done.

    `context` is needed only where there are windows to compute.
    """
    run = _Run(context, record, work, max(1, workers))
    alone = context is not None and context.segmenter.streams == 1
    with (
        ThreadPoolExecutor(run.threads, "tesserae", initializer=yield_to_network if alone else None) as pool,
        ThreadPoolExecutor(_READ_AHEAD, "read") as reader,
    ):
        try:
            yield from run.windows(pool, reader)
            while run.running:
                yield from run.collect(wait=True)
        finally:
            for future in run.running:
                future.cancel()
            pool.shutdown(wait=True)
            run.note_finished()
    yield from run.pyramid()
    raise_failures(work)


class _Run:
    """The moving parts of one run: which tiles wait, which are being computed."""

    def __init__(self, context: Context | None, record: Record, work: Work, workers: int) -> None:
        self._context = context
        self._streams = 1 if context is None else context.segmenter.streams
        self._workers = workers
        self.threads = workers + self._streams - 1
        """For tesserae: `workers` beside the network, and as many more as it had when it has finished."""
        self._plan = record.plan
        self._record = record
        self._work = work
        self._waiting = {tile: set(windows_under(record, tile)) - work.have for tile in work.tiles}
        self._ready = deque(tile for tile in work.tiles if not self._waiting[tile])
        self._total = sum(record.plan.lattice.tile(index).core.area for index in work.windows) / 1e6
        self._tiles_total = sum(tile.core.area for tile in work.tiles) / 1e6
        self._found = 0.0
        self.running: dict[Future[list[Index]], Tile] = {}

    def windows(self, pool: ThreadPoolExecutor, reader: ThreadPoolExecutor) -> Iterator[Progress]:
        """The map pass, with tiles started as they become ready."""
        batch, windows = self._plan.batch, self._work.windows
        queue = deque(windows[first : first + batch] for first in range(0, len(windows), batch))
        ahead: deque[Future[_Predicted]] = deque()
        finished = 0.0
        self._start(pool)
        with ThreadPoolExecutor(self._streams, "network") as network:
            try:
                while queue or ahead:
                    while queue and len(ahead) < self._streams + _READ_AHEAD:
                        taken = [(index, reader.submit(self._read, index)) for index in queue.popleft()]
                        ahead.append(network.submit(self._map, taken))
                    for index, map_ in ahead.popleft().result():
                        core = self._plan.lattice.tile(index).core
                        self._record.write_map(core, map_)
                        self._record.ledger.add("map", [index])
                        finished += core.area / 1e6
                        self._window_done(index)
                        yield Progress(phase="joints", done=finished, total=self._total, region=core)
                    self._start(pool)
                    yield from self.collect(wait=False)
                    self._start(pool)
            finally:
                for future in ahead:
                    future.cancel()
        while self._ready:
            self._start(pool, self.threads)
            yield from self.collect(wait=True)

    def _read(self, index: Index) -> Any:
        if self._context is None:
            raise InputError("Windows of the map cannot be computed without the photograph; open it first.")
        return read_for_network(self._context, index)

    def _map(self, taken: Sequence[tuple[Index, Future[Any]]]) -> _Predicted:
        """Predict some windows; what cannot be read is noted and left out."""
        indices, pixels = [], []
        for index, future in taken:
            try:
                pixels.append(future.result())
                indices.append(index)
            except ReadError as error:
                self._work.failed[self._plan.lattice.tile(index).core] = str(error)
        if not indices or self._context is None:
            return []
        return list(zip(indices, predict_maps(self._context, indices, pixels), strict=True))

    def _window_done(self, index: Index) -> None:
        self._work.have.add(index)
        for tile, missing in self._waiting.items():
            if index in missing:
                missing.discard(index)
                if not missing:
                    self._ready.append(tile)

    def _start(self, pool: ThreadPoolExecutor, most: int | None = None) -> None:
        """Begin tiles that are ready, up to `most` at a time."""
        while self._ready and len(self.running) < (most or self._workers):
            tile = self._ready.popleft()
            self.running[pool.submit(write_tile, self._record, tile.core)] = tile

    def collect(self, *, wait: bool) -> Iterator[Progress]:
        """Note the tiles that are finished; with `wait`, at least one."""
        if wait and self.running and not any(future.done() for future in self.running):
            next(iter(self.running)).exception()
        for tile in self.note_finished():
            self._found += tile.core.area / 1e6
            yield Progress(phase="tesserae", done=self._found, total=self._tiles_total, region=tile.core)
            if len(unsettled(self._record)) >= _PYRAMID_EVERY:
                yield from self.pyramid()

    def note_finished(self) -> list[Tile]:
        """Enter finished tiles in the ledger and return them; a tile's error is raised here."""
        finished = [(future, tile) for future, tile in self.running.items() if future.done()]
        for future, _ in finished:
            del self.running[future]
        tiles = []
        for future, tile in finished:
            if future.cancelled():
                continue
            self._record.ledger.add("tesserae", future.result())
            tiles.append(tile)
        return tiles

    def pyramid(self) -> Iterator[Progress]:
        """Bring the smaller levels up to date with what is finished."""
        yield from pyramid_steps(self._record)


def unsettled(record: Record) -> set[Index]:
    """Shards of level 0 that are finished but not yet in the smaller levels."""
    return record.tesserae.pending()


def pyramid_steps(record: Record) -> Iterator[Progress]:
    """Bring the smaller levels up to date."""
    dirty = unsettled(record)
    if not dirty:
        return
    for count, _ in enumerate(update_pyramid([record.map, record.tesserae], dirty), 1):
        yield Progress(phase="overview", done=count, total=max(count, len(dirty)), unit="blocks")
    record.tesserae.mark_pyramid(dirty)


def _forget_damage(record: Record) -> None:
    """Strike from the ledger what is missing, empty or unreadable on disk, and what was made from it."""
    plan = record.plan
    windows = record.damaged("map", record.ledger.done("map"))
    record.ledger.forget("map", windows)
    record.discard("map", windows)
    damaged = record.damaged("tesserae", record.ledger.done("tesserae"))
    shards = set(damaged)
    for index in windows:
        core = plan.lattice.tile(index).core
        shards |= set(plan.shards.overlapping(core.grow(plan.tesserae.halo)))
    record.forget_tesserae(shards)
    record.discard("tesserae", damaged)


def _distance(box: Box, point: tuple[float, float]) -> float:
    return ((box.y0 + box.y1) / 2 - point[0]) ** 2 + ((box.x0 + box.x1) / 2 - point[1]) ** 2


def raise_failures(work: Work) -> None:
    """Say what failed, where it did; the rest is finished."""
    if not work.failed:
        return
    box, reason = next(iter(work.failed.items()))
    count = len(work.failed)
    raise ReadError(
        f"{count} {'block' if count == 1 else 'blocks'} could not be read or computed, the first at y "
        f"{box.y0}-{box.y1}, x {box.x0}-{box.x1} px of the working grid ({reason}); all others are finished: "
        f"mend the cause and go on with --resume."
    )
