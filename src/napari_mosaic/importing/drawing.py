"""Outlines from a DXF of ours, whatever a CAD program has made of it since.

One decision: an outline is known by the XDATA that it bears, and the way back to the photograph by that of the layer
TESSERAE; closed polylines on our layers without XDATA are new. A drawing is read pair by pair: a library would hold all
of it in memory at ten times the size.

References
----------
Autodesk, DXF Reference: group codes, LWPOLYLINE, XDATA.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.area_files import Grid, shapes_to_pixels
from napari_mosaic.errors import InputError, ReadError
from napari_mosaic.export.dxf import APPLICATION, TESSERAE
from napari_mosaic.export.shaping import Shaping
from napari_mosaic.importing.annotated import of_rings
from napari_mosaic.importing.outlines import Outlines, make_outlines
from napari_mosaic.importing.vector import as_array, columns_of, cover_of

_BINARY = b"AutoCAD Binary DXF"
_STRAIGHT = 1e-9
"""Bulges of a polyline up to this are none."""
Pair = tuple[int, str]


@dataclass
class _Entity:
    """One entity or entry of a table: its kind, its layer or name, its points and what our XDATA says."""

    kind: str
    layer: str = ""
    name: str = ""
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    closed: bool = False
    bulged: bool = False
    said: dict[str, str] = field(default_factory=dict)


def read_dxf(path: Path, grid: Grid) -> Outlines:
    """Outlines of a DXF that `export` wrote.

    Raises
    ------
    ReadError, InputError
        It is no DXF, a binary one, or none of ours; it holds no outline on the photograph.
    """
    rings: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    said: dict[str, dict[str, str]] = {}
    told: dict[str, str] = {}
    notes: list[str] = []
    for entity in _entities(path):
        if entity.kind == "LAYER" and entity.name.upper() == TESSERAE:
            told = entity.said
        if entity.kind != "LWPOLYLINE" or not entity.layer.upper().startswith(TESSERAE) or len(entity.x) < 3:
            continue
        key = entity.said.get("id") or f"new {len(rings)}"
        if entity.bulged:
            notes.append(f"An outline of {path.name} has arcs, which are taken as straight lines.")
        if not entity.closed:
            notes.append(f"An outline of {path.name} is open and is taken as closed.")
        rings[key].append(np.column_stack([entity.x, entity.y]))
        said.setdefault(key, entity.said)
    if "frame" not in told:
        raise InputError(
            f"{path.name} is no drawing that napari-mosaic exported (the layer {TESSERAE} says nothing of its place); "
            "save its outlines as GeoPackage or GeoJSON instead."
        )
    # A tessera of which nothing is said bears no words of it; an outline of somebody else's bears none at all.
    columns = columns_of([{"material": "", "state": ""} | one if one else one for one in said.values()])
    shapes = as_array([of_rings([_placed(ring, told, grid) for ring in parts]) for parts in rings.values()])
    if told["frame"] == "map" and len(shapes):
        shapes = shapes_to_pixels(shapes, grid.crs, grid, f"The outlines of {path.name}")
    return make_outlines(path.name, shapes, columns, grid, notes=sorted(set(notes)), **_origin(told, grid))


def _origin(told: dict[str, str], grid: Grid) -> dict[str, Any]:
    slack, outlines = told.get("slack", ""), told.get("outlines", "plain")
    shaping = Shaping(outlines, float(slack) if slack else None)  # type: ignore[arg-type]  # one of ours
    cover = cover_of({}, grid) if told.get("whole") == "1" else None
    return {"journal": int(told["journal"]), "cover": cover, "trace": shaping.trace}


def _placed(ring: NDArray[np.float64], told: dict[str, str], grid: Grid) -> NDArray[np.float64]:
    """A ring in source pixels, or on the map where the drawing lies there."""
    places: NDArray[np.float64] = ring + np.array([float(told["origin_x"]), float(told["origin_y"])])
    if told["frame"] == "map":
        return places
    scale = float(told["pixel_mm"]) if told["frame"] == "mm" else 1.0
    return np.asarray((places / scale - np.array([0, grid.shape[0]])) * np.array([1, -1]))


def _entities(path: Path) -> Iterator[_Entity]:
    """Entities of the drawing and entries of its tables, with what is needed of them."""
    entity, application = _Entity(""), ""
    for code, value in _pairs(path):
        if code == 0:
            yield entity
            entity, application = _Entity(value), ""
        elif code == 1001:
            application = value
        elif code == 1000 and application == APPLICATION:
            name, _, word = value.partition("=")
            entity.said[name] = word
        elif code == 8:
            entity.layer = value
        elif code == 2:
            entity.name = value
        elif code == 10:
            entity.x.append(float(value))
        elif code == 20:
            entity.y.append(float(value))
        elif code == 70 and entity.kind == "LWPOLYLINE":
            entity.closed = bool(int(value) & 1)
        elif code == 42:
            entity.bulged |= abs(float(value)) > _STRAIGHT
    yield entity


def _pairs(path: Path) -> Iterator[Pair]:
    """Group codes and values of an ASCII DXF."""
    try:
        with path.open("rb") as head:
            if head.read(len(_BINARY)) == _BINARY:
                raise InputError(f"{path.name} is a binary DXF; save it as ASCII DXF (R2000 or newer).")
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                yield int(line), next(file, "").strip()
    except (OSError, ValueError) as error:
        raise ReadError(f"{path.name} is no DXF that can be read ({error}); save it as ASCII DXF once more.") from error
