"""Layers of what was measured: directions, rows and the width of the joints.

One decision: lines are those in view and no more than `MOST`, evenly thinned, so they cost the same on any floor; the
map of joints has as many cells as the record keeps of it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import shapely
from napari.layers import Image, Labels, Layer, Points, Vectors
from numpy.typing import NDArray

from napari_mosaic.tiling import Box
from napari_mosaic.widgets._measured import MeasuredFloor
from napari_mosaic.widgets._sources import RECORD, lying_like

Kind = Literal["directions", "rows", "joints", "lost"]
NAMES: dict[Kind, str] = {
    "directions": "directions",
    "rows": "rows",
    "joints": "joint width",
    "lost": "lost stones, estimated",
}
MARK = "measured"
"""What the metadata of these layers hold in place of a record: they lie on the photograph, and are no tesserae."""
MOST = 8_000
"""Most lines that are drawn at once: more are a grey mass on a screen. Not varied."""
_ROW_COLOURS = ("#ffb000", "#40c4ff", "#7ee081", "#ff7eb6", "#d6c1ff", "#ffe66d")


def line_layer(floor: MeasuredFloor, layer: Labels, kind: Kind, box: Box) -> Vectors:
    """Lines of what is in view, a box of the tesserae layer's pixels, over that layer."""
    lines, colours = lines_of(floor, kind, box)
    return Vectors(
        lines,
        name=f"{layer.name} {NAMES[kind]}",
        edge_color=colours if len(lines) else _ROW_COLOURS[0],
        edge_width=2.0,
        vector_style="line",
        metadata={RECORD: MARK},
        **lying_like(layer),
    )


def lines_of(floor: MeasuredFloor, kind: Kind, box: Box) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Lines `(n, 2, 2)` as start and step `(y, x)`, pixels of the working grid, and their colours `(n,)`."""
    places = floor.centres * floor.factor - 0.5
    x, y = places.T
    seen = (x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1)
    if kind == "directions":
        return _directions(floor, places, seen)
    return _rows(floor, places, seen)


def _directions(floor: MeasuredFloor, places: Any, seen: Any) -> tuple[Any, Any]:
    angle, coherence = floor.column("row_direction_deg"), floor.column("row_coherence")
    rows = np.flatnonzero(seen & np.isfinite(angle))
    rows = rows[:: max(1, -(-len(rows) // MOST))]
    side = np.sqrt(float(np.median(floor.column("area_px")))) * floor.factor if len(floor) else 1.0
    turn = np.radians(angle[rows])
    step = np.column_stack([-np.sin(turn), np.cos(turn)]) * (side * coherence[rows])[:, None]
    starts = places[rows][:, ::-1] - step / 2
    return np.stack([starts, step], 1).reshape(-1, 2, 2), np.full(len(rows), _ROW_COLOURS[1])


def _rows(floor: MeasuredFloor, places: Any, seen: Any) -> tuple[Any, Any]:
    row, place = floor.column("row").astype(int), floor.column("row_place").astype(int)
    order = np.lexsort((place, row))
    before, after = order[:-1], order[1:]
    linked = (row[before] == row[after]) & (row[before] > 0) & (seen[before] | seen[after])
    before, after = before[linked], after[linked]
    if len(before) > MOST:  # whole rows go, so that those that stay are seen as rows
        kept = row[before] % -(-len(before) // MOST) == 0
        before, after = before[kept], after[kept]
    starts, ends = places[before][:, ::-1], places[after][:, ::-1]
    colours = np.array(_ROW_COLOURS)[row[before] % len(_ROW_COLOURS)]
    return np.stack([starts, ends - starts], 1).reshape(-1, 2, 2), colours


def joint_layer(floor: MeasuredFloor, layer: Labels) -> Layer | None:
    """The map of the width of the joints over a tesserae layer; None where no joint was measured."""
    known = floor.whole.get("joint_map")
    if not known:
        return None
    widths = np.array([[np.nan if width is None else width for width in line] for line in known["widths"]], float)
    cell = float(known["cell"])
    place = lying_like(layer)
    grid = floor.factor * cell
    shift = np.asarray(layer.translate)[-2:] + np.asarray(layer.scale)[-2:] * (grid / 2 - 0.5)
    told = widths[np.isfinite(widths)]
    return Image(
        widths,
        name=f"{layer.name} {NAMES['joints']}, {told.min():.3g} to {told.max():.3g} {floor.unit}",
        colormap="magma",
        opacity=0.6,
        contrast_limits=(float(told.min()), float(max(told.max(), told.min() + 1e-6))),
        interpolation2d="nearest",
        metadata={RECORD: MARK},
        **{**place, "scale": np.asarray(layer.scale)[-2:] * grid, "translate": shift},
    )


def lost_layer(floor: MeasuredFloor, layer: Labels) -> Layer | None:
    """How many stones each lacuna would have held, over a tesserae layer; None where nothing is lost.

    The density is that of the whole, so the figures of all lacunae add up to the estimate of the floor.
    """
    lost = floor.whole.get("lost")
    parts = [part for part in shapely.get_parts(floor.lacunae) if part.area > 0]
    if not lost or not parts:
        return None
    total = sum(part.area for part in parts)
    words = [f"about {round(lost['tesserae'] * part.area / total):,} lost" for part in parts]
    places = shapely.get_coordinates([part.representative_point() for part in parts])[:, ::-1] * floor.factor - 0.5
    return Points(
        places,
        name=f"{layer.name} {NAMES['lost']}",
        features={"words": words},
        text={"string": "{words}", "color": "#ffd54f", "size": 12},
        size=1.0,
        metadata={RECORD: MARK},
        **lying_like(layer),
    )
