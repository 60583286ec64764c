"""`measure`: the table and the figures of a floor; `bare-ground`: what in it holds no stone."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_mosaic.areas import AreaSet
from napari_mosaic.cli.options import Flag, Json
from napari_mosaic.cli.output import UsageError, answer, answer_json, run, say
from napari_mosaic.cli.records import Labels, Region, choose_labels, split_names
from napari_mosaic.engine.cluster import connect
from napari_mosaic.export import csv, parquet, xlsx
from napari_mosaic.export.notes import write_beside
from napari_mosaic.export.region import part_of_record
from napari_mosaic.measurement.bare import NAME, bare_ground
from napari_mosaic.measuring import NOT_PRESERVED, mark_bare_ground, measure_steps, measured_files
from napari_mosaic.output_files import replacing
from napari_mosaic.record import open_record
from napari_mosaic.words import counted

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
    region: Region = None,
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
    region
        Only the tesserae whose centres lie here, whole: GeoJSON, GeoPackage or mask image, or y0 x0 y1 x1 in pixels of
        the photograph. Nothing of it is kept in the record.
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
    keep = not read_only and region is None
    with open_record(record, writable=keep) as opened:
        shown = choose_labels(opened, labels)
        asked = opened if region is None else part_of_record(shown, " ".join(region))
        with nullcontext() if scheduler is None else connect(scheduler) as client:
            found = run(
                measure_steps(asked, split_names(columns), labels=None if region else labels, client=client),
                record.name,
            )
        if found.without:
            say(found.without)
        if output is not None:
            _write(found, output, overwrite=overwrite)
        if as_json:
            answer_json(found.whole.to_json())
        else:
            _tell(found)
            if found.whole.bare.words:
                say(f"Mark bare ground with: napari-mosaic bare-ground {record} --as outside (or lacuna)")
        if keep:
            say(f"Kept in {measured_files(opened, labels)[0].relative_to(opened.path.parent)}")
    return 0


def mark_bare(
    record: Path,
    /,
    *,
    as_class: Annotated[str | None, Parameter(name="--as")] = None,
    as_json: Json = False,
) -> int:
    """Find ground without a stone inside what counts as preserved, and mark it as an area where you say what it is.

    Parameters
    ----------
    record
        The record.
    as_class
        What it is: lacuna, repair, "not legible" or outside; nothing is marked by default. It is one edit, which
        napari-mosaic edits undo takes back.
    as_json
        Write what was found as GeoJSON, in pixels of the photograph.

    """
    if as_class is not None and as_class not in NOT_PRESERVED:
        raise UsageError(f"Bare ground cannot be marked as {as_class!r}; choose one of {', '.join(NOT_PRESERVED)}.")
    with open_record(record, writable=as_class is not None) as opened:
        found = bare_ground(opened.with_labels(None)) if as_class is None else mark_bare_ground(opened, as_class)[1]
    if as_json:
        areas = AreaSet().add(as_class or "mark", found.geometry, name=NAME) if found.words else AreaSet()
        answer_json(areas.to_geojson())
        return 0
    answer(f"{NAME.capitalize()}: {found.words}" if found.words else "There is no bare ground to speak of.")
    if found.tesserae:
        answer(f"Alone on it: {counted(found.tesserae, 'tessera')}")
    if as_class is not None and found.words:
        answer(f"Marked as {as_class}; measure again.")
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
