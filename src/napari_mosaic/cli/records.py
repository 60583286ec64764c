"""`info`, `export`, `preview`, `relink`: what can be done with a record that is there.

One decision: a record is looked at and handed on without its photograph wherever that is possible.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json
from napari_mosaic.cli.output import UsageError, answer, answer_json, answer_table, run, say
from napari_mosaic.export import FORMATS, export_record_steps, find_format
from napari_mosaic.http import split_login
from napari_mosaic.image import MosaicImage, PixelSize, open_image_steps
from napari_mosaic.image.pixel_size import confirmed_mm, describe_extent, describe_size
from napari_mosaic.record import Record, open_record
from napari_mosaic.record import relink as relink_record
from napari_mosaic.record.figure_words import areas_of, density_of
from napari_mosaic.record.looked_at import Figures
from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    Format = str
else:
    Format = Literal[tuple(FORMATS)]
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
    as_json
        Write the result as JSON.

    """
    if within is not None and window is not None:
        raise UsageError("--within and --window both say what to measure; give one of the two.")
    if (Path(source) / "mosaic.json").exists():
        with open_record(source) as record:
            figures = record.figures(within if window is None else Box(*window))
            rows = [*_record_rows(record, figures), *_figure_rows(figures, as_json=as_json)]
    elif within is not None or window is not None:
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
        ("coordinate system", image.crs),
        ("rights", image.source.rights or None),
    ]


def _figure_rows(figures: Figures, *, as_json: bool) -> list[tuple[str, Any]]:
    if as_json:
        return [("looked at", figures.to_json())]
    return [("density", density_of(figures)), *((name.lower(), area) for name, area in areas_of(figures))]


def _record_rows(record: Record, figures: Figures) -> list[tuple[str, Any]]:
    from napari_mosaic.cli.segmenting import typical_size

    plan = record.plan
    stone = typical_size(record)
    phases = ", ".join(f"{phase} {done}/{total}" for phase, (done, total) in record.state().items())
    return [
        ("record", str(record.path)),
        ("complete", record.complete),
        ("phases", phases),
        ("tesserae", figures.count),
        ("typical tessera", None if stone is None else f"{stone} px of the photograph"),
        ("photograph", record.source.location),
        ("size", _size(plan.source_shape)),
        ("analysis size", f"{_size(plan.shape)} (x {plan.factor:.3g})"),
        *size_rows(plan.source_shape, record.pixel_size),
        ("coordinate system", record.crs),
        ("method", f"{plan.method}, model {plan.model}"),
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
    overwrite
        Replace a file that is there.

    """
    with open_record(record) as opened:
        warn_incomplete(opened)
        chosen = None if columns is None else [name.strip() for name in columns.split(",")]
        path = run(export_record_steps(opened, format_, output, columns=chosen, overwrite=overwrite), output.name)
        holds = find_format(format_, output).holds
        answer(f"{len(opened.areas) if holds == 'areas' else opened.count:,} {holds} in {path}")
    return 0


def preview(
    record: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    max_px: int = 3000,
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

    """
    from napari_mosaic.cli.segmenting import draw

    with open_record(record) as opened:
        warn_incomplete(opened)
        draw(opened, output, max_px=max_px)
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


def warn_incomplete(record: Record) -> None:
    """Say so where a record is handed on before it is finished."""
    if not record.complete:
        say(f"{record.path.name} is not complete: only what is done so far is written.")
