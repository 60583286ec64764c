"""`import`: what was drawn or corrected in another program becomes edits of a record, or a record.

One decision: what a file and a record disagree about is listed and left as it is in the record.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_mosaic.area_files import Grid
from napari_mosaic.cli.options import Flag, Json
from napari_mosaic.cli.output import UsageError, answer, answer_json, run, say
from napari_mosaic.export.region import grid_of, read_region
from napari_mosaic.image import open_image_steps
from napari_mosaic.importing import (
    Dispute,
    Imported,
    import_edits_steps,
    import_record_steps,
    read_outlines,
)
from napari_mosaic.importing.pictures import Shows
from napari_mosaic.importing.vector import cover_of
from napari_mosaic.record import Record, open_record
from napari_mosaic.words import counted

_SHOWN = 20
"""Disputes that are printed; all are in the JSON."""


def import_outlines(
    file: Path,
    /,
    *,
    into: Path | None = None,
    source: str | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    covers: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    shows: Shows = "auto",
    scale: float = 1.0,
    dry_run: Flag = False,
    as_json: Json = False,
) -> int:
    """Bring outlines from another program into the record that they came from, or make a record of them.

    Parameters
    ----------
    file
        COCO or Label Studio's JSON, GeoJSON (also QuPath's), GeoPackage, Shapefile, a DXF of ours, a label image or a
        black and white mask; or the folder of a COCO export.
    into
        The record that the file came from: what differs becomes edits of it, which can be undone.
    source
        Instead, the photograph of a new record.
    output
        The new record, NAME.mosaic.zarr.
    covers
        Where the file is complete, so that what it lacks was deleted: all, nothing, GeoJSON, GeoPackage or mask image,
        or y0 x0 y1 x1 in pixels of the photograph. By default what the file says of itself; else nothing.
    shows
        Of a picture: labels, white tesserae, or white joints.
    scale
        Of a new record: pixels of the analysis per pixel of the photograph.
    dry_run
        Only tell what would be done.
    as_json
        Write the result as JSON.

    """
    if (into is None) == (source is None):
        raise UsageError("Outlines go into a record or onto a photograph; give --into RECORD, or --source and -o.")
    if into is not None:
        if output is not None:
            raise UsageError("--into brings edits into a record and -o names a new one; give one of the two.")
        return _bring_back(file, into, covers, shows, dry_run=dry_run, as_json=as_json)
    if output is None or source is None:
        raise UsageError("A new record needs a place; give it with -o NAME.mosaic.zarr.")
    if covers is not None or dry_run:
        raise UsageError("--covers and --dry-run say how a record is edited; give them with --into.")
    with run(open_image_steps(source), Path(source).name) as image:
        grid = Grid(shape=image.shape, crs=image.crs, affine=image.affine)
        outlines = read_outlines(file, grid, photograph=image.name, shows=shows)
        with run(import_record_steps(image, outlines, output, scale=scale), output.name) as record:
            count = record.count
    _tell_notes(outlines.notes)
    if as_json:
        answer_json({"record": str(output), "tesserae": count, "notes": outlines.notes})
    else:
        answer(f"{counted(count, 'tessera')} of {file.name} in {output}")
    return 0


def _bring_back(file: Path, into: Path, covers: list[str] | None, shows: Shows, *, dry_run: bool, as_json: bool) -> int:
    with open_record(into, writable=not dry_run) as record:
        outlines = read_outlines(file, grid_of(record), photograph=record.source.name, shows=shows)
        cover = _cover(record, covers)
        if covers == ["nothing"]:
            outlines = replace(outlines, cover=None)
        done = run(import_edits_steps(record, outlines, cover=cover, dry_run=dry_run), into.name)
    if as_json:
        answer_json(asdict(done))
        return 0
    _tell_notes(done.notes)
    _tell(done, into, dry_run=dry_run)
    return 0


def _cover(record: Record, covers: list[str] | None) -> Any:
    if covers is None or covers == ["nothing"]:
        return None
    if covers == ["all"]:
        return cover_of({}, grid_of(record))
    return read_region(" ".join(covers), grid_of(record))


def _tell(done: Imported, into: Path, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    answer(
        f"{counted(done.changed, 'outline')} {would}changed, {done.added:,} {would}added, {done.deleted:,} "
        f"{would}deleted, {done.assigned:,} {would}given another material or state; {done.same:,} are as they were"
    )
    if done.absent:
        answer(f"Not in the file: {counted(done.absent, 'tessera')}, which stay; --covers all deletes them")
    if done.edits:
        answer(f"Take it back with: napari-mosaic edits undo {into} -n {done.edits}")
    if done.disputes:
        say(f"Not taken over: {counted(len(done.disputes), 'outline')}")
        for dispute in done.disputes[:_SHOWN]:
            _tell_dispute(dispute)


def _tell_dispute(dispute: Dispute) -> None:
    y, x = dispute.place
    name = f"tessera {dispute.id}" if dispute.id else "a new one"
    answer(f"  {name} at y {y:g}, x {x:g}: {dispute.reason}")


def _tell_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        say(note)
