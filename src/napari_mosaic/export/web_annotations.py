"""Outlines as Web Annotations, for viewers of IIIF: an SVG path on the photograph each, in pages.

One decision: a page is a part of the floor, not a run of numbers, so a viewer that shows a part loads few.

References
----------
W3C, Web Annotation Data Model (2017), SvgSelector; IIIF Presentation API 3.0, AnnotationPage, AnnotationCollection.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shapely.geometry.base import BaseGeometry

from napari_mosaic.export.grouped import Group, outlined_groups
from napari_mosaic.export.notes import notes_of
from napari_mosaic.export.options import AnnotationOptions
from napari_mosaic.export.outlined import rings_of
from napari_mosaic.export.svg import path_data
from napari_mosaic.measurement.table import TesseraTable, read_tesserae
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.record.tables import MATERIALS, STATES

_CONTEXT = "http://iiif.io/api/presentation/3/context.json"
_COLLECTION = "collection.json"


def write_steps(record: Record, path: Path, options: AnnotationOptions = AnnotationOptions()) -> Iterator[Progress]:  # noqa: B008
    """Write the folder `path`: `collection.json` and its pages."""
    tesserae, canvas = read_tesserae(record), options.canvas or _address(record)
    yield Progress(phase="export", done=0, total=len(tesserae), unit="tesserae")
    path.mkdir()
    pages: list[dict[str, Any]] = []
    for group in outlined_groups(record, tesserae, options.most):
        name = f"page-{len(pages) + 1:05d}.json"
        items = [
            _annotation(tesserae, row, outline, canvas)
            for row, outline in zip(group.rows.tolist(), group.outlines, strict=True)
        ]
        page = {"id": name, "type": "AnnotationPage", "partOf": {"id": _COLLECTION, "type": "AnnotationCollection"}}
        _write(path / name, {"@context": _CONTEXT, **page, "items": items})
        pages.append({"id": name, "type": "AnnotationPage", "napari_mosaic_box": _xywh(group)})
        yield group.progress
    ends = {"first": pages[0], "last": pages[-1]} if pages else {}
    collection = {
        "@context": _CONTEXT,
        "id": _COLLECTION,
        "type": "AnnotationCollection",
        "label": {"none": [f"Tesserae of {record.source.name}"]},
        "total": len(tesserae),
        **ends,
        "pages": pages,
        "napari_mosaic": notes_of(record),
    }
    _write(path / _COLLECTION, collection)


def _address(record: Record) -> str:
    """What the annotations belong to where nobody says: the photograph's address, or its name as one."""
    location = record.source.location
    return location if "://" in location else f"urn:mosaic:{quote(record.source.name)}"


def _xywh(group: Group) -> list[int]:
    y0, x0, y1, x1 = group.box
    return [x0, y0, x1 - x0, y1 - y0]


def _annotation(tesserae: TesseraTable, row: int, outline: BaseGeometry, canvas: str) -> dict[str, Any]:
    columns = tesserae.columns
    words = [MATERIALS[columns["material"][row]], STATES[columns["state"][row]]]
    text = ", ".join([f"tessera {row + 1}", *(word for word in words if word)])
    drawn = "".join(path_data(ring) for ring in rings_of(outline))
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><path fill-rule="evenodd" d="{drawn}"/></svg>'
    return {
        "id": f"{canvas}#tessera-{int(columns['id'][row])}",
        "type": "Annotation",
        "motivation": "tagging",
        "body": {"type": "TextualBody", "value": text, "format": "text/plain", "purpose": "tagging"},
        "target": {
            "type": "SpecificResource",
            "source": canvas,
            "selector": {"type": "SvgSelector", "value": svg},
        },
    }


def _write(path: Path, values: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(values, file)
