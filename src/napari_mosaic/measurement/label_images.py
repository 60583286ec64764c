"""Shapes and neighbours of the tesserae of a label image that fits in memory: a crop, a drawing, an array of one's own.

One decision: the same functions measure here as in a record, so what is tried on an array holds for a floor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.measurement.andamento import Shapes
from napari_mosaic.measurement.joints import OFFSETS, joint_borders
from napari_mosaic.measurement.moments import moments
from napari_mosaic.measurement.neighbours import Neighbours, join_borders
from napari_mosaic.measurement.rectangles import least_rectangles


def measure_labels(labels: NDArray[Any]) -> tuple[NDArray[Any], Shapes, Neighbours]:
    """Ids, shapes and neighbours of the tesserae of a label image, in order of ids.

    Parameters
    ----------
    labels
        `(h, w)` whole numbers, 0 for no tessera; tesserae of some 12 to 60 px: joints are looked across up to
        `joints.WIDEST` px.
    """
    found = ndimage.find_objects(labels)
    ids = np.array([k + 1 for k, box in enumerate(found) if box is not None], labels.dtype)
    boxes = np.array([(b[0].start, b[1].start, b[0].stop, b[1].stop) for b in found if b is not None], np.int64)
    boxes = boxes.reshape(-1, 4)
    sums = moments(labels, ids, boxes)
    area = np.maximum(sums[:, 0], 1)
    y, x = sums[:, 1] / area + boxes[:, 0] + 0.5, sums[:, 2] / area + boxes[:, 1] + 0.5
    rectangles = least_rectangles(labels, ids, boxes)
    shapes = Shapes(np.column_stack([x, y]), sums[:, 0], rectangles[:, :2], rectangles[:, 2])
    _, _, of, to, facing, width = joint_borders(labels, ids, boxes, OFFSETS)
    edges = (of, np.searchsorted(ids, to), facing, width)
    return ids, shapes, join_borders(len(ids), [edges])
