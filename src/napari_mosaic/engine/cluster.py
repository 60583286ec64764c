"""Run a plan on a dask cluster.

One decision: the tasks are those of a local run; a worker opens the record and the source by itself
and sends back only which pieces it wrote, so no pixel and no message passes between workers. The client
alone keeps the ledger. Windows that share a shard go to one task, so a shard has one writer.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from napari_mosaic.engine.local import Work, pyramid_steps, windows_under
from napari_mosaic.engine.outside import Outside
from napari_mosaic.engine.segmenters import load_segmenter
from napari_mosaic.engine.tasks import Context, Index, predict_maps, read_for_network, write_tile
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.record.store import open_for_worker
from napari_mosaic.tiling import Box


def run_on_cluster(client: Any, record: Record, work: Work, segmenter: Any = None) -> Iterator[Progress]:
    """Do the work on the workers of a `dask.distributed.Client`; yields as pieces are finished."""
    from dask.distributed import as_completed

    path, plan = str(record.path), record.plan
    groups: dict[Index, list[Index]] = defaultdict(list)
    for index in work.windows:
        core = plan.lattice.tile(index).core
        groups[(core.y0 // plan.shard, core.x0 // plan.shard)].append(index)
    pending = {client.submit(_windows_task, path, group, segmenter, pure=False) for group in groups.values()}
    waiting = {tile: set(windows_under(record, tile)) - work.have for tile in work.tiles}
    completed = as_completed(pending, with_results=True)
    done = {"joints": 0.0, "tesserae": 0.0}
    totals = {
        "joints": sum(plan.lattice.tile(index).core.area for index in work.windows) / 1e6,
        "tesserae": sum(tile.core.area for tile in work.tiles) / 1e6,
    }

    def start_ready() -> None:
        for tile in [tile for tile, missing in waiting.items() if not missing]:
            del waiting[tile]
            completed.add(client.submit(_tile_task, path, tuple(tile.core), pure=False))

    start_ready()
    for _, (phase, indices, region) in completed:
        record.ledger.add("map" if phase == "joints" else "tesserae", indices)
        if phase == "joints":
            for missing in waiting.values():
                missing.difference_update(indices)
            start_ready()
        box = Box(*region)
        done[phase] += box.area / 1e6
        yield Progress(phase=phase, done=done[phase], total=totals[phase], region=box)
    yield from pyramid_steps(record)


@functools.lru_cache(maxsize=4)
def _worker_context(path: str, segmenter: Any) -> tuple[Record, Context]:
    """What a worker keeps between tasks: the open record and source, and the network."""
    record = open_for_worker(path)
    image = record.open_source()
    plan = record.plan
    if segmenter is None:
        segmenter = load_segmenter(plan.method, plan.model, precision=plan.precision, runtime=plan.runtime)
    return record, Context(image, plan, segmenter, Outside(image, record.areas, plan.factor))


def _windows_task(path: str, indices: list[Index], segmenter: Any) -> tuple[str, list[Index], Box]:
    record, context = _worker_context(path, segmenter)
    windows = [read_for_network(context, index) for index in indices]
    region = None
    for index, map_ in zip(indices, predict_maps(context, indices, windows), strict=True):
        core = context.plan.lattice.tile(index).core
        record.write_map(core, map_)
        region = core if region is None else Box(*map(min, region[:2], core[:2]), *map(max, region[2:], core[2:]))
    return "joints", indices, region or Box(0, 0, 0, 0)


def _tile_task(path: str, core: tuple[int, int, int, int]) -> tuple[str, list[Index], Box]:
    box = Box(*core)
    return "tesserae", write_tile(open_for_worker(path), box), box
