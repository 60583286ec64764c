"""Pieces made on a dask cluster.

One decision: a worker opens the record and the source by itself and sends back only which pieces it wrote, so no pixel
and no message passes between workers. The client alone keeps the ledger. Windows that write to one shard go to one
task. What fails is tried again elsewhere, then noted with its place while the rest is finished. A worker that cannot
compute as the plan says (see `trials`) hands its windows back, and others take them.
"""

from __future__ import annotations

import sys
import threading
import uuid
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_mosaic.dependencies import needed_for
from napari_mosaic.engine.schedule import Failures, Finished, Maker, Window, Work, predict_windows, run_work
from napari_mosaic.engine.threads import Threads
from napari_mosaic.errors import ClusterError, MissingError, MosaicWarning, UnfitError
from napari_mosaic.files import read_object
from napari_mosaic.progress import Progress
from napari_mosaic.record.ledger import Index
from napari_mosaic.tiling import Box, Tile

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
RETRIES = 2
"""Of a task that a worker failed at. Not varied."""
_REACH_S = 15
"""How long a scheduler has to answer, seconds; not varied."""


def connect(scheduler: str) -> Client:
    """A client of a dask scheduler; close it, or use it as a context.

    Parameters
    ----------
    scheduler
        Its address, such as `tcp://host:8786`, or the file (`.json`) that `dask scheduler --scheduler-file` writes.

    Raises
    ------
    ClusterError
        Nobody answers there.
    MissingError
        There is no such file.
    DependencyError
        `distributed` is not installed.
    """
    with needed_for("Work on a cluster", instead="or leave --scheduler out and run here"):
        from distributed import Client
    address = scheduler
    if scheduler.endswith(".json"):
        address = read_object(Path(scheduler)).get("address", "")
        if not address:
            raise MissingError(f"{scheduler} names no scheduler; give what dask scheduler --scheduler-file writes.")
    try:
        return Client(address, timeout=_REACH_S, set_as_default=False)  # others keep their own way of dask
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"No dask scheduler answers at {scheduler}; start one with dask scheduler, see whether this machine "
            "reaches it, and give its address (tcp://HOST:8786) or its file."
        ) from error


def run_on(client: Client | None, work: Work[Any], workers: int) -> Iterator[Progress]:
    """Do the work on the workers of a `dask.distributed.Client`; without one here, in `workers` threads."""
    return run_work(work, Threads(work, workers) if client is None else Cluster(client, work))


def warn_of_no_worker(client: Client) -> None:
    """Say that work waits where there is no worker yet."""
    if not client.ncores():
        warnings.warn("The cluster has no worker yet; the run waits for one.", MosaicWarning, stacklevel=5)


@dataclass(frozen=True)
class Refusal:
    """A worker's answer that it cannot compute windows as the plan says, and why."""

    worker: str
    reason: str


@dataclass(frozen=True)
class Done:
    """A task's answer: the windows or shards that it wrote, what could not be read and why, and what it cost."""

    wrote: list[Any]
    failed: Failures
    spent: Counter[str]


class Cluster:
    """An executor on the workers of a `dask.distributed.Client`; it takes all that is ready at once."""

    windows_at_once = tiles_at_once = tiles_at_end = sys.maxsize

    def __init__(self, client: Client, work: Work[Any]) -> None:
        from dask.distributed import as_completed

        self._client, self._maker = client, work.maker
        self._sent = uuid.uuid4().hex, work.send_maker()
        self._completed = as_completed(loop=client.loop)
        self._pieces: dict[Hashable, list[Window] | Tile] = {}
        self._refusals: dict[str, str] = {}
        warn_of_no_worker(client)

    def group(self, work: Work[Any]) -> Iterable[list[Window]]:
        """The windows in groups that alone write to their shards, as large as a batch of the network where they can."""
        by_shard: dict[Hashable, list[Window]] = defaultdict(list)
        for window in work.windows:
            by_shard[work.writes_to(window)].append(window)
        groups: list[list[Window]] = []
        for windows in by_shard.values():
            if groups and len(groups[-1]) + len(windows) <= work.batch:
                groups[-1] += windows
            else:
                groups.append(windows)
        return groups

    def start_windows(self, windows: list[Window]) -> None:
        """Hand a group to the workers that have not refused; with none of them there, any may take it."""
        options: dict[str, Any] = {}
        if self._refusals:
            options = {"workers": self._willing(), "allow_other_workers": True}
        self._submit(_windows_task, windows, windows, **options)

    def start_tile(self, tile: Tile) -> None:
        """Hand out a tile."""
        self._submit(_tile_task, tile, tuple(tile.core))

    def _submit(self, task: Callable[..., Any], piece: list[Window] | Tile, argument: Any, **options: Any) -> None:
        future = self._client.submit(task, *self._sent, argument, pure=False, retries=RETRIES, **options)
        self._pieces[future.key] = piece
        self._completed.add(future)

    def wait(self) -> Finished:
        """What is finished next; windows that a worker gave back are handed on."""
        while True:
            future = next(self._completed)
            piece = self._pieces.pop(future.key)
            try:
                answer = answer_of(future)
            except ClusterError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a worker raised: it is told with the place
                return _failed(piece, f"{type(error).__name__}: {error}")
            if isinstance(answer, Done):
                self._maker.spent += answer.spent
                if isinstance(piece, Tile):
                    return Finished(tile=piece, shards=answer.wrote)
                return Finished(windows=answer.wrote, failed=answer.failed)
            if not self._hand_on(piece, answer):
                return _failed(piece, f"no worker can compute it: {answer.reason}")

    def _hand_on(self, piece: list[Window] | Tile, refusal: Refusal) -> bool:
        """Give others what a worker gave back; False where every worker refuses."""
        if refusal.worker not in self._refusals:
            sentence = f"The worker {refusal.worker} takes no windows: {refusal.reason}"
            warnings.warn(sentence, MosaicWarning, stacklevel=2)
        self._refusals[refusal.worker] = refusal.reason
        if isinstance(piece, Tile) or not self._willing():
            return False
        self.start_windows(piece)
        return True

    def _willing(self) -> list[str]:
        return [name for name in self._client.ncores() if name not in self._refusals]

    def close(self) -> list[Finished]:
        """Workers give up what nobody waits for."""
        self._completed.clear()
        return []


def _failed(piece: list[Window] | Tile, reason: str) -> Finished:
    if isinstance(piece, Tile):
        return Finished(tile=piece, failed=[(piece, reason)])
    return Finished(failed=[(window, reason) for window in piece])


_KEPT: dict[str, Any] = {}
"""What a worker keeps between tasks, of the last run: the open record and source, and the network."""
_OPENING = threading.Lock()


def opened_once(run: str, opening: Callable[[], T]) -> T:
    """What the tasks of a run share on a worker, opened by the first of them."""
    with _OPENING:  # the threads of a worker share it
        if run not in _KEPT:
            _KEPT.clear()
            _KEPT[run] = opening()
        found: T = _KEPT[run]
        return found


GO_ON = "what was noted as finished is kept: start it again and go on with --resume"


def answer_of(future: Any, then: str = GO_ON) -> Any:
    """The answer of a task, or what it raised; `ClusterError`, with what to do `then`, where the scheduler is gone."""
    try:
        error = future.exception()
        if error is not None:
            raise error
        return future.result()
    except CancelledError as lost:  # it is raised or returned, as it comes
        raise ClusterError(f"The dask scheduler was lost; {then}.") from lost


def _windows_task(run: str, open_maker: Callable[[], Maker[Any]], windows: list[Window]) -> Done | Refusal:
    """Compute and write some windows; what cannot be read is left out and returned with the reason."""
    maker = opened_once(run, open_maker)
    try:
        answers, failed = predict_windows(maker, [(window, partial(maker.read, window)) for window in windows])
    except UnfitError as error:
        from distributed import get_worker

        return Refusal(get_worker().address, str(error))
    for window, answer in answers:
        maker.keep(window, answer)
    return _done(maker, [window for window, _ in answers], failed)


def _tile_task(run: str, open_maker: Callable[[], Maker[Any]], core: tuple[int, int, int, int]) -> Done:
    maker = opened_once(run, open_maker)
    return _done(maker, maker.write(Box(*core)), [])


def _done(maker: Maker[Any], wrote: list[Any] | list[Index], failed: Failures) -> Done:
    spent, maker.spent = maker.spent, Counter()
    return Done(wrote, failed, spent)
