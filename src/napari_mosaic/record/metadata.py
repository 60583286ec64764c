"""`mosaic.json`: what a record says of itself.

One decision: written to a temporary name, synced and renamed, so it is always whole; a newer format is
refused, because guessing at it could lose somebody's edits.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_mosaic.areas import AreaSet, read_areas
from napari_mosaic.errors import InputError, MissingError, ReadError, RecordError
from napari_mosaic.files import write_json
from napari_mosaic.image import MosaicImage, PixelSize
from napari_mosaic.limits import check_kinds
from napari_mosaic.objects import is_remote
from napari_mosaic.record.plan import Plan

FORMAT = 1
NAME, AREAS, RECTIFIED = "mosaic.json", "areas.geojson", "rectified.json"


@dataclass(frozen=True, kw_only=True)
class SourceEntry:
    """Where the photograph is and how to know it again."""

    name: str
    location: str
    relative: str
    fingerprint: str
    size_bytes: int
    shape: tuple[int, int]
    rights: str = ""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """All of `mosaic.json`; `phases` holds one word a phase that was begun: "running", "partial" or "done"."""

    source: SourceEntry
    plan: Plan
    pixel_size: PixelSize | None = None
    crs: str | None = None
    affine: tuple[float, ...] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    phases: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every phase is done for the whole area, also SAM 2's where it was begun."""
        return self.has_tesserae and all(word == "done" for word in self.phases.values())

    @property
    def has_tesserae(self) -> bool:
        """Whether the joints are found and their tesserae are cut for the whole area."""
        return all(self.phases.get(phase) == "done" for phase in ("map", "tesserae"))


def describe_source(image: MosaicImage, record: Path) -> SourceEntry:
    """The entry of an open image, for a record at `record`."""
    info = image.source
    relative = ""
    if info.location and "://" not in info.location and Path(info.location).is_absolute() and not is_remote(record):
        try:
            relative = os.path.relpath(info.location, record.parent.resolve())
        except ValueError:  # another drive
            relative = ""
    return SourceEntry(
        name=image.name,
        location=info.location,
        relative=Path(relative).as_posix() if relative else "",
        fingerprint=info.fingerprint,
        size_bytes=info.size_bytes,
        shape=image.shape,
        rights=info.rights,
    )


def is_source(image: MosaicImage, entry: SourceEntry) -> bool:
    """Whether an image is the photograph of an entry: same shape, same fingerprint.

    A record of a version whose fingerprint looked at less keeps its photograph as long as that lies where it was, or
    what was looked at is enough to know it anywhere.
    """
    info = image.source
    if tuple(image.shape) != tuple(entry.shape):
        return False
    earlier = bool(info.earlier) and info.earlier == entry.fingerprint
    return info.fingerprint == entry.fingerprint or (earlier and (info.of_content or info.location == entry.location))


def is_there(path: Path) -> bool:
    """Whether something lies at the place of a record; in an object store a record that was finished being made."""
    return (path / NAME).exists() if is_remote(path) else path.exists()


def write_metadata(path: Path, metadata: Metadata) -> None:
    """Replace `mosaic.json` in the folder `path`, whole or not at all."""
    values = {
        "format": FORMAT,
        "source": asdict(metadata.source),
        "plan": metadata.plan.to_json(),
        "pixel_size": None if metadata.pixel_size is None else asdict(metadata.pixel_size),
        "crs": metadata.crs,
        "affine": metadata.affine,
        "versions": metadata.versions,
        "phases": metadata.phases,
    }
    write_json(path / NAME, values, sync=True)


def read_metadata(path: Path) -> Metadata:
    """Read `mosaic.json` of the folder `path`.

    Raises
    ------
    MissingError
        There is nothing at `path`.
    RecordError
        It is no record, is damaged, or was written by a newer version.
    """
    if not path.exists():
        raise MissingError(f"There is no mosaic record at {path}; check the path, or make one with segment.")
    try:
        values = json.loads((path / NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RecordError(
            f"{path} is no mosaic record (it holds no {NAME}); give a folder NAME.mosaic.zarr made by segment."
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecordError(
            f"{path / NAME} cannot be read ({error}); restore it from a copy, or segment again."
        ) from error
    return _parse(values, path)


def _parse(values: Any, path: Path) -> Metadata:
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise RecordError(f"{path / NAME} is not of a mosaic record; give a folder made by segment.")
    if values["format"] > FORMAT:
        raise RecordError(
            f"{path} has record format {values['format']}, newer than this version knows ({FORMAT}); "
            "update napari-mosaic to open it."
        )
    try:
        source = SourceEntry(**{**values["source"], "shape": tuple(values["source"]["shape"])})
        pixel, affine = values.get("pixel_size"), values.get("affine")
        metadata = Metadata(
            source=source,
            plan=Plan.from_json(values["plan"]),
            pixel_size=None if pixel is None else PixelSize(**pixel),
            crs=values.get("crs"),
            affine=None if affine is None else tuple(affine),
            versions=values.get("versions", {}),
            phases=values.get("phases", {}),
        )
        for part in (metadata, source, *([] if metadata.pixel_size is None else [metadata.pixel_size])):
            check_kinds(part)
        if affine is not None and len(affine) != 6:
            raise TypeError(f"affine is {affine}")
    except (KeyError, TypeError) as error:
        raise RecordError(
            f"{path / NAME} misses or misspells a field ({error}); restore it from a copy, or segment again."
        ) from error
    return metadata


def areas_of(path: Path) -> AreaSet:
    """The areas of the record in the folder `path`; `RecordError` where their file is damaged."""
    file = path / AREAS
    try:
        return read_areas(file) if file.exists() else AreaSet()
    except (InputError, ReadError) as error:
        raise RecordError(
            f"{file} is damaged ({error}); restore it from a copy, or delete it and draw anew."
        ) from error
