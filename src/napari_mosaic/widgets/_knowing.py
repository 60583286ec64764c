"""What is known of a photograph, of a run before it begins, and of a record: for the threads that docks ask on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_mosaic.engine.sam.costs import MaskAmount, count_masks
from napari_mosaic.engine.sam.methods import mask_mode
from napari_mosaic.engine.sam.plan import MaskPlan
from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.estimating import estimate_run
from napari_mosaic.files import read_object
from napari_mosaic.image.georeference import crs_name, in_degrees
from napari_mosaic.image.layers import layer_size
from napari_mosaic.record import Record, open_record
from napari_mosaic.record.finished import finished_boxes, mark_finished
from napari_mosaic.record.label_layer import SAM2
from napari_mosaic.record.plan import PLAIN
from napari_mosaic.record.sam2 import WORK, Sam2Files
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.params import SamParams
from napari_mosaic.tesserae import Flag
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._facts import EstimateFacts, RecordFacts, SizeFacts, SourceFacts
from napari_mosaic.widgets._sources import open_layer
from napari_mosaic.widgets._tuning import tuning_of


def look_at(layer: Any) -> tuple[SourceFacts, SizeFacts]:
    """What is known of a layer's photograph."""
    with open_layer(layer) as image:
        size = image.pixel_size
        note = "" if size is not None else layer_size(layer)[1]
        facts = SourceFacts(
            name=layer.name,
            shape=image.shape,
            location=image.source.location,
            note=note,
            crs=crs_name(image.crs),
            degrees=in_degrees(image.crs),
            affine=image.affine if image.crs else None,
        )
        if size is None:
            return facts, SizeFacts()
        return facts, SizeFacts(pixel_mm=size.mm, confirmed=size.confirmed, origin=size.origin)


def estimate(
    layer: Any,
    params: SegmentParams,
    place: Path,
    sam: SamParams | None = None,
    region: Any = None,
    exclude: Any = None,
) -> EstimateFacts:
    """What a run over all that is left of a layer would cost; with `sam`, also how much SAM 2 would be asked."""
    with open_layer(layer) as image:
        found = estimate_run(image, params, output=place, resume=place.exists(), region=region, exclude=exclude)
    stone = None if found.tessera_px is None else found.tessera_px / found.factor
    facts = EstimateFacts(
        seconds=found.seconds, disk=found.bytes_on_disk, tessera_px=stone, factor=found.factor, costs=found.costs
    )
    return facts if sam is None or found.costs is None else _with_masks(facts, place, mask_mode(params.method), sam)


def _with_masks(facts: EstimateFacts, place: Path, mode: str, sam: SamParams) -> EstimateFacts:
    """The cost with SAM 2's part that is left; what took how long so far is in the record."""
    try:
        amount = count_masks(facts.costs.site, mode, sam)
    except InputError:  # the run says what is wrong
        return facts
    work = read_object(place / WORK)
    if not work or not work.get("windows"):
        return replace(facts, masks=amount)
    done = min(1.0, work["windows"] / max(1, amount.windows))
    left = MaskAmount(max(0, amount.windows - work["windows"]), round(amount.prompts * (1 - done)))
    return replace(facts, masks=left, mask_seconds=left.windows * work["seconds"] / work["windows"])


def cost_of(facts: EstimateFacts, box: Box) -> tuple[float, int]:
    """Seconds and bytes of a run kept to a box in pixels of the photograph."""
    seconds, size = facts.costs.of(box.scale(facts.factor))
    return float(seconds), int(size)


def read_facts(path: Path, labels: str | None = None) -> RecordFacts:
    """What a record holds; of `labels`, by default of those that its method was asked for."""
    with open_record(path) as record:
        return record_facts(record, labels)


def record_facts(record: Record, labels: str | None = None) -> RecordFacts:
    """What an open record holds; of `labels`, by default of those that its method was asked for."""
    flags = record.table(["flags"])["flags"].to_numpy()
    done = record.ledger.done("tesserae")
    size = record.pixel_size
    counted, begun = record.with_labels(labels), mask_plan_of(record)
    figures = counted.figures()
    masks = record.label_layer(SAM2)
    return RecordFacts(
        path=record.path,
        figures=figures,
        labels=counted.tesserae.name,
        count=figures.count,
        complete=record.complete,
        method=record.plan.method,
        quality="quick" if record.plan.views == (PLAIN,) else "best",
        model=record.plan.model,
        sam=None if begun is None else begun.params,
        masks=masks.count if masks.exists else None,
        factor=record.plan.factor,
        covered_px=float(sum(record.plan.shards.tile(index).core.area for index in done)),
        flagged=int(np.count_nonzero(flags & int(Flag.OVERSIZED))),
        pixel_mm=None if size is None else size.mm,
        pixel_confirmed=size is not None and size.confirmed,
        pixel_origin="" if size is None else size.origin,
        tuning=tuning_of(record),
    )


def mask_plan_of(record: Record) -> MaskPlan | None:
    """What SAM 2 was begun with in a record; None where it was not asked, or nobody can say."""
    try:
        begun = Sam2Files(record).read_plan()
        return None if begun is None else MaskPlan.from_json(begun)
    except MosaicError:  # whoever goes on with it says what is wrong
        return None


def finished_windows(path: Path) -> int:
    """How many windows of a record are marked as finished."""
    with open_record(path) as record:
        return len(finished_boxes(record))


def mark_window(path: Path, box: Box) -> int:
    """Mark a box of source pixels as finished; returns how many windows are."""
    with open_record(path, writable=True) as record:
        return len(mark_finished(record, box))
