"""`deliver`: a folder to hand in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag
from napari_mosaic.cli.output import answer, run
from napari_mosaic.cli.records import Labels, Region, choose_labels, of_labels
from napari_mosaic.export.delivery import deliver_steps
from napari_mosaic.export.region import part_of_record
from napari_mosaic.record import open_record
from napari_mosaic.words import counted


def deliver(
    record: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    crs: str | None = None,
    author: str = "",
    sheet: Literal["A4", "A3", "A2", "A1", "A0"] = "A3",
    in_pixels: Flag = False,
    labels: Labels = None,
    region: Region = None,
    overwrite: Flag = False,
) -> int:
    """Write a folder to hand in: GeoPackage, DXF, table, drawing as PDF at scale, and a README of how it came to be.

    Parameters
    ----------
    record
        The record.
    output
        The folder to make.
    crs
        Coordinate system of the GeoPackage, such as EPSG:4326; that of the photograph by default.
    author
        Who hands it in.
    sheet
        Largest sheet of the drawing.
    in_pixels
        Hand on pixels where nobody vouches for the pixel size.
    labels
        Which of its labels, such as tesserae or sam2; by default what the method found.
    region
        Only the tesserae whose centres lie here, whole, with the figures of it: GeoJSON, GeoPackage or mask image, or
        y0 x0 y1 x1 in pixels of the photograph.
    overwrite
        Replace a folder of before.

    """
    with open_record(record) as whole:
        opened = part_of_record(choose_labels(whole, labels), None if region is None else " ".join(region))
        steps = deliver_steps(
            opened, output, crs=crs, author=author, sheet=sheet, in_pixels=in_pixels, overwrite=overwrite
        )
        place = run(steps, output.name)
        found = f"{counted(opened.count, 'tessera')}{'' if region is None else ' of the region'}{of_labels(opened)}"
        files = "tesserae.gpkg, tesserae.dxf, tesserae.csv, drawing.pdf, README.txt"
        answer(f"{found} in {place}: {files}")
    return 0
