"""Photographs of mosaics into data: every tessera and all the joints, at any size.

One decision: the public names are loaded from one table when they are first used, so that importing
the package costs nothing and pulls in neither torch nor Qt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mosaic._lazy import lazy_names

if TYPE_CHECKING:
    from napari_mosaic.engine.own_methods import register_method
    from napari_mosaic.errors import MosaicError
    from napari_mosaic.estimating import estimate_run, estimate_runs
    from napari_mosaic.evaluation import (
        compare_predictions,
        estimate_error,
        evaluate_files,
        evaluate_folders,
        propose_squares,
    )
    from napari_mosaic.export import export_record
    from napari_mosaic.image import open_image
    from napari_mosaic.measurement.features import feature_table
    from napari_mosaic.measuring import measure
    from napari_mosaic.metrics import evaluate_labels
    from napari_mosaic.probability import augment_record, calibrate, export_probabilities, fuse_maps
    from napari_mosaic.record import Record, open_record, relink
    from napari_mosaic.rectifying import RectifyParams, rectify
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.segmentation import lazy_tesserae, preview_tesserae, segment, segment_steps
    from napari_mosaic.synthetic import draw_mosaic
    from napari_mosaic.tesserae import TesseraParams, find_tesserae
    from napari_mosaic.tuning import tune

_PUBLIC = {
    "MosaicError": "errors",
    "Record": "record",
    "RectifyParams": "rectifying",
    "SegmentParams": "request",
    "TesseraParams": "tesserae",
    "augment_record": "probability",
    "calibrate": "probability",
    "compare_predictions": "evaluation",
    "draw_mosaic": "synthetic",
    "estimate_error": "evaluation",
    "estimate_run": "estimating",
    "estimate_runs": "estimating",
    "evaluate_files": "evaluation",
    "evaluate_folders": "evaluation",
    "evaluate_labels": "metrics",
    "export_probabilities": "probability",
    "export_record": "export",
    "feature_table": "measurement.features",
    "find_tesserae": "tesserae",
    "fuse_maps": "probability",
    "lazy_tesserae": "segmentation",
    "measure": "measuring",
    "open_image": "image",
    "open_record": "record",
    "preview_tesserae": "segmentation",
    "propose_squares": "evaluation",
    "rectify": "rectifying",
    "register_method": "engine.own_methods",
    "relink": "record",
    "segment": "segmentation",
    "segment_steps": "segmentation",
    "tune": "tuning",
}

__all__ = [
    "MosaicError",
    "Record",
    "RectifyParams",
    "SegmentParams",
    "TesseraParams",
    "augment_record",
    "calibrate",
    "compare_predictions",
    "draw_mosaic",
    "estimate_error",
    "estimate_run",
    "estimate_runs",
    "evaluate_files",
    "evaluate_folders",
    "evaluate_labels",
    "export_probabilities",
    "export_record",
    "feature_table",
    "find_tesserae",
    "fuse_maps",
    "lazy_tesserae",
    "measure",
    "open_image",
    "open_record",
    "preview_tesserae",
    "propose_squares",
    "rectify",
    "register_method",
    "relink",
    "segment",
    "segment_steps",
    "tune",
]


__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
