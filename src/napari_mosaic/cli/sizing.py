"""`pixel-size`: how large a pixel of the photograph is on the floor.

One decision: without a value the command only tells what is known; with one it writes the record and nothing else, so
it can be given before, during and after a run.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json
from napari_mosaic.cli.output import UsageError, answer_json, answer_table
from napari_mosaic.cli.records import size_rows
from napari_mosaic.image import PixelSize
from napari_mosaic.image.pixel_size import size_of_line
from napari_mosaic.record import Record, open_record


def pixel_size(
    record: Path,
    mm: float | None = None,
    /,
    *,
    line: str | None = None,
    length_mm: Annotated[float | None, Parameter(name="--length-mm")] = None,
    confirm: Flag = False,
    forget: Flag = False,
    as_json: Json = False,
) -> int:
    """Say how large a pixel of the photograph is on the floor; without a value, see what the record knows of it.

    The record, its OME-Zarr scales and all later exports follow. A size of the file that nobody vouches for, such as
    one from dpi, is shown and scales nothing until it is confirmed.

    Parameters
    ----------
    record
        The record.
    mm
        Edge of a pixel of the photograph on the floor, in mm.
    line
        Instead: a line of known length in pixels of the photograph, as y0,x0,y1,x1.
    length_mm
        Length of that line on the floor, in mm.
    confirm
        Say that the size that the file gives is right.
    forget
        Know of no size.
    as_json
        Write the result as JSON.

    """
    asked = [mm is not None, line is not None, confirm, forget]
    if sum(asked) > 1:
        raise UsageError("A size, --line, --confirm and --forget are four ways to say one thing; give one of them.")
    if (line is None) != (length_mm is None):
        raise UsageError("A line measures by its length; give --line y0,x0,y1,x1 and --length-mm together.")
    ends = None if line is None else _ends(line)
    with open_record(record, writable=any(asked)) as opened:
        if mm is not None:
            opened.set_pixel_size(mm)
        elif ends is not None and length_mm is not None:
            _take(opened, size_of_line(ends[:2], ends[2:], length_mm))
        elif confirm:
            _confirm(opened)
        elif forget:
            opened.set_pixel_size(None)
        _tell(opened, as_json=as_json)
    return 0


def _take(record: Record, size: PixelSize) -> None:
    record.set_pixel_size(size.mm, confirmed=size.confirmed, origin=size.origin)


def _confirm(record: Record) -> None:
    size = record.pixel_size
    if size is None:
        raise UsageError(f"{record.path.name} knows of no pixel size that could be confirmed; give one in mm.")
    record.set_pixel_size(size.mm, origin=size.origin)


def _ends(text: str) -> tuple[float, ...]:
    """The ends y0, x0, y1, x1 of a line."""
    try:
        ends = tuple(float(word) for word in text.replace(";", ",").split(","))
    except ValueError:
        ends = ()
    if len(ends) != 4:
        raise UsageError(f"--line {text} is no line; give its ends in pixels of the photograph as y0,x0,y1,x1.")
    return ends


def _tell(record: Record, *, as_json: bool) -> None:
    size = record.pixel_size
    if as_json:
        answer_json({"record": str(record.path), "pixel_size": None if size is None else asdict(size)})
        return
    rows: list[tuple[str, Any]] = size_rows(record.plan.source_shape, size)
    if size is None:
        rows[0] = ("pixel size", "unknown: lengths and areas are in pixels")
    answer_table([("record", str(record.path)), *rows, ("coordinate system", record.crs)])
