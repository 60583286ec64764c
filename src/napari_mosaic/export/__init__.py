"""Handing results on: one file per format, found through one table.

One decision: an export is a copy for other programs. It lies on the source's grid, numbers tesserae
from 1 in reading order, appears whole or not at all, and never replaces anything unasked.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from napari_mosaic.errors import InputError
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Record

Writer = Callable[[Record, Path], Iterator[Progress]]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format: the name that users give, its suffixes, what it holds, and the module that writes it.

    `columns` says that it holds the feature table: its columns may be chosen. `package` is what an extra must bring,
    `holds` the word for what is in it.
    """

    name: str
    suffixes: tuple[str, ...]
    help: str
    module: str
    notes_beside: bool = False
    columns: bool = False
    package: str | None = None
    holds: str = "tesserae"

    def load(self, columns: Sequence[str] | None = None) -> Writer:
        """The function `write_steps(record, path)` of the format's module, for a choice of columns.

        Raises
        ------
        InputError
            The format has no columns to choose.
        """
        writer: Any = importlib.import_module(f"napari_mosaic.export.{self.module}").write_steps
        if columns is None:
            return cast(Writer, writer)
        if not self.columns:
            able = " or ".join(name for name, format_ in FORMATS.items() if format_.columns)
            raise InputError(f"The format {self.name} has no columns to choose; export as {able}, or without columns.")
        return partial(writer, columns=columns)


FORMATS = {
    format_.name: format_
    for format_ in (
        Format(name="tiff", suffixes=(".tif", ".tiff"), help="labels, GeoTIFF where placed", module="tiff"),
        Format(name="png", suffixes=(".png",), help="labels, 16 bit, up to 65535 tesserae", module="png"),
        Format(name="zarr", suffixes=(".zarr",), help="labels as OME-Zarr 0.4 with levels", module="ome_zarr"),
        Format(name="geopackage", suffixes=(".gpkg",), help="outlines as polygons", module="geopackage", columns=True),
        Format(
            name="csv",
            suffixes=(".csv",),
            help="table: place, box, area",
            module="csv",
            notes_beside=True,
            columns=True,
        ),
        Format(name="parquet", suffixes=(".parquet",), help="table as Parquet", module="parquet", columns=True),
        Format(
            name="xlsx",
            suffixes=(".xlsx",),
            help="table as a workbook",
            module="xlsx",
            columns=True,
            package="openpyxl",
        ),
        Format(
            name="dxf",
            suffixes=(".dxf",),
            help="outlines for CAD, in m, mm or px, with numbers",
            module="dxf",
            package="ezdxf",
        ),
        Format(name="svg", suffixes=(".svg",), help="outlines as a drawing, true to scale", module="svg"),
        Format(
            name="quadrangles",
            suffixes=(".quadrangles.geojson",),
            help="each tessera as its best quadrangle",
            module="quadrangles",
        ),
        Format(
            name="guidelines",
            suffixes=(".guidelines.geojson",),
            help="rows of tesserae as lines",
            module="guidelines",
        ),
        Format(
            name="areas",
            suffixes=(".areas.geojson", ".areas.geojson.gz", ".areas.gpkg"),
            help="lacunae, repairs and other areas",
            module="areas",
            holds="areas",
        ),
        Format(
            name="geojson",
            suffixes=(".geojson", ".geojson.gz"),
            help="outlines in pixels with measurements, as QuPath reads them",
            module="geojson",
            columns=True,
        ),
    )
}


def export_record(
    record: Record,
    format: str | None,  # noqa: A002 - the word that users give
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Write the tesserae of a record in a format of `FORMATS`; see `export_record_steps`."""
    return drain(export_record_steps(record, format, path, columns=columns, overwrite=overwrite), on_progress)


def export_record_steps(
    record: Record,
    format: str | None,  # noqa: A002
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Steps[Path]:
    """Write the tesserae of a record for other programs, tile by tile.

    Parameters
    ----------
    record
        Open for reading; an incomplete one is written as far as it goes.
    format
        A name in `FORMATS`, or None to go by the suffix of `path`.
    path
        The file, or for "zarr" the folder, to write.
    columns
        Of a table (CSV, GeoPackage): which columns to write, as `measurement.feature_table` names them; the usual ones
        by default.
    overwrite
        Whether to replace what is there. Only another export is ever replaced, never a record.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    InputError
        Unknown format or column, a column that cannot be told of this record, or more tesserae than the format can
        number.
    WriteError
        The place is taken, read-only or full.

    """
    from napari_mosaic.export.notes import write_beside
    from napari_mosaic.output_files import replacing

    path = Path(path)
    chosen = find_format(format, path)
    _check_suffix(chosen, path)
    writer = chosen.load(columns)
    with replacing(path, overwrite=overwrite) as temporary:
        yield from writer(record, temporary)
    if chosen.notes_beside:
        write_beside(record, path)
    return path


def find_format(name: str | None, path: str | Path) -> Format:
    """The format of that name, or else of the suffix of `path`."""
    known = ", ".join(FORMATS)
    if name is not None:
        if name not in FORMATS:
            raise InputError(f"There is no export format {name!r}; choose one of {known}.")
        return FORMATS[name]
    file = Path(path).name.lower()
    fitting = [(suffix, one) for one in FORMATS.values() for suffix in one.suffixes if file.endswith(suffix)]
    if fitting:
        return max(fitting, key=lambda pair: len(pair[0]))[1]
    raise InputError(f"The name {Path(path).name} does not tell the format; add --format with one of {known}.")


def _check_suffix(chosen: Format, path: Path) -> None:
    """Refuse to write one format under the ending of another: no program would read it."""
    file, own = path.name.lower(), {_ending(suffix) for suffix in chosen.suffixes}
    others = {_ending(suffix) for one in FORMATS.values() for suffix in one.suffixes} - own
    if not file.endswith(tuple(own)) and file.endswith(tuple(others)):
        known = " or ".join(sorted(own))
        raise InputError(
            f"{path.name} has the ending of another format than {chosen.name}; end its name in {known}, or leave "
            "--format out to go by the name."
        )


def _ending(suffix: str) -> str:
    """How files of a suffix end: `.areas.geojson` in `.geojson`."""
    return suffix[suffix.removesuffix(".gz").rindex(".") :]


__all__ = ["FORMATS", "Format", "export_record", "export_record_steps", "find_format"]
