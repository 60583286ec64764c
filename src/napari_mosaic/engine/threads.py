"""Pieces made on this machine: the network here, the rest in threads beside it.

One decision: windows are read ahead, and written by the thread that asks for what is finished, so that a shard has one
writer.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from napari_mosaic.engine.schedule import Finished, Window, Work, predict_windows
from napari_mosaic.errors import ReadError
from napari_mosaic.tiling import Tile

_READ_AHEAD = 2
"""Groups of windows that are read while others are computed, and threads that read them. Not varied."""


class Threads:
    """An executor of this process.

    Parameters
    ----------
    work
        Whose pieces are made.
    workers
        Threads for tiles beside the network; as many more as it had when it has finished.
    """

    def __init__(self, work: Work[Any], workers: int) -> None:
        self.windows_at_once = work.streams + _READ_AHEAD
        self.tiles_at_once = max(1, workers)
        self.tiles_at_end = self.tiles_at_once + work.streams - 1
        first = yield_to_network if work.yielding and work.streams == 1 else None
        self._maker = work.maker
        self._alone = work.urgent > 0
        self._first: Future[Any] | None = None
        self._reader = ThreadPoolExecutor(_READ_AHEAD, "read")
        self._network = ThreadPoolExecutor(work.streams, "network")
        self._tiles = ThreadPoolExecutor(self.tiles_at_end, "tesserae", initializer=first)
        self._running: dict[Future[Any], Tile | None] = {}

    def group(self, work: Work[Any]) -> Iterable[list[Window]]:
        """Batches for the network."""
        return (work.windows[first : first + work.batch] for first in range(0, len(work.windows), work.batch))

    def start_windows(self, windows: list[Window]) -> None:
        """Read windows, and compute them when it is their turn."""
        readings = [self._reader.submit(self._read, window, self._first) for window in windows]
        if self._alone and self._first is None:
            self._first = readings[0]
        inputs = [(window, reading.result) for window, reading in zip(windows, readings, strict=True)]
        self._running[self._network.submit(predict_windows, self._maker, inputs)] = None

    def _read(self, window: Window, first: Future[Any] | None) -> Any:
        """Read a window, after the first one where that is waited for."""
        if first is not None:
            wait([first])
        return self._maker.read(window)

    def start_tile(self, tile: Tile) -> None:
        """Make a tile when there is a thread for it."""
        self._running[self._tiles.submit(self._maker.write, tile.core)] = tile

    def wait(self) -> Finished:
        """What is finished next, the longest begun first."""
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        future = next(future for future in self._running if future in done)
        tile = self._running.pop(future)
        if tile is None:
            answers, failed = future.result()
            return Finished(windows=self._kept(answers), answered=[window for window, _ in answers], failed=failed)
        try:
            return Finished(tile=tile, shards=future.result())
        except ReadError as error:
            return Finished(tile=tile, failed=[(tile, str(error))])

    def _kept(self, answers: list[tuple[Window, Any]]) -> Iterator[Window]:
        for window, answer in answers:
            self._maker.keep(window, answer)
            yield window

    def close(self) -> list[Finished]:
        """Begin nothing more and wait for what is running; tiles that it has finished."""
        for future in self._running:
            future.cancel()
        for pool in (self._network, self._reader, self._tiles):
            pool.shutdown()
        tiles = [(future, tile) for future, tile in self._running.items() if tile is not None]
        whole = [one for one in tiles if not one[0].cancelled() and one[0].exception() is None]
        return [Finished(tile=tile, shards=future.result()) for future, tile in whole]


def yield_to_network() -> None:
    """Let the threads of a network that computes one window at a time go first.

    It waits for the slowest of them at every layer. Where several windows are computed side by side nothing
    waits for anything, and tesserae that yield would be left over for the end.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)
