"""Outlines with measurements as GeoJSON in pixels of the photograph, as QuPath reads and writes them.

One decision: a GIS gets a GeoPackage, which knows where the floor lies; this one is for programs that show the
photograph, whose pixels are the coordinates. Where the name ends in `.gz` it is compressed, which QuPath reads, too.

References
----------
RFC 7946; QuPath's objects: `objectType`, `classification`, `measurements` (https://qupath.readthedocs.io).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import shapely

from napari_mosaic.export.notes import notes_of
from napari_mosaic.export.outlined import Outlined, outlined_tiles
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

_DIGITS = 3
"""Decimals of a coordinate: a thousandth of a pixel."""


def write_steps(record: Record, path: Path, columns: Sequence[str] | None = None) -> Iterator[Progress]:
    """Write one feature a tessera to `path`, tile by tile; numbers are measurements, words its metadata."""
    with open_text(path) as file:
        head = {"type": "FeatureCollection", "napari_mosaic": notes_of(record)}
        file.write(json.dumps(head)[:-1] + ', "features": [')
        first, journal = True, str(len(record.journal))
        for tile in outlined_tiles(record, columns):
            for line in _features(tile, journal):
                file.write(("\n" if first else ",\n") + line)
                first = False
            yield tile.progress
        file.write("\n]}\n")


def open_text(path: Path) -> IO[str]:
    """A text file to write to, packed where its name ends in `.gz`."""
    if path.name.endswith(".gz"):
        return gzip.open(path, "wt", encoding="utf-8", newline="\n")
    return path.open("w", encoding="utf-8", newline="\n")


def _features(tile: Outlined, journal: str) -> Iterator[str]:
    named = {name: values.tolist() for name, values in tile.columns.items()}
    for k, outline in enumerate(tile.outlines):
        values = {name: column[k] for name, column in named.items()}
        geometry = shapely.geometry.mapping(shapely.transform(outline, lambda points: points.round(_DIGITS)))
        yield json.dumps({"type": "Feature", "geometry": geometry, "properties": _properties(values, journal)})


def _properties(values: dict[str, Any], journal: str) -> dict[str, Any]:
    """What QuPath shows of an object; without what a tessera has no value of.

    QuPath hands `metadata` on when it exports; what the file says of itself is lost there.
    """
    words = {name: value for name, value in values.items() if isinstance(value, str) and value}
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float) and value == value}
    return {
        "objectType": "detection",
        "name": str(values["number"]),
        "classification": {"name": words.get("material", "tessera")},
        "measurements": {name: value for name, value in numbers.items() if name not in ("number", "id")},
        "metadata": {"id": str(values["id"]), "journal": journal} | words,
    }
