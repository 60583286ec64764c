"""Outlines as a DXF drawing, for CAD.

One decision: the library makes the frame of the drawing, its header, layers and tables, and the outlines are written
into it one by one: the library would keep them all in memory.

References
----------
Autodesk, DXF Reference, AC1015 (AutoCAD 2000): LWPOLYLINE, XDATA, $INSUNITS.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyproj
from numpy.typing import NDArray

from napari_mosaic.areas import KINDS
from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import InputError
from napari_mosaic.export.options import DxfOptions
from napari_mosaic.export.outlined import outlined_tiles, rings_of
from napari_mosaic.export.region import RegionRecord
from napari_mosaic.export.shaping import Shaping
from napari_mosaic.measurement.features import feature_table
from napari_mosaic.measurement.outlines import to_map
from napari_mosaic.measurement.registry import find_fields
from napari_mosaic.progress import Steps
from napari_mosaic.record import Record

APPLICATION = "NAPARI_MOSAIC"
"""Whose XDATA an outline bears: id, number, material and state of its tessera."""
TESSERAE, CENTRES = "TESSERAE", "CENTRES"
_MOST_LAYERS = 100
"""Layers that a person still finds something in; not varied."""
_WIDEST_MM = 1000.0
"""Of a tolerance: a metre. Not varied."""
_ENTITIES = "  0\nSECTION\n  2\nENTITIES\n"
_HANDLES = 0x40000000
"""Handles from here on are free for whoever edits the drawing: far above one a ring of a gigapixel's tesserae."""
_UNITS = {"px": 0, "mm": 4, "metre": 6, "foot": 2, "US survey foot": 21}
"""$INSUNITS."""
_MANY = {"metre": "metres", "foot": "feet", "US survey foot": "US survey feet"}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DrawingFrame:
    """Coordinates of a drawing: its unit, and the way there from source pixels `(n, 2)` `(x, y)`; y upwards.

    `kind` says what they are, `origin` what was taken from them.
    """

    unit: str
    digits: int
    place: Callable[[Floats], Floats]
    kind: Literal["map", "mm", "px"] = "px"
    origin: tuple[float, float] = (0.0, 0.0)


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
            return DrawingFrame(
                unit, _digits(record.affine), lambda points: np.column_stack(to_map(record, *points.T)), "map"
            )
    mm = record.pixel_mm
    scale = 1.0 if mm is None else mm
    flipped = np.array([1.0, -1.0])
    kind: Literal["mm", "px"] = "px" if mm is None else "mm"
    return DrawingFrame(kind, 3, lambda points: (points * flipped + (0, height)) * scale, kind)


def describe_frame(record: Record, frame: DrawingFrame) -> str:
    """What the coordinates of a drawing are, in a few words."""
    if frame.kind == "map":
        return f"{_MANY.get(frame.unit, frame.unit)} of {record.crs}"
    place = "from the lower left corner of the photograph"
    words = f"mm {place}" if frame.kind == "mm" else f"pixels {place}, without a unit: nobody vouches for their size"
    return f"{words}; CAD has no unit for {record.crs}" if record.affine is not None and record.crs else words


def _digits(affine: tuple[float, ...]) -> int:
    """Decimals on the map that keep a hundredth of a pixel; four at least."""
    a, b, _, d, e, _ = affine
    return max(4, 2 - math.floor(math.log10(math.sqrt(abs(a * e - b * d)))))


def write_steps(
    record: Record,
    path: Path,
    frame: DrawingFrame | None = None,
    options: DxfOptions = DxfOptions(),  # noqa: B008 - frozen
    *,
    shaping: Shaping | None = None,
) -> Steps[None]:
    """Write each ring as a closed polyline on the layer TESSERAE, and the areas on layers of their classes.

    With layers by a column, what has a value of it lies on `TESSERAE_VALUE`. `shaping` traces the outlines in place of
    that of the options, which must be the same.
    """
    frame = _shifted(record, frame or frame_of(record), options)
    shaping, column = shaping or shaping_of(record, options), options.layers
    chosen = [] if column is None else [find_fields(record, [column])[0].name]
    head, tail, first, owner = _drawing(record, frame, options, _layers(record, chosen))
    handle = first
    names = ["number", "id", "material", "state"]
    places = ["centre_x_px", "centre_y_px"] if options.centres else []
    with path.open("w", encoding="cp1252", errors="xmlcharrefreplace", newline="\n") as file:
        file.write(head)
        for tile in outlined_tiles(record, [*names, *chosen, *places], shaping):
            for k, outline in enumerate(tile.outlines):
                values = {name: column[k] for name, column in tile.columns.items()}
                words = _xdata({name: values[name] for name in names})
                layer = layer_of_value(values[chosen[0]]) if chosen else TESSERAE
                for ring in rings_of(outline):
                    file.write(_polyline(frame, ring, layer, (handle, owner), words))
                    handle += 1
                if places:
                    centre = np.array([[values[name] for name in places]])
                    file.write(_point(frame, centre, (handle, owner), words))
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


def layer_of_value(value: Any) -> str:
    """The layer of the tesserae that have a value in the column that parts them; that of all where they have none."""
    word = value if isinstance(value, str) else "" if value != value else f"{value:g}"
    clean = "".join(one if one.isalnum() else "_" for one in word.upper())
    return f"{TESSERAE}_{clean}" if clean else TESSERAE


def _layers(record: Record, chosen: Sequence[str]) -> list[str]:
    """The layers of all values of the column that parts the tesserae."""
    if not chosen:
        return []
    found = sorted({layer_of_value(value) for value in feature_table(record, chosen)[chosen[0]].tolist()} - {TESSERAE})
    if len(found) > _MOST_LAYERS:
        raise InputError(
            f"The column {chosen[0]} has {len(found):,} values, which are too many layers for a drawing; choose one "
            "with few, such as material or state."
        )
    return found


def shaping_of(record: Record, options: DxfOptions) -> Shaping:
    """How the outlines of a drawing are drawn.

    Raises
    ------
    InputError
        A tolerance in mm is asked for, and nobody vouches for the pixel size; it is none.
    """
    if options.tolerance_mm is None:
        return Shaping(options.outlines)
    if record.pixel_mm is None:
        raise InputError(
            f"Nobody vouches for the pixel size of {record.path.name}, so a tolerance in mm says nothing; say it with "
            f"napari-mosaic pixel-size {record.path} MM, or leave the tolerance out."
        )
    if not 0 < options.tolerance_mm < _WIDEST_MM:
        raise InputError(f"A tolerance of {options.tolerance_mm:g} mm is none; give one above 0, such as 0.5.")
    return Shaping(options.outlines, options.tolerance_mm / record.pixel_mm * record.plan.factor)


def _shifted(record: Record, frame: DrawingFrame, options: DxfOptions) -> DrawingFrame:
    """The frame with its origin at whole units near the lower left corner, where that is asked for."""
    if options.origin == "true":
        return frame
    height, width = record.plan.source_shape
    corners = frame.place(np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]]))
    origin = np.floor(corners.min(0))
    return replace(frame, place=lambda points: frame.place(points) - origin, origin=(origin[0], origin[1]))


def _drawing(
    record: Record, frame: DrawingFrame, options: DxfOptions, layers: Sequence[str]
) -> tuple[str, str, int, str]:
    """Text before the entities and after them, the first free handle, and that of the model space."""
    with needed_for("A DXF drawing", instead="or export as geopackage"):
        import ezdxf.filemanagement
        from ezdxf import options as settings  # type: ignore[attr-defined]  # named in its documentation
    with _without_moment(settings):
        drawing = ezdxf.filemanagement.new("R2000")
    tesserae = drawing.layers.add(TESSERAE, color=7)
    for number, name in enumerate(layers):
        drawing.layers.add(name, color=1 + number % 6)
    if options.centres:
        drawing.layers.add(CENTRES, color=8)
    for number, kind in enumerate(KINDS):
        drawing.layers.add(layer_of(kind), color=1 + number % 6)
    drawing.appids.add(APPLICATION)
    tesserae.set_xdata(APPLICATION, [(1000, f"{name}={value}") for name, value in _told(record, frame, options)])
    height, width = record.plan.source_shape
    corners = frame.place(np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]]))
    drawing.header["$INSUNITS"] = _UNITS[frame.unit]
    drawing.header["$MEASUREMENT"] = 1
    drawing.header["$EXTMIN"] = (*corners.min(0), 0.0)
    drawing.header["$EXTMAX"] = (*corners.max(0), 0.0)
    owner = str(drawing.modelspace().layout_key)
    text = io.StringIO()
    with _without_moment(settings):
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
    one = f" 10\n%.{frame.digits}f\n 20\n%.{frame.digits}f\n"
    body = one * len(points) % tuple(points.ravel().tolist())
    return (
        f"  0\nLWPOLYLINE\n  5\n{handles[0]:X}\n330\n{handles[1]}\n100\nAcDbEntity\n  8\n{layer}\n"
        f"100\nAcDbPolyline\n 90\n{len(points)}\n 70\n1\n{body}{xdata}"
    )


def _point(frame: DrawingFrame, point: Floats, handles: tuple[int, str], xdata: str) -> str:
    ((x, y),) = frame.place(point).round(frame.digits)
    return (
        f"  0\nPOINT\n  5\n{handles[0]:X}\n330\n{handles[1]}\n100\nAcDbEntity\n  8\n{CENTRES}\n"
        f"100\nAcDbPoint\n 10\n{x:.{frame.digits}f}\n 20\n{y:.{frame.digits}f}\n 30\n0.0\n{xdata}"
    )


def _told(record: Record, frame: DrawingFrame, options: DxfOptions) -> list[tuple[str, Any]]:
    """What the drawing says of itself on its layer, where CAD programs keep it: the way back to the photograph."""
    shaping = shaping_of(record, options)
    return [
        ("frame", frame.kind),
        ("pixel_mm", record.pixel_mm or ""),
        ("origin_x", repr(float(frame.origin[0]))),
        ("origin_y", repr(float(frame.origin[1]))),
        ("outlines", shaping.outlines),
        ("slack", "" if shaping.slack is None else repr(shaping.slack)),
        ("journal", len(record.journal)),
        ("whole", int(not isinstance(record, RegionRecord))),
    ]


def _xdata(values: dict[str, Any]) -> str:
    lines = "".join(f"1000\n{name}={value}\n" for name, value in values.items() if value != "")
    return f"1001\n{APPLICATION}\n{lines}"
