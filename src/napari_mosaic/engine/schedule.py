"""The one order of all work: windows for a network, and tiles that are made as soon as their windows are there.

One decision: what is to be done (`Work`), how a piece is made (`Maker`) and what makes it (`Executor`: threads here,
the workers of a cluster) know nothing of each other. Finished parts can be looked at while the rest runs, stopping
between two yields loses nothing but the pieces in hand, and what cannot be read is left out and named with its place
when the rest is done.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from napari_mosaic.errors import ReadError
from napari_mosaic.progress import Progress
from napari_mosaic.record.ledger import Index
from napari_mosaic.tiling import Box, Tile

Window = tuple[int, ...]
"""What names a window among those of one work: its place in a lattice, and which lattice where there are several."""
Failures = list[tuple[Window | Tile, str]]
T = TypeVar("T")
W = TypeVar("W", bound=Window)
_W = TypeVar("_W", bound=Window, contravariant=True)


class Maker(Protocol[_W]):
    """How a piece is made; from any thread, but `keep` from one alone for windows that share a shard."""

    spent: Counter[str]
    """What it cost, where that is counted."""

    def read(self, window: _W) -> Any:
        """What the network needs of a window; `ReadError` where the photograph cannot be read."""

    def predict(self, windows: Sequence[_W], inputs: Sequence[Any]) -> Sequence[Any]:
        """The network's answers for some windows that are read."""

    def keep(self, window: _W, answer: Any) -> None:
        """Write the answer for a window."""

    def write(self, core: Box) -> list[Index]:
        """Make a tile and write it: the shards that are written."""


@dataclass(kw_only=True)
class Work(Generic[W]):
    """What is left to do, in order, how it is made, and where it is noted."""

    names: tuple[str, str]
    """What the two passes are called in `Progress`."""
    windows: list[W]
    tiles: list[Tile]
    missing: Callable[[Tile], set[W]]
    """The windows that are still to be computed before a tile is made."""
    place: Callable[[W], Box]
    """The core of a window on the working grid."""
    maker: Maker[W]
    send_maker: Callable[[], Callable[[], Maker[W]]]
    """What another process is sent to make pieces by itself."""
    note: Callable[[W], None]
    """Note that a window, which is on disk, is finished."""
    note_tile: Callable[[Iterable[Index]], None]
    """The same of the shards of a tile."""
    update_pyramid: Callable[[bool], Iterator[Progress]]
    """Bring smaller levels up to date: now and then, and where told so at the end."""
    writes_to: Callable[[W], Hashable] = lambda window: window
    """What a window writes to: windows that share it have one writer."""
    unit: str = "MP"
    """That windows are counted in; "windows" by number."""
    urgent: int = 0
    """So many of the first windows are waited for by somebody: until they are computed nothing is written."""
    batch: int = 1
    """How many windows are read together for the network."""
    streams: int = 1
    """How many batches are worth computing at a time."""
    yielding: bool = True
    """Whether there is a network that tiles have to let go first, where it is one batch at a time."""
    needs_all: bool = True
    """Whether a tile needs all windows that it waits for; else it is tried without those that failed."""

    def size(self, window: W) -> float:
        """How much of `unit` a window is."""
        return self.place(window).area / 1e6 if self.unit == "MP" else 1.0


@dataclass(frozen=True)
class Finished:
    """What an executor has finished: windows, which are written as they are asked for, or the shards of a tile.

    `answered` are the windows that are computed and not yet written.
    """

    windows: Iterable[Window] = ()
    answered: Sequence[Window] = ()
    tile: Tile | None = None
    shards: Sequence[Index] = ()
    failed: Failures = field(default_factory=list)


class Executor(Protocol):
    """What makes pieces. `windows_at_once` are groups; of tiles fewer are made beside the network than without it."""

    windows_at_once: int
    tiles_at_once: int
    tiles_at_end: int

    def group(self, work: Work[Any]) -> Iterable[list[Window]]:
        """The windows of a work in groups that are begun together."""

    def start_windows(self, windows: list[Window]) -> None:
        """Begin a group of windows."""

    def start_tile(self, tile: Tile) -> None:
        """Begin a tile."""

    def wait(self) -> Finished:
        """What is finished next."""

    def close(self) -> Iterable[Finished]:
        """Begin nothing more; tiles that are finished by now."""


def run_work(work: Work[Any], executor: Executor) -> Iterator[Progress]:
    """Do the work; yields as pieces are finished. Stop between two yields to keep what is done.

    Raises
    ------
    ReadError
        At the end, with the first place that could not be read or computed.
    """
    run = _Run(work, executor)
    try:
        if work.urgent and run.start():
            yield run.progress(work.names[0], 0.0, None, work.unit)
        while run.start():
            yield from run.step()
    finally:
        for outcome in (*executor.close(), *run.behind):
            for window in outcome.windows:
                work.note(window)
            work.note_tile(outcome.shards)
    yield from work.update_pyramid(True)
    raise_failures(run.failed)


class _Run:
    """The moving parts of one run: which tiles wait for what, and how much is in hand."""

    def __init__(self, work: Work[Any], executor: Executor) -> None:
        self.failed: dict[Box, str] = {}
        self.behind: deque[Finished] = deque()
        self._urgent, self._told = set[Window](work.windows[: work.urgent]), set[Window]()
        self._work, self._executor = work, executor
        self._groups = deque(executor.group(work))
        self._waiting = {tile: work.missing(tile) for tile in work.tiles}
        self._ready = deque(tile for tile in work.tiles if not self._waiting[tile])
        self._needed_by: dict[Window, list[Tile]] = defaultdict(list)
        for tile, missing in self._waiting.items():
            for window in missing:
                self._needed_by[window].append(tile)
        self._in_hand = {"groups": 0, "tiles": 0}
        self._done = dict.fromkeys(work.names, 0.0)
        self._total = dict(
            zip(work.names, (sum(map(work.size, work.windows)), sum(map(_megapixels, work.tiles))), strict=True)
        )

    def start(self) -> bool:
        """Begin what there is room for; False where nothing is left to wait for or to write."""
        hand, executor = self._in_hand, self._executor
        while self._groups and hand["groups"] < executor.windows_at_once:
            executor.start_windows(self._groups.popleft())
            hand["groups"] += 1
        room = executor.tiles_at_once if hand["groups"] else executor.tiles_at_end
        while self._ready and hand["tiles"] < room:
            executor.start_tile(self._ready.popleft())
            hand["tiles"] += 1
        return any(hand.values()) or bool(self.behind)

    def step(self) -> Iterator[Progress]:
        """Wait for what is finished next, and write what waits for it, unless somebody waits for windows.

        What waited to be written is caught up with by twos, so that the network has something to do meanwhile.
        """
        if any(self._in_hand.values()):
            outcome = self._executor.wait()
            self._in_hand["groups" if outcome.tile is None else "tiles"] -= 1
            if outcome.tile is None:
                self.behind.append(outcome)
            else:
                yield from self._take(outcome)
            if self._urgent:
                self._urgent.difference_update(outcome.answered, (piece for piece, _ in outcome.failed))
                self._told.update(outcome.answered)
                for window in outcome.answered:
                    yield self.progress(self._work.names[0], 0.0, self._work.place(window), self._work.unit)
        if not self._urgent or not any(self._in_hand.values()):
            for _ in range(min(2, len(self.behind))):
                yield from self._take(self.behind.popleft())

    def _take(self, outcome: Finished) -> Iterator[Progress]:
        """Note what is finished and what failed."""
        work, tile = self._work, outcome.tile
        for piece, reason in outcome.failed:
            if isinstance(piece, Tile):
                self.failed[piece.core] = reason
            elif work.needs_all:
                self.failed[work.place(piece)] = reason
            else:
                self._release(piece)
        for window in outcome.windows:
            work.note(window)
            self._release(window)
            region = None if window in self._told else work.place(window)
            yield self.progress(work.names[0], work.size(window), region, work.unit)
        if tile is not None and not outcome.failed:
            work.note_tile(outcome.shards)
            yield self.progress(work.names[1], _megapixels(tile), tile.core)
            yield from work.update_pyramid(False)

    def _release(self, window: Window) -> None:
        """Tiles that waited for this window alone are ready."""
        for tile in self._needed_by[window]:
            self._waiting[tile].discard(window)
            if not self._waiting[tile]:
                self._ready.append(tile)

    def progress(self, name: str, size: float, region: Box | None, unit: str = "MP") -> Progress:
        """What is told when so much more of a pass is finished."""
        self._done[name] += size
        return Progress(phase=name, done=self._done[name], total=self._total[name], unit=unit, region=region)


def _megapixels(tile: Tile) -> float:
    return tile.core.area / 1e6


def predict_windows(
    maker: Maker[Any], inputs: Iterable[tuple[Window, Callable[[], Any]]]
) -> tuple[list[tuple[Window, Any]], Failures]:
    """Answers for windows, each with what reads it; what cannot be read is left out, with the reason."""
    windows: list[Window] = []
    read, failed = [], Failures()
    for window, reading in inputs:
        try:
            read.append(reading())
            windows.append(window)
        except ReadError as error:
            failed.append((window, str(error)))
    return list(zip(windows, maker.predict(windows, read), strict=True)), failed


def raise_failures(failed: dict[Box, str]) -> None:
    """Say what failed, where it did; the rest is finished."""
    if not failed:
        return
    box, reason = next(iter(failed.items()))
    count = len(failed)
    raise ReadError(
        f"{count} {'block' if count == 1 else 'blocks'} could not be read or computed, the first at y "
        f"{box.y0}-{box.y1}, x {box.x0}-{box.x1} px of the working grid ({reason}); all others are finished: "
        f"mend the cause and go on with --resume."
    )


def nearest_first(pieces: list[T], place: Callable[[T], Box], focus: tuple[float, float] | None) -> list[T]:
    """Pieces by the distance of their middles from a point of the working grid; as they are where there is none."""
    if focus is None:
        return pieces

    def distance(piece: T) -> float:
        box = place(piece)
        return ((box.y0 + box.y1) / 2 - focus[0]) ** 2 + ((box.x0 + box.x1) / 2 - focus[1]) ** 2

    return sorted(pieces, key=distance)
