"""`models list` and `models show`: what can be given as --model.

One decision: what is shown is the registry's own entry, field by field, and what the file says of
itself, so nothing is told twice. Showing never downloads.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_mosaic.cli.options import Json
from napari_mosaic.cli.output import answer_json, answer_table
from napari_mosaic.weights import WeightsEntry, find_weights, is_safetensors, read_header, registry


def list_models(*, as_json: Json = False) -> int:
    """List the models that can be used by name.

    Parameters
    ----------
    as_json
        Write the result as JSON.

    """
    entries = registry().values()
    if as_json:
        answer_json([asdict(entry) for entry in entries])
    else:
        answer_table([(entry.name, _summary(entry)) for entry in entries])
    return 0


def show_model(model: str, /, *, as_json: Json = False) -> int:
    """Say what a model is: its file, licence and trained size.

    Parameters
    ----------
    model
        Name of a model, or its file.
    as_json
        Write the result as JSON.

    """
    entry = registry().get(model) or find_weights(model)
    values = {**asdict(entry), **_header(entry.path)}
    if as_json:
        answer_json(values)
    else:
        answer_table([(name.replace("_", " "), _plain(value)) for name, value in values.items()])
    return 0


def _summary(entry: WeightsEntry) -> str:
    return f"{entry.summary} Tesserae of {entry.tessera_px:g} px; {entry.licence}."


def _header(path: Path | None) -> dict[str, str]:
    """What a file says of itself, where it is of a kind that does."""
    if path is None or not path.is_file() or not is_safetensors(path):
        return {}
    return {f"file says {name}": value for name, value in read_header(path).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or None
    return None if value in ("", None) else value
