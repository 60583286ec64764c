"""`pixel-size`: how large a pixel of the photograph is on the floor.

One decision: without a value the command only tells what is known; with one it writes the record and nothing else, so
it can be given before, during and after a run.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json
from napari_mosaic.cli.output import UsageError, answer_json, answer_table, say
from napari_mosaic.cli.records import size_rows
from napari_mosaic.drawn_sizes import ASK_SECOND, KnownLine, size_of_line, size_of_lines, size_of_rectangle
from napari_mosaic.image import PixelSize
from napari_mosaic.image.pixel_size import is_oblique
from napari_mosaic.record import Record, open_record
from napari_mosaic.scale_bars import find_bar_ends


def pixel_size(
    record: Path,
    mm: float | None = None,
    /,
    *,
    line: str | None = None,
    length_mm: Annotated[float | None, Parameter(name="--length-mm")] = None,
    crosswise: str | None = None,
    crosswise_mm: Annotated[float | None, Parameter(name="--crosswise-mm")] = None,
    snap: Flag = False,
    rectangle: str | None = None,
    sides: str | None = None,
    confirm: Flag = False,
    forget: Flag = False,
    as_json: Json = False,
) -> int:
    """Say how large a pixel of the photograph is on the floor; without a value, see what the record knows of it.

    The record, its OME-Zarr scales and all later exports follow. A size of the file that nobody vouches for, such as
    one from dpi, is shown and scales nothing until it is confirmed. Two lines crosswise, or a rectangle, tell whether
    the photograph was taken at a slant: where they differ by over 2 % there is no one size to confirm; see rectify.

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
    crosswise
        A second line that crosses the direction of the first, as y0,x0,y1,x1.
    crosswise_mm
        Length of the second line on the floor, in mm.
    snap
        Move the ends of the lines to the ends of a scale bar in the photograph, where they were only clicked on.
    rectangle
        Instead: the corners of a rectangle in pixels of the photograph, going round, as y0,x0,y1,x1,y2,x2,y3,x3.
    sides
        Its sides on the floor in mm, that from the first to the second corner and the next, as 1000,500.
    confirm
        Say that the size that the file gives is right.
    forget
        Know of no size.
    as_json
        Write the result as JSON.

    """
    asked = [mm is not None, line is not None, rectangle is not None, confirm, forget]
    if sum(asked) > 1:
        raise UsageError(
            "A size, --line, --rectangle, --confirm and --forget are five ways to say one thing; give one of them."
        )
    lines = [read_line("--line", line, length_mm), read_line("--crosswise", crosswise, crosswise_mm)]
    if lines[1] is not None and lines[0] is None:
        raise UsageError("A line crosswise needs a first one; give --line and --length-mm too.")
    if (rectangle is None) != (sides is None):
        raise UsageError("A rectangle measures by its sides; give --rectangle y0,x0,… and --sides together.")
    with open_record(record, writable=any(asked)) as opened:
        if mm is not None:
            opened.set_pixel_size(mm)
        elif lines[0] is not None:
            _take(opened, _of_lines(opened, [one for one in lines if one is not None], snap=snap))
        elif rectangle is not None and sides is not None:
            corners = read_pairs("--rectangle", rectangle)
            _take(opened, size_of_rectangle(corners, read_numbers("--sides", sides, 2), opened.source.shape))
        elif confirm:
            _confirm(opened)
        elif forget:
            opened.set_pixel_size(None)
        _tell(opened, as_json=as_json)
        if lines[0] is not None and lines[1] is None:
            say(ASK_SECOND)
        elif any(asked) and is_oblique(opened.pixel_size):
            say("Rectify it with: napari-mosaic rectify PHOTOGRAPH --points y0,x0,… --sides W,H -o RECTIFIED.tif")
    return 0


def _of_lines(record: Record, lines: list[KnownLine], *, snap: bool) -> PixelSize:
    if snap:
        with record.open_source() as image:
            found = [find_bar_ends(image, line.start, line.end) for line in lines]
        lines = [replace(line, start=bar.start, end=bar.end) for line, bar in zip(lines, found, strict=True)]
        for bar in found:
            if not all(bar.found):
                say("Where no edge is near an end of the line, the end stays where it was given.")
    if len(lines) > 1:
        return size_of_lines(*lines)
    return size_of_line(lines[0].start, lines[0].end, lines[0].length_mm)


def _take(record: Record, size: PixelSize) -> None:
    record.set_pixel_size(size.mm, confirmed=size.confirmed, origin=size.origin)


def _confirm(record: Record) -> None:
    size = record.pixel_size
    if size is None:
        raise UsageError(f"{record.path.name} knows of no pixel size that could be confirmed; give one in mm.")
    record.set_pixel_size(size.mm, origin=size.origin)


def read_line(option: str, text: str | None, length_mm: float | None) -> KnownLine | None:
    """A line `y0,x0,y1,x1` of a known length; None where neither is given."""
    if (text is None) != (length_mm is None):
        length = "--length-mm" if option == "--line" else f"{option}-mm"
        raise UsageError(f"A line measures by its length; give {option} y0,x0,y1,x1 and {length} together.")
    if text is None or length_mm is None:
        return None
    try:
        y0, x0, y1, x1 = read_numbers(option, text, 4)
    except UsageError as error:
        words = f"{option} {text} is no line; give its ends in pixels of the photograph as y0,x0,y1,x1."
        raise UsageError(words) from error
    return KnownLine(start=(y0, x0), end=(y1, x1), length_mm=length_mm)


def read_numbers(option: str, text: str, count: int | None = None) -> list[float]:
    """Numbers with commas between them, `count` of them where that is given."""
    try:
        found = [float(word) for word in text.replace(";", ",").split(",")]
    except ValueError:
        found = []
    if not found or count not in (None, len(found)):
        wanted = "numbers" if count is None else f"{count} numbers"
        raise UsageError(f"{option} {text} is not understood; give {wanted} with commas between them.")
    return found


def read_pairs(option: str, text: str) -> list[tuple[float, float]]:
    """Places, two numbers each."""
    numbers = read_numbers(option, text)
    if len(numbers) % 2:
        raise UsageError(f"{option} has {len(numbers)} numbers, but each place has two; give an even number of them.")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _tell(record: Record, *, as_json: bool) -> None:
    size = record.pixel_size
    if as_json:
        answer_json({"record": str(record.path), "pixel_size": None if size is None else asdict(size)})
        return
    rows: list[tuple[str, Any]] = size_rows(record.plan.source_shape, size)
    if size is None:
        rows[0] = ("pixel size", "unknown: lengths and areas are in pixels")
    answer_table([("record", str(record.path)), *rows, ("coordinate system", record.crs)])
