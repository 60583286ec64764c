"""The table of tesserae as a workbook of Excel and LibreOffice, with a sheet that says what its columns mean.

One decision: a sheet has 1,048,576 rows; what does not fit goes on in further sheets, each with its header.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

from napari_mosaic.dependencies import needed_for
from napari_mosaic.export.csv import cells
from napari_mosaic.export.notes import notes_of
from napari_mosaic.measurement.features import Features, table_blocks_steps
from napari_mosaic.measurement.registry import Field
from napari_mosaic.measurement.whole import Whole
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

if TYPE_CHECKING:
    from openpyxl import Workbook

ROWS = 1_048_575
"""Tesserae of a sheet: the rows of the format (ECMA-376) but the header."""


def write_steps(record: Record, path: Path, columns: Sequence[str] | None = None) -> Iterator[Progress]:
    """Write the table to `path`; see `measurement.columns` for its columns."""
    fields, blocks = yield from table_blocks_steps(record, columns)
    write_blocks(record, path, fields, blocks)


def write_blocks(
    record: Record, path: Path, fields: Sequence[Field], blocks: Iterable[Features], whole: Whole | None = None
) -> None:
    """Write what was measured to `path`, and the figures of the whole on sheets of their own before the table."""
    with needed_for("A workbook", instead="or export as csv"):
        from openpyxl import Workbook
        from openpyxl.writer.excel import ExcelWriter
    book = Workbook(write_only=True)
    if whole is not None:
        _write_whole(book, whole)
    sheet, count = None, 0
    for block in blocks:
        for row in zip(*(cells(values, None) for values in block.values()), strict=True):
            if sheet is None or count % ROWS == 0:
                sheet = _begin_sheet(book, fields, count // ROWS)
            sheet.append(row)
            count += 1
    if sheet is None:
        _begin_sheet(book, fields, 0)
    _write_help(book, record, fields)
    for each in book.worksheets:
        each.close()
    # Not `book.save`: what a full disk interrupts there ends in a traceback when Python tidies up.
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        ExcelWriter(book, archive).save()


def _write_whole(book: Workbook, whole: Whole) -> None:
    """The figures, and the map of the joints: a cell of the sheet for each of the floor."""
    figures = book.create_sheet("whole")
    figures.append(["about", "figure", "value"])
    for entry in whole.entries():
        figures.append(list(entry))
    if whole.joint_map is not None:
        joints = book.create_sheet("joint map")
        joints.append([f"median width of the joints, {whole.unit}, in cells of {whole.joint_map.cell:.0f} px"])
        for row in whole.joint_map.widths:
            joints.append(list(row))


def _begin_sheet(book: Workbook, fields: Sequence[Field], number: int) -> Any:
    sheet = book.create_sheet("tesserae" if number == 0 else f"tesserae {number + 1}")
    sheet.freeze_panes = "A2"
    sheet.append([field.name for field in fields])
    return sheet


def _write_help(book: Workbook, record: Record, fields: Sequence[Field]) -> None:
    columns = book.create_sheet("columns")
    columns.append(["column", "unit", "meaning"])
    for field in fields:
        columns.append([field.name, "" if field.unit in ("1", "text") else field.unit, field.column.help])
    about = book.create_sheet("about")
    for name, value in notes_of(record).items():
        about.append([name, str(value)])
