"""The photograph of a record: where it may lie, and whether what lies there is it."""

from __future__ import annotations

from pathlib import Path

from napari_mosaic.errors import MissingError, RecordError
from napari_mosaic.image import MosaicImage, open_image
from napari_mosaic.objects import address_of, as_place
from napari_mosaic.perspective import Rectification, read_rectification
from napari_mosaic.record.arrays import stamp_of
from napari_mosaic.record.metadata import RECTIFIED, SourceEntry, is_source


def open_source(entry: SourceEntry, record: Path, location: str | Path | None = None) -> MosaicImage:
    """Open the photograph of a record: at `location`, or beside the record, then where it was."""
    for candidate in [location] if location is not None else _locations(entry, record):
        text = str(candidate)
        if _may_open(text):
            image = open_image(text)
            check_source(image, entry, record)
            return image
    raise MissingError(
        f"The photograph {entry.name} of {record.name} is not at {entry.location or 'any place'}; "
        f"say where it is with: napari-mosaic relink {record.name} PHOTOGRAPH."
    )


def _may_open(location: str) -> bool:
    """Whether there is something to open at a location; web addresses are asked by whoever opens them."""
    if address_of(location) is not None:
        return as_place(location).exists()
    return "://" in location or location.startswith("sample:") or Path(location).exists()


def _locations(entry: SourceEntry, record: Path) -> list[str]:
    beside = str((record.parent / entry.relative).resolve()) if entry.relative else ""
    return [place for place in (beside, entry.location) if place]


def check_source(image: MosaicImage, entry: SourceEntry, record: Path) -> None:
    """Raise `RecordError` where `image` is not the photograph that a record was made from."""
    if is_source(image, entry):
        return
    image.close()
    raise RecordError(
        f"{image.name} is not the photograph that {record.name} was made from ({entry.name}, "
        f"{entry.shape[1]} x {entry.shape[0]} px, other content); give the original, or segment again."
    )


class SourceWatch:
    """Whether a photograph's file is still the one that was opened: asked before what was read of it counts.

    A file that was merely touched, or put back, goes on being it. One that is gone is read on as long as it is open,
    and what cannot be read is told by whoever reads it.

    Parameters
    ----------
    image
        Open; only of a single file, local or in a store, is there anything to watch.
    entry, record
        Of the record that is made from it.
    """

    def __init__(self, image: MosaicImage, entry: SourceEntry, record: Path) -> None:
        path = as_place(image.source.location)
        self._path = path if image.source.location and path.is_file() else None
        self._entry, self._record = entry, record
        self._stamp = () if self._path is None else stamp_of(self._path)

    def check(self) -> None:
        """Raise `RecordError` where another photograph lies there now."""
        stamp = () if self._path is None else stamp_of(self._path)
        if self._path is None or stamp in (self._stamp, ()):
            return
        with open_image(str(self._path)) as now:
            same = is_source(now, self._entry)
        if not same:
            raise RecordError(
                f"{self._path} was changed while it was segmented, so what is read of it now is no part of "
                f"{self._record.name}; what was found before is kept: put the photograph back and go on with "
                "--resume, or begin again with --overwrite."
            )
        self._stamp = stamp


def rectification_of(entry: SourceEntry, record: Path) -> Rectification | None:
    """How the picture of a record was rectified; None where it is a photograph itself."""
    file = record / RECTIFIED
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{file} cannot be read ({error}); restore it from a copy.") from error
    found = read_rectification(text, entry.shape)
    if found is None:
        raise RecordError(f"{file} says nothing of how {entry.name} was rectified; restore it from a copy.")
    return found
