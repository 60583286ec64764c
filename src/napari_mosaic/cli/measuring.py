"""`measure`: the table and the figures of a floor."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json
from napari_mosaic.cli.output import UsageError, answer, answer_json, run, say
from napari_mosaic.cli.records import Labels, choose_labels, split_names
from napari_mosaic.engine.cluster import connect
from napari_mosaic.export import csv, parquet, xlsx
from napari_mosaic.export.notes import write_beside
from napari_mosaic.measuring import measure_steps, measured_files
from napari_mosaic.output_files import replacing
from napari_mosaic.record import open_record

if TYPE_CHECKING:
    from napari_mosaic.measuring import Measurement

_TABLES = (".csv", ".xlsx", ".parquet")


def measure(
    record: Path,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    columns: str | None = None,
    labels: Labels = None,
    read_only: Flag = False,
    scheduler: str | None = None,
    as_json: Json = False,
    overwrite: Flag = False,
) -> int:
    """Measure the stones and the whole floor, keep both in the record, and say the figures of the whole.

    Parameters
    ----------
    record
        The record.
    output
        Write the table: .csv, .xlsx (with the figures of the whole on a sheet of their own) or .parquet.
    columns
        Columns of the table, parted by commas, as for export; nearly all by default.
    labels
        Of which of its labels, such as sam2; by default what its method was asked for.
    read_only
        Keep nothing in the record.
    scheduler
        Measure on the workers of this dask scheduler: its address, such as tcp://host:8786, or its file.
    as_json
        Write the figures as JSON.
    overwrite
        Replace a table that is there.

    """
    if output is not None and output.suffix.lower() not in _TABLES:
        raise UsageError(f"A table cannot be written as {output.name}; give a name that ends in {', '.join(_TABLES)}.")
    with open_record(record, writable=not read_only) as opened:
        choose_labels(opened, labels)
        with nullcontext() if scheduler is None else connect(scheduler) as client:
            found = run(measure_steps(opened, split_names(columns), labels=labels, client=client), record.name)
        if found.without:
            say(found.without)
        if output is not None:
            _write(found, output, overwrite=overwrite)
        if as_json:
            answer_json(found.whole.to_json())
        else:
            _tell(found)
        if not read_only:
            say(f"Kept in {measured_files(opened, labels)[0].relative_to(record.parent)}")
    return 0


def _write(found: Measurement, output: Path, *, overwrite: bool) -> None:
    kind = output.suffix.lower()
    with replacing(output, overwrite=overwrite) as place:
        if kind == ".xlsx":
            xlsx.write_blocks(found.record, place, found.fields, found.blocks(), found.whole)
        else:
            (csv if kind == ".csv" else parquet).write_blocks(found.record, place, found.fields, found.blocks())
    if kind == ".csv":
        write_beside(found.record, output)


def _tell(found: Measurement) -> None:
    about = ""
    for heading, name, value in found.whole.entries():
        if heading != about:
            answer(heading if not about else f"\n{heading}")
        about = heading
        answer(f"  {name}: {value}")
