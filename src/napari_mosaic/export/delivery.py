"""What is handed in: a folder with the vectors, the table, the drawing and what they are.

One decision: the folder appears whole or not at all, and its README says how everything in it came to be and what
nobody has checked.

References
----------
Ministero della Cultura (Italy), circular 14/2021: vectors as .gpkg, .dxf or .shp, in EPSG:4326, with PDF copies.
"""

from __future__ import annotations

import csv
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

import shapely

from napari_mosaic.editing import describe_report, report
from napari_mosaic.errors import InputError
from napari_mosaic.export import csv as csv_export
from napari_mosaic.export import dxf, geopackage
from napari_mosaic.export.notes import notes_of
from napari_mosaic.export.options import GeopackageOptions
from napari_mosaic.export.region import RegionSource, part_of_record
from napari_mosaic.export.shaping import TracedOnce
from napari_mosaic.export.sheet import layout_of, write_sheet_steps
from napari_mosaic.measurement.registry import Field
from napari_mosaic.measuring import Measurement, changed_since_measured, measure_steps, read_measured
from napari_mosaic.output_files import replacing
from napari_mosaic.progress import Progress, Steps, drain, side_by_side
from napari_mosaic.record import Record
from napari_mosaic.record.figure_words import areas_of, density_of
from napari_mosaic.record.finished import finished_boxes
from napari_mosaic.record.shown import describe_method, is_imported
from napari_mosaic.tiling import Box
from napari_mosaic.words import counted

COLUMNS = (
    "default",
    *("perimeter", "rectangle_length", "rectangle_width", "rectangle_angle", "orientation", "elongation"),
    *("corners", "joint_width", "neighbours"),
)
"""Columns of the table that is handed in."""


def deliver(
    record: Record,
    folder: str | Path,
    *,
    crs: str | None = None,
    author: str = "",
    sheet: str = "A3",
    in_pixels: bool = False,
    labels: str | None = None,
    region: RegionSource | None = None,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Write the delivery folder of a record; see `deliver_steps`."""
    steps = deliver_steps(
        record,
        folder,
        crs=crs,
        author=author,
        sheet=sheet,
        in_pixels=in_pixels,
        labels=labels,
        region=region,
        overwrite=overwrite,
    )
    return drain(steps, on_progress)


def deliver_steps(
    record: Record,
    folder: str | Path,
    *,
    crs: str | None = None,
    author: str = "",
    sheet: str = "A3",
    in_pixels: bool = False,
    labels: str | None = None,
    region: RegionSource | None = None,
    overwrite: bool = False,
) -> Steps[Path]:
    """Write a styled GeoPackage, a DXF, a CSV with its dictionary, the drawing as PDF at scale, and a README.

    Parameters
    ----------
    record
        Open for reading; of an incomplete one, what is there, and the README says so.
    folder
        The folder to make.
    crs
        Coordinate system of the GeoPackage, such as "EPSG:4326"; that of the photograph by default.
    author
        Who hands it in.
    sheet
        Largest sheet of the drawing: A4, A3, A2, A1 or A0.
    in_pixels
        Hand on pixels where nobody vouches for the pixel size.
    labels
        Of which of its label layers, such as "sam2"; by default of what its method was asked for: see
        `Record.with_labels`.
    region
        Only the tesserae whose centres of gravity lie here, whole, as `export_record` takes it: figures are of the
        region, rows and densities of each stone those of the whole floor.
    overwrite
        Replace a folder of before.

    Raises
    ------
    InputError
        Nobody vouches for the pixel size and `in_pixels` is not set; another coordinate system is asked for, and the
        photograph is not placed; there is no tessera.
    DependencyError, WriteError
        A library of an extra is missing; the place is taken, read-only or full.
    """
    if record.pixel_mm is None and not in_pixels:
        raise InputError(
            f"Nobody vouches for the pixel size of {record.path.name}, so nothing can be handed in in millimetres; say "
            f"it with: napari-mosaic pixel-size {record.path} MM, or hand on pixels with --in-pixels."
        )
    record = part_of_record(record.with_labels(labels), region)
    if not record.count and record.region is not None:
        raise InputError(
            f"No tessera of {record.path.name} has its centre in the region, so there is nothing to hand in; give "
            "another one."
        )
    if not record.count:
        raise InputError(
            f"{record.path.name} holds no tessera, so there is nothing to hand in; find some first, or write its areas "
            f"alone with: napari-mosaic export {record.path} -o NAME.areas.gpkg."
        )
    geopackage.check_crs(record, crs)
    place = Path(folder)
    with replacing(place, overwrite=overwrite, ours=_is_delivery) as whole:
        whole.mkdir()
        measured = yield from measure_steps(record, COLUMNS, keep=False)
        options = GeopackageOptions(crs=crs)
        traced = TracedOnce()
        yield from side_by_side(
            geopackage.write_steps(
                record, whole / "tesserae.gpkg", COLUMNS, options, pixels=measured.pixels, shaping=traced
            ),
            _drawing_steps(record, whole, traced),
            write_sheet_steps(record, whole / "drawing.pdf", author=author, largest=sheet, shaping=traced),
        )
        csv_export.write_blocks(record, whole / "tesserae.csv", measured.fields, measured.blocks())
        _write_dictionary(measured.fields, whole / "columns.csv")
        text = _readme(record, measured, crs, author, sheet)
        (whole / "README.txt").write_text(text, encoding="utf-8", newline="\n")
    return place


def _is_delivery(folder: Path) -> bool:
    return all((folder / name).exists() for name in ("tesserae.gpkg", "tesserae.dxf", "drawing.pdf", "README.txt"))


def _drawing_steps(record: Record, whole: Path, traced: TracedOnce) -> Steps[None]:
    """The DXF, in millimetres of the photograph where CAD has no unit for that of the map, such as degrees."""
    yield from dxf.write_steps(record, whole / "tesserae.dxf", dxf.frame_of(record, degrees_as_mm=True), shaping=traced)


def _write_dictionary(fields: Sequence[Field], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["column", "unit", "meaning"])
        for field in fields:
            writer.writerow([field.name, "" if field.unit in ("1", "text") else field.unit, field.column.help])


def _readme(record: Record, measured: Measurement, crs: str | None, author: str, sheet: str) -> str:
    """Source, author, date, scale, model, versions, figures, and what was checked and what was not."""
    notes, figures, plan = notes_of(record), record.figures(), record.plan
    layout = layout_of(record, sheet)
    size = record.pixel_size
    scale = "not to scale" if layout.scale is None else f"1:{layout.scale} on {layout.sheet}"
    part, finished_here = _describe_part(record), [box for box in finished_boxes(record) if _meets(record, box)]
    complete = record.complete or (bool(part) and figures.px["not computed"] < 1)
    place = geopackage.Target(record, crs).coordinates
    finder = "the file had it" if is_imported(record) else "the network found it"
    lines = [
        f"Tesserae of {'a part of ' if part else ''}{record.source.name}",
        "",
        *_pairs(
            ("Author", author or "not given"),
            ("Date", datetime.date.today().isoformat()),
            ("Photograph", f"{record.source.name}, {plan.source_shape[1]} x {plan.source_shape[0]} px"),
            *([("Part", part)] if part else []),
            ("Rights", record.source.rights or "not given"),
            (
                "Pixel size",
                "not known"
                if size is None
                else f"{size.mm:g} mm ({size.origin}{'' if size.confirmed else ', not confirmed'})",
            ),
            ("Coordinates", record.crs or "the photograph's own"),
            ("Software", notes["software"]),
            ("Method", describe_method(record)),
        ),
        "",
        "Files",
        f"  tesserae.gpkg  outlines with their columns, and areas; styled for QGIS; {place}",
        f"  tesserae.dxf   outlines for CAD, in {dxf.describe_frame(record, dxf.frame_of(record, degrees_as_mm=True))}",
        "  tesserae.csv   the table; columns.csv says what its columns mean",
        f"  drawing.pdf    the drawing, {scale}",
        "",
        "Figures",
        *_pairs(
            ("Tesserae", f"{figures.count:,}, whose centres lie in what was looked at"),
            ("Density", density_of(figures)),
            *areas_of(figures),
        ),
        "",
        f"The {'part' if part else 'whole'}, as napari-mosaic measure says it",
        *_pairs(*((name, value) for about, name, value in _entries(measured) if about != "Areas" or "Lost" in name)),
        *([f"  {measured.without}"] if measured.without else []),
        "",
        "What was checked",
        *_pairs(
            ("By hand", describe_report(report(record))),
            ("Marked as finished", counted(len(finished_here), "window")),
            ("Complete", "yes" if complete else "no: only what is computed so far is in these files"),
        ),
        f"  What nobody looked at is as {finder}; a count without a check has no error that could be told",
        "  (napari-mosaic check counts squares and gives one). Opus and lost tesserae are suggestions.",
        "",
    ]
    return "\n".join(lines)


def _describe_part(record: Record) -> str:
    """Which part of the photograph is handed in, and how; "" for all of it."""
    if record.region is None:
        return ""
    x0, y0, x1, y1 = (round(edge) for edge in record.region.bounds)
    return (
        f"y {y0}-{y1}, x {x0}-{x1} px: the tesserae whose centres of gravity lie in the region, whole; areas, "
        "densities and shares are of the region"
    )


def _meets(record: Record, box: Box) -> bool:
    return record.region is None or bool(record.region.intersects(shapely.box(box.x0, box.y0, box.x1, box.y1)))


def _entries(measured: Measurement) -> list[tuple[str, str, str]]:
    """The figures of the whole; the palette, for which a delivery looks at no photograph, as `measure` had kept it."""
    entries, record = measured.whole.entries(), measured.record
    kept = [entry for entry in read_measured(record).get("entries", []) if entry[0] == "Palette"]
    if measured.whole.palette is not None or not kept:
        return entries
    changed = changed_since_measured(record)
    words = ["of the whole floor"] if record.region is not None else []
    words += [f"as they were {changed}"] if changed else []
    when = [("Palette", "Colours", ", ".join(words))] if words else []
    k = next(k for k, (about, *_) in enumerate(entries) if about == "Palette")
    return [*entries[:k], *when, *((about, name, value) for about, name, value in kept), *entries[k + 1 :]]


def _pairs(*pairs: tuple[str, str]) -> list[str]:
    long = max(len(name) for name, _ in pairs)
    return [f"  {name:<{long}}  {value}" for name, value in pairs]
