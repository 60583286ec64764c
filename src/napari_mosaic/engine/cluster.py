"""Run a plan on a dask cluster.

One decision: the tasks are those of a local run; a worker opens the record and the source by itself
and sends back only which pieces it wrote, so no pixel and no message passes between workers. The client
alone keeps the ledger. Windows that share a shard go to one task, so a shard has one writer. What fails is
tried again elsewhere, then noted with its place while the rest is finished, as in a local run. A worker that
cannot compute as the plan says (see `trials`) hands its windows back, and others take them.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from napari_mosaic.engine.local import Work, pyramid_steps, raise_failures, windows_under
from napari_mosaic.engine.outside import Outside
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.engine.tasks import Context, Index, predict_maps, read_for_network, write_tile
from napari_mosaic.errors import MosaicWarning, ReadError, UnfitError
from napari_mosaic.progress import Progress
from napari_mosaic.record import Plan, Record
from napari_mosaic.record.store import open_for_worker
from napari_mosaic.tiling import Box

_RETRIES = 2
Done = tuple[str, list[Index], list[tuple[Index, str]]]
"""Phase, what was computed, and what was not, with the reason."""


@dataclass(frozen=True)
class Refusal:
    """A worker's answer that it cannot compute windows as the plan says, and why."""

    worker: str
    reason: str


class _Windows:
    """The map pass on the workers: which groups of windows are where, and which workers take none."""

    def __init__(self, client: Any, submit: Callable[..., Any], plan: Plan, segmenter: Segmenter) -> None:
        from distributed.protocol.pickle import dumps

        self._client, self._submit, self._plan = client, submit, plan
        self._method = dumps(segmenter)
        self._groups: dict[Any, list[Index]] = {}
        self.refusals: dict[str, str] = {}

    def start(self, group: list[Index]) -> Any:
        """Hand a group to the workers that have not refused; with none of them there, any may take it."""
        options: dict[str, Any] = {}
        if self.refusals:
            options = {"workers": self._willing(), "allow_other_workers": True}
        arguments = (self._plan, group, self._method)
        future = self._submit(_windows_task, _around(self._plan, group), *arguments, **options)
        self._groups[future.key] = group
        return future

    def again(self, future: Any, refusal: Refusal) -> Any:
        """Hand on what a worker gave back; None where every worker refuses."""
        if refusal.worker not in self.refusals:
            sentence = f"The worker {refusal.worker} takes no windows: {refusal.reason}"
            warnings.warn(sentence, MosaicWarning, stacklevel=2)
        self.refusals[refusal.worker] = refusal.reason
        return self.start(self._groups[future.key]) if self._willing() else None

    def _willing(self) -> list[str]:
        return [name for name in self._client.ncores() if name not in self.refusals]


def run_on_cluster(client: Any, record: Record, work: Work, segmenter: Segmenter) -> Iterator[Progress]:
    """Do the work on the workers of a `dask.distributed.Client`; yields as pieces are finished."""
    from dask.distributed import as_completed

    path, plan = os.path.abspath(record.path), record.plan  # a worker may stand in another folder
    waiting = {tile: set(windows_under(record, tile)) - work.have for tile in work.tiles}
    places: dict[Any, Box] = {}

    def submit(task: Callable[..., Any], place: Box, *arguments: Any, **options: Any) -> Any:
        future = client.submit(task, path, *arguments, pure=False, retries=_RETRIES, **options)
        places[future.key] = place
        return future

    windows = _Windows(client, submit, plan, segmenter)
    completed = as_completed([windows.start(group) for group in _by_shard(plan, work.windows)])
    done = {"joints": 0.0, "tesserae": 0.0}
    totals = {
        "joints": sum(plan.lattice.tile(index).core.area for index in work.windows) / 1e6,
        "tesserae": sum(tile.core.area for tile in work.tiles) / 1e6,
    }

    def start_ready() -> None:
        for tile in [tile for tile, missing in waiting.items() if not missing]:
            del waiting[tile]
            completed.add(submit(_tile_task, tile.core, tuple(tile.core)))

    start_ready()
    for future in completed:
        place = places.pop(future.key)
        error = future.exception()
        if error is not None:
            work.failed[place] = f"{type(error).__name__}: {error}"
            continue
        result = future.result()
        if isinstance(result, Refusal):
            other = windows.again(future, result)
            if other is None:
                work.failed[place] = f"no worker can compute it: {result.reason}"
            else:
                completed.add(other)
            continue
        phase, indices, failed = result
        work.failed |= {plan.lattice.tile(index).core: reason for index, reason in failed}
        record.ledger.add("map" if phase == "joints" else "tesserae", indices)
        if phase == "joints":
            for missing in waiting.values():
                missing.difference_update(indices)
            start_ready()
        done[phase] += place.area / 1e6
        yield Progress(phase=phase, done=done[phase], total=totals[phase], region=place)
    yield from pyramid_steps(record)
    raise_failures(work)


def _by_shard(plan: Plan, windows: Sequence[Index]) -> list[list[Index]]:
    """The windows in groups that write to one shard."""
    groups: dict[Index, list[Index]] = defaultdict(list)
    for index in windows:
        core = plan.lattice.tile(index).core
        groups[(core.y0 // plan.shard, core.x0 // plan.shard)].append(index)
    return list(groups.values())


def _around(plan: Plan, group: Sequence[Index]) -> Box:
    cores = [plan.lattice.tile(index).core for index in group]
    return Box(
        min(core.y0 for core in cores), min(core.x0 for core in cores),
        max(core.y1 for core in cores), max(core.x1 for core in cores),
    )  # fmt: skip


_CONTEXTS: dict[tuple[str, Plan], tuple[Record, Context]] = {}
"""What a worker keeps between tasks, of the last run: the open record and source, and the method."""


def _worker_context(path: str, plan: Plan, method: bytes) -> tuple[Record, Context]:
    if (path, plan) not in _CONTEXTS:
        segmenter: Segmenter = pickle.loads(method)
        _CONTEXTS.clear()
        record = open_for_worker(path)
        image = record.open_source()
        _CONTEXTS[path, plan] = record, Context(image, plan, segmenter, Outside(image, record.areas, plan.factor))
    return _CONTEXTS[path, plan]


def _windows_task(path: str, plan: Plan, indices: list[Index], method: bytes) -> Done | Refusal:
    """Compute and write some windows; what cannot be read is left out and returned with the reason."""
    try:
        record, context = _worker_context(path, plan, method)
    except UnfitError as error:
        from distributed import get_worker

        return Refusal(get_worker().address, str(error))
    windows, readable, failed = [], [], []
    for index in indices:
        try:
            windows.append(read_for_network(context, index))
            readable.append(index)
        except ReadError as error:
            failed.append((index, str(error)))
    for index, map_ in zip(readable, predict_maps(context, readable, windows), strict=True):
        record.write_map(context.plan.lattice.tile(index).core, map_)
    return "joints", readable, failed


def _tile_task(path: str, core: tuple[int, int, int, int]) -> Done:
    return "tesserae", write_tile(open_for_worker(path), Box(*core)), []
