"""SAM 2's part of a run as work: which windows and tiles are left, and how one is made.

One decision: a tile is a function of the plan and the windows' proposals, which lie in the record as files; so windows
need no ledger, and a tile that needs one more than was likely computes it on the way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from napari_mosaic.engine.cluster import run_on
from napari_mosaic.engine.mapping import tiles_left, update_levels
from napari_mosaic.engine.sam.methods import MaskRequest
from napari_mosaic.engine.sam.plan import MaskPlan, make_mask_plan
from napari_mosaic.engine.sam.windows import MaskContext, MaskMaker, SamWindow
from napari_mosaic.engine.schedule import Work, nearest_first
from napari_mosaic.errors import RecordError
from napari_mosaic.progress import Progress
from napari_mosaic.record import Plan, Record
from napari_mosaic.record.arrays import damaged, discard
from napari_mosaic.record.label_layer import SAM2
from napari_mosaic.record.pyramid import discard_damaged, update_pending
from napari_mosaic.record.sam2 import Sam2Files
from napari_mosaic.record.store import open_for_worker
from napari_mosaic.sam.prompts import MaskNetwork
from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    from distributed import Client


def check_plan(plan: Plan, request: MaskRequest | None) -> None:
    """Raise `InputError` where the masks that are asked for cannot be planned on a record of that plan."""
    if request is not None:
        make_mask_plan(plan, request.network, request.params, request.mode)


def choose_plan(record: Record, request: MaskRequest, *, begin: bool) -> MaskPlan:
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
                f"SAM 2 was begun in {record.path} with {stored.model} and other settings"
                f"{wanted.other_settings(stored)}; go on with those, or begin again with --overwrite."
            )
        return replace(wanted, batch=stored.batch)
    store.forget()
    if wanted.into == "tesserae":
        record.forget_tesserae()
    others = {phase: word for phase, word in record.metadata.phases.items() if phase != SAM2}
    record.update(phases=others | ({SAM2: "partial"} if wanted.into == SAM2 else {}))
    store.write_plan(wanted.to_json())
    return wanted


def mask_steps(
    context: MaskContext,
    *,
    tile_size: int = 2048,
    workers: int = 1,
    only: Box | None = None,
    focus: tuple[float, float] | None = None,
    client: Client | None = None,
) -> Iterator[Progress]:
    """Find SAM 2's masks and write them; stop between two yields to keep what is done.

    Parameters
    ----------
    context
        Its record is open for writing and has its map where masks are guided; its plan is from `choose_plan`.
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
    started, here = time.monotonic(), client is None
    try:
        yield from run_on(client, work, workers)
    finally:
        Sam2Files(context.record).add_work(
            windows=work.maker.spent["windows"],
            prompts=work.maker.spent["prompts"],
            seconds=time.monotonic() - started if here else 0.0,
            peak_bytes=context.network.peak_memory() if here else None,
        )


def _plan_work(
    context: MaskContext, tile_size: int, only: Box | None, focus: tuple[float, float] | None
) -> Work[SamWindow]:
    """The unfinished pieces, nearest to `focus` first; the masks' layer is made, and damage in it struck off.

    Windows are in the order in which tiles are likely to need them; what else a tile needs it computes on its way.
    """
    record, plan, maker = context.record, context.plan, MaskMaker(context)
    if context.phase == SAM2:
        layer = record.add_label_layer(SAM2)
        broken = damaged(layer, layer.done)
        layer.forget(broken)
        discard(layer, broken)
        layer.forget_levels(discard_damaged([layer], layer.in_levels))
    left = tiles_left(record.plan, tile_size, record.ledger.done(context.phase), only)
    tiles = nearest_first(left, lambda tile: tile.core, focus)
    likely = {tile: _likely(context, maker, tile.core.grow(plan.margin)) for tile in tiles}
    windows = maker.missing(list(dict.fromkeys(chain.from_iterable(likely.values()))))
    missing = set(windows)
    return Work(
        names=("sam2", "masks"),
        unit="windows",
        windows=windows,
        tiles=tiles,
        missing=lambda tile: missing.intersection(likely[tile]),
        place=lambda window: plan.lattice(window[0], context.shape).tile(window[1:]).core,
        maker=maker,
        send_maker=lambda: partial(_open_maker, str(record.path.absolute()), plan, context.network),
        note=lambda window: None,  # a window whose file is there is finished
        note_tile=lambda shards: record.ledger.add(context.phase, shards),
        update_pyramid=lambda last: _update_pyramid(context) if last else iter(()),
        needs_all=False,
    )


def _likely(context: MaskContext, maker: MaskMaker, box: Box) -> list[SamWindow]:
    """The windows that a tile is likely to need, all around `box`; of a tile far from the areas none is looked at."""
    near = box.grow(context.plan.margin + max(layer.core for layer in context.plan.layers))
    return [] if context.domain.covers(near.clip(context.shape)) else maker.windows(box)


def _open_maker(path: str, plan: MaskPlan, network: MaskNetwork) -> MaskMaker:
    """A maker in another process."""
    record = open_for_worker(path)
    return MaskMaker(MaskContext(record=record, image=record.open_source(), plan=plan, network=network))


def _update_pyramid(context: MaskContext) -> Iterator[Progress]:
    """The smaller levels; where every tile is done, what the windows proposed goes."""
    record, store = context.record, Sam2Files(context.record)
    finished = len(record.ledger.done(context.phase)) == len(record.plan.shards)
    if context.phase == SAM2:
        update_pending(store.layer)
        record.set_phase(**{SAM2: "done" if finished else "partial"})
    else:
        yield from update_levels(record)
    if finished:
        store.forget_proposals()
