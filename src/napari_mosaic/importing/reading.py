"""Any file from elsewhere as outlines: the reader is found by what the file is.

One decision: one table of suffixes, and one sentence for whatever is none of them.
"""

from __future__ import annotations

from pathlib import Path

from napari_mosaic.area_files import Grid
from napari_mosaic.errors import InputError, MissingError
from napari_mosaic.importing.annotated import is_annotated, read_annotated
from napari_mosaic.importing.drawing import read_dxf
from napari_mosaic.importing.outlines import Outlines
from napari_mosaic.importing.pictures import Shows, read_picture
from napari_mosaic.importing.vector import read_geojson, read_json, read_vector

COCO = "instances.json"
_JSON = (".json", ".geojson", ".geojson.gz", ".json.gz")
_VECTOR = (".gpkg", ".shp", ".fgb", ".gml", ".kml")
_PICTURES = (".png", ".tif", ".tiff", ".npy", ".bmp")


def read_outlines(
    path: str | Path, grid: Grid, *, photograph: str = "the photograph", shows: Shows = "auto"
) -> Outlines:
    """The outlines of a file, or of the folder of a COCO export.

    Parameters
    ----------
    path
        COCO or Label Studio's JSON, GeoJSON, GeoPackage, Shapefile, a DXF of ours, a label image or a mask.
    grid
        The photograph that they lie on.
    photograph
        Its name, for messages.
    shows
        What the pixels of a picture are.

    Raises
    ------
    MissingError, ReadError, InputError
        There is nothing; it cannot be read; it is of no kind that outlines can be read from, or fits nothing here.
    """
    path = Path(path)
    if (path / COCO).is_file():
        path = path / COCO
    if not path.exists():
        raise MissingError(f"There is no file {path}, so nothing can be brought back from it; check the path.")
    name = path.name.lower()
    if name.endswith(_JSON):
        values = read_json(path)
        return (
            read_annotated(path, values, grid, photograph) if is_annotated(values) else read_geojson(path, grid, values)
        )
    if name.endswith(_VECTOR):
        return read_vector(path, grid)
    if name.endswith(".dxf"):
        return read_dxf(path, grid)
    if name.endswith(_PICTURES):
        return read_picture(path, grid, shows)
    known = ", ".join((*_JSON, *_VECTOR, ".dxf", *_PICTURES))
    raise InputError(f"{path.name} is of no kind that outlines can be read from; give one of {known}.")
