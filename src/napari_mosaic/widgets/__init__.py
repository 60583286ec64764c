"""The napari plugin: panel, readers, samples and one call for scripts.

One decision: nothing here is imported before it is asked for, so that the manifest's functions cost
nothing until they are used and a headless install never meets Qt.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "MosaicPanel": "_panel",
    "TrainDock": "_train",
    "segment_layer": "_commands",
    "segment_selected_layer": "_commands",
    "get_record_reader": "_reader",
    "get_image_reader": "_reader",
    "drawn_mosaic": "_samples",
    "gravel_ground": "_samples",
    "brick_wall": "_samples",
}

__all__ = [
    *_PUBLIC,
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
