"""Photographs of mosaics into data: every tessera and all the joints, at any size.

One decision: the public names are loaded from one table when they are first used, so that importing
the package costs nothing and pulls in neither torch nor Qt.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mosaic.errors import MosaicError
    from napari_mosaic.export import export_record
    from napari_mosaic.image import open_image
    from napari_mosaic.metrics import evaluate_labels
    from napari_mosaic.record import Record, open_record, relink
    from napari_mosaic.segmentation import (
        SegmentParams,
        estimate_run,
        lazy_tesserae,
        preview_tesserae,
        segment,
        segment_steps,
    )
    from napari_mosaic.synthetic import draw_mosaic
    from napari_mosaic.tesserae import TesseraParams, find_tesserae

_PUBLIC = {
    "MosaicError": "errors",
    "Record": "record",
    "SegmentParams": "segmentation",
    "TesseraParams": "tesserae",
    "draw_mosaic": "synthetic",
    "estimate_run": "segmentation",
    "evaluate_labels": "metrics",
    "export_record": "export",
    "find_tesserae": "tesserae",
    "lazy_tesserae": "segmentation",
    "open_image": "image",
    "open_record": "record",
    "preview_tesserae": "segmentation",
    "relink": "record",
    "segment": "segmentation",
    "segment_steps": "segmentation",
}

__all__ = [
    "MosaicError",
    "Record",
    "SegmentParams",
    "TesseraParams",
    "draw_mosaic",
    "estimate_run",
    "evaluate_labels",
    "export_record",
    "find_tesserae",
    "lazy_tesserae",
    "open_image",
    "open_record",
    "preview_tesserae",
    "relink",
    "segment",
    "segment_steps",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
