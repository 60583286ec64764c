"""The record that a run goes into: a new one, the one to go on with, or one in the place of another.

One decision: everything that could lose work is checked before the first file is touched; what is replaced stays beside
until the new record is whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from shapely.geometry import box

from napari_mosaic.area_files import AreaSource, Grid, polygons_of_mask, read_geometry
from napari_mosaic.areas import AreaSet
from napari_mosaic.data_sizes import data_size
from napari_mosaic.engine.costs import USUAL, Site, count_blocks, disk_bytes
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.planning import Choices, asked_area, make_plan, sized
from napari_mosaic.engine.sam.plan import MaskPlan
from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.engine.views import PLAIN
from napari_mosaic.errors import MosaicError, RecordError, WriteError
from napari_mosaic.image import MosaicImage, PixelSize, background_mask
from napari_mosaic.image.pixel_size import given_size
from napari_mosaic.objects import as_place, is_remote
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import Plan, Record, check_source, create_record, open_record
from napari_mosaic.record.file_mask import FileMask, read_valid_level
from napari_mosaic.record.journaled import has_edits
from napari_mosaic.record.metadata import is_source, is_there
from napari_mosaic.record.replacing import edited_record, replace_record
from napari_mosaic.record.sam2 import Sam2Files
from napari_mosaic.record_names import record_place
from napari_mosaic.request import RunRequest, SegmentParams
from napari_mosaic.sam.params import SamParams
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.weights import find_weights, hash_of, name_of

_Kind = Literal["region", "exclude"]
_OF_SAM = "sam."
"""What names of SAM 2's settings begin with in `RunRequest.given`."""
_SAME = 1e-3
"""Part of an area that rounding its corners in a file may move."""


def output_path(image: MosaicImage, output: str | Path | None) -> Path:
    """Where the record of an image goes: `output`, inside of it if it is a folder, or beside the image."""
    return record_place(image.source.location, image.name, None if output is None else as_place(output))


def initial_areas(image: MosaicImage, region: AreaSource | None = None, exclude: AreaSource | None = None) -> AreaSet:
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
    domain = Domain(image, areas or AreaSet(), 1.0)
    rules = params.tesserae
    if params.temperature == "auto":
        rules = replace(rules, temperature=segmenter.temperature)
    choices = Choices(method=params.method, scale=params.scale, tesserae=rules, quality=params.quality)
    return make_plan(image, segmenter, domain, choices)


def set_up_record(
    path: Path,
    image: MosaicImage,
    segmenter: Segmenter,
    params: SegmentParams,
    request: RunRequest,
    check: Callable[[Plan], object] = lambda plan: None,
) -> Steps[Record]:
    """Open the record to go on with, or make a new one, if `check` does not refuse its plan."""
    if not is_remote(path) and path.exists() and not path.is_dir():
        raise RecordError(f"{path} is a file and no mosaic record, so it is not replaced; give another place with -o.")
    if is_there(path) and request.resume:
        return _resume(path, image, segmenter, request)
    if is_there(path) and not request.overwrite:
        raise RecordError(
            f"{path} exists already; add --resume to go on with it, --overwrite to replace it, or another -o."
        )
    yield Progress(phase="preparing", done=0, total=1, unit="", message="finding the size of the tesserae")
    areas = initial_areas(image, request.region, request.exclude)
    plan = plan_segmentation(image, segmenter, params, areas)
    check(plan)
    _check_disk(path, Site(plan, areas, FileMask(read_valid_level(image), image.shape), params.tile_size), request)
    edited = edited_record(path) if is_there(path) and not request.discard_edits else None
    if edited is not None and has_edits(edited):
        _check_grid(edited, plan)
    else:
        edited = None
    size = _pixel_size(edited or path, image, request)
    if not is_there(path):
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


def as_begun(path: Path, params: SegmentParams, request: RunRequest, *, check: bool = True) -> SegmentParams:
    """The parameters of a run that goes on: with the runtime and precision that its record was begun with.

    A model that is asked for by the name that the record knows is the one that it was begun with, where that is here
    under any name: the default has become another since.

    Raises
    ------
    RecordError
        With `check`: something else is asked for than the record was begun with; see `check_asked`.
    """
    if not (request.resume and is_there(path)):
        return params
    with open_record(path) as record:
        plan = record.plan
        if params.model == plan.model and _sha256(params.model) not in ("", plan.model_sha256):
            params = replace(params, model=name_of(plan.model_sha256) or params.model)
        if check:
            check_asked(record, params, request)
        begun: Any = {"runtime": record.plan.runtime, "precision": record.plan.precision}
    return replace(params, **begun)


def begun_sam(path: Path, request: RunRequest) -> SamParams | None:
    """SAM 2's settings: as asked for, else those that the record of a run that goes on was begun with."""
    asked = request.sam
    given = {name.removeprefix(_OF_SAM) for name in request.given if name.startswith(_OF_SAM)}
    if not (request.resume and is_there(path)) or (asked is not None and not given):
        return asked
    with open_record(path) as record:
        values = Sam2Files(record).read_plan()
    if values is None:
        return asked
    begun = replace(MaskPlan.from_json(values).params, device="auto")
    return begun if asked is None else replace(begun, **{name: getattr(asked, name) for name in given})


def check_asked(record: Record, params: SegmentParams, request: RunRequest) -> None:
    """Refuse to go on with a record that was begun with other settings than are asked for.

    Method and model are always asked for; of all else, what `given` names or differs from its default. What cannot
    reach a record that is gone on with would be left aside otherwise, and its figures be those of other rules or
    another region.

    Raises
    ------
    RecordError
        It was begun by another method or model, at another scale, in another precision, with other rules or in other
        areas.
    """
    for name, (found, wanted) in record.plan.differences(_plan_asked(record.plan, params, request.given)).items():
        word = "scale" if name == "factor" else name.replace("_", "-")
        if name == "min_area":
            found, wanted = asked_area(found, record.plan.tessera_px), params.min_area
        if name == "views":
            word, wanted = "quality", params.quality
            found = "best" if wanted == "quick" else "quick"
        raise _begun_otherwise(record.path, f"{word} {_shown(found)}, not {_shown(wanted)}")
    areas: dict[_Kind, AreaSource | None] = {"region": request.region, "exclude": request.exclude}
    for kind, source in areas.items():
        if source is not None and not _is_area(record, kind, source):
            given = source if isinstance(source, str | Path) else "the one that is given"
            raise _begun_otherwise(record.path, f"another {kind} than {given}")


def _plan_asked(plan: Plan, params: SegmentParams, given: frozenset[str]) -> Plan:
    """A record's plan with what is asked for in it; `given` are names of what is although it is the default."""
    asked: dict[str, Any] = {"method": params.method}
    best, begun_best = params.quality == "best", plan.views != (PLAIN,)
    if best != begun_best and (best or "quality" in given):
        asked["views"] = params.quality
    if not isinstance(params.scale, str) and not np.isclose(params.scale, plan.factor):
        asked["factor"] = params.scale
    if plan.model_sha256:  # what has no model runs in one way only
        if _sha256(params.model) not in ("", plan.model_sha256):
            asked["model"] = params.model
        exactly = {"runtime": params.runtime, "precision": params.precision}
        asked |= {name: value for name, value in exactly.items() if value != "auto"}
    wanted, usual = (asdict(sized(rules, plan.tessera_px)) for rules in (params.tesserae, TesseraParams()))
    rules = {name: value for name, value in wanted.items() if name in given or value != usual[name]}
    if params.temperature != "auto":
        rules["temperature"] = params.temperature
    return replace(plan, **asked, tesserae=replace(plan.tesserae, **rules))


def _begun_otherwise(path: Path, how: str) -> RecordError:
    return RecordError(
        f"{path} was begun with {how}; give the same to go on with it, or add --overwrite to begin again."
    )


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sha256(model: str) -> str:
    """What records know a model by; empty where its file is not here, `MissingError` where it is not known."""
    entry = find_weights(model)
    return hash_of(entry) if entry.path is not None else ""


def _is_area(record: Record, kind: _Kind, source: AreaSource) -> bool:
    """Whether a record was kept to an area; one whose areas may have been edited since is believed."""
    if has_edits(record.path):
        return True
    height, width = record.plan.source_shape
    frame = box(0, 0, width, height)
    grid = Grid(shape=(height, width), crs=record.crs, affine=record.affine)
    given = read_geometry(source, grid, what=kind).intersection(frame)
    found = record.areas.of(kind).intersection(frame)
    return bool(given.symmetric_difference(found).area <= _SAME * given.area)


def _resume(path: Path, image: MosaicImage, segmenter: Segmenter, request: RunRequest) -> Record:
    record = open_record(path, writable=True)
    try:
        check_source(image, record.source, path)
        if record.plan.model_sha256 != segmenter.sha256:
            raise _begun_otherwise(path, f"model {record.plan.model}, not {segmenter.name}")
        if request.pixel_mm is not None:
            record.set_pixel_size(request.pixel_mm, origin=request.pixel_origin)
    except MosaicError:
        record.close()
        raise
    return record


def _pixel_size(path: Path, image: MosaicImage, request: RunRequest) -> PixelSize | None:
    """The pixel size of a new record where it is not the file's: as given, or as it was confirmed for the old one."""
    if request.pixel_mm is not None:
        return given_size(request.pixel_mm, origin=request.pixel_origin)
    if not is_there(path):
        return None
    with open_record(path) as old:
        return old.pixel_size if is_source(image, old.source) and old.pixel_mm is not None else None


def _check_disk(path: Path, site: Site, request: RunRequest) -> None:
    if is_remote(path):  # a store has no end, and says when it refuses
        return
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise WriteError(f"{folder} cannot be written; give a folder with -o that you may write to.")
    only = None if request.only is None else request.only.scale(site.plan.factor)
    free, need = shutil.disk_usage(folder).free, disk_bytes(site, count_blocks(site, only), USUAL)
    if need > free:
        raise WriteError(
            f"The record needs about {data_size(need)} and {folder} has {data_size(free)} free; "
            "free some space or give another place with -o."
        )
