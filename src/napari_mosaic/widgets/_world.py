"""The world of a viewer in the size of one photograph: what lies on it is scaled with it.

One decision: the whole world is scaled about its origin, so all that belongs together stays together:

- the photograph, the layers of its record and of our docks, and what a person drew over it (points, shapes, labels,
  whatever is no picture) take the new size and its unit;
- other pictures, and layers of other records, whose unit is a pixel are scaled by the same factor, so what somebody
  laid over the photograph stays there, but keep the pixel as their unit: nobody has said how large theirs are;
- what has a length of its own stays: another photograph in mm, and what is drawn in the unit of one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.transforms import Affine

from napari_mosaic.image.arrays import to_mm
from napari_mosaic.widgets._napari import camera_of
from napari_mosaic.widgets._sources import RECORD, is_photograph

if TYPE_CHECKING:
    from napari import Viewer

PIXEL = "pixel"


def layer_mm(layer: Layer) -> float | None:
    """Edge of a pixel of a layer in mm; None where its unit is no length. Of oblong pixels the root of the area."""
    unit = to_mm(layer.units[-1])
    return None if unit is None else unit * _edge(layer)


def rescale_world(viewer: Viewer, photograph: Layer, mm: float | None, record: str = "") -> float:
    """Give a photograph's layer the size of its pixels, and take along what lies on it.

    Parameters
    ----------
    viewer
        Where the layers are; its camera goes along, so the picture on the screen stays.
    photograph
        The layer of the photograph.
    mm
        Edge of its pixels in mm; None for a world in pixels.
    record
        The record of the photograph, as its layers name it.

    Returns
    -------
    float
        By how much the world has grown; 1.0 where it was in that size already.
    """
    old = photograph.units[-1]
    length = to_mm(old)
    if mm is None and length is None:
        return 1.0
    unit: Any = PIXEL if mm is None else (old if length is not None else "mm")
    edge = 1.0 if mm is None else mm / (to_mm(unit) or 1.0)
    ratio = edge / _edge(photograph)
    same = str(unit) == str(old)
    if same and abs(ratio - 1) < 1e-9:
        return 1.0
    others = [layer for layer in viewer.layers if layer is not photograph and str(layer.units[-1]) == str(old)]
    mine = [photograph, *(layer for layer in others if _lies_on(layer, photograph, record, viewer.layers))]
    for layer in mine:
        _scale(layer, ratio, unit)
    for layer in others:
        if length is None and layer not in mine:
            _scale(layer, ratio, layer.units[-1])
    _turn_camera(viewer, ratio)
    return float(ratio)


def _lies_on(layer: Layer, photograph: Layer, record: str, layers: Collection[Layer]) -> bool:
    """Whether a layer belongs to the photograph: ours of its record and of our docks, and what is drawn over it."""
    known = layer.metadata.get(RECORD)
    if known is not None:
        return not str(known).endswith(".zarr") or str(known) == record
    if isinstance(layer, Image):
        return False
    others = [other for other in layers if is_photograph(other) and other is not photograph]
    if to_mm(photograph.units[-1]) is None or all(to_mm(other.units[-1]) is None for other in others):
        return True
    ours = [other for other in layers if other is photograph or other.metadata.get(RECORD) == record]
    return any(np.allclose(layer.scale[-2:], other.scale[-2:], rtol=1e-6) for other in ours)


def _edge(layer: Layer) -> float:
    return float(np.sqrt(np.prod(np.abs(np.asarray(layer.scale, float)[-2:]))))


def _scale(layer: Layer, ratio: float, unit: Any) -> None:
    """Scale a layer about the origin of the world; what listens to `scale` finds all but the unit as it will be."""
    place = layer.affine
    if not np.allclose(place.translate[-2:], 0):
        grown = np.asarray(place.translate, float).copy()
        grown[-2:] *= ratio
        layer.affine = Affine(linear_matrix=place.linear_matrix, translate=grown)
    shift, scale = np.asarray(layer.translate, float).copy(), np.asarray(layer.scale, float).copy()
    shift[-2:] *= ratio
    scale[-2:] *= ratio
    layer.translate = shift
    layer.scale = scale
    if str(layer.units[-1]) != str(unit):
        layer.units = (*layer.units[:-2], unit, unit)


def _turn_camera(viewer: Viewer, ratio: float) -> None:
    """Show the same part of the world as before."""
    camera = camera_of(viewer)
    centre = camera.center
    camera.center = (*centre[:-2], centre[-2] * ratio, centre[-1] * ratio)
    camera.zoom /= ratio
