"""Readers: mosaic records, photographs of kinds that napari does not read itself, and sample data.

One decision: napari's own kinds are left to napari; a huge TIFF is opened as a lazy pyramid from the
panel or with `viewer.open(path, plugin="napari-mosaic")`. The samples, for the menu *File ▸ Open Sample*, are a drawn
mosaic, whose every stone is known, and a real photograph that a dependency ships; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_mosaic.image import open_image
from napari_mosaic.widgets._dialogs import claim_records, is_record
from napari_mosaic.widgets._sources import LayerData, photograph_data

Reader = Callable[[Any], list[LayerData]]


def get_record_reader(path: str | list[str]) -> Reader | None:
    """A reader for a folder `NAME.mosaic.zarr`; None for every other folder."""
    first = path[0] if isinstance(path, list) else path
    if not is_record(Path(first)):
        return None
    claim_records()
    return read_record


def get_image_reader(path: str | list[str]) -> Reader | None:
    """A reader for photographs that are opened as lazy pyramids."""
    return read_image if isinstance(path, str) or len(path) == 1 else None


def read_record(path: str | list[str]) -> list[LayerData]:
    """The photograph of a record, where it is found, its joints and its tesserae."""
    from napari import current_viewer

    from napari_mosaic.record import open_record
    from napari_mosaic.widgets._features import follow_when_added
    from napari_mosaic.widgets._layers import record_areas, record_data
    from napari_mosaic.widgets._runs import restore

    place = Path(path[0] if isinstance(path, list) else path)
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
