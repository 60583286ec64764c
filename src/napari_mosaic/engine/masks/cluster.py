"""SAM 2's masks on a dask cluster.

One decision: the tasks are those of a local run. Workers put what a window proposes into the record, as a local run
does, so they need no messages, and a worker that lacks a window computes it; the client alone keeps the ledger.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from napari_mosaic.engine.local import Work, raise_failures
from napari_mosaic.engine.masks.plan import MaskPlan
from napari_mosaic.engine.masks.run import begin_masks, end_masks
from napari_mosaic.engine.masks.tiles import MaskTiles, unfinished_tiles
from napari_mosaic.engine.masks.windows import MaskContext, Window, prepare_window
from napari_mosaic.engine.outside import Outside
from napari_mosaic.progress import Progress
from napari_mosaic.record.masks import MaskStore
from napari_mosaic.record.store import open_for_worker
from napari_mosaic.sam.prompts import MaskNetwork
from napari_mosaic.tiling import Box

_RETRIES = 2


def masks_on_cluster(
    client: Any, context: MaskContext, *, tile_size: int = 2048, only: Box | None = None
) -> Iterator[Progress]:
    """`run.mask_steps` on the workers of a `dask.distributed.Client`; yields as pieces are finished."""
    from dask.distributed import as_completed

    begin_masks(context)
    tiles, local, plan = unfinished_tiles(context, tile_size, only, None), MaskTiles(context), context.plan
    path, ledger = os.path.abspath(context.record.path), context.record.ledger  # see there
    waiting = {tile.core: set(local.source.missing(local.windows(tile.core))) for tile in tiles}
    windows = sorted(set().union(*waiting.values()))
    total = sum(tile.core.area for tile in tiles) / 1e6
    failed: dict[Box, str] = {}
    places: dict[Any, Any] = {}

    def submit(task: Callable[..., Any], piece: Any) -> Any:
        future = client.submit(task, path, plan, context.network, tuple(piece), pure=False, retries=_RETRIES)
        places[future.key] = piece
        return future

    completed = as_completed([submit(_window_task, window) for window in windows])
    work, done, count = {"windows": 0, "prompts": 0}, 0.0, 0

    def start_ready() -> None:
        for core in [core for core, missing in waiting.items() if not missing]:
            del waiting[core]
            completed.add(submit(_tile_task, core))

    start_ready()
    for future in completed:
        piece, error = places.pop(future.key), future.exception()
        core = piece if isinstance(piece, Box) else plan.lattice(piece[0], context.shape).tile(piece[1:]).core
        if error is not None:
            failed[core] = f"{type(error).__name__}: {error}"
        if not isinstance(piece, Box):
            for missing in waiting.values():
                missing.discard(piece)
            if error is not None:
                waiting = {tile: missing for tile, missing in waiting.items() if not _needs(local, tile, piece)}
            else:
                encoded, prompted = future.result()
                work["windows"] += encoded
                work["prompts"] += prompted
            count += 1
            yield Progress(phase="sam2", done=count, total=len(windows), unit="windows", region=core)
            start_ready()
        elif error is None:
            ledger.add(local.phase, future.result())
            done += core.area / 1e6
            yield Progress(phase="masks", done=done, total=total, region=core)
    MaskStore(context.record).add_work(**work, seconds=0.0, peak_bytes=None)
    yield from end_masks(context)
    raise_failures(Work(windows=[], tiles=[], failed=failed))


def _needs(tiles: MaskTiles, core: Box, window: Window) -> bool:
    return window in tiles.windows(core)


_CONTEXTS: dict[tuple[str, MaskPlan], tuple[MaskContext, MaskTiles]] = {}
"""What a worker keeps between tasks, of the last run."""
_OPENING = threading.Lock()


def _worker(path: str, plan: MaskPlan, network: MaskNetwork) -> tuple[MaskContext, MaskTiles]:
    with _OPENING:  # the threads of a worker share it
        if (path, plan) not in _CONTEXTS:
            _CONTEXTS.clear()
            record = open_for_worker(path)
            image = record.open_source()
            outside = Outside(image, record.areas, record.plan.factor)
            context = MaskContext(record=record, image=image, plan=plan, network=network, outside=outside)
            _CONTEXTS[path, plan] = context, MaskTiles(context)
        return _CONTEXTS[path, plan]


def _window_task(path: str, plan: MaskPlan, network: MaskNetwork, window: Window) -> tuple[int, int]:
    """Compute one window; how many windows were encoded for it, and prompts asked."""
    context, tiles = _worker(path, plan, network)
    return tiles.source.count(prepare_window(context, window))


def _tile_task(path: str, plan: MaskPlan, network: MaskNetwork, core: tuple[int, int, int, int]) -> list[Any]:
    return _worker(path, plan, network)[1].write(Box(*core))
