"""Areas that were drawn elsewhere as a layer of shapes over a photograph, where a person sees and mends them.

One decision: a file becomes shapes, never a hidden limit: what a run is kept to is always what the viewer shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Layer

from napari_mosaic.area_files import Grid, read_geometry
from napari_mosaic.errors import InputError
from napari_mosaic.widgets._areas import draw_polygon, polygons_of
from napari_mosaic.widgets._docks import PANEL, find_dock
from napari_mosaic.widgets._sources import AREA, DRAWN_COLOUR, LayerData, is_photograph, lying_like, open_layer

if TYPE_CHECKING:
    from napari import Viewer


def area_layer(path: str | Path, photograph: Layer) -> LayerData:
    """The areas of a GeoJSON, a GeoPackage, another vector file or a mask, laid over a photograph; for a thread.

    Raises
    ------
    MosaicError
        As `area_files.read_geometry`.
    """
    with open_layer(photograph) as image:
        grid = Grid(shape=image.shape, crs=image.crs, affine=image.affine)
    geometry = read_geometry(str(path), grid)
    rings = [draw_polygon(0, polygon, 1.0).ring for polygon in polygons_of(geometry)]
    meta = {
        "name": Path(path).stem,
        "shape_type": "polygon",
        "face_color": "transparent",
        "edge_color": DRAWN_COLOUR,
        "edge_width": 2,
        "metadata": {AREA: str(path)},
        **lying_like(photograph),
    }
    return rings, meta, "shapes"


def photograph_in(viewer: Viewer) -> Layer:
    """The photograph that areas are meant for: that of the panel, else the selected one, else the last.

    Raises
    ------
    InputError
        There is none.
    """
    panel = find_dock(viewer, PANEL)
    if panel is not None and panel.photograph is not None:
        return panel.photograph
    found = [layer for layer in viewer.layers if is_photograph(layer)]
    selected = [layer for layer in found if layer in viewer.layers.selection]
    if not found:
        raise InputError("Open the photograph first, then the areas that were drawn on it: they are laid over it.")
    return (selected or found)[-1]
