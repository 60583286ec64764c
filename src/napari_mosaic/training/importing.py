"""Taking in models of others: a checkpoint, read without executing anything, becomes a file known by name.

One decision: what is kept is not their file but its weights as safetensors with a header of our own, so
whatever else a checkpoint carried is gone, and what the network is needs not be guessed again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_mosaic.errors import InputError
from napari_mosaic.grout import read_model
from napari_mosaic.training.export import describe, write_weights
from napari_mosaic.training.network import Recipe
from napari_mosaic.weights import DEFAULT, find_weights, models_folder, path_for_import


def import_model(
    source: str | Path,
    *,
    name: str | None = None,
    tessera_px: float | None = None,
    licence: str | None = None,
    temperature: float | None = None,
    overwrite: bool = False,
    folder: str | Path | None = None,
) -> Path:
    """Take a model file in, so that it can be given by name.

    Parameters
    ----------
    source
        Safetensors or a checkpoint of this package's training, or one of GROUT's (`model_state_dict`,
        `state_dict` or bare); only weights are read, code in a file is never run.
    name
        Name to call it by; that of the file by default.
    tessera_px
        Size of tessera that it was trained for, px; what the file says, or 24.
    licence
        What may be done with it; what the file says by default.
    temperature
        By what its confidence is told; what the file says, or 1.
    overwrite
        Replace an imported model of that name.
    folder
        Where to; None takes the user's.

    Returns
    -------
    Path
        The safetensors file.

    Raises
    ------
    ModelError
        If the file is no model that can be read safely, or one that does not fit.
    InputError
        If the name cannot be used or is taken.
    """
    entry = find_weights(source, entries={})
    name = name or Path(source).stem
    path = path_for_import(name, Path(folder or models_folder()), reserved={DEFAULT}, overwrite=overwrite)
    if tessera_px is not None and not 4 <= tessera_px <= 400:
        raise InputError(f"Tesserae of {tessera_px} px are no size to be trained for; give 4 to 400.")
    model, card = read_model(entry)
    recipe = Recipe(
        card.architecture, len(card.channels), tessera_px or card.tessera_px, card.mean, card.std, card.halo
    )
    state: dict[str, Any] = {key: value.detach().contiguous().clone() for key, value in model.state_dict().items()}
    rights = licence or card.licence or "as its owner says"
    header = describe(name, recipe, licence=rights, summary=f"Imported from {Path(source).name}.", halo=card.halo)
    calibrated = card.temperature if temperature is None else temperature
    write_weights(path, state, header | {"source_sha256": card.sha256, "temperature": calibrated})
    return path
