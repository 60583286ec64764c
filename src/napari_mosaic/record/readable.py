"""What figures, features and layers ask of a record, whoever composes it.

One decision: `Record` is put together above what reads it, so what reads it names what it needs and knows no `Record`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from napari_mosaic.areas import AreaSet
from napari_mosaic.image import MosaicImage
from napari_mosaic.record.label_layer import LabelLayer
from napari_mosaic.record.map_layer import MapLayer
from napari_mosaic.record.metadata import Metadata
from napari_mosaic.record.plan import Plan


class ReadableRecord(Protocol):
    """An open record; see `Record`."""

    path: Path
    map: MapLayer
    tesserae: LabelLayer

    @property
    def metadata(self) -> Metadata:
        """All of `mosaic.json`."""

    @property
    def plan(self) -> Plan:
        """How the record is computed."""

    @property
    def areas(self) -> AreaSet:
        """Regions, exclusions and area classes, in source pixels."""

    @property
    def pixel_mm(self) -> float | None:
        """Edge of a source pixel in mm, where it is confirmed."""

    def open_source(self) -> MosaicImage:
        """Open the photograph."""
