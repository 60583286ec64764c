"""The napari plugin: panel, readers, samples and one call for scripts.

One decision: nothing here is imported before it is asked for, so that the manifest's functions cost
nothing until they are used and a headless install never meets Qt.
"""

from __future__ import annotations

from napari_mosaic._lazy import lazy_names

_PUBLIC = {
    "CheckDock": "_check.dock",
    "EvaluateDock": "_evaluate.dock",
    "MeasureDock": "_measure.dock",
    "MosaicPanel": "_panel.dock",
    "TrainDock": "_train.dock",
    "TuneDock": "_tune.dock",
    "EditDock": "_edit.dock",
    "SamDock": "_sam.dock",
    "colour_by_feature": "_features",
    "segment_this_layer": "_functions",
    "export_tesserae": "_functions",
    "preview_tesserae": "_functions",
    "segment_layer": "_commands",
    "segment_selected_layer": "_commands",
    "segment_selected_guided": "_commands",
    "segment_selected_sam2": "_commands",
    "get_record_reader": "_reader",
    "get_area_reader": "_reader",
    "get_image_reader": "_reader",
    "export_selected_layer": "_writer",
    "write_tesserae": "_writer",
    "write_copy": "_writer",
    "write_zarr": "_writer",
    "write_geopackage": "_writer",
    "write_table": "_writer",
    "write_record_copy": "_writer",
    "write_record_outlines": "_writer",
    "drawn_mosaic": "_reader",
    "brick_wall": "_reader",
}

__all__ = [
    *_PUBLIC,
]


__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
