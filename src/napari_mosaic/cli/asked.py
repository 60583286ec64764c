"""Whether a record that is there is what a command asks for.

One decision: what is given on the command line and cannot reach a record that is gone on with is refused, not left
aside: its figures would be those of another method, other rules or another region, with nothing to tell it.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from shapely.geometry import box

from napari_mosaic.area_files import Grid, read_geometry
from napari_mosaic.engine.planning import sized
from napari_mosaic.errors import RecordError
from napari_mosaic.record import Record
from napari_mosaic.record.journaled import has_edits
from napari_mosaic.request import SegmentParams
from napari_mosaic.tesserae import TesseraParams

SAME = 1e-3
"""Part of an area that rounding its corners in a file may move."""


def check_asked(record: Record, params: SegmentParams, *, region: Path | None, exclude: Path | None) -> None:
    """Refuse a record that was made with other settings than are given now; what is left at its default asks nothing.

    Raises
    ------
    RecordError
        It was made by another method or model, at another scale, with other rules or in another region.
    """
    plan = record.plan
    if params.method != plan.method:
        raise _other(record, f"by the method {plan.method}, not {params.method}")
    if params.method == "grout" and _sha256(params.model) not in ("", plan.model_sha256):
        raise _other(record, f"by the model {plan.model}, not {params.model}")
    if not isinstance(params.scale, str) and abs(params.scale - plan.factor) > 1e-6:
        raise _other(record, f"at scale {plan.factor:g}, not {params.scale:g}")
    asked = sized(params.tesserae, plan.tessera_px)
    usual = sized(SegmentParams().tesserae, plan.tessera_px)
    for name in (field.name for field in fields(TesseraParams)):
        wanted, found = getattr(asked, name), getattr(plan.tesserae, name)
        given = params.temperature != "auto" if name == "temperature" else wanted != getattr(usual, name)
        if given and wanted != found:
            raise _other(record, f"with {name.replace('_', '-')} {found:g}, not {wanted:g}")
    for kind, source in (("region", region), ("exclude", exclude)):
        if source is not None and not _is_area(record, kind, source):
            raise _other(record, f"with another {kind} than {source}")


def _other(record: Record, how: str) -> RecordError:
    return RecordError(
        f"{record.path} was made {how}; leave that out to take it as it is, or add --overwrite to segment again."
    )


def _sha256(model: str) -> str:
    """What records know a model by; `MissingError` where there is none of that name."""
    from napari_mosaic.weights import find_weights, hash_of

    entry = find_weights(model)
    return hash_of(entry) if entry.path is not None else ""


def _is_area(record: Record, kind: str, source: Any) -> bool:
    """Whether a record was kept to an area; one whose areas may have been edited since is believed."""
    if has_edits(record.path):
        return True
    height, width = record.plan.source_shape
    frame = box(0, 0, width, height)
    grid = Grid(shape=(height, width), crs=record.crs, affine=record.affine)
    given = read_geometry(source, grid, what=kind).intersection(frame)
    found = record.areas.of(kind).intersection(frame)
    return bool(given.symmetric_difference(found).area <= SAME * given.area)


__all__ = ["check_asked"]
