"""What a run will need, before it begins.

One decision: everything is asked of the same plan, areas and ledger that the run will follow, so what is left out,
outside or finished is not counted.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, Unpack

import numpy as np

from napari_mosaic.dependencies import has_package
from napari_mosaic.engine.costs import Costs, Site, clocked, count_blocks, measure_rates, pick_trials
from napari_mosaic.engine.devices import several_devices
from napari_mosaic.engine.planning import Quality
from napari_mosaic.engine.sam.costs import MaskAmount, count_masks
from napari_mosaic.engine.sam.methods import MaskRequest, mask_mode, request_masks
from napari_mosaic.engine.sam.plan import make_mask_plan
from napari_mosaic.engine.sam.windows import read_frame
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.image import MosaicImage
from napari_mosaic.memory import peak_of_process
from napari_mosaic.progress import drain
from napari_mosaic.record import Plan, open_record
from napari_mosaic.record.file_mask import FileMask, read_valid_level
from napari_mosaic.record.metadata import is_there
from napari_mosaic.record.plan import PLAIN
from napari_mosaic.record_setup import as_begun, initial_areas, output_path, plan_segmentation
from napari_mosaic.request import RunEstimate, RunOptions, RunRequest, SegmentParams, request_of
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import Prompts
from napari_mosaic.sam.registry import present_models
from napari_mosaic.segmentation import default_workers, load_method, open_within

T = TypeVar("T")
_GUIDED = "grout+sam2"
_TILE_PX_BYTES = 28
"""Bytes of memory for a pixel that a tile reads, while it is cut: what is told of memory is 19 to 26 % above
what runs take (`benchmarks/estimates.py --commands`). Not varied."""


def estimate_run(
    source: Any, params: SegmentParams | None = None, *, output: str | Path | None = None, **options: Unpack[RunOptions]
) -> RunEstimate:
    """How long `segment` will take and how much disk it needs, from a short trial of the blocks that it will compute.

    Parameters
    ----------
    source, params, output
        As for `segment`.
    **options
        Of the fields of `RunRequest`, `region`, `exclude`, `only` and `resume`: only what is left is counted then.

    Examples
    --------
    >>> from napari_mosaic import estimate_run
    >>> estimate_run("sample:brick").seconds  # doctest: +SKIP
    """
    params = params or SegmentParams()
    request = request_of(output, options)
    with ExitStack() as stack:
        image, opening = clocked(lambda: drain(open_within(source, stack)))
        path = output_path(image, output)
        segmenter, loading = clocked(lambda: load_method(as_begun(path, params, request, check=False)))
        found = estimate(image, segmenter, params, request, workers=params.workers or default_workers())
        return replace(found, path=path, seconds=found.seconds + opening, preparing=found.preparing + loading)


def estimate_runs(
    source: Any, params: SegmentParams | None = None, *, output: str | Path | None = None, **options: Unpack[RunOptions]
) -> dict[str, RunEstimate]:
    """`estimate_run` of each quality that there is a choice of, by its name; what is opened and loaded is so once.

    `quick` and `best`; with the method grout and the package sam2, `sam2` is guided masks on top of quick. A record
    that is gone on with (`resume`) has the quality that it was begun with.

    Examples
    --------
    >>> from napari_mosaic import estimate_runs
    >>> {name: found.seconds for name, found in estimate_runs("sample:brick").items()}  # doctest: +SKIP
    """
    params, request = params or SegmentParams(), request_of(output, options)
    workers = params.workers or default_workers()
    with ExitStack() as stack:
        image, opening = clocked(lambda: drain(open_within(source, stack)))
        path = output_path(image, output)
        begun = request.resume and is_there(path)
        segmenter, loading = clocked(lambda: load_method(as_begun(path, params, request, check=False)))
        found: dict[str, RunEstimate] = {}
        for quality in _qualities(params, path if begun else None, fixed=not segmenter.sha256):
            one = estimate(image, segmenter, replace(params, quality=quality), request, workers=workers)
            first = next(iter(found.values()), one)  # the size of the tesserae is found once, and then remembered
            preparing = one.preparing + loading if first is one else first.preparing
            found[quality] = replace(
                one,
                path=path,
                seconds=one.seconds + opening,
                preparing=preparing,
                core_seconds=one.core_seconds - one.preparing + preparing + opening,
            )
        if params.method == "grout" and not begun and has_package("sam2"):
            found["sam2"] = _guided(found["quick"], image, request.sam or SamParams())
        return found


def _qualities(params: SegmentParams, begun: Path | None, *, fixed: bool) -> tuple[Quality, ...]:
    if begun is not None:
        with open_record(begun) as record:
            return ("quick" if record.plan.views == (PLAIN,) else "best",)
    return (params.quality,) if fixed else ("quick", "best")


def _guided(quick: RunEstimate, image: MosaicImage, sam: SamParams) -> RunEstimate:
    """The estimate with guided masks; their model is loaded where it is here, and never fetched."""
    if sam.model in present_models() or Path(sam.model).is_file():
        masks, loading = clocked(lambda: request_masks(_GUIDED, sam))
        if masks is not None:
            timed = with_masks(quick, image, masks)
            return replace(timed, preparing=timed.preparing + loading)
    return without_masks(quick, mask_mode(_GUIDED), sam)


def estimate(
    image: MosaicImage, segmenter: Segmenter, params: SegmentParams, request: RunRequest, *, workers: int = 1
) -> RunEstimate:
    """Seconds and bytes of a run of a method that is loaded; the photograph's opening is not among them."""
    path = output_path(image, request.output)
    if request.resume and is_there(path):
        site, start, preparing = _begun(path, image, params), 0.0, 0.0
    else:
        site, start, preparing = _new(image, segmenter, params, request)
    plan = site.plan
    only = None if request.only is None else request.only.scale(plan.factor)
    rates = measure_rates(image, segmenter, site, pick_trials(site, only))
    if rates.on_device:
        rates = replace(rates, network=rates.network / max(1, len(several_devices(params.device))))
    costs = Costs(site, rates, start, workers)
    seconds, size = costs.of(only)
    preparing += rates.warming
    if not site.have and not site.done:
        size += len(json.dumps(site.areas.to_geojson(), indent=1))
    peak = peak_of_process()
    return RunEstimate(
        seconds=seconds,
        bytes_on_disk=size,
        path=path,
        factor=plan.factor,
        tessera_px=plan.tessera_px,
        megapixels=count_blocks(site, only).inside,
        preparing=preparing,
        costs=costs,
        core_seconds=costs.cores_of(only) + preparing,
        memory=None if peak is None else peak + workers * _tile_bytes(plan, params.tile_size),
    )


def _tile_bytes(plan: Plan, tile_size: int) -> int:
    """Memory of a tile that is cut: the trial cut none, but computed as many windows at a time as a run."""
    sides = (min(edge, tile_size + 2 * plan.tesserae.halo) for edge in plan.shape)
    return int(np.prod(list(sides))) * _TILE_PX_BYTES


def with_masks(found: RunEstimate, image: MosaicImage, masks: MaskRequest) -> RunEstimate:
    """The estimate of the joints with SAM 2's part: a window is encoded and asked with some prompts, and timed."""
    if found.costs is None:
        return found
    site = found.costs.site
    amount = count_masks(site, masks.mode, masks.params)
    plan = make_mask_plan(site.plan, masks.network, masks.params, masks.mode)
    lattice = plan.lattice(0, site.plan.shape)
    frame = plan.frame(0, (lattice.counts[0] // 2, lattice.counts[1] // 2), site.plan.shape)
    pixels = read_frame(image, frame, site.plan.factor, plan.image_size)
    masks.network.embed(pixels)  # the first call compiles and loads
    (embedding, seconds), cores = clocked(lambda: _timed(lambda: masks.network.embed(pixels)))
    places = np.linspace(0.1, 0.9, 8) * plan.image_size
    prompts = Prompts(points=np.stack(np.meshgrid(places, places), 2).reshape(-1, 2))
    asking = lambda: list(masks.network.predict(embedding, prompts, batch=plan.batch))  # noqa: E731
    (_, each), each_cores = clocked(lambda: _timed(asking))
    share = amount.prompts / len(prompts)
    peaks = [peak for peak in (found.memory, masks.network.peak_memory()) if peak is not None]
    return replace(
        found,
        seconds=found.seconds + amount.windows * seconds + share * each,
        core_seconds=found.core_seconds + amount.windows * cores + share * each_cores,
        memory=max(peaks) if peaks else None,
        prompts=amount.prompts,
    )


def without_masks(found: RunEstimate, mode: str, params: SamParams) -> RunEstimate:
    """The estimate of the joints, and what SAM 2 would be asked, whose model is not here."""
    amount = MaskAmount(0, 0) if found.costs is None else count_masks(found.costs.site, mode, params)
    untimed = (
        f"SAM 2 would be asked {amount.prompts:,} prompts in {amount.windows:,} "
        f"window{'' if amount.windows == 1 else 's'}; its model {params.model} is not here, so its time is not told: "
        f"fetch it with models download {params.model}."
    )
    return replace(found, prompts=amount.prompts, untimed=untimed)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _begun(path: Path, image: MosaicImage, params: SegmentParams) -> Site:
    """What is left of a record that is to be gone on with."""
    with open_record(path) as record:
        have, done = (frozenset(record.ledger.done(phase)) for phase in ("map", "tesserae"))
        mask = FileMask(read_valid_level(image), image.shape)
        return Site(record.plan, record.areas, mask, params.tile_size, have, done)


def _new(
    image: MosaicImage, segmenter: Segmenter, params: SegmentParams, request: RunRequest
) -> tuple[Site, float, float]:
    """A record that is to be made; seconds before its first block, and those for what is in memory by now."""
    areas, surround = clocked(lambda: initial_areas(image, request.region, request.exclude))
    mask, masked = clocked(lambda: FileMask(read_valid_level(image), image.shape))
    plan, planning = clocked(lambda: plan_segmentation(image, segmenter, params, areas))
    planning /= os.cpu_count() or 1
    again = bool(image.source.location) and bool(segmenter.sha256)  # see `planning._remembered_scale`
    start = surround + masked + (0.0 if again else planning)
    return Site(plan, areas, mask, params.tile_size), start, planning if again else 0.0
