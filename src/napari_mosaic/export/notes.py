"""What an export says of itself: how its tesserae came to be, for whoever publishes them.

One decision: the same words in every format that has a place for them; a CSV has none, so they lie beside it, named as
the W3C's "CSV on the Web" names them.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from shapely.geometry import mapping

from napari_mosaic.editing import describe_report, report
from napari_mosaic.export.region import RegionRecord
from napari_mosaic.files import write_json
from napari_mosaic.record import Record
from napari_mosaic.record.label_layer import TESSERAE
from napari_mosaic.record.shown import model_of_masks

SUFFIX = "-metadata.json"
_CSVW = "http://www.w3.org/ns/csvw"


def notes_of(record: Record) -> dict[str, Any]:
    """Software, photograph, method, how many tesserae were found, merged and so on, and the figures of the record.

    `journal` says how many entries the journal of edits had: whoever brings the export back tells by it what was edited
    since. `region` is the part that was asked for, `(x, y)` in source pixels; without it the export is of the whole.
    """
    found = report(record)
    counts = {name: getattr(found, name) for name in _COUNTS}
    try:
        version = importlib.metadata.version("napari-mosaic")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    region = {"region": mapping(record.region)} if isinstance(record, RegionRecord) else {}
    return {
        "software": f"napari-mosaic {version}",
        "photograph": record.source.name,
        "rights": record.source.rights,
        "method": record.plan.method,
        "model": record.plan.model,
        **_masks(record),
        "edited": describe_report(found),
        **counts,
        "journal": len(record.journal),
        **region,
        "looked_at": record.figures().to_json(),
    }


def _masks(record: Record) -> dict[str, Any]:
    """Which labels they are where they are not the tesserae, and the model of SAM 2 that made them, if one did."""
    name, model = record.tesserae.name, model_of_masks(record)
    return ({} if name == TESSERAE else {"labels": name}) | ({} if model is None else {"sam2_model": model})


_COUNTS = ("tesserae", "machine", "imported", "merged", "split", "drawn", "reshaped", "deleted", "assigned", "edits")


def write_beside(record: Record, path: Path) -> None:
    """Write the notes of the table at `path` beside it, whole or not at all."""
    place = path.with_name(path.name + SUFFIX)
    values = {"@context": _CSVW, "url": path.name, "notes": [notes_of(record)]}
    write_json(place, values, sync=False)
