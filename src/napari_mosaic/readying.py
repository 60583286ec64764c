"""The record that a run goes into: a new one, the one to go on with, or one in the place of another.

One decision: everything that could lose work is checked before the first file is touched; what is replaced stays beside
until the new record is whole.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_mosaic.area_files import Grid, polygons_of_mask, read_geometry
from napari_mosaic.areas import AreaSet
from napari_mosaic.data_sizes import data_size
from napari_mosaic.engine.costs import USUAL, Site, count_blocks, disk_bytes
from napari_mosaic.engine.outside import Outside
from napari_mosaic.engine.planning import Choices, make_plan
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.errors import MosaicError, RecordError, WriteError
from napari_mosaic.image import MosaicImage, PixelSize, background_mask
from napari_mosaic.image.pixel_size import given_size
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import Plan, Record, check_source, create_record, open_record
from napari_mosaic.record.edits import has_edits
from napari_mosaic.record.file_mask import FileMask, read_valid_level
from napari_mosaic.record.metadata import is_source
from napari_mosaic.record.replacing import edited_record, replace_record
from napari_mosaic.record_names import record_place
from napari_mosaic.request import Job, SegmentParams


def output_path(image: MosaicImage, output: str | Path | None) -> Path:
    """Where the record of an image goes: `output`, inside of it if it is a folder, or beside the image."""
    return record_place(image.source.location, image.name, None if output is None else Path(output))


def initial_areas(image: MosaicImage, region: Any = None, exclude: Any = None) -> AreaSet:
    """The areas of a new record: the flat background, and what the user gives."""
    grid = Grid(shape=image.shape, crs=image.crs, affine=image.affine)
    areas = AreaSet()
    background, _ = background_mask(image)
    if background.any():
        areas = areas.add("outside", polygons_of_mask(background, grid), name="surround")
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


def ready_record(
    path: Path, image: MosaicImage, segmenter: Segmenter, params: SegmentParams, job: Job
) -> Steps[Record]:
    """Open the record to go on with, or make a new one."""
    if path.exists() and not path.is_dir():
        raise RecordError(f"{path} is a file and no mosaic record, so it is not replaced; give another place with -o.")
    if path.exists() and job.resume:
        return _resume(path, image, segmenter, params, job)
    if path.exists() and not job.overwrite:
        raise RecordError(
            f"{path} exists already; add --resume to go on with it, --overwrite to replace it, or another -o."
        )
    yield Progress(phase="preparing", done=0, total=1, unit="", message="finding the size of the tesserae")
    areas = initial_areas(image, job.region, job.exclude)
    plan = plan_segmentation(image, segmenter, params, areas)
    _check_disk(path, Site(plan, areas, FileMask(read_valid_level(image), image.shape), params.tile_size), job)
    edited = edited_record(path) if path.exists() and not job.discard_edits else None
    if edited is not None and has_edits(edited):
        _check_grid(edited, plan)
    else:
        edited = None
    size = _pixel_size(edited or path, image, job)
    if not path.exists():
        return create_record(path, image, plan, areas=areas, pixel_size=size)
    return replace_record(path, image, plan, areas=areas, pixel_size=size, edits=edited)


def _check_grid(path: Path, plan: Plan) -> None:
    """Edits are pixels of the working grid: refuse to lose them to another one."""
    with open_record(path) as record:
        if record.shape != plan.shape or record.source.shape != plan.source_shape:
            raise RecordError(
                f"{path} was edited by hand at scale {record.plan.factor:g}, and its edits do not fit scale "
                f"{plan.factor:g}; give that scale, or add --discard-edits to lose them."
            )


def _resume(path: Path, image: MosaicImage, segmenter: Segmenter, params: SegmentParams, job: Job) -> Record:
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
        if job.pixel_mm is not None:
            record.set_pixel_size(job.pixel_mm, origin=job.pixel_origin)
    except MosaicError:
        record.close()
        raise
    return record


def _pixel_size(path: Path, image: MosaicImage, job: Job) -> PixelSize | None:
    """The pixel size of a new record where it is not the file's: as given, or as it was confirmed for the old one."""
    if job.pixel_mm is not None:
        return given_size(job.pixel_mm, origin=job.pixel_origin)
    if not path.exists():
        return None
    with open_record(path) as old:
        return old.pixel_size if is_source(image, old.source) and old.pixel_mm is not None else None


def _check_disk(path: Path, site: Site, job: Job) -> None:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise WriteError(f"{folder} cannot be written; give a folder with -o that you may write to.")
    only = None if job.only is None else job.only.scale(site.plan.factor)
    free, need = shutil.disk_usage(folder).free, disk_bytes(site, count_blocks(site, only), USUAL)
    if need > free:
        raise WriteError(
            f"The record needs about {data_size(need)} and {folder} has {data_size(free)} free; "
            "free some space or give another place with -o."
        )
