"""What can be chosen of a format: one small dataclass each, for the API, the command line and forms.

One decision: the defaults give what most programs take; whoever needs another form names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_mosaic.limits import Limits, check_limits

MOST_OBJECTS = 800
"""Objects of a window of COCO: CVAT and Label Studio stall above about 1,000 in one picture."""
MOST_ANNOTATIONS = 1000
"""Annotations of a page: viewers of IIIF draw them all at once."""


@dataclass(frozen=True, kw_only=True)
class GeopackageOptions:
    """How a GeoPackage or a Shapefile is written."""

    crs: Annotated[str | None, "coordinate system, such as EPSG:4326; that of the photograph by default"] = None


@dataclass(frozen=True, kw_only=True)
class ZarrOptions:
    """Which OME-Zarr is written."""

    version: Annotated[
        Literal["0.4", "0.5"], "of OME-Zarr: 0.4, which QuPath and Fiji read, or 0.5, which is zarr 3"
    ] = "0.4"


@dataclass(frozen=True, kw_only=True)
class DxfOptions:
    """How a drawing for CAD is made."""

    layers: Annotated[str | None, "a layer for each value of this column, such as material, state or palette"] = None
    origin: Annotated[
        Literal["true", "shifted"], "true coordinates, or shifted by whole units to the lower left corner"
    ] = "true"
    tolerance_mm: Annotated[float | None, "how far an outline may leave the pixels, in mm; 3/4 px by default"] = None
    outlines: Annotated[
        Literal["plain", "smooth", "shared"],
        "plain, smooth (corners cut twice), or shared (stones that touch have one edge between them)",
    ] = "plain"
    centres: Annotated[bool, "also a point in the centre of each stone, on the layer CENTRES"] = False


@dataclass(frozen=True, kw_only=True)
class CocoOptions:
    """How annotations for CVAT and Label Studio are written."""

    pictures: Annotated[bool, "also the pictures of the windows, from the photograph"] = False
    most: Annotated[int, Limits(low=1, high=100_000, help="most objects in a window")] = MOST_OBJECTS

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class AnnotationOptions:
    """How Web Annotations are written."""

    canvas: Annotated[str, "address of the IIIF canvas or image that they belong to; the photograph's by default"] = ""
    most: Annotated[int, Limits(low=1, high=100_000, help="most annotations on a page")] = MOST_ANNOTATIONS

    def __post_init__(self) -> None:
        check_limits(self)
