"""The files of a check: squares to count, and the counts that come back.

One decision: a table carries the boxes of its squares, so it can be counted on another day, on another
machine, and after the record was changed.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from napari_mosaic.areas import AreaSet, write_areas
from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.evaluation.floor import COUNTED, MISSED, WRONG, Square, centres_in
from napari_mosaic.files import write_csv
from napari_mosaic.image import MosaicImage
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.output_files import replacing
from napari_mosaic.picture_marks import png_marks
from napari_mosaic.record import Record
from napari_mosaic.record_names import companion
from napari_mosaic.tiling import Box

TABLE = "squares.csv"
_COLUMNS = ("square", "y0", "x0", "y1", "x1", "seed", "found", COUNTED, MISSED, WRONG)


def write_squares(record: Record, image: MosaicImage, squares: Sequence[Square], folder: str | Path) -> Path:
    """Write what is needed to count: `squares.csv` to fill in, `squares.geojson`, and a picture a square.

    Returns the CSV. Its column `counted` is empty; `missed` and `wrong` may be filled in instead.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    areas = AreaSet()
    for square in squares:
        y0, x0, y1, x1 = square.box
        areas = areas.add("mark", shapely.box(x0, y0, x1, y1), name=square.name, seed=square.seed, found=square.found)
        draw_square(record, image, square, folder / f"square-{square.name}.png")
    write_areas(folder / "squares.geojson", areas)
    return write_counts(squares, folder)


def check_folder(record: Path) -> Path:
    """Where the squares of a record are kept: `NAME.check` beside it."""
    return companion(record, "check")


def write_counts(squares: Sequence[Square], folder: str | Path) -> Path:
    """Write the table `squares.csv` into a folder, with what is counted so far; returns it."""
    path = Path(folder) / TABLE
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ([s.name, *s.box, s.seed, s.found, s.counted, s.missed, s.wrong] for s in squares)
    with replacing(path, overwrite=True) as temporary:
        write_csv(temporary, (_COLUMNS, *rows))
    return path


def read_counts(path: str | Path) -> list[Square]:
    """Read a table of squares that somebody filled in, whatever program wrote it.

    Where `counted` is empty it follows from `missed` and `wrong`.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise MissingError(f"There is no table {path} of counts; make one with: napari-mosaic check RECORD.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"The table {path} cannot be read ({error}); save it as CSV in UTF-8.") from error
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    rows = list(csv.DictReader(lines, delimiter=delimiter))
    needed = {"square", "y0", "x0", "y1", "x1", COUNTED}
    if not rows or not needed <= set(rows[0]):
        raise InputError(
            f"{path} is no table of squares (it needs the columns {', '.join(sorted(needed))}); fill in the "
            "squares.csv that check wrote."
        )
    return [_parse(row, path, number) for number, row in enumerate(rows, start=2)]


def _parse(row: dict[str, Any], path: Path, line: int) -> Square:
    def number(name: str) -> int | None:
        text = (row.get(name) or "").strip()
        try:
            value = None if text == "" else int(text)
        except ValueError:
            value = -1
        if value is not None and value < 0:
            raise InputError(
                f"Line {line} of {path} gives {text!r} as {name}, which is no count; write a whole number."
            )
        return value

    edges = [number(name) for name in ("y0", "x0", "y1", "x1")]
    box = Box(*(edge or 0 for edge in edges))
    if None in edges or box.y1 <= box.y0 or box.x1 <= box.x0:
        raise InputError(
            f"Line {line} of {path} names no square; leave the columns y0, x0, y1, x1 as check wrote them."
        )
    found, counted, missed, wrong = (number(name) for name in ("found", COUNTED, MISSED, WRONG))
    if counted is None and missed is not None and wrong is not None:
        counted = (found or 0) - wrong + missed
    return Square(
        name=str(row["square"]),
        box=box,
        seed=number("seed") or 0,
        found=found or 0,
        counted=counted,
        missed=missed,
        wrong=wrong,
    )


def draw_square(record: Record, image: MosaicImage, square: Square, path: Path) -> None:
    """Draw a square with a margin, once plain and once with outlines and a dot on every tessera that it holds."""
    from PIL import Image, ImageDraw

    around = square.box.grow(round(0.2 * square.box.shape[0])).clip(image.shape)
    zoom = int(np.clip(round(900 / around.shape[0]), 1, 8))
    plain = np.repeat(np.repeat(image.read(around, 0), zoom, 0), zoom, 1)
    labels = np.repeat(np.repeat(read_source_labels(record, around), zoom, 0), zoom, 1)
    edge = (labels != np.roll(labels, 1, 0)) | (labels != np.roll(labels, 1, 1))
    edge[0], edge[:, 0] = False, False
    marked = plain.copy()
    marked[edge] = (0, 235, 255)
    picture = Image.fromarray(np.concatenate([plain, marked], axis=1))
    pen = ImageDraw.Draw(picture)
    y0, x0, y1, x1 = (zoom * edge for edge in square.box.shift(-around.y0, -around.x0))
    for left in (0, plain.shape[1]):
        pen.rectangle((left + x0, y0, left + x1, y1), outline=(255, 40, 40), width=3)
    dot = max(2, zoom)
    for y, x in (centres_in(record, square.box) - (around.y0, around.x0)) * zoom:
        pen.ellipse((plain.shape[1] + x - dot, y - dot, plain.shape[1] + x + dot, y + dot), fill=(255, 40, 40))
    with replacing(path, overwrite=True) as temporary:
        picture.save(temporary, format="PNG", pnginfo=png_marks())
