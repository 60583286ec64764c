"""Sample data for the menu *File ▸ Open Sample*.

One decision: a drawn mosaic, whose every stone is known, and a real photograph that a dependency ships;
nothing is downloaded.
"""

from __future__ import annotations

from napari_mosaic.image import open_image
from napari_mosaic.widgets._sources import LayerData, photograph_data


def drawn_mosaic() -> list[LayerData]:
    """A drawn mosaic of a megapixel."""
    return [photograph_data(open_image("sample:drawn"))]


def brick_wall() -> list[LayerData]:
    """A photograph of a brick pavement (CC0)."""
    return [photograph_data(open_image("sample:brick"))]
