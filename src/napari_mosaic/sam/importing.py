"""Taking in SAM 2 checkpoints of others: read without executing anything, kept under a name.

One decision: what is kept are the weights for single images as safetensors, with the configuration in the header, so
the file is half as large, can carry nothing else, and needs not be recognised again.
"""

from __future__ import annotations

import json
from pathlib import Path

from napari_mosaic.downloads import hash_file
from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.sam.checkpoints import load_model, read_weights, weights_signature, write_weights
from napari_mosaic.sam.prompts import USUAL_PX
from napari_mosaic.sam.registry import MEAN, STD, config_names, published_entry, sam_folder
from napari_mosaic.weights import is_safetensors, path_for_import, read_header


def is_sam(path: str | Path) -> bool:
    """Whether a file holds the weights of a SAM 2 model; False also where it cannot be read."""
    try:
        return weights_signature(read_weights(path)[0]) is not None
    except MosaicError:
        return False


def import_sam_model(
    source: str | Path,
    *,
    name: str | None = None,
    config: str | Path | None = None,
    licence: str | None = None,
    overwrite: bool = False,
    folder: str | Path | None = None,
) -> Path:
    """Take a SAM 2 checkpoint in, so that it can be given by name.

    Parameters
    ----------
    source
        Published, of a trainer (`model`, `model_state_dict`, `state_dict`) or bare.
    name
        Name to call it by; that of the file by default.
    config
        Name of its configuration; recognised by its tensors by default.
    licence
        What may be done with it.
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
        If the file is no SAM 2 model that can be read safely, or one that does not fit.
    InputError
        If the name or the configuration cannot be used, or the name is taken.
    """
    source = Path(source)
    name = name or source.stem
    path = path_for_import(name, Path(folder or sam_folder()), reserved=config_names(), overwrite=overwrite)
    if config is not None and str(config) not in config_names():
        raise InputError(f"A model is kept with a known configuration ({', '.join(config_names())}), not {config}.")
    model, chosen = load_model(source, config)
    said = read_header(source) if is_safetensors(source) else {}
    known = published_entry(name, chosen)
    header = {
        "name": name,
        "config": chosen,
        "licence": licence or said.get("licence") or (known.licence if known else "as its owner says"),
        "summary": known.summary if known else f"SAM 2 ({chosen}), imported from {source.name}.",
        "tessera_px": said.get("tessera_px", f"{known.tessera_px if known else USUAL_PX:g}"),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "source_sha256": hash_file(source),
    }
    write_weights(model, path, header)
    return path
