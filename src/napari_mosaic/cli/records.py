"""`info`, `export`, `preview`, `relink`: what can be done with a record that is there.

One decision: a record is looked at and handed on without its photograph wherever that is possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json, options_of, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json, answer_table, run, say
from napari_mosaic.export import FORMATS, export_record_steps, find_format
from napari_mosaic.export import Format as FileFormat
from napari_mosaic.export import options as options_of_format
from napari_mosaic.image import MosaicImage, PixelSize, open_image_steps
from napari_mosaic.image.pixel_size import confirmed_mm, describe_extent, describe_size
from napari_mosaic.logins import split_login
from napari_mosaic.objects import as_place
from napari_mosaic.record import Record, open_record
from napari_mosaic.record import relink as relink_record
from napari_mosaic.record.figure_words import areas_of, density_of
from napari_mosaic.record.label_layer import TESSERAE
from napari_mosaic.record.looked_at import Figures
from napari_mosaic.record.shown import describe_method
from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    Format = str
    GeopackageOptions = options_of_format.GeopackageOptions
    ZarrOptions = options_of_format.ZarrOptions
    DxfOptions = options_of_format.DxfOptions
    CocoOptions = options_of_format.CocoOptions
    AnnotationOptions = options_of_format.AnnotationOptions
else:
    Format = Literal[tuple(FORMATS)]
    GeopackageOptions = options_of(options_of_format.GeopackageOptions)
    ZarrOptions = options_of(options_of_format.ZarrOptions)
    DxfOptions = options_of(options_of_format.DxfOptions)
    CocoOptions = options_of(options_of_format.CocoOptions)
    AnnotationOptions = options_of(options_of_format.AnnotationOptions)
Labels = Annotated[str | None, Parameter(name="--labels")]
Region = Annotated[list[str] | None, Parameter(consume_multiple=True)]
_GPKG, _ZARR, _DXF = GeopackageOptions(), ZarrOptions(), DxfOptions()
_COCO, _PAGES = CocoOptions(), AnnotationOptions()
_COLUMNS_HELP = (
    "Columns of a CSV or GeoPackage, parted by commas, such as perimeter (in every unit that can be told) or "
    "perimeter_mm; default stands for the usual ones. A name that there is not lists all."
)
_HELP = "; ".join(f"{f.name}: {f.help}" for f in FORMATS.values()) + ". By the suffix by default."


def info(
    source: str,
    /,
    *,
    within: Path | None = None,
    window: tuple[int, int, int, int] | None = None,
    labels: Labels = None,
    as_json: Json = False,
) -> int:
    """Say what a photograph or a mosaic record is, and of a record its figures.

    Parameters
    ----------
    source
        Photograph or record.
    within
        The figures of this area of a record alone: GeoJSON, GeoPackage or mask image.
    window
        The figures of this box of a record alone: y0 x0 y1 x1, in pixels of the photograph.
    labels
        The figures of these labels of a record, such as tesserae or sam2; by default of what the method found.
    as_json
        Write the result as JSON.

    """
    if within is not None and window is not None:
        raise UsageError("--within and --window both say what to measure; give one of the two.")
    if (as_place(source) / "mosaic.json").exists():
        with open_record(source) as opened:
            record = opened.with_labels(labels)
            figures = record.figures(within if window is None else Box(*window))
            rows = [*_record_rows(record, figures, as_json=as_json), *_figure_rows(figures, as_json=as_json)]
    elif within is not None or window is not None or labels is not None:
        raise UsageError(f"{source} is no mosaic record, so there is nothing to measure in it; segment it first.")
    else:
        with run(open_image_steps(source), Path(source).name) as image:
            rows = _image_rows(image)
    if as_json:
        answer_json({name.replace(" ", "_"): value for name, value in rows})
    else:
        answer_table(rows)
    return 0


def _image_rows(image: MosaicImage) -> list[tuple[str, Any]]:
    return [
        ("name", image.name),
        ("kind", image.source.kind),
        ("location", image.source.location),
        ("size", _size(image.shape)),
        ("megapixels", round(image.shape[0] * image.shape[1] / 1e6, 1)),
        ("levels", len(image.level_shapes)),
        *size_rows(image.shape, image.pixel_size),
        ("rectified from", None if image.rectification is None else image.rectification.name),
        ("coordinate system", image.crs),
        ("rights", image.source.rights or None),
    ]


def _figure_rows(figures: Figures, *, as_json: bool) -> list[tuple[str, Any]]:
    if as_json:
        return [("looked at", figures.to_json())]
    return [("density", density_of(figures)), *((name.lower(), area) for name, area in areas_of(figures))]


def _record_rows(record: Record, figures: Figures, *, as_json: bool) -> list[tuple[str, Any]]:
    from napari_mosaic.cli.segmenting import typical_size

    plan = record.plan
    stone = typical_size(record)
    counts = {layer.name: layer.count for layer in record.label_layers()}
    phases = ", ".join(f"{phase} {done}/{total}" for phase, (done, total) in record.state().items())
    return [
        ("record", str(record.path)),
        ("complete", record.complete),
        ("phases", phases),
        ("tesserae", figures.count if as_json else f"{figures.count}{of_labels(record)}"),
        ("labels", counts if as_json else ", ".join(f"{name} {count:,}" for name, count in counts.items())),
        ("typical tessera", None if stone is None else f"{stone} px of the photograph"),
        ("photograph", record.source.location),
        ("size", _size(plan.source_shape)),
        ("analysis size", f"{_size(plan.shape)} (x {plan.factor:.3g})"),
        *size_rows(plan.source_shape, record.pixel_size),
        ("rectified from", None if record.rectification is None else record.rectification.name),
        ("coordinate system", record.crs),
        ("method", describe_method(record)),
        ("areas", len(record.areas)),
        ("rights", record.source.rights or None),
    ]


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]} px"


def size_rows(shape: tuple[int, int], size: PixelSize | None) -> list[tuple[str, Any]]:
    """The pixel size and what the picture therefore measures on the floor, which nobody vouches for unconfirmed."""
    mm = confirmed_mm(size)
    return [
        ("pixel size", describe_size(size)),
        ("size on the floor", None if mm is None else describe_extent(shape, mm)),
    ]


def export(
    record: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    format_: Annotated[Format | None, Parameter(name="--format", help=_HELP)] = None,
    columns: Annotated[str | None, Parameter(help=_COLUMNS_HELP)] = None,
    labels: Labels = None,
    region: Region = None,
    geopackage: Annotated[GeopackageOptions, Parameter(name="--geopackage", group="GeoPackage, Shapefile")] = _GPKG,
    zarr: Annotated[ZarrOptions, Parameter(name="--zarr", group="OME-Zarr")] = _ZARR,
    dxf: Annotated[DxfOptions, Parameter(name="--dxf", group="DXF")] = _DXF,
    coco: Annotated[CocoOptions, Parameter(name="--coco", group="COCO")] = _COCO,
    annotations: Annotated[AnnotationOptions, Parameter(name="--annotations", group="Web Annotations")] = _PAGES,
    overwrite: Flag = False,
) -> int:
    """Write the tesserae of a record for other programs, numbered in reading order.

    Parameters
    ----------
    record
        The record.
    output
        The file to write.
    format_
        The format.
    columns
        The columns.
    labels
        Which of its labels, such as tesserae or sam2; by default what the method found.
    region
        Only the tesserae whose centres lie here, whole: GeoJSON, GeoPackage or mask image, or y0 x0 y1 x1 in pixels of
        the photograph.
    geopackage
        Also of a Shapefile.
    zarr
        Of OME-Zarr.
    dxf
        Of a drawing for CAD.
    coco
        Of COCO.
    annotations
        Of Web Annotations.
    overwrite
        Replace a file that is there.

    """
    given = [
        plain(options, kind)
        for options, kind in (
            (geopackage, options_of_format.GeopackageOptions),
            (zarr, options_of_format.ZarrOptions),
            (dxf, options_of_format.DxfOptions),
            (coco, options_of_format.CocoOptions),
            (annotations, options_of_format.AnnotationOptions),
        )
    ]
    chosen = find_format(format_, output)
    with open_record(record) as whole:
        opened = choose_labels(whole, labels)
        if region is not None:
            from napari_mosaic.export.region import part_of_record

            opened = part_of_record(opened, " ".join(region))
        steps = export_record_steps(
            opened,
            format_,
            output,
            columns=split_names(columns),
            options=_chosen(chosen, given),
            overwrite=overwrite,
        )
        path = run(steps, output.name)
        count = len(opened.areas) if chosen.holds == "areas" else opened.count
        of_region = "" if region is None else " of the region"
        answer(f"{count:,} {chosen.holds}{of_region}{of_labels(opened)} in {path}")
    return 0


def _chosen(format_: FileFormat, given: Sequence[Any]) -> Any:
    """The options of a format; `UsageError` where some of another were given."""
    for options in given:
        if options != type(options)() and type(options) is not format_.options:
            name = next(f.name for f in FORMATS.values() if f.options is type(options))
            raise UsageError(
                f"Options of {name} say nothing of {format_.name}; leave them out, or give --format {name}."
            )
    return next((options for options in given if type(options) is format_.options), None)


def preview(
    record: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    max_px: int = 3000,
    labels: Labels = None,
) -> int:
    """Draw the tesserae of a record over its photograph, as PNG.

    Parameters
    ----------
    record
        The record.
    output
        The PNG to write.
    max_px
        Longest side of the picture.
    labels
        Which of its labels, such as tesserae or sam2; by default what the method found.

    """
    from napari_mosaic.cli.segmenting import draw

    with open_record(record) as whole:
        draw(choose_labels(whole, labels), output, max_px=max_px)
    answer(str(output))
    return 0


def relink(record: Path, source: str, /) -> int:
    """Tell a record where its photograph is now; it must be the same photograph.

    Parameters
    ----------
    record
        The record.
    source
        The photograph.

    """
    relink_record(record, source)
    answer(f"{record.name} now finds its photograph at {split_login(source)[0]}")
    return 0


def split_names(columns: str | None) -> list[str] | None:
    """The names of columns that are parted by commas; None where none are given."""
    return None if columns is None else [name.strip() for name in columns.split(",")]


def choose_labels(record: Record, name: str | None) -> Record:
    """The record with the labels that are asked for; a word where it is not complete, or edited in other labels."""
    warn_incomplete(record)
    shown = record.with_labels(name)
    if name is None and shown.tesserae.name != TESSERAE and record.journal.done:
        say(
            f"The tesserae of {record.path.name} were edited by hand, and its labels {shown.tesserae.name} are handed "
            f"on; give --labels {TESSERAE} for what was edited."
        )
    return shown


def of_labels(shown: Record) -> str:
    """Which labels they are, where that is not clear."""
    return "" if shown.tesserae.name == TESSERAE else f" ({shown.tesserae.name})"


def warn_incomplete(record: Record) -> None:
    """Say so where a record is handed on before it is finished."""
    if not record.complete:
        say(f"{record.path.name} is not complete: only what is done so far is written.")
