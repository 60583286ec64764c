"""The figures of tesserae that tables hand on, in source pixels and, where it is known, millimetres.

One decision: a unit stands in the name of its column, and a column of millimetres or map coordinates
is there only when somebody vouches for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_mosaic.areas import AreaSet
from napari_mosaic.measurement.outlines import to_map
from napari_mosaic.measurement.table import TesseraTable
from napari_mosaic.record import Record
from napari_mosaic.record.tables import MATERIALS, STATES

_CLASSES = ("preserved", "not legible", "repair", "lacuna", "outside")
"""Of areas that lie over each other the last one holds."""


def figures_of(
    record: Record, tesserae: TesseraTable, rows: NDArray[np.int64], centre: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Columns of some tesserae: `rows` of `tesserae` and their centres `(n, 2)` on the working grid."""
    factor = record.plan.factor
    columns = {name: values[rows] for name, values in tesserae.columns.items()}
    y, x = centre.T / factor
    figures: dict[str, NDArray[Any]] = {
        "number": rows + 1,
        "id": columns["id"].astype(np.int64),
        "centre_y_px": np.round(y, 2),
        "centre_x_px": np.round(x, 2),
        "area_px": np.round(columns["area"] / factor**2, 2),
        **{f"{name}_px": np.round(columns[name] / factor, 2) for name in ("y0", "x0", "y1", "x1")},
        "score": np.round(columns["score"].astype(float), 3),
        "flags": columns["flags"].astype(np.int32),
        "material": np.array(MATERIALS, object)[columns["material"]],
        "state": np.array(STATES, object)[columns["state"]],
        "area_class": class_at(tesserae.areas, x, y),
    }
    mm = record.pixel_mm
    if mm is not None:
        edge = mm / factor
        figures |= {
            "area_mm2": np.round(columns["area"] * edge**2, 2),
            "height_mm": np.round((columns["y1"] - columns["y0"]) * edge, 2),
            "width_mm": np.round((columns["x1"] - columns["x0"]) * edge, 2),
        }
    if record.affine is not None:
        east, north = to_map(record, x, y)
        figures |= {"map_x": east, "map_y": north}
    return figures


def class_at(areas: AreaSet, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[Any]:
    """The class of the area that each place (source pixels) lies in, as text; "" where in none."""
    found = np.full(len(x), "", object)
    for kind in _CLASSES:
        area = areas.of(kind)
        if not area.is_empty:
            shapely.prepare(area)
            found[shapely.contains_xy(area, x, y)] = kind
    return found
