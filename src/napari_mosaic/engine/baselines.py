"""Methods to compare with: what the literature used, behind the same door as the network.

One decision: a baseline gives a map like any method and goes through the same lattice, record and tessera
pass, so that a comparison compares the methods and nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.classical.edges import edge_map
from napari_mosaic.classical.gradient import REACH, TESSERA_PX, gradient_map
from napari_mosaic.classical.quadrangles import quadrangle_map
from napari_mosaic.engine.segmenters import FunctionSegmenter, Network, Windows


class NetworkWithoutCore(Network):
    """The network's joints alone: tesserae are parted by the distance to a joint, as a watershed does.

    References
    ----------
    Felicetti, Paolanti, Zingaretti, Pierdicca and Malinverni, Mo.Se.: mosaic image segmentation based on
    deep cascading learning, Virtual Archaeology Review 12 (2021).

    """

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.channels = 1

    def predict(self, windows: Windows) -> NDArray[np.uint8]:
        """Maps of the joints of a batch of windows."""
        return np.ascontiguousarray(super().predict(windows)[:, :1])


def make_gradient(*_: Any) -> FunctionSegmenter:
    """Watershed of the colour gradient; knows no model, and scales best given by hand."""
    return FunctionSegmenter(
        gradient_map, name="gradient-watershed", tessera_px=float(TESSERA_PX), channels=2, halo=REACH, stride=8
    )


def make_quadrangles(*_: Any) -> FunctionSegmenter:
    """The same, with each tessera as the quadrangle that fits it best."""
    return FunctionSegmenter(
        quadrangle_map, name="quadrangles", tessera_px=float(TESSERA_PX), channels=2, halo=REACH, stride=8
    )


def make_edges(*_: Any) -> FunctionSegmenter:
    """What Canny's edges enclose."""
    return FunctionSegmenter(edge_map, name="edges", tessera_px=float(TESSERA_PX), channels=2, halo=REACH, stride=8)
