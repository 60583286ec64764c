"""*Save Selected Layers*: tesserae of a record as a file for other programs, or as a copy of the record.

One decision: a layer that shows a record is written from the record, by the exports that the panel and the command line
have, so that all three give the same file; what napari holds of it in memory is only what is seen.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QApplication

from napari_mosaic.errors import InputError, WriteError
from napari_mosaic.export import FORMATS, export_record, find_format
from napari_mosaic.files import whole_named
from napari_mosaic.objects import is_remote, named_place
from napari_mosaic.record import open_record
from napari_mosaic.record.label_layer import TESSERAE
from napari_mosaic.widgets import _dialogs, _runs
from napari_mosaic.widgets._commands import announce
from napari_mosaic.widgets._sources import LABELS, RECORD
from napari_mosaic.widgets._worker import Worker

if TYPE_CHECKING:
    from napari import Viewer

COPY = ".mosaic.zarr"
_NOT_COPIED = shutil.ignore_patterns("lock", "lock.by", "*.tmp")


def write_tesserae(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one Labels layer, as npe2 asks a writer to; without a suffix of a format, as TIFF.

    Parameters
    ----------
    path
        The file; its suffix tells the format of the export, `.mosaic.zarr` is a copy of the record.
    data
        The layer's array, or its levels.
    attributes
        The layer's; `metadata` names the record that it shows.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    InputError
        The layer shows no record, and the format is none for plain labels.
    WriteError
        The place is taken by a record, read-only or full.
    """
    return _write(path, data, attributes, ".tif")


def write_copy(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Copy the record of a Labels layer; see `write_tesserae`."""
    return _write(path, data, attributes, COPY)


def write_zarr(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one Labels layer as OME-Zarr; see `write_tesserae`."""
    return _write(path, data, attributes, ".zarr")


def write_geopackage(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the outlines of one Labels layer as GeoPackage; see `write_tesserae`."""
    return _write(path, data, attributes, ".gpkg")


def write_table(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the table of one Labels layer as CSV; see `write_tesserae`."""
    return _write(path, data, attributes, ".csv")


def write_record_copy(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Copy the record that some layers show: tesserae and whatever else of it is selected."""
    return _write(path, *_tesserae_of(layers), COPY)


def write_record_outlines(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write outlines and areas of the record that some layers show as GeoPackage."""
    return _write(path, *_tesserae_of(layers), ".gpkg")


def _tesserae_of(layers: list[tuple[Any, dict[str, Any], str]]) -> tuple[Any, dict[str, Any]]:
    """The Labels layer among some layers, all of which show one record; a photograph beside them shows none.

    Raises
    ------
    InputError
        They show several records, or none.
    """
    shown = {str(meta["metadata"][RECORD]) for _, meta, _ in layers if RECORD in (meta.get("metadata") or {})}
    if len(shown) > 1:
        raise InputError("The selected layers show several mosaic records; select those of one and save again.")
    if not shown:
        raise InputError("The selected layers show no mosaic record; choose “Save to Folder” as the kind of file.")
    return next((data, meta) for data, meta, kind in layers if kind == "labels")


def _write(path: str, data: Any, attributes: dict[str, Any], suffix: str) -> list[str]:
    """Write what a layer shows; a name without the ending of a format, as napari offers it, gets `suffix`."""
    target = Path(path)
    if not target.name.lower().endswith((COPY, *(one for format_ in FORMATS.values() for one in format_.suffixes))):
        target = target.with_name(target.name + suffix)
    known = attributes.get("metadata") or {}
    shown, labels = known.get(RECORD), known.get(LABELS, TESSERAE)
    if shown is None:
        return [str(_write_plain(target, data[0] if attributes.get("multiscale") else data))]
    if target.name.endswith(COPY):
        return [str(copy_record(named_place(shown), target))]
    with open_record(shown) as record:
        return [str(export_record(record, None, target, labels=labels, overwrite=True))]


def copy_record(record: Path, target: Path) -> Path:
    """Copy a record, whole or not at all; a record that is there already is never replaced."""
    if is_remote(record):
        raise WriteError(
            f"{record} is in an object store, so it is no folder to copy; copy it with a tool of the store."
        )
    if target.exists():
        raise WriteError(f"{target} is there already, and a record is never replaced by a copy; give another name.")
    try:
        with whole_named(target) as temporary:
            shutil.copytree(record, temporary, ignore=_NOT_COPIED)
    except OSError as error:
        raise WriteError(
            f"{target} cannot be written ({error.strerror or error}); give a place that you may write to."
        ) from error
    return target


def _write_plain(target: Path, data: Any) -> Path:
    """Labels that show no record, as TIFF, for they have neither table nor photograph."""
    if find_format(None, target).name != "tiff":
        raise InputError(
            f"This layer shows no mosaic record, so there is nothing to write to {target.name} but its numbers; "
            "save it as .tif, or choose the tesserae of a record."
        )
    import tifffile

    from napari_mosaic.output_files import replacing

    with replacing(target, overwrite=True) as temporary:
        tifffile.imwrite(temporary, np.asarray(data), compression="zlib")
    return target


def export_selected_layer(viewer: Viewer) -> None:
    """The command *Export tesserae of the selected layer*: asks for a file, writes it in the background."""
    from napari.layers import Labels
    from napari.utils.notifications import show_error

    layers = [layer for layer in viewer.layers.selection if RECORD in getattr(layer, "metadata", {})]
    if not layers:
        show_error("Select a layer of a mosaic record first: its tesserae.")
        return
    record = named_place(layers[0].metadata[RECORD])
    name = _dialogs.ask_any_export(QApplication.activeWindow(), record)
    if name:
        labels = layers[0].metadata.get(LABELS, TESSERAE) if isinstance(layers[0], Labels) else None
        job = Worker(lambda: _runs.export_steps(record, None, Path(name), labels))
        announce(job, lambda file: f"Saved as {file}.")
        job.start()


__all__ = ["FORMATS", "copy_record", "export_selected_layer", "write_tesserae"]
