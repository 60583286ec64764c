"""The verbs: segment a mosaic, look at it lazily, redo it with other thresholds.

One decision: thin. A verb opens what it needs, asks the engine for a plan, and runs it; each long one
is a generator of `Progress` and a plain function that drains it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.editing.replay import discard_kept, replay_kept_steps
from napari_mosaic.engine.cluster import run_on
from napari_mosaic.engine.devices import on_devices, one_device, several_devices
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.mapping import compute_tile, plan_work, without_network
from napari_mosaic.engine.sam.methods import MaskRequest, request_masks
from napari_mosaic.engine.sam.windows import MaskContext
from napari_mosaic.engine.sam.work import check_plan, choose_plan, mask_steps
from napari_mosaic.engine.segmenters import Segmenter, load_segmenter
from napari_mosaic.engine.windows import MapContext
from napari_mosaic.errors import ReadError, RecordError, UnfitError
from napari_mosaic.image import MosaicImage, open_image_steps
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Record, open_record
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.replacing import finish_replacement, is_whole, recover_replacement
from napari_mosaic.record.source import SourceWatch
from napari_mosaic.record_names import check_owner
from napari_mosaic.record_setup import as_begun, begun_sam, initial_areas, output_path, plan_segmentation, set_up_record
from napari_mosaic.request import RunOptions, RunRequest, SegmentParams, request_of
from napari_mosaic.tesserae import TesseraParams, find_in_window
from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    from dask.array import Array
    from distributed import Client


def segment(
    source: Any,
    output: str | Path | None = None,
    *,
    params: SegmentParams | None = None,
    client: Client | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Unpack[RunOptions],
) -> Record:
    """Find all joints and tesserae of a mosaic and keep them as a record.

    Parameters
    ----------
    source
        Path, URL, array, list of levels, napari Image layer, `sample:NAME` or `MosaicImage`.
    output
        The record, `NAME.mosaic.zarr`, a path or an address such as `s3://bucket/NAME.mosaic.zarr`; beside a local
        source by default.
    params
        Model, scale, thresholds.
    client
        A `dask.distributed.Client` to run on; by default this machine, in a process for each device where
        `params.device` means several.
    on_progress
        Called with each `Progress`.
    **options
        Fields of `RunRequest`: `region`, `exclude`, `pixel_mm` (also for a record that is gone on with) and
        `pixel_origin`, `overwrite`, `resume`, `discard_edits`, `only`, `focus`, `sam` (the settings of the SAM 2
        methods). What was edited by hand is kept when a record is overwritten, unless `discard_edits`, and so is
        a pixel size that was confirmed.

    Returns
    -------
    Record
        Open for reading, with what the method found: see `Record.with_labels`.

    Raises
    ------
    MosaicError
        One of its kinds, with one sentence: unreadable source, taken output, full disk.

    Examples
    --------
    >>> from napari_mosaic import segment
    >>> record = segment("sample:brick", "brick.mosaic.zarr")  # doctest: +SKIP
    >>> record.count  # doctest: +SKIP
    """
    return drain(segment_steps(source, output, params=params, client=client, **options), on_progress)


def segment_steps(
    source: Any,
    output: str | Path | None = None,
    *,
    params: SegmentParams | None = None,
    client: Client | None = None,
    segmenter: Segmenter | None = None,
    seen: Callable[[Record, Index, NDArray[np.uint8]], object] | None = None,
    **options: Unpack[RunOptions],
) -> Steps[Record]:
    """`segment` as a generator: stop between two yields to cancel; what is finished stays.

    `seen` is called with each window of the map as soon as it is computed in this process, before it is written, by
    the thread that computed it. With `only` the windows that its stones depend on are then all computed before anything
    is written, where they are few.
    """
    params = params or SegmentParams()
    request = request_of(output, options)
    with ExitStack() as stack:
        image = yield from open_within(source, stack)
        path = output_path(image, request.output)
        recover_replacement(path)
        check_owner(path, image, overwrite=request.overwrite, discard_edits=request.discard_edits)
        yield Progress(phase="preparing", done=0, total=1, unit="", message="loading the model")
        begun = as_begun(path, params, request)
        segmenter = segmenter or _load_as_begun(path, begun, params)
        masks = request_masks(params.method, begun_sam(path, request))
        record = yield from set_up_record(path, image, segmenter, params, request, partial(check_plan, request=masks))
        stack.callback(record.close)
        stack.enter_context(record.running())
        devices = several_devices(params.device) if client is None else []
        if devices:
            yield Progress(phase="preparing", done=0, total=1, unit="", message=f"starting {len(devices)} devices")
            client = stack.enter_context(on_devices(devices))
        looking = None if seen is None else partial(seen, record)
        context = MapContext(image, record.plan, segmenter, Domain(image, record.areas, record.plan.factor), looking)
        yield from _compute(context, record, params, request, client, masks)
        if is_whole(path):
            finish_replacement(path)
    return open_record(path).with_labels()


def open_within(source: Any, stack: ExitStack) -> Steps[MosaicImage]:
    """An image as it is; anything else opened, and closed with the stack."""
    if isinstance(source, MosaicImage):
        return source
    image = yield from open_image_steps(source)
    stack.callback(image.close)
    return image


def load_method(params: SegmentParams) -> Segmenter:
    """The method that `params` name, ready to run."""
    return load_segmenter(
        params.method,
        params.model,
        device=one_device(params.device),
        precision=params.precision,
        runtime=params.runtime,
    )


def _load_as_begun(path: Path, begun: SegmentParams, params: SegmentParams) -> Segmenter:
    """The method; `RecordError` where this machine cannot go on as a record was begun: its map would be another."""
    try:
        return load_method(begun)
    except UnfitError as error:
        if begun is params:
            raise
        raise RecordError(
            f"{path} was begun in {begun.precision} by {begun.runtime}, and this machine would go on with another "
            f"map ({error}); go on where it was begun, or begin again here with --overwrite, which keeps edits."
        ) from error


def _compute(
    context: MapContext,
    record: Record,
    params: SegmentParams,
    request: RunRequest,
    client: Client | None,
    masks: MaskRequest | None,
) -> Iterator[Progress]:
    factor = record.plan.factor
    only = None if request.only is None else request.only.scale(factor)
    focus = None if request.focus is None else (request.focus[0] * factor, request.focus[1] * factor)
    plan = None if masks is None else choose_plan(record, masks, begin=not request.resume)
    around = only if plan is None or only is None else only.grow(plan.needed)
    work = plan_work(record, params.tile_size, context=context, only=around, focus=focus)
    work.note = _while_unchanged(SourceWatch(context.image, record.source, record.path), work.note)
    if plan is not None and plan.into == "tesserae":
        work.tiles.clear()
    workers, failure = params.workers or default_workers(), None
    try:
        yield from run_on(client, work, workers)
    except ReadError as error:  # masks are found where the joints are, then it is told
        failure = error
    if masks is not None and plan is not None:
        sight = MaskContext(record=record, image=context.image, plan=plan, network=masks.network)
        size = params.tile_size
        yield from mask_steps(sight, tile_size=size, workers=workers, only=only, focus=focus, client=client)
    if failure is not None:
        raise failure
    mark_phases(record)
    yield from replay_kept_steps(record)


def _while_unchanged(watch: SourceWatch, note: Callable[[Index], object]) -> Callable[[Index], None]:
    """Note windows as long as they were read of the photograph that the record is of."""

    def noted(window: Index) -> None:
        watch.check()
        note(window)

    return noted


def default_workers() -> int:
    """Threads that cut tesserae beside the network: half of the cores; each takes about 0.3 GB."""
    return max(1, (os.cpu_count() or 2) // 2)


def mark_phases(record: Record) -> None:
    """Note in the record which phases are done."""
    record.set_phase(**{name: "done" if done == total else "partial" for name, (done, total) in record.state().items()})


def apply_steps(
    record: Record, params: TesseraParams, *, tile_size: int = 2048, discard_edits: bool = False
) -> Steps[Record]:
    """Cut all tesserae anew from the stored map with other thresholds; the network does not run.

    What was edited by hand is laid over the result, unless `discard_edits`; see `editing.read_conflicts`.
    """
    path = record.path
    with open_record(path, writable=True) as mine, mine.running():
        mine.forget_tesserae()  # before the plan: what was cut by other rules must not count as finished by these
        mine.edits.set_aside()
        mine.update(plan=replace(mine.plan, tesserae=params))
        if discard_edits:
            discard_kept(mine)
        yield from run_on(None, without_network(plan_work(mine, tile_size)), default_workers())
        mark_phases(mine)
        yield from replay_kept_steps(mine)
    return open_record(path)


def preview_tesserae(record: Record, box: Box, params: TesseraParams) -> NDArray[Any]:
    """The tesserae of `box` (working grid) as they would be with other thresholds, `(h, w)` ids."""
    box = box.clip(record.shape)
    window = box.grow(params.halo).clip(record.shape)
    return find_in_window(record.read_map(window), window, box, record.shape, params).labels


def lazy_tesserae(
    source: Any, params: SegmentParams | None = None, *, segmenter: Segmenter | None = None
) -> list[Array]:
    """The tesserae of a mosaic as lazy dask arrays, largest level first; nothing is computed or written.

    Parameters
    ----------
    source
        A `Record` (its stored map is used) or anything that `segment` takes (the network runs on the
        windows that a block needs; the last ones are kept in memory).
    params
        As for `segment`.

    Returns
    -------
    list of dask.array.Array
        `(Y, X)` ids on the working grid. A block equals the same pixels of a full run, whatever
        blocks are computed and in whatever order.
    """
    from napari_mosaic.engine.lazy import MapCache, lazy_levels  # late: dask costs a start a tenth of a second

    if isinstance(source, Record):
        plan = source.plan if params is None else replace(source.plan, tesserae=params.tesserae)
        return lazy_levels(plan, lambda core: compute_tile(source.read_map, plan, core).labels)
    params = params or SegmentParams()
    image = source if isinstance(source, MosaicImage) else drain(open_image_steps(source))
    segmenter = segmenter or load_method(params)
    areas = initial_areas(image)
    plan = plan_segmentation(image, segmenter, params, areas)
    cache = MapCache(MapContext(image, plan, segmenter, Domain(image, areas, plan.factor)))
    return lazy_levels(plan, lambda core: compute_tile(cache.read_map, plan, core).labels)
