"""The columns: what can be said of a tessera, each in one function.

One decision: every module of this folder is read for columns, so to add one, write its function in the module that it
belongs to, or in a new one, and nothing else: `--columns` takes it, CSV and GeoPackage write it, with its unit in its
name.
"""

from __future__ import annotations

import importlib
import pkgutil

USUAL = (
    *("number", "id", "centre_y_px", "centre_x_px", "area_px", "y0_px", "x0_px", "y1_px", "x1_px"),
    *("score", "flags", "material", "state", "area_class"),
    *("area_mm2", "height_mm", "width_mm", "map_x", "map_y"),
)
"""What is handed on where nobody chose, in this order, as far as its units can be told."""

NAMES = ("number", "id")
"""What is always handed on: it says which tessera a row is of."""

for _module in sorted(found.name for found in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")

__all__ = ["NAMES", "USUAL"]
