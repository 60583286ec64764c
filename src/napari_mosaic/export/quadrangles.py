"""Every tessera as the quadrangle that fits it best: regular outlines for drawing.

One decision: one GeoJSON polygon a tessera, numbered as in every other export, in map coordinates where
the photograph is placed and in its pixels where it is not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.classical.quadrangles import fit_quadrangles
from napari_mosaic.export.notes import notes_of
from napari_mosaic.image.georeference import in_degrees
from napari_mosaic.measurement.outlines import to_map
from napari_mosaic.measurement.table import TesseraTable, read_tesserae
from napari_mosaic.measurement.windows import tessera_windows
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.record.tables import MATERIALS, STATES
from napari_mosaic.tiling import Box

Floats = NDArray[np.float64]


def fit_record(record: Record, tesserae: TesseraTable) -> Iterator[tuple[NDArray[np.int64], Floats, Box]]:
    """Rows of the tesserae of a tile, their corners `(n, 4, 2)` `(x, y)` in source pixels, and the tile."""
    for window in tessera_windows(record, tesserae):
        numbers = np.arange(1, len(window.rows) + 1)
        corners = fit_quadrangles(window.local, numbers)
        places = (corners + np.array([window.box.y0, window.box.x0])) / record.plan.factor
        yield window.rows, places[:, :, ::-1], window.tile


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write the quadrangles to `path`, tile by tile."""
    tesserae = read_tesserae(record)
    done = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(opening(record))
        for rows, corners, tile in fit_record(record, tesserae):
            for row, ring in zip(rows, corners, strict=True):
                place = placed(record, np.vstack([ring, ring[:1]]))
                properties = properties_of(tesserae, int(row))
                file.write(",\n" if done else "\n")
                file.write(feature("Polygon", [place], properties))
                done += 1
            yield Progress(phase="export", done=done, total=len(tesserae), unit="tesserae", region=tile)
        file.write("\n]}\n")


def properties_of(tesserae: TesseraTable, row: int) -> dict[str, Any]:
    """Number, id, and what was said of a tessera."""
    columns = tesserae.columns
    said = {"material": MATERIALS[columns["material"][row]], "state": STATES[columns["state"][row]]}
    return {"number": row + 1, "id": int(columns["id"][row]), **{name: word for name, word in said.items() if word}}


def opening(record: Record) -> str:
    """The head of a feature collection, up to its list."""
    head: dict[str, Any] = {"type": "FeatureCollection", "napari_mosaic": notes_of(record)}
    if record.affine is None:
        head["coordinates"] = "source pixels (x, y), y downwards"
    elif record.crs is not None:
        head["crs"] = {"type": "name", "properties": {"name": record.crs}}
    return json.dumps(head)[:-1] + ', "features": ['


def placed(record: Record, points: Floats) -> list[list[float]]:
    """Points `(n, 2)` `(x, y)` in source pixels as the coordinates of a feature."""
    digits = _decimals(record)
    return [[round(float(x), digits), round(float(y), digits)] for x, y in zip(*to_map(record, *points.T), strict=True)]


def _decimals(record: Record) -> int:
    """Decimals that keep a twentieth of a pixel: four at least, and ten of degrees, a hundredth of a millimetre."""
    least = 10 if in_degrees(record.crs) else 4
    if record.affine is None:
        return least
    a, b, _, d, e, _ = record.affine
    return max(least, 1 - math.floor(math.log10(math.sqrt(abs(a * e - b * d)))))


def feature(kind: str, coordinates: Any, properties: dict[str, Any]) -> str:
    """One feature as a line of GeoJSON."""
    geometry = {"type": kind, "coordinates": coordinates}
    return json.dumps({"type": "Feature", "properties": properties, "geometry": geometry})
