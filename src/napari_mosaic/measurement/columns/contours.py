"""Columns of the outline's shape.

One decision: outlines are traced once a window, whatever columns ask for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.measurement.contours import HARMONICS, count_corners, fourier_descriptors
from napari_mosaic.measurement.registry import column
from napari_mosaic.measurement.view import View

Array = NDArray[Any]


@column(unit="1", source="labels", digits=None)
def corners(view: View) -> Array:
    """Corners of the outline, once what is small against the tessera is straightened."""
    return count_corners(view.rings)


def _descriptor(place: int, harmonic: int) -> None:
    def measure(view: View) -> Array:
        return np.asarray(fourier_descriptors(view.rings)[:, place])

    measure.__doc__ = f"Fourier descriptor of harmonic {harmonic} of the outline: 0 for a circle."
    column(unit="1", source="labels", digits=4, name=f"fourier_{harmonic}")(measure)


for _place, _harmonic in enumerate(HARMONICS):
    _descriptor(_place, _harmonic)
