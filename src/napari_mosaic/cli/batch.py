"""`batch`: a table of photographs to records.

One decision: the state is in the records themselves. What is complete is skipped and what was begun
is gone on with, so the same command can be given again until all is done. A record counts for the photograph that
it was made from, whatever it is called.
"""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json, given_of, plain
from napari_mosaic.cli.output import answer, answer_json, say
from napari_mosaic.cli.segmenting import Outcome, SegmentOptions, attempt, describe
from napari_mosaic.errors import InputError, MissingError, MosaicError, ReadError, WriteError
from napari_mosaic.files import whole_file, write_csv
from napari_mosaic.image.pixel_size import given_size
from napari_mosaic.objects import address_of, as_place
from napari_mosaic.record import open_record
from napari_mosaic.record_names import Wanted, holds, record_places
from napari_mosaic.record_setup import check_asked
from napari_mosaic.request import RunOptions, RunRequest, SegmentParams

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NAMES = {
    "source": "source",
    "photograph": "source",
    "region": "region",
    "exclude": "exclude",
    "mm_per_pixel": "pixel_mm",
    "pixel_mm": "pixel_mm",
    "output": "output",
    "record": "output",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; `output` is the record, or the folder for it until all lines are known."""

    source: str
    output: Path
    region: Path | None = None
    exclude: Path | None = None
    pixel_mm: float | None = None

    def asked(self, given: frozenset[str], *, overwrite: bool) -> RunOptions:
        """What of the line is asked of `segment`, where the options `given` are asked of all lines."""
        areas = RunOptions(region=self.region, exclude=self.exclude, pixel_mm=self.pixel_mm, given=given)
        return {**areas, "overwrite": overwrite, "resume": not overwrite}


def batch(
    jobs: Path,
    /,
    *,
    summary: Path | None = None,
    overwrite: Flag = False,
    as_json: Json = False,
    params: Annotated[SegmentOptions, Parameter(name="*")] = SegmentOptions(),  # noqa: B008 - frozen
) -> int:
    """Segment all photographs of a table; finished ones are skipped, begun ones gone on with.

    Parameters
    ----------
    jobs
        CSV with the columns source, and where wanted region, exclude, mm per pixel, output.
        Paths are relative to the table.
    summary
        CSV to write at the end; JOBS.summary.csv by default.
    overwrite
        Segment finished ones again.
    as_json
        Write the result as JSON.
    params
        How to segment.

    """
    rows = read_jobs(jobs)
    settings, given = plain(params, SegmentParams), given_of(params)
    outcomes = []
    for row in rows:
        done = None if overwrite else finished(row, settings, given)
        asked = row.asked(given, overwrite=overwrite)
        outcomes.append(done or attempt(row.source, row.output, settings, asked))
        if not as_json and outcomes[-1].error is None:
            answer(outcomes[-1].line + (" (was done)" if done else ""))
    path = summary or jobs.with_name(f"{jobs.stem}.summary.csv")
    write_summary(path, outcomes)
    failed = sum(outcome.error is not None for outcome in outcomes)
    if as_json:
        answer_json({"results": [asdict(o) for o in outcomes], "failed": failed, "summary": str(path)})
    say(f"{len(rows) - failed} of {len(rows)} photographs done, {failed} failed; summary in {path}.")
    return 1 if failed else 0


def finished(row: Row, params: SegmentParams, given: frozenset[str] = frozenset()) -> Outcome | None:
    """The outcome of a row whose record is complete already; one of another photograph or other settings is none.

    A pixel size that the table gives reaches it.
    """
    if not (row.output / "mosaic.json").exists():
        return None
    try:
        with open_record(row.output) as record:
            if not (record.complete and holds(record, row.source)):
                return None
            check_asked(record, params, RunRequest(region=row.region, exclude=row.exclude, given=given))
            if row.pixel_mm is not None and record.pixel_size != given_size(row.pixel_mm):
                with open_record(row.output, writable=True) as mine:
                    mine.set_pixel_size(row.pixel_mm)
            return describe(record, row.source)
    except MosaicError:
        return None  # segmenting it says what is wrong


def read_jobs(path: Path) -> list[Row]:
    """Read the table, whatever program wrote it: commas, semicolons or tabs, any capitals."""
    lines = _read_lines(path)
    named = re.fullmatch(r"sep=(.)", lines[0].strip('"'), re.IGNORECASE) if lines else None
    if named:  # Excel's own line, which says by what the columns are parted
        lines = lines[1:]
    delimiter = named[1] if named else max(",;\t", key=lines[0].count) if lines else ","
    reader = csv.DictReader(lines, delimiter=delimiter)
    names = {name: _known(name) for name in reader.fieldnames or []}
    if "source" not in names.values():
        raise InputError(
            f"The table {path} has no column source, so it names no photographs; its first line must hold "
            "source, and may hold region, exclude, mm per pixel, output."
        )
    rows: dict[int, Row] = {}
    for number, line in enumerate(reader, start=3 if named else 2):
        values = {known: (line.get(name) or "").strip() for name, known in names.items() if known}
        if values["source"]:
            rows[number] = _parse(values, path, number)
    places = record_places([Wanted(row.source, row.output) for row in rows.values()])
    placed = {number: replace(row, output=place) for (number, row), place in zip(rows.items(), places, strict=True)}
    _check_places(placed, path)
    return list(placed.values())


def _read_lines(path: Path) -> list[str]:
    """The lines of a table in UTF-8, or in UTF-16 where its first bytes say so, as Excel writes it."""
    try:
        content = path.read_bytes()
        return content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise MissingError(f"There is no table {path}; check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"The table {path} cannot be read ({error}); save it as CSV in UTF-8.") from error


def _check_places(rows: dict[int, Row], path: Path) -> None:
    """Refuse a table that asks for two different things in one record."""
    first: dict[Path, int] = {}
    for number, row in rows.items():
        other = first.setdefault(row.output.absolute(), number)
        if row != rows[other]:
            raise InputError(
                f"Lines {other} and {number} of {path} ask for different things in one record, {row.output.name}; "
                "give each an output of its own."
            )


def _known(name: str) -> str | None:
    return _NAMES.get((name or "").strip().lower().replace(" ", "_").replace("-", "_"))


def _parse(values: dict[str, str], path: Path, number: int) -> Row:
    folder = path.parent
    source = values["source"]
    if "://" not in source and not source.startswith("sample:"):
        source = str(folder / source)
    try:
        pixel_mm = float(values["pixel_mm"].replace(",", ".")) if values.get("pixel_mm") else None
    except ValueError as error:
        raise InputError(
            f"Line {number} of {path} gives {values['pixel_mm']!r} as mm per pixel, which is no number; "
            "correct it or leave it empty."
        ) from error
    beside = Path(source).parent if Path(source).exists() else folder
    return Row(
        source=source,
        output=_output_in(folder, values["output"]) if values.get("output") else beside,
        region=folder / values["region"] if values.get("region") else None,
        exclude=folder / values["exclude"] if values.get("exclude") else None,
        pixel_mm=pixel_mm,
    )


def _output_in(folder: Path, output: str) -> Path:
    """The record, or the folder for it, that a line asks for; an address is no part of the table's folder."""
    return folder / output if address_of(output) is None else as_place(output)


def write_summary(path: Path, outcomes: list[Outcome]) -> None:
    """Write one line a photograph, whole or not at all."""
    names = [field.name for field in fields(Outcome) if field.name != "preview"]
    try:
        with whole_file(path, sync=False) as temporary:
            write_csv(temporary, (names, *([getattr(outcome, name) for name in names] for outcome in outcomes)))
    except OSError as error:
        raise WriteError(
            f"The summary {path} cannot be written ({error.strerror}); give another place with --summary."
        ) from error
