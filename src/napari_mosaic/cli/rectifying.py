"""`rectify`: a photograph taken at a slant as it looks from straight above.

One decision: points are given as `pixel-size` takes them, y before x, so that corners which it has refused can be
pasted.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json
from napari_mosaic.cli.output import UsageError, answer_json, answer_table, run
from napari_mosaic.cli.records import size_rows
from napari_mosaic.cli.sizing import read_numbers, read_pairs
from napari_mosaic.image import MosaicImage, open_image, open_image_steps
from napari_mosaic.rectifying import Extent, RectifyParams, rectify_steps


def rectify(
    photograph: str,
    /,
    *,
    points: str,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    sides: str | None = None,
    places: str | None = None,
    pixel_mm: Annotated[float | None, Parameter(name="--pixel-mm")] = None,
    extent: Extent = "photograph",
    overwrite: Flag = False,
    as_json: Json = False,
) -> int:
    """Make of a photograph taken at a slant a picture from straight above, whose pixels have one size in mm.

    The picture is a tiled TIFF with smaller levels that knows its photograph; segment it instead.

    Parameters
    ----------
    photograph
        File, folder or address of the photograph.
    points
        Corners of a rectangle on the floor, in pixels of the photograph, going round, as y0,x0,y1,x1,y2,x2,y3,x3; or
        four points and more with --places.
    output
        The TIFF to write.
    sides
        Sides of the rectangle on the floor in mm, that from the first to the second corner and the next, as 1000,500.
    places
        Instead: where the points are on the floor in mm, x to the right and y upwards, as x0,y0,x1,y1 and so on.
    pixel_mm
        Size of a pixel of the picture in mm; by default the finest that the photograph has at the points.
    extent
        Show all of the photograph that is near enough to measure, or only what the points enclose.
    overwrite
        Replace a rectified picture that is there.
    as_json
        Write the result as JSON.

    """
    if (sides is None) == (places is None):
        raise UsageError(
            "Points are known by the sides of their rectangle or by their places; give --sides or --places."
        )
    params = RectifyParams(
        points=read_pairs("--points", points),
        sides_mm=None if sides is None else read_numbers("--sides", sides, 2),
        places_mm=None if places is None else read_pairs("--places", places),
        pixel_mm=pixel_mm,
        extent=extent,
    )
    with run(open_image_steps(photograph), Path(photograph).name) as image:
        path = run(rectify_steps(image, output, params, overwrite=overwrite), image.name)
    with open_image(path) as made:
        _tell(made, path, as_json=as_json)
    return 0


def _tell(made: MosaicImage, path: Path, *, as_json: bool) -> None:
    found = made.rectification
    assert found is not None
    if as_json:
        answer_json({"picture": str(path), **asdict(found)})
        return
    size = f"{made.shape[1]} x {made.shape[0]} px"
    rows = [("picture", str(path)), ("size", size), *size_rows(made.shape, made.pixel_size)]
    answer_table([*rows, ("rectified from", found.name)])
