"""A record as napari's layer data: its own arrays, lazily, in place and scale."""

from __future__ import annotations

from typing import Any

from napari_mosaic.record.layer_features import read_features
from napari_mosaic.record.map_layer import Channel
from napari_mosaic.record.readable import ReadableRecord

LayerData = tuple[Any, dict[str, Any], str]


def layers_of(record: ReadableRecord) -> list[LayerData]:
    """The joints and the tesserae; see `Record.layers`."""
    mm, name = record.pixel_mm, record.metadata.source.name
    pixel = 1.0 if mm is None else mm
    scale = pixel / record.plan.factor
    shift = scale / 2 - pixel / 2
    shared = {
        "multiscale": True,
        "scale": (scale, scale),
        "translate": (shift, shift),
        "units": ("pixel", "pixel") if mm is None else ("mm", "mm"),
        "metadata": {"mosaic_record": str(record.path)},
    }
    joints = {
        "name": f"{name} joints",
        "contrast_limits": (0, 255),
        "colormap": "magma",
        "blending": "additive",
        "opacity": 0.6,
        "visible": False,
    }
    labels = {"name": f"{name} {record.tesserae.name}", "opacity": 0.5, "features": read_features(record).columns}
    return [
        ([Channel(level, 0) for level in record.map.levels], {**joints, **shared}, "image"),
        (list(record.tesserae.levels), {**labels, **shared}, "labels"),
    ]
