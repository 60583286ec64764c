"""A box of a record's tesserae changed: show it, at once, at any zoom.

One decision: what is on the screen is patched where it changed, with the pixels of level 0; nothing is read that is
not shown, and the smaller levels on the disk may follow whenever they like.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_mosaic.record import Record
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._levels import CachedLevel, coarser, put_pixels
from napari_mosaic.widgets._sources import RECORD


def tessera_layers(viewer: Any, path: Path | None = None) -> list[Labels]:
    """The layers that show the tesserae of records, or of the one at `path`; previews are none of them."""
    layers = [layer for layer in viewer.layers if is_tesserae(layer)]
    return [layer for layer in layers if path is None or path.absolute() == record_of(layer)]


def is_tesserae(layer: Any) -> bool:
    """Whether a layer shows the tesserae of a record, live from our own blocks."""
    if not isinstance(layer, Labels) or not layer.multiscale or RECORD not in layer.metadata:
        return False
    return isinstance(layer.data[0], CachedLevel)


def record_of(layer: Labels) -> Path:
    """The record that a layer shows."""
    return Path(layer.metadata[RECORD]).absolute()


def show_edited(viewer: Any, record: Record, box: Box) -> None:
    """Show a box of the working grid as the record holds it now; on the main thread."""
    for layer in tessera_layers(viewer, record.path):
        take_over(layer, record, box)
        refresh_part(layer, box)


def take_over(layer: Labels, record: Record, box: Box) -> None:
    """Read a box of level 0 and put it into all levels of a layer; from any thread.

    The blocks above it are read first, so that whatever is looked at before the record has settled is right.
    """
    box = box.clip(record.shape)
    if box.area == 0:
        return
    for k, level in enumerate(layer.data[1:], 1):
        if isinstance(level, CachedLevel):
            level.warm(coarser(box, 2**k).clip((level.shape[0], level.shape[1])))
    put_pixels(layer.data, box, record.read_labels(box))


def refresh_part(layer: Labels, box: Box) -> None:
    """Bring a box of level 0, already put into the layer's levels, to the screen; on the main thread."""
    if layer.visible and not _patch(layer, box):
        layer.refresh(extent=False, thumbnail=False)


def tile_box(layer: Labels) -> Box:
    """The part of the current level that the layer holds ready for the screen, in pixels of that level."""
    tile = layer._transforms["tile2data"]
    y, x = (round(float(place / step)) for place, step in zip(tile.translate[-2:], tile.scale[-2:], strict=True))
    height, width = layer._slice.image.raw.shape
    return Box(y, x, y + height, x + width)


def _patch(layer: Labels, box: Box) -> bool:
    """Replace the changed part of the picture; False where napari does not let us."""
    try:
        if not layer.loaded or layer._slice.empty:
            return False
        tile = tile_box(layer)
        part = coarser(box, 2**layer.data_level).intersect(tile)
        if part.area == 0:
            return True
        raw, view = layer._slice.image.raw, layer._slice.image.view
        raw[part.within(tile)] = layer.data[layer.data_level][part.slices]
        wide = part.grow(max(0, int(layer.contour)) + 1).intersect(tile).within(tile)
        view[wide] = shown = layer._raw_to_displayed(raw, wide)
        layer.events.labels_update(data=np.ascontiguousarray(shown), offset=[wide[0].start, wide[1].start])
    except (AttributeError, KeyError, TypeError, ValueError):  # a napari that keeps its picture otherwise
        return False
    return True
