"""Sample data for the menu *File ▸ Open Sample*.

One decision: a drawn mosaic, whose every stone is known, and real photographs that a dependency ships;
nothing is downloaded.
"""

from __future__ import annotations

from napari_mosaic.image import open_image
from napari_mosaic.widgets._sources import LayerData, photograph_data


def drawn_mosaic() -> list[LayerData]:
    """A drawn mosaic of a megapixel."""
    return [photograph_data(open_image("sample:drawn"))]


def gravel_ground() -> list[LayerData]:
    """A photograph of gravel, stones of all shapes (CC0)."""
    return [photograph_data(open_image("sample:gravel"))]


def brick_wall() -> list[LayerData]:
    """A photograph of a brick pavement (CC0)."""
    return [photograph_data(open_image("sample:brick"))]
