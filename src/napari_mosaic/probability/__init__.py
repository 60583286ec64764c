"""Maps of probabilities as files: written, read back, made honest, joined, and their spread.

One decision: a map is a grid of numbers from 0 to 1 that is read by box, whether it lies in a record or
in a file, so that no step ever holds the whole of it.
"""

from napari_mosaic.confidence import temperature_scale
from napari_mosaic.probability.augmentation import AugmentParams, augment_record, augment_record_steps
from napari_mosaic.probability.calibration import (
    Calibration,
    calibrate,
    calibrate_finished_steps,
    calibrate_steps,
    read_calibration,
    write_calibration,
)
from napari_mosaic.probability.maps import (
    WAYS,
    ProbabilityGrid,
    export_probabilities,
    fuse_maps,
    fuse_maps_steps,
    open_map,
    write_map_steps,
)

soften = temperature_scale
"""Its name before."""

__all__ = [
    "WAYS",
    "AugmentParams",
    "Calibration",
    "ProbabilityGrid",
    "augment_record",
    "augment_record_steps",
    "calibrate",
    "calibrate_finished_steps",
    "calibrate_steps",
    "export_probabilities",
    "fuse_maps",
    "fuse_maps_steps",
    "open_map",
    "read_calibration",
    "soften",
    "temperature_scale",
    "write_calibration",
    "write_map_steps",
]
