"""The preview layer of SAM 2: one mask, of the size of a stone, over a tesserae layer.

One decision: it is one layer for as long as a person works with clicks, and only its pixels and place change; adding a
layer takes napari longer than a mask takes SAM 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_mosaic.sam.masks import Piece
from napari_mosaic.widgets._sources import corner_of

NAME = "SAM 2"
_COLOUR = "#40c4ff"
_NOTHING = np.zeros((2, 2), np.uint8)


class PreviewLayer:
    """The layer, in the viewer until `close`."""

    def __init__(self, viewer: Any, base: Labels) -> None:
        self._viewer, self._base = viewer, base
        self.layer = Labels(
            _NOTHING,
            name=NAME,
            opacity=0.6,
            scale=base.scale[-2:],
            units=base.units[-2:],
            rotate=base.rotate,
            shear=base.shear,
            affine=base.affine,
            translate=base.translate[-2:],
            colormap=DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: _COLOUR}),
        )
        viewer.add_layer(self.layer)

    @property
    def present(self) -> bool:
        """Whether it is still in the viewer: a person may take it out."""
        return self.layer in self._viewer.layers

    def show(self, piece: Piece | None) -> None:
        """Show a mask, or nothing."""
        layer, base = self.layer, self._base
        if piece is None or piece.area == 0:
            layer.data = _NOTHING
            return
        layer.data = piece.bits.astype(np.uint8)
        layer.translate = corner_of(base, piece.box)

    def close(self) -> None:
        """Take the layer out of the viewer."""
        if self.present:
            self._viewer.layers.remove(self.layer)
