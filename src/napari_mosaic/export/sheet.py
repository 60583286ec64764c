"""The drawing of a mosaic as a PDF page at scale.

One decision: the scale is a usual one, and the sheet the smallest of the A series that holds the drawing at it, so that
a ruler on the print measures the floor. Without a confirmed pixel size the page says that it is not to scale.

References
----------
ISO 216 (sheets), ISO 5455 (scales).
"""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from napari_mosaic.areas import AREA_CLASSES
from napari_mosaic.dependencies import needed_for
from napari_mosaic.editing import describe_report, report
from napari_mosaic.export.outlined import outlined_tiles, rings_of
from napari_mosaic.export.shaping import PLAIN, Shaping
from napari_mosaic.export.styles import AREA_FILLS
from napari_mosaic.progress import Steps
from napari_mosaic.record import Record
from napari_mosaic.record.figure_words import areas_of, density_of
from napari_mosaic.record.shown import describe_method

SCALES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SHEETS = {"A4": (297, 210), "A3": (420, 297), "A2": (594, 420), "A1": (841, 594), "A0": (1189, 841)}
"""Sides in mm, lying."""
_LETTERS, _LETTER_MM = 7, 0.2
"""Size of letters in the title block, points, and how wide one is, mm a point: 0.18 in the mean of a sentence in DejaVu
Sans, and some room."""
_MARGIN, _BLOCK = 10.0, 45.0
"""Margin, and height of the title block below the drawing, mm; not varied."""
_INCH = 25.4
_SHOWN = tuple(kind for kind in AREA_CLASSES if kind not in ("preserved", "outside"))
"""Areas that are filled."""
_VECTORS = 200_000
"""Tesserae up to which outlines are lines of the PDF; more are drawn as a picture of 300 dpi in it. Not varied."""


@dataclass(frozen=True)
class SheetLayout:
    """A sheet, its sides in mm, mm on it for a pixel of the photograph, and the scale; None is not to scale."""

    sheet: str
    size: tuple[float, float]
    mm_a_pixel: float
    scale: int | None


def drawn_part(record: Record) -> tuple[float, float, float, float]:
    """What of the photograph a drawing shows, `(x0, y0, x1, y1)`: all of it, or the box of a region."""
    height, width = record.plan.source_shape
    if record.region is None:
        return 0, 0, width, height
    x0, y0, x1, y1 = record.region.bounds
    return max(0, x0), max(0, y0), min(width, x1), min(height, y1)


def layout_of(record: Record, largest: str) -> SheetLayout:
    """The sheet of a record's drawing; see `choose_layout`."""
    x0, y0, x1, y1 = drawn_part(record)
    return choose_layout((y1 - y0, x1 - x0), record.pixel_mm, largest=largest)


def choose_layout(shape: tuple[float, float], pixel_mm: float | None, *, largest: str = "A3") -> SheetLayout:
    """The largest usual scale at which a photograph `(height, width)` fits a sheet up to `largest`, on the smallest.

    A floor that fits at none of them is drawn at the last one on the largest sheet that there is, as large as it gets.
    """
    names = list(SHEETS)
    allowed = names[: names.index(largest) + 1]
    if pixel_mm is not None:
        for scale in SCALES:
            for name in allowed:
                for size in (SHEETS[name], SHEETS[name][::-1]):
                    wanted = [side * pixel_mm / scale for side in shape]
                    if wanted[0] <= _room(size)[0] and wanted[1] <= _room(size)[1]:
                        return SheetLayout(name, size, pixel_mm / scale, scale)
    name = allowed[-1] if pixel_mm is None else names[-1]
    size = SHEETS[name] if shape[1] >= shape[0] else SHEETS[name][::-1]
    return SheetLayout(name, size, min(room / side for room, side in zip(_room(size), shape, strict=True)), None)


def _room(size: tuple[float, float]) -> tuple[float, float]:
    """Height and width in mm that a sheet has for the drawing."""
    return size[1] - 2 * _MARGIN - _BLOCK, size[0] - 2 * _MARGIN


def write_sheet_steps(
    record: Record, path: Path, *, author: str = "", largest: str = "A3", shaping: Shaping = PLAIN
) -> Steps[None]:
    """Write the page to `path`.

    Parameters
    ----------
    record
        Open for reading.
    path
        The PDF.
    author
        Who hands it in; stands in the title block.
    largest
        Largest sheet: A4, A3, A2, A1 or A0.
    shaping
        What traces the outlines.

    Raises
    ------
    DependencyError
        matplotlib is not installed.
    """
    with needed_for("A drawing as PDF"):
        from matplotlib.backends.backend_pdf import FigureCanvasPdf
        from matplotlib.figure import Figure
    layout = layout_of(record, largest)
    x0, y0, x1, y1 = drawn_part(record)
    figure = Figure(figsize=(layout.size[0] / _INCH, layout.size[1] / _INCH))
    FigureCanvasPdf(figure)
    sheet = _axes_in_mm(figure, layout.size)
    sheet.plot(*_frame(_MARGIN, _MARGIN, layout.size[0] - _MARGIN, layout.size[1] - _MARGIN), "k-", lw=0.7)
    drawn = (y1 - y0) * layout.mm_a_pixel, (x1 - x0) * layout.mm_a_pixel
    corner = (layout.size[0] - drawn[1]) / 2, _MARGIN + _BLOCK + (_room(layout.size)[0] - drawn[0]) / 2
    _draw_areas(sheet, record, layout, corner)
    yield from _draw_tesserae(sheet, record, layout, corner, shaping)
    _draw_block(sheet, record, layout, author)
    figure.savefig(path, format="pdf", dpi=300, metadata={"Title": record.source.name, "Author": author or None})


def _axes_in_mm(figure: Any, size: tuple[float, float]) -> Any:
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(0, size[1]))
    axes.set_axis_off()
    return axes


def _frame(x0: float, y0: float, x1: float, y1: float) -> tuple[list[float], list[float]]:
    return [x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0]


def _to_sheet(points: Any, record: Record, layout: SheetLayout, corner: tuple[float, float]) -> Any:
    """From source pixels `(x, y)` to mm on the sheet, y upwards."""
    x0, _, _, y1 = drawn_part(record)
    flipped = np.column_stack([points[:, 0] - x0, y1 - points[:, 1]])
    return flipped * layout.mm_a_pixel + np.array(corner)


def _draw_areas(sheet: Any, record: Record, layout: SheetLayout, corner: tuple[float, float]) -> None:
    """What is lost, repaired or not legible, with its holes; a ring turned the other way is one."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    for area in record.areas:
        if area.kind not in _SHOWN:
            continue
        turned = shapely.orient_polygons(area.geometry)
        rings = [_to_sheet(np.vstack([ring, ring[:1]]), record, layout, corner) for ring in rings_of(turned)]
        outline = Outline.make_compound_path(*(Outline(ring, closed=True) for ring in rings))
        colour = _colour(area.kind)
        sheet.add_patch(PathPatch(outline, facecolor=(*colour, 0.25), edgecolor=colour, linewidth=0.5))


def _colour(kind: str) -> tuple[float, ...]:
    return tuple(int(part) / 255 for part in AREA_FILLS[kind].split(","))


def _draw_tesserae(
    sheet: Any, record: Record, layout: SheetLayout, corner: tuple[float, float], shaping: Shaping
) -> Steps[None]:
    from matplotlib.collections import PolyCollection

    for tile in outlined_tiles(record, ["number"], shaping):
        rings = [_to_sheet(ring, record, layout, corner) for outline in tile.outlines for ring in rings_of(outline)]
        lines = PolyCollection(rings, facecolor="none", edgecolor="black", linewidth=0.2)
        lines.set_rasterized(record.count > _VECTORS)
        sheet.add_collection(lines)
        yield tile.progress


def _draw_block(sheet: Any, record: Record, layout: SheetLayout, author: str) -> None:
    """The title block: what it is, whose, how large, and how it came to be; the scale bar and the legend."""
    top, left, right = _MARGIN + _BLOCK, _MARGIN, layout.size[0] - _MARGIN
    sheet.plot([left, right], [top, top], "k-", lw=0.7)
    figures = record.figures()
    scale = "not to scale" if layout.scale is None else f"Scale 1:{layout.scale} on {layout.sheet}"
    placed = record.crs if record.affine is not None and record.crs else "not placed on a map"
    columns = [
        [
            record.source.name,
            *([author] if author else []),
            datetime.date.today().isoformat(),
            scale,
            placed if len(placed) < 40 else "placed, local system",
        ],
        [
            f"Tesserae: {figures.count:,}",
            f"Density: {density_of(figures)}",
            *(f"{n}: {a}" for n, a in areas_of(figures)),
        ],
        [f"Method: {describe_method(record)}", f"By hand: {describe_report(report(record))}"],
    ]
    columns[2] = fold_lines(columns[2], 0.4 * (right - left - 4))
    starts = np.array([0.0, 0.3, 0.6]) * (right - left - 4) + left + 2
    for x, lines in zip(starts, columns, strict=True):
        for number, line in enumerate(lines[:7]):
            size = 11 if number == 0 and x == starts[0] else _LETTERS
            sheet.text(x, top - 4.5 - 5 * number, line, fontsize=size, va="center", clip_on=True)
    _draw_legend(sheet, record, (float(starts[2]), top - max(18, 3 + 5 * len(columns[2]))))
    _draw_bar(sheet, record, layout, (float(starts[2]), _MARGIN + 5))
    if record.affine is not None:
        _draw_north(sheet, record.affine, (right - 14, _MARGIN + 14))


def fold_lines(lines: Sequence[str], width: float) -> list[str]:
    """Lines of the title block in its usual letters, folded at `width` mm."""
    letters = max(int(width / (_LETTERS * _LETTER_MM)), 1)
    return [part for line in lines for part in textwrap.wrap(line, letters) or [""]]


def _draw_legend(sheet: Any, record: Record, place: tuple[float, float]) -> None:
    kinds = [kind for kind in _SHOWN if any(area.kind == kind for area in record.areas)]
    for number, kind in enumerate(kinds):
        x, y = place[0] + 28 * (number % 3), place[1] - 5 * (number // 3)
        colour, box = _colour(kind), _frame(x, y - 1.5, x + 5, y + 1.5)
        sheet.fill(*box, facecolor=(*colour, 0.25), edgecolor=colour, lw=0.5)
        sheet.text(x + 6, y, kind, fontsize=5.5, va="center")


def _draw_bar(sheet: Any, record: Record, layout: SheetLayout, place: tuple[float, float]) -> None:
    """A scale bar of a round length, some 40 mm on the sheet, in two halves."""
    pixel_mm = record.pixel_mm
    unit = 1.0 if pixel_mm is None else pixel_mm
    whole = round_length(40 / layout.mm_a_pixel * unit)
    long = whole / unit * layout.mm_a_pixel
    for part, colour in ((0, "black"), (1, "white")):
        x = place[0] + part * long / 2
        sheet.fill(*_frame(x, place[1], x + long / 2, place[1] + 1.5), facecolor=colour, edgecolor="black", lw=0.4)
    text = f"{whole:g} px" if pixel_mm is None else f"{whole:g} mm" if whole < 1000 else f"{whole / 1000:g} m"
    sheet.text(place[0] + long + 2, place[1] + 0.7, text, fontsize=5.5, va="center")


def round_length(most: float) -> float:
    """The largest of 1, 2, 5, 10, 20 … that is no longer than `most`."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(step for step in (power, 2 * power, 5 * power) if step <= most * (1 + 1e-9)))


def _draw_north(sheet: Any, affine: tuple[float, ...], foot: tuple[float, float]) -> None:
    """An arrow to the north of the map, with its N; the photograph's up is the page's."""
    a, b, _, d, e, _ = affine
    x, y = np.linalg.solve(np.array([[a, b], [d, e]]), np.array([0.0, 1.0]))
    head = np.array(foot) + np.array([x, -y]) / max(float(np.hypot(x, y)), 1e-12) * 8
    # The arrow runs between the letter and the foot; its point is at the letter.
    words = {"fontsize": 7, "ha": "center", "va": "center", "arrowprops": {"arrowstyle": "<-", "lw": 0.8}}
    sheet.annotate("N", xy=foot, xytext=(float(head[0]), float(head[1])), **words)
