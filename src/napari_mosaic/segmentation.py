"""The verbs: segment a mosaic, look at it lazily, redo it with other thresholds.

One decision: thin. A verb opens what it needs, asks the engine for a plan, and runs it; each long one
is a generator of `Progress` and a plain function that drains it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.area_files import Grid, polygons_of_mask, read_geometry
from napari_mosaic.areas import AreaSet
from napari_mosaic.editing.replay import discard_kept, replay_kept_steps
from napari_mosaic.engine.lazy import lazy_levels
from napari_mosaic.engine.local import plan_work, run_steps, without_network
from napari_mosaic.engine.masks.methods import MaskRequest, request_masks
from napari_mosaic.engine.masks.run import mask_steps, settle_plan
from napari_mosaic.engine.masks.windows import MaskContext
from napari_mosaic.engine.outside import Outside
from napari_mosaic.engine.planning import Choices, disk_bytes, make_plan
from napari_mosaic.engine.segmenters import Segmenter, load_segmenter
from napari_mosaic.engine.tasks import Context, compute_tile
from napari_mosaic.errors import InputError, MosaicError, ReadError, RecordError, WriteError
from napari_mosaic.image import MosaicImage, PixelSize, open_image_steps, surround_mask
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Plan, Record, check_source, create_record, open_record
from napari_mosaic.record.edits import adopt_edits, has_edits, set_edits_aside
from napari_mosaic.sam.params import SamParams
from napari_mosaic.tesserae import Limits, TesseraParams, check_limits, find_in_window
from napari_mosaic.tiling import Box


@dataclass(frozen=True, kw_only=True)
class SegmentParams:
    """How to segment. The one source of defaults and limits for the API, the command line and forms."""

    model: Annotated[str, "name or file of the model"] = "grout-lite"
    method: Annotated[
        str,
        "how: grout, grout-augmented, grout+sam2, sam2; for comparison unet-watershed, gradient-watershed, quadrangles",
    ] = "grout"
    scale: Annotated[float | Literal["auto"], "pixels of the analysis per pixel of the photograph, or auto"] = "auto"
    tile_size: Annotated[int, Limits(low=64, high=65536, help="block that is worked on at once, in pixels")] = 2048
    device: Annotated[str, "auto, cpu, cuda or mps"] = "auto"
    precision: Annotated[Literal["auto", "int8", "fp32", "bf16", "fp16"], "number format of the network"] = "auto"
    runtime: Annotated[Literal["auto", "torch", "openvino"], "what executes the network"] = "auto"
    workers: Annotated[int, Limits(low=0, high=256, help="threads beside the network, 0 = half of the cores")] = 0
    threshold: Annotated[float, Limits(low=0.05, high=0.95, help="joint probability above which a pixel is joint")] = (
        TesseraParams.threshold
    )
    core_threshold: Annotated[
        float, Limits(low=0.05, high=0.95, help="probability above which a pixel is the inside of a stone")
    ] = TesseraParams.core_threshold
    min_area: Annotated[
        int, Limits(low=0, high=400, help="smallest tessera kept, in pixels where a usual one is 24 across")
    ] = TesseraParams.min_area
    max_hole: Annotated[int, Limits(low=0, high=64, help="largest hole filled inside a tessera")] = (
        TesseraParams.max_hole
    )
    min_seed: Annotated[int, Limits(low=1, high=64, help="smallest inner part that makes a tessera")] = (
        TesseraParams.min_seed
    )
    reach: Annotated[int, Limits(low=8, high=200, help="largest growth of a tessera from its inside")] = (
        TesseraParams.reach
    )
    temperature: Annotated[
        float | Literal["auto"],
        "how confidence is told: 1 as the model says, above 1 less sure, auto as the model's file asks; moves no stone",
    ] = "auto"

    def __post_init__(self) -> None:
        check_limits(self)
        check_limits(self.tesserae)

    @property
    def tesserae(self) -> TesseraParams:
        """The rules for cutting tesserae from the map; where the model decides the temperature it is 1."""
        return TesseraParams(
            temperature=1.0 if self.temperature == "auto" else self.temperature,
            threshold=self.threshold,
            core_threshold=self.core_threshold,
            min_area=self.min_area,
            max_hole=self.max_hole,
            min_seed=self.min_seed,
            reach=self.reach,
        )


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """What a run will need: seconds, bytes on disk, and the scale that it will use."""

    seconds: float
    bytes_on_disk: int
    path: Path
    factor: float
    tessera_px: float | None
    megapixels: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """Where the result goes and what part of the source is wanted."""

    output: str | Path | None = None
    region: Any = None
    exclude: Any = None
    pixel_mm: float | None = None
    overwrite: bool = False
    resume: bool = False
    discard_edits: bool = False
    only: Box | None = None
    focus: tuple[float, float] | None = None
    sam: SamParams | None = None


def segment(
    source: Any,
    output: str | Path | None = None,
    *,
    params: SegmentParams | None = None,
    client: Any = None,
    on_progress: Callable[[Progress], None] | None = None,
    **job: Any,
) -> Record:
    """Find all joints and tesserae of a mosaic and keep them as a record.

    Parameters
    ----------
    source
        Path, URL, array, list of levels, napari Image layer, `sample:NAME` or `MosaicImage`.
    output
        The record, `NAME.mosaic.zarr`; beside the source by default.
    params
        Model, scale, thresholds.
    client
        A `dask.distributed.Client` to run on; this machine by default.
    on_progress
        Called with each `Progress`.
    **job
        Fields of `Job`: `region`, `exclude`, `pixel_mm`, `overwrite`, `resume`, `discard_edits`, `only`,
        `focus`, `sam` (the settings of the SAM 2 methods). What was edited by hand is kept when a record is
        overwritten, unless `discard_edits`.

    Returns
    -------
    Record
        Open for reading.

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
    return drain(segment_steps(source, output, params=params, client=client, **job), on_progress)


def segment_steps(
    source: Any,
    output: str | Path | None = None,
    *,
    params: SegmentParams | None = None,
    client: Any = None,
    segmenter: Segmenter | None = None,
    **job: Any,
) -> Steps[Record]:
    """`segment` as a generator: stop between two yields to cancel; what is finished stays."""
    params = params or SegmentParams()
    wanted = Job(output=output, **job)
    with ExitStack() as stack:
        image = yield from _open(source, stack)
        path = output_path(image, wanted.output)
        yield Progress(phase="preparing", done=0, total=1, unit="", message="loading the model")
        segmenter = segmenter or load_method(_as_planned(path, params, wanted))
        masks = request_masks(params.method, wanted.sam)
        record, backup = yield from _ready_record(path, image, segmenter, params, wanted)
        stack.callback(record.close)
        stack.enter_context(record.running())
        context = Context(image, record.plan, segmenter, Outside(image, record.areas, record.plan.factor))
        yield from _compute(context, record, params, wanted, client, masks)
        if backup is not None and record.complete:
            shutil.rmtree(backup, ignore_errors=True)
    return open_record(path)


def _open(source: Any, stack: ExitStack) -> Steps[MosaicImage]:
    if isinstance(source, MosaicImage):
        return source
    image = yield from open_image_steps(source)
    stack.callback(image.close)
    return image


def load_method(params: SegmentParams) -> Segmenter:
    """The method that `params` name, ready to run."""
    segmenter: Segmenter = load_segmenter(
        params.method,
        params.model,
        device=params.device,
        precision=params.precision,
        runtime=params.runtime,
    )
    return segmenter


def _as_planned(path: Path, params: SegmentParams, job: Job) -> SegmentParams:
    """The parameters with the runtime and precision that a record to be resumed was begun with."""
    if not (job.resume and path.exists()):
        return params
    with open_record(path) as record:
        plan = record.plan
    runtime: Any = plan.runtime
    precision: Any = plan.precision
    return replace(params, runtime=runtime, precision=precision)


def output_path(image: MosaicImage, output: str | Path | None) -> Path:
    """Where the record of an image goes: `output`, inside of it if it is a folder, or beside the image."""
    name = f"{image.name}.mosaic.zarr"
    if output is None:
        location = image.source.location
        beside = Path(location).parent if location and Path(location).exists() else Path.cwd()
        return beside / name
    output = Path(output)
    return output if output.name.endswith(".zarr") else output / name


def _ready_record(
    path: Path, image: MosaicImage, segmenter: Segmenter, params: SegmentParams, job: Job
) -> Steps[tuple[Record, Path | None]]:
    """Open the record to go on with, or make a new one; with the place of the one it replaces."""
    if path.exists() and job.resume:
        return _resume(path, image, segmenter, params), None
    if path.exists() and not job.overwrite:
        raise RecordError(
            f"{path} exists already; add --resume to go on with it, --overwrite to replace it, or another -o."
        )
    yield Progress(phase="preparing", done=0, total=1, unit="", message="finding the size of the tesserae")
    areas = initial_areas(image, job.region, job.exclude)
    plan = plan_segmentation(image, segmenter, params, areas)
    _check_disk(path, plan)
    edited = path.exists() and not job.discard_edits and has_edits(path)
    if edited:
        _check_grid(path, plan)
    backup = _set_aside(path) if path.exists() else None
    size = None if job.pixel_mm is None else _pixel_size(job.pixel_mm)
    record = create_record(path, image, plan, areas=areas, pixel_size=size)
    if edited and backup is not None:
        adopt_edits(record, backup)
    return record, backup


def _check_grid(path: Path, plan: Plan) -> None:
    """Edits are pixels of the working grid: refuse to lose them to another one."""
    with open_record(path) as record:
        if record.shape != plan.shape or record.source.shape != plan.source_shape:
            raise RecordError(
                f"{path} was edited by hand at scale {record.plan.factor:g}, and its edits do not fit scale "
                f"{plan.factor:g}; give that scale, or add --discard-edits to lose them."
            )


def initial_areas(image: MosaicImage, region: Any = None, exclude: Any = None) -> AreaSet:
    """The areas of a new record: the flat surround, and what the user gives."""
    grid = Grid(shape=image.shape, crs=image.crs, affine=image.affine)
    areas = AreaSet()
    surround, _ = surround_mask(image)
    if surround.any():
        areas = areas.add("outside", polygons_of_mask(surround, grid), name="surround")
    if region is not None:
        areas = areas.add("region", read_geometry(region, grid, what="region"))
    if exclude is not None:
        areas = areas.add("exclude", read_geometry(exclude, grid, what="exclusion"))
    return areas


def plan_segmentation(
    image: MosaicImage, segmenter: Segmenter, params: SegmentParams, areas: AreaSet | None = None
) -> Plan:
    """The plan that `segment` would follow."""
    outside = Outside(image, areas or AreaSet(), 1.0)
    rules = params.tesserae
    if params.temperature == "auto":
        rules = replace(rules, temperature=segmenter.temperature)
    choices = Choices(method=params.method, scale=params.scale, tesserae=rules)
    return make_plan(image, segmenter, outside, choices)


def _resume(path: Path, image: MosaicImage, segmenter: Segmenter, params: SegmentParams) -> Record:
    record = open_record(path, writable=True)
    try:
        check_source(image, record.source, path)
        plan = record.plan
        if (plan.model_sha256, plan.method) != (segmenter.sha256, params.method):
            raise RecordError(
                f"{path} was begun with the model {plan.model}, not {segmenter.name}; go on with that model, "
                "or add --overwrite to begin again."
            )
        if not isinstance(params.scale, str) and not np.isclose(params.scale, plan.factor):
            raise RecordError(
                f"{path} was begun at scale {plan.factor:g}, not {params.scale:g}; leave the scale out to go on, "
                "or add --overwrite to begin again."
            )
    except MosaicError:
        record.close()
        raise
    return record


def _set_aside(path: Path) -> Path:
    """Move a record that is to be replaced to a sibling, until the new one is whole."""
    open_record(path, writable=True, exclusive=True).close()
    backup = path.with_name(path.name.replace(".mosaic.zarr", "") + ".previous.mosaic.zarr")
    if backup.exists():
        raise RecordError(f"{backup} is still there from an unfinished replacement; move or delete it first.")
    os.replace(path, backup)
    return backup


def _pixel_size(mm: float) -> PixelSize:
    if not (np.isfinite(mm) and mm > 0):
        raise InputError(f"A pixel size of {mm} mm is no size; give the edge of a pixel on the floor in mm.")
    return PixelSize(mm=float(mm), confirmed=True, origin="user")


def _check_disk(path: Path, plan: Plan) -> None:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise WriteError(f"{folder} cannot be written; give a folder with -o that you may write to.")
    free, need = shutil.disk_usage(folder).free, disk_bytes(plan.shape)
    if need > free:
        raise WriteError(
            f"The record needs about {need / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free; "
            "free some space or give another place with -o."
        )


def _compute(
    context: Context, record: Record, params: SegmentParams, job: Job, client: Any, masks: MaskRequest | None
) -> Iterator[Progress]:
    factor = record.plan.factor
    only = None if job.only is None else _to_working(job.only, factor)
    focus = None if job.focus is None else (job.focus[0] * factor, job.focus[1] * factor)
    plan = None if masks is None else settle_plan(record, masks, begin=not job.resume)
    around = only if plan is None or only is None else only.grow(plan.needed)
    work = plan_work(record, params.tile_size, only=around, focus=focus)
    if plan is not None and plan.into == "tesserae":
        work.tiles.clear()
    workers, failure = params.workers or default_workers(), None
    try:
        if client is None:
            yield from run_steps(context, record, work, workers)
        else:
            from napari_mosaic.engine.cluster import run_on_cluster

            yield from run_on_cluster(client, record, work, context.segmenter)
    except ReadError as error:  # masks are found where the joints are, then it is told
        failure = error
    if masks is not None and plan is not None:
        sight = MaskContext(
            record=record, image=context.image, plan=plan, network=masks.network, outside=context.outside
        )
        yield from _find_masks(sight, params.tile_size, workers, client, only, focus)
    if failure is not None:
        raise failure
    mark_phases(record)
    yield from replay_kept_steps(record)


def _find_masks(
    sight: MaskContext, tile_size: int, workers: int, client: Any, only: Box | None, focus: Any
) -> Iterator[Progress]:
    if client is None:
        yield from mask_steps(sight, tile_size=tile_size, workers=workers, only=only, focus=focus)
        return
    from napari_mosaic.engine.masks.cluster import masks_on_cluster

    yield from masks_on_cluster(client, sight, tile_size=tile_size, only=only)


def default_workers() -> int:
    """Threads that cut tesserae beside the network: half of the cores; each takes about 0.3 GB."""
    return max(1, (os.cpu_count() or 2) // 2)


def mark_phases(record: Record) -> None:
    """Note in the record which phases are done."""
    record.set_phase(**{name: "done" if done == total else "partial" for name, (done, total) in record.state().items()})


def _to_working(box: Box, factor: float) -> Box:
    y0, x0 = (int(np.floor(edge * factor)) for edge in box[:2])
    y1, x1 = (int(np.ceil(edge * factor)) for edge in box[2:])
    return Box(y0, x0, y1, x1)


def apply_steps(
    record: Record, params: TesseraParams, *, tile_size: int = 2048, discard_edits: bool = False
) -> Steps[Record]:
    """Cut all tesserae anew from the stored map with other thresholds; the network does not run.

    What was edited by hand is laid over the result, unless `discard_edits`; see `editing.read_conflicts`.
    """
    path = record.path
    with open_record(path, writable=True) as mine, mine.running():
        mine.update(plan=replace(mine.plan, tesserae=params))
        mine.ledger.forget("tesserae")
        mine.ledger.forget("pyramid")
        set_edits_aside(mine)
        if discard_edits:
            discard_kept(mine)
        yield from run_steps(None, mine, without_network(mine, plan_work(mine, tile_size)), default_workers())
        mark_phases(mine)
        yield from replay_kept_steps(mine)
    return open_record(path)


def preview_tesserae(record: Record, box: Box, params: TesseraParams) -> NDArray[Any]:
    """The tesserae of `box` (working grid) as they would be with other thresholds, `(h, w)` ids."""
    box = box.clip(record.shape)
    window = box.grow(params.halo).clip(record.shape)
    return find_in_window(record.read_map(window), window, box, record.shape, params).labels


def estimate_run(source: Any, params: SegmentParams | None = None, *, output: str | Path | None = None) -> RunEstimate:
    """How long `segment` will take and how much disk it needs, from a short trial."""
    from napari_mosaic.engine.timing import seconds_per_megapixel

    params = params or SegmentParams()
    with ExitStack() as stack:
        image = drain(_open(source, stack))
        segmenter = load_method(params)
        areas = initial_areas(image)
        plan = plan_segmentation(image, segmenter, params, areas)
        megapixels = plan.shape[0] * plan.shape[1] / 1e6
        return RunEstimate(
            seconds=megapixels * seconds_per_megapixel(image, segmenter, plan),
            bytes_on_disk=disk_bytes(plan.shape),
            path=output_path(image, output),
            factor=plan.factor,
            tessera_px=plan.tessera_px,
            megapixels=megapixels,
        )


def lazy_tesserae(source: Any, params: SegmentParams | None = None, *, segmenter: Segmenter | None = None) -> list[Any]:
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
    if isinstance(source, Record):
        plan = source.plan if params is None else replace(source.plan, tesserae=params.tesserae)
        return lazy_levels(plan, lambda core: compute_tile(source.read_map, plan, core).labels)
    from napari_mosaic.engine.lazy import MapCache

    params = params or SegmentParams()
    image = source if isinstance(source, MosaicImage) else drain(open_image_steps(source))
    segmenter = segmenter or load_method(params)
    areas = initial_areas(image)
    plan = plan_segmentation(image, segmenter, params, areas)
    cache = MapCache(Context(image, plan, segmenter, Outside(image, areas, plan.factor)))
    return lazy_levels(plan, lambda core: compute_tile(cache.read_map, plan, core).labels)
