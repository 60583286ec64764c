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
from typing import TYPE_CHECKING, Any, cast

from napari_mosaic.errors import InputError, WriteError
from napari_mosaic.export.options import (
    AnnotationOptions,
    CocoOptions,
    DxfOptions,
    GeopackageOptions,
    ZarrOptions,
)
from napari_mosaic.files import replace
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosaic.export.region import RegionSource

Writer = Callable[[Record, Path], Iterator[Progress]]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format: the name that users give, its suffixes, what it holds, and the module that writes it.

    `columns` says that it holds the feature table: its columns may be chosen. `package` is what an extra must bring,
    `holds` the word for what is in it. `options` is what can be chosen of it; `companions` are the suffixes of files
    that lie beside its own. A format that is a folder, but no Zarr, names a file in it, the `folder_mark`.
    `photograph` says that it shows the photograph, which must be there.
    """

    name: str
    suffixes: tuple[str, ...]
    help: str
    module: str
    notes_beside: bool = False
    columns: bool = False
    package: str | None = None
    photograph: bool = False
    options: type[Any] | None = None
    companions: tuple[str, ...] = ()
    folder_mark: str | None = None
    holds: str = "tesserae"

    def load(self, columns: Sequence[str] | None = None, options: Any = None) -> Writer:
        """The function `write_steps(record, path)` of the format's module, for a choice of columns and options.

        Raises
        ------
        InputError
            The format has no columns to choose, or the options are another's.
        """
        chosen: dict[str, Any] = {}
        if columns is not None:
            if not self.columns:
                able = " or ".join(name for name, format_ in FORMATS.items() if format_.columns)
                raise InputError(
                    f"The format {self.name} has no columns to choose; export as {able}, or without columns."
                )
            chosen["columns"] = columns
        if options is not None:
            if self.options is None or not isinstance(options, self.options):
                raise InputError(f"The format {self.name} has no {type(options).__name__}; leave them out.")
            chosen["options"] = options
        writer: Any = importlib.import_module(f"napari_mosaic.export.{self.module}").write_steps
        return cast(Writer, partial(writer, **chosen) if chosen else writer)


FORMATS = {
    format_.name: format_
    for format_ in (
        Format(name="tiff", suffixes=(".tif", ".tiff"), help="labels, GeoTIFF where placed", module="tiff"),
        Format(
            name="tessera-mask",
            suffixes=(".tesserae.png",),
            help="black and white, tesserae white",
            module="tessera_mask",
        ),
        Format(
            name="joint-mask",
            suffixes=(".joints.png",),
            help="black and white, joints white, gaps closed and specks removed as GROUT does",
            module="joint_mask",
        ),
        Format(name="png", suffixes=(".png",), help="labels, 16 bit, up to 65535 tesserae", module="png"),
        Format(
            name="zarr",
            suffixes=(".zarr",),
            help="labels as OME-Zarr with levels",
            module="ome_zarr",
            options=ZarrOptions,
        ),
        Format(name="ome-tiff", suffixes=(".ome.tif", ".ome.tiff"), help="labels with levels", module="ome_tiff"),
        Format(
            name="geopackage",
            suffixes=(".gpkg",),
            help="outlines as polygons",
            module="geopackage",
            columns=True,
            options=GeopackageOptions,
        ),
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
            options=DxfOptions,
        ),
        Format(name="svg", suffixes=(".svg",), help="outlines as a drawing, true to scale", module="svg"),
        Format(
            name="proof",
            suffixes=(".proof",),
            help="folder: drawn again from table and outlines, beside the photograph, with its difference of colour",
            module="proof",
            folder_mark="proof.json",
            photograph=True,
        ),
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
        Format(
            name="shapefile",
            suffixes=(".shp",),
            help="outlines as polygons, for older GIS",
            module="shapefile",
            columns=True,
            options=GeopackageOptions,
            companions=(".shx", ".dbf", ".prj", ".cpg", ".columns.csv"),
        ),
        Format(
            name="coco",
            suffixes=(".coco",),
            help="outlines in windows, for CVAT and Label Studio",
            module="coco",
            options=CocoOptions,
            folder_mark="instances.json",
        ),
        Format(
            name="annotations",
            suffixes=(".annotations",),
            help="outlines as Web Annotations, for viewers of IIIF",
            module="web_annotations",
            options=AnnotationOptions,
            folder_mark="collection.json",
        ),
    )
}


def export_record(
    record: Record,
    format: str | None,  # noqa: A002 - the word that users give
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    labels: str | None = None,
    region: RegionSource | None = None,
    ids: NDArray[Any] | None = None,
    options: Any = None,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Write the tesserae of a record in a format of `FORMATS`; see `export_record_steps`."""
    steps = export_record_steps(
        record,
        format,
        path,
        columns=columns,
        labels=labels,
        region=region,
        ids=ids,
        options=options,
        overwrite=overwrite,
    )
    return drain(steps, on_progress)


def export_record_steps(
    record: Record,
    format: str | None,  # noqa: A002
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    labels: str | None = None,
    region: RegionSource | None = None,
    ids: NDArray[Any] | None = None,
    options: Any = None,
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
    labels
        Of which of its label layers, such as "sam2"; by default of what its method was asked for: see
        `Record.with_labels`.
    region
        Only the tesserae whose centres of gravity lie here, whole: a file of areas or a mask, polygons, or a box
        `y0, x0, y1, x1`, in pixels of the photograph. They are numbered from 1; their ids are those of the record.
    ids
        Only these tesserae, `(n,)`.
    options
        What else can be chosen of the format: one of `export.options`.
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
    MissingError
        There are no labels of that name.
    WriteError
        The place is taken, read-only or full.

    """
    from napari_mosaic.export.notes import write_beside
    from napari_mosaic.output_files import replacing

    path, record = Path(path), record.with_labels(labels)
    chosen = find_format(format, path)
    _check_suffix(chosen, path)
    writer = chosen.load(columns, options)
    if ids is not None:
        from napari_mosaic.export.region import ChosenRecord

        record = ChosenRecord(record, ids)
    if region is not None:
        from napari_mosaic.export.region import part_of_record

        record = part_of_record(record, region)
    _check_companions(path, chosen, overwrite)
    mark = chosen.folder_mark
    ours = None if mark is None else lambda folder: (folder / mark).exists()
    with replacing(path, overwrite=overwrite, ours=ours) as temporary:
        yield from writer(record, temporary)
        _move_companions(temporary, path, chosen.companions)
    if chosen.notes_beside:
        write_beside(record, path)
    return path


def _check_companions(path: Path, format_: Format, overwrite: bool) -> None:
    taken = [path.with_suffix(suffix) for suffix in format_.companions if path.with_suffix(suffix).exists()]
    if taken and not overwrite:
        raise WriteError(f"{taken[0]} exists already; add --overwrite to replace it, or give another name.")


def _move_companions(temporary: Path, path: Path, suffixes: Sequence[str]) -> None:
    """Bring the files beside an export to their places; those of an earlier one go."""
    for suffix in suffixes:
        made = temporary.with_suffix(suffix)
        if made.exists():
            replace(made, path.with_suffix(suffix))
        else:
            path.with_suffix(suffix).unlink(missing_ok=True)


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
