"""Files of a run and of what it learns from, but for its checkpoints: small notes, and room for large arrays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from napari_mosaic import files
from napari_mosaic.data_sizes import data_size
from napari_mosaic.errors import WriteError

_SPARE = 100_000_000
"""Bytes of a disk that are left free. *Not varied.*"""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in a sentence where something below or at `path` cannot be written."""
    with files.writing(path):
        try:
            yield
        except SafetensorError as error:
            raise OSError(str(error)) from error


def write_json(path: Path, values: Any) -> None:
    """Write a small file whole or not at all."""
    with writing(path):
        files.write_json(path, values, sync=True)


def read_note(path: Path) -> dict[str, Any]:
    """What a small JSON file says; empty where it is not there or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def check_room(folder: Path, need: float) -> None:
    """Raise `WriteError` where the disk has less than `need` bytes free: a mapped file cannot say so later.

    The folder need not be there yet: what is refused leaves none behind.
    """
    place = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    free = shutil.disk_usage(place).free
    if free < need + _SPARE:
        raise WriteError(
            f"{folder} needs {data_size(need + _SPARE)} and the disk has {data_size(free)} free; "
            "free some space or give another folder."
        )
