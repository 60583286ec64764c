"""A box of a record's tesserae changed: show it, at once, at any zoom.

One decision: what is on the screen is patched where it changed, as soon as the journal holds the edit; level 0, the
tables and the smaller levels on the disk may follow whenever they like.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_mosaic.objects import named_place
from napari_mosaic.record import Record
from napari_mosaic.record.label_layer import TESSERAE
from napari_mosaic.record.patches import Patch
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._levels import CachedLevel, coarser, put_level, put_pixels, thinned
from napari_mosaic.widgets._napari import patch_shown
from napari_mosaic.widgets._sources import LABELS, RECORD

if TYPE_CHECKING:
    from napari import Viewer


def tessera_layers(viewer: Viewer, path: Path | None = None) -> list[Labels]:
    """The layers that show the tesserae of records, or of the one at `path`; previews are none of them."""
    layers = [layer for layer in viewer.layers if is_tesserae(layer)]
    return [layer for layer in layers if path is None or path.absolute() == record_of(layer)]


def is_tesserae(layer: Any) -> bool:
    """Whether a layer shows the tesserae of a record, live from our own blocks."""
    if not isinstance(layer, Labels) or not layer.multiscale or RECORD not in layer.metadata:
        return False
    if layer.metadata.get(LABELS, TESSERAE) != TESSERAE:
        return False
    return isinstance(layer.data[0], CachedLevel)


def record_of(layer: Labels) -> Path:
    """The record that a layer shows."""
    return named_place(layer.metadata[RECORD]).absolute()


def foresee(layer: Labels, patch: Patch) -> None:
    """Put what an edit does into the level of a layer that is looked at, before the record holds it; any thread."""
    k = layer.data_level
    level, box = layer.data[k], coarser(patch.box, 2**k)
    if box.area:
        mask, wanted = (thinned(pixels, patch.box, 2**k) for pixels in (patch.mask, patch.labels(after=True)))
        put_level(level, box, np.where(mask, wanted, np.asarray(level[box.slices])))


def take_over(layer: Labels, record: Record, box: Box) -> bool:
    """Read a box of level 0 and put it into all levels of a layer, from any thread; is it news to what is looked at?

    The blocks above it are read first, so that whatever is looked at before the record has settled is right.
    """
    box = box.clip(record.shape)
    if box.area == 0:
        return False
    for k, level in enumerate(layer.data[1:], 1):
        if isinstance(level, CachedLevel):
            level.warm(coarser(box, 2**k).clip((level.shape[0], level.shape[1])))
    news = put_pixels(layer.data, box, record.read_labels(box))
    return news[int(layer.data_level)]


def refresh_part(layer: Labels, box: Box) -> None:
    """Bring a box of level 0, already put into the layer's levels, to the screen; on the main thread."""
    if layer.visible and not patch_shown(layer, coarser(box, 2**layer.data_level)):
        layer.refresh(extent=False, thumbnail=False)
