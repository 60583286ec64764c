"""Readers: mosaic records, photographs of kinds that napari does not read itself, and sample data.

One decision: napari's own kinds are left to napari, but for TIFFs too large to be read whole: of these this reads what
is looked at. Whoever chooses this reader for TIFFs gets every other one, a stack, a small picture, from napari's own
reader as before, so the choice costs nothing; a preference that a person has is never touched. The samples, for the
menu *File ▸ Open Sample*, are a drawn mosaic, whose every stone is known, and a real photograph that a dependency
ships; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import napari_builtins.io as napari_builtins

from napari_mosaic.errors import InputError
from napari_mosaic.file_types import TIFF
from napari_mosaic.image import open_image
from napari_mosaic.mask_files import UNREADABLE
from napari_mosaic.objects import address_of, as_place
from napari_mosaic.widgets._dialogs import claim_records, is_record
from napari_mosaic.widgets._sources import LayerData, photograph_data

Reader = Callable[[Any], list[LayerData]]
LARGE_PX = 40_000_000
"""Pixels from which on a TIFF is read where it is looked at: 120 MB, which napari's own reader keeps. Not varied."""


def get_record_reader(path: str | list[str]) -> Reader | None:
    """A reader for a folder `NAME.mosaic.zarr`; None for every other folder."""
    first = path[0] if isinstance(path, list) else path
    if not is_record(Path(first)):
        return None
    claim_records()
    return read_record


def get_image_reader(path: str | list[str]) -> Reader | None:
    """A reader for photographs that are opened as lazy pyramids; napari's own for TIFFs that need none."""
    paths = [path] if isinstance(path, str) else path
    if len(paths) == 1 and address_of(paths[0]) is not None:
        return read_image
    tiffs = all(Path(one).suffix.lower() in TIFF.suffixes for one in paths)
    if len(paths) == 1 and (not tiffs or is_large_photograph(Path(paths[0]))):
        return read_image
    return napari_builtins.napari_get_reader(path) if tiffs else None


def is_large_photograph(path: Path) -> bool:
    """Whether a TIFF is one picture, with its smaller levels or without, of more than `LARGE_PX` pixels."""
    from tifffile import TiffFile

    try:
        with TiffFile(path) as file:
            series = file.series[0]
            return len(file.series) == 1 and set(series.axes) <= set("YXS") and _pixels(series) > LARGE_PX
    except (OSError, *UNREADABLE):
        return False  # whoever reads it says what is wrong


def _pixels(series: Any) -> int:
    return prod(side for side, axis in zip(series.shape, series.axes, strict=True) if axis in "YX")


def get_area_reader(path: str | list[str]) -> Reader | None:
    """A reader for areas that were drawn elsewhere."""
    return read_areas if isinstance(path, str) or len(path) == 1 else None


def read_areas(path: str | list[str]) -> list[LayerData]:
    """Areas of a vector file as shapes over the photograph of the viewer; the panel stays within them.

    Raises
    ------
    MosaicError
        There is no photograph to lay them over, or nothing in the file that lies on it.
    """
    from napari import current_viewer

    from napari_mosaic.widgets._area_files import area_layer, photograph_in

    viewer = current_viewer()
    if viewer is None:
        raise InputError("Areas are laid over a photograph, so they can be opened in a viewer only.")
    return [area_layer(path if isinstance(path, str) else path[0], photograph_in(viewer))]


def read_record(path: str | list[str]) -> list[LayerData]:
    """The photograph of a record, where it is found, its joints and its tesserae."""
    from napari import current_viewer

    from napari_mosaic.record import open_record
    from napari_mosaic.widgets._features import follow_when_added
    from napari_mosaic.widgets._layers import record_areas, record_data
    from napari_mosaic.widgets._runs import restore

    place = as_place(path[0] if isinstance(path, list) else path)
    found = restore(place)
    viewer = current_viewer()
    if viewer is not None:
        follow_when_added(viewer, place)
    with open_record(place) as record:
        data, _ = record_data(record)
        areas = record_areas(record, data[-1][1])
        data += [areas] if areas is not None else []
    if found.photograph is None:
        from napari.utils.notifications import show_warning

        show_warning(found.message)
        return data
    return [found.photograph, *data]


def read_image(path: str | list[str]) -> list[LayerData]:
    """One photograph as a lazy pyramid."""
    return [photograph_data(open_image(path[0] if isinstance(path, list) else path))]


def drawn_mosaic() -> list[LayerData]:
    """A drawn mosaic of a megapixel."""
    return [photograph_data(open_image("sample:drawn"))]


def brick_wall() -> list[LayerData]:
    """A photograph of a brick pavement (CC0)."""
    return [photograph_data(open_image("sample:brick"))]
