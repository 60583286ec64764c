"""The picture that a learning model is asked about, as two layers beside everything else."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image

from napari_mosaic.widgets._sources import RECORD
from napari_mosaic.widgets._train.runs import SamplePrediction

PICTURE, JOINTS = "training sample", "training sample joints"


def show_sample(viewer: Any, sample: SamplePrediction) -> None:
    """Add the two layers, left of what the viewer shows, or renew them."""
    present = {layer.name: layer for layer in viewer.layers if layer.metadata.get(RECORD) == PICTURE}
    if PICTURE not in present:
        place = _place(viewer, sample.image.shape[1])
        meta: dict[str, Any] = {"metadata": {RECORD: PICTURE}, **place}
        viewer.add_layer(Image(sample.image, name=PICTURE, rgb=True, **meta))
    elif present[PICTURE].data.shape != sample.image.shape or np.any(present[PICTURE].data != sample.image):
        present[PICTURE].data = sample.image
    if JOINTS in present:
        present[JOINTS].data = sample.joints
        return
    meta = {"metadata": {RECORD: PICTURE}, **_same(viewer.layers[PICTURE])}
    looks: dict[str, Any] = {"colormap": "magenta", "blending": "additive", "opacity": 0.6, "contrast_limits": (0, 255)}
    viewer.add_layer(Image(sample.joints, name=JOINTS, **looks, **meta))


def _place(viewer: Any, width: int) -> dict[str, Any]:
    """Scale, units and translation of a picture of `width` px to the left of all layers."""
    if not len(viewer.layers):
        return {}
    first = viewer.layers[0]
    scale = first.scale[-2:]
    top, left = viewer.layers.extent.world[0][-2:]
    return {"scale": scale, "units": first.units[-2:], "translate": (top, left - 1.1 * width * scale[1])}


def _same(layer: Image) -> dict[str, Any]:
    return {"scale": layer.scale, "units": layer.units, "translate": layer.translate}
