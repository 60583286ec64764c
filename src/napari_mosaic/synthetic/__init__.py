"""Drawn mosaics with truth: what the bundled network learns from and what tests look at."""

from __future__ import annotations

from napari_mosaic.synthetic.drawing import GEOMETRIES, Drawing, draw_mosaic
from napari_mosaic.synthetic.floors import draw_floor

__all__ = ["GEOMETRIES", "Drawing", "draw_floor", "draw_mosaic"]
