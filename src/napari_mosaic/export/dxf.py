"""Outlines as a DXF drawing, for CAD.

One decision: the library makes the frame of the drawing, its header, layers and tables, and the outlines are written
into it one by one: the library would keep them all in memory.

References
----------
Autodesk, DXF Reference, AC1015 (AutoCAD 2000): LWPOLYLINE, XDATA, $INSUNITS.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from napari_mosaic.areas import KINDS
from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import InputError
from napari_mosaic.export.outlined import outlined_tiles, rings_of
from napari_mosaic.measurement.outlines import to_map
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

APPLICATION = "NAPARI_MOSAIC"
"""Whose XDATA an outline bears: id, number, material and state of its tessera."""
TESSERAE = "TESSERAE"
_ENTITIES = "  0\nSECTION\n  2\nENTITIES\n"
_HANDLES = 0x40000000
"""Handles from here on are free for whoever edits the drawing: far above one a ring of a gigapixel's tesserae."""
_UNITS = {"px": 0, "mm": 4, "metre": 6, "foot": 2, "US survey foot": 21}
"""$INSUNITS."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DrawingFrame:
    """Coordinates of a drawing: its unit, and the way there from source pixels `(n, 2)` `(x, y)`; y upwards."""

    unit: str
    digits: int
    place: Callable[[Floats], Floats]


def frame_of(record: Record, *, degrees_as_mm: bool = False) -> DrawingFrame:
    """Map coordinates where the photograph is placed, else millimetres from its lower left corner, else pixels.

    Parameters
    ----------
    record
        Its place and its pixel size.
    degrees_as_mm
        Use millimetres or pixels where the map is in degrees.

    Raises
    ------
    InputError
        The map is in degrees, which a drawing has no unit for.
    """
    height = record.plan.source_shape[0]
    if record.affine is not None and record.crs is not None:
        axis = pyproj.CRS.from_user_input(record.crs).axis_info
        unit = axis[0].unit_name if axis else "metre"
        if unit not in _UNITS and not degrees_as_mm:
            raise InputError(
                f"The photograph is placed in {record.crs}, whose unit is the {unit}; CAD has none such: export a "
                "GeoPackage, or place the photograph in a projected system."
            )
        if unit in _UNITS:
            return DrawingFrame(unit, 4, lambda points: np.column_stack(to_map(record, *points.T)))
    mm = record.pixel_mm
    scale = 1.0 if mm is None else mm
    flipped = np.array([1.0, -1.0])
    return DrawingFrame("px" if mm is None else "mm", 3, lambda points: (points * flipped + (0, height)) * scale)


def write_steps(record: Record, path: Path, frame: DrawingFrame | None = None) -> Iterator[Progress]:
    """Write each ring as a closed polyline on the layer TESSERAE, and the areas on layers of their classes."""
    frame = frame or frame_of(record)
    head, tail, first, owner = _drawing(record, frame)
    handle = first
    with path.open("w", encoding="cp1252", errors="xmlcharrefreplace", newline="\n") as file:
        file.write(head)
        for tile in outlined_tiles(record, ["number", "id", "material", "state"]):
            for k, outline in enumerate(tile.outlines):
                words = _xdata({name: values[k] for name, values in tile.columns.items()})
                for ring in rings_of(outline):
                    file.write(_polyline(frame, ring, TESSERAE, (handle, owner), words))
                    handle += 1
            yield tile.progress
        for area in record.areas:
            for ring in rings_of(area.geometry) if area.geometry.geom_type.endswith("Polygon") else []:
                file.write(_polyline(frame, ring, layer_of(area.kind), (handle, owner), ""))
                handle += 1
        file.write(tail)


def layer_of(kind: str) -> str:
    """The layer of an area's class."""
    return kind.upper().replace(" ", "_")


def _drawing(record: Record, frame: DrawingFrame) -> tuple[str, str, int, str]:
    """Text before the entities and after them, the first free handle, and that of the model space."""
    with needed_for("A DXF drawing", instead="or export as geopackage"):
        import ezdxf.filemanagement
        from ezdxf import options  # type: ignore[attr-defined]  # named in its documentation
    with _without_moment(options):
        drawing = ezdxf.filemanagement.new("R2000")
    drawing.layers.add(TESSERAE, color=7)
    for number, kind in enumerate(KINDS):
        drawing.layers.add(layer_of(kind), color=1 + number % 6)
    drawing.appids.add(APPLICATION)
    height, width = record.plan.source_shape
    corners = frame.place(np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]]))
    drawing.header["$INSUNITS"] = _UNITS[frame.unit]
    drawing.header["$MEASUREMENT"] = 1
    drawing.header["$EXTMIN"] = (*corners.min(0), 0.0)
    drawing.header["$EXTMAX"] = (*corners.max(0), 0.0)
    owner = str(drawing.modelspace().layout_key)
    text = io.StringIO()
    with _without_moment(options):
        drawing.write(text)
    first = int(str(drawing.entitydb.handles), 16)  # writing makes some, too
    head, entities, tail = text.getvalue().partition(_ENTITIES)
    return _with_handles(head, _HANDLES) + entities, tail, first, owner


@contextmanager
def _without_moment(options: Any) -> Iterator[None]:
    """The same record gives the same file: without when it was made, and without numbers by chance."""
    before = options.write_fixed_meta_data_for_testing
    options.write_fixed_meta_data_for_testing = True
    try:
        yield
    finally:
        options.write_fixed_meta_data_for_testing = before


def _with_handles(head: str, free: int) -> str:
    """The header with another first free handle, above those of all outlines."""
    before, name, after = head.partition("$HANDSEED\n  5\n")
    return before + name + f"{free:X}\n" + after.partition("\n")[2]


def _polyline(frame: DrawingFrame, ring: Floats, layer: str, handles: tuple[int, str], xdata: str) -> str:
    points = frame.place(ring).round(frame.digits)
    body = "".join(f" 10\n{x:.{frame.digits}f}\n 20\n{y:.{frame.digits}f}\n" for x, y in points)
    return (
        f"  0\nLWPOLYLINE\n  5\n{handles[0]:X}\n330\n{handles[1]}\n100\nAcDbEntity\n  8\n{layer}\n"
        f"100\nAcDbPolyline\n 90\n{len(points)}\n 70\n1\n{body}{xdata}"
    )


def _xdata(values: dict[str, Any]) -> str:
    lines = "".join(f"1000\n{name}={value}\n" for name, value in values.items() if value != "")
    return f"1001\n{APPLICATION}\n{lines}"
