"""What a run will need, before it begins.

One decision: everything is asked of the same plan, areas and ledger that the run will follow, so what is left out,
outside or finished is not counted.
"""

from __future__ import annotations

import os
from pathlib import Path

from napari_mosaic.areas import AreaSet
from napari_mosaic.engine.costs import Costs, Site, clocked, count_blocks, measure_rates, pick_trials
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.image import MosaicImage
from napari_mosaic.readying import initial_areas, output_path, plan_segmentation
from napari_mosaic.record import Plan, open_record
from napari_mosaic.record.file_mask import FileMask, read_valid_level
from napari_mosaic.request import Job, RunEstimate, SegmentParams


def estimate(
    image: MosaicImage, segmenter: Segmenter, params: SegmentParams, job: Job, *, workers: int = 1
) -> RunEstimate:
    """Seconds and bytes of a run of a method that is loaded; the photograph's opening is not among them."""
    path = output_path(image, job.output)
    if job.resume and path.exists():
        site, start, preparing = _begun(path, image, params), 0.0, 0.0
    else:
        site, start, preparing = _new(image, segmenter, params, job)
    plan = site.plan
    only = None if job.only is None else job.only.scale(plan.factor)
    rates = measure_rates(image, segmenter, site, pick_trials(site, only))
    costs = Costs(site, rates, start, workers)
    seconds, size = costs.of(only)
    return RunEstimate(
        seconds=seconds,
        bytes_on_disk=size,
        path=path,
        factor=plan.factor,
        tessera_px=plan.tessera_px,
        megapixels=count_blocks(site, only).inside,
        preparing=preparing,
        costs=costs,
    )


def _begun(path: Path, image: MosaicImage, params: SegmentParams) -> Site:
    """What is left of a record that is to be gone on with."""
    with open_record(path) as record:
        have, done = (frozenset(record.ledger.done(phase)) for phase in ("map", "tesserae"))
        mask = FileMask(read_valid_level(image), image.shape)
        return Site(record.plan, record.areas, mask, params.tile_size, have, done)


def _new(image: MosaicImage, segmenter: Segmenter, params: SegmentParams, job: Job) -> tuple[Site, float, float]:
    """A record that is to be made; seconds before its first block, and those for what is in memory by now."""
    areas, surround = clocked(lambda: initial_areas(image, job.region, job.exclude))
    mask, masked = clocked(lambda: FileMask(read_valid_level(image), image.shape))
    plan, planning = _planned(image, segmenter, params, areas)
    planning /= os.cpu_count() or 1
    again = bool(image.source.location) and bool(segmenter.sha256)  # see `planning._remembered_scale`
    start = surround + masked + (0.0 if again else planning)
    return Site(plan, areas, mask, params.tile_size), start, planning if again else 0.0


def _planned(image: MosaicImage, segmenter: Segmenter, params: SegmentParams, areas: AreaSet) -> tuple[Plan, float]:
    plan, seconds = clocked(lambda: plan_segmentation(image, segmenter, params, areas))
    return plan, seconds
