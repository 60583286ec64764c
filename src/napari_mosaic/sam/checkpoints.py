"""Weights of SAM 2 models: read, recognise, check, load.

One decision: which model a file holds is read off its tensors, not off its name, and only the parts that
segment single images must be there; those that follow objects through a video may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_mosaic.errors import InputError, MissingError, ModelError, WriteError
from napari_mosaic.files import whole_file
from napari_mosaic.sam.building import Signature, build_model, config_signature
from napari_mosaic.sam.registry import config_names
from napari_mosaic.torch_files import BAD_FILE, read_torch_file, why_unread
from napari_mosaic.weights import is_safetensors, read_header

VIDEO_PARTS = (
    "memory_attention.", "memory_encoder.", "maskmem_tpos_enc", "no_mem_pos_enc", "mask_downsample.", "no_obj_ptr",
    "no_obj_embed_spatial", "obj_ptr_proj.", "obj_ptr_tpos_proj.",
)  # fmt: skip
"""Beginnings of the names of weights that single images do not need."""
_BLOCKS = "image_encoder.trunk.blocks."


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a checkpoint by name, and what its header says (nothing but for safetensors).

    Takes safetensors and torch files: published (`model`), of trainers (`model_state_dict`, `state_dict`)
    and bare. Nothing in the file is executed.

    Raises
    ------
    MissingError
        If there is no such file.
    ModelError
        If it is truncated, carries code, or holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"There is no SAM 2 checkpoint at {path}; check the path.")
    try:
        if is_safetensors(path):
            return dict(load_file(path)), read_header(path)
        content: Any = read_torch_file(path)
    except BAD_FILE as error:
        raise ModelError(f"{path} cannot be read as a SAM 2 checkpoint: {why_unread(path, error)}.") from error
    for key in ("model", "model_state_dict", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"{path} holds no network weights; give a checkpoint of SAM 2.")
    return {str(name).removeprefix("module."): value for name, value in content.items()}, {}


def weights_signature(weights: Mapping[str, Tensor]) -> Signature | None:
    """Trunk width, trunk blocks, decoder width and whether 2.1, as `config_signature`; None for other networks.

    Without the parts for videos 2.0 and 2.1 are the same network, and count as 2.1.
    """
    patch, memory = weights.get("image_encoder.trunk.patch_embed.proj.weight"), weights.get("no_mem_embed")
    if patch is None or memory is None:
        return None
    blocks = {name.removeprefix(_BLOCKS).split(".")[0] for name in weights if name.startswith(_BLOCKS)}
    later = "no_obj_embed_spatial" in weights or not any(name.startswith("memory_attention.") for name in weights)
    return patch.shape[0], len(blocks), memory.shape[-1], later


def recognise_config(weights: Mapping[str, Tensor], path: str | Path) -> str:
    """The name of the known configuration that weights belong to; `ModelError` where there is none."""
    found = weights_signature(weights)
    if found is None:
        raise ModelError(f"{path} is no SAM 2 checkpoint: it holds the weights of another network; give another file.")
    for name in config_names():
        if config_signature(name) == found:
            return name
    raise ModelError(
        f"{path} belongs to a SAM 2 model of unknown size (trunk {found[0]} wide, {found[1]} blocks); "
        "give its configuration too, as a .yaml file."
    )


def load_model(path: str | Path, config: str | Path | None = None) -> tuple[nn.Module, str]:
    """A SAM 2 model with the weights of a file, and the name of its configuration.

    Parameters
    ----------
    path
        Checkpoint.
    config
        Name or YAML file; None takes what the file's header says, or recognises it by its tensors.

    Raises
    ------
    MissingError, ModelError, InputError, DependencyError
        No file; damaged, with code, of another size; unknown configuration; sam2 missing.
    """
    weights, header = read_weights(path)
    chosen = str(config or header.get("config") or recognise_config(weights, path))
    mine, theirs = config_signature(chosen), weights_signature(weights)
    if theirs is None or mine[:3] != theirs[:3]:
        what = "another network" if theirs is None else f"{theirs[0]} wide with {theirs[1]} blocks"
        raise ModelError(
            f"{path} does not fit the SAM 2 configuration {chosen}: its trunk is {what}, not {mine[0]} wide with "
            f"{mine[1]} blocks; give the configuration of that size, or leave it out."
        )
    model = build_model(chosen)
    load_weights(model, weights, path)
    return model, chosen


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Put weights into a model, in place; `ModelError` where names or shapes do not fit."""
    try:
        result = model.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit its SAM 2 configuration: {_first_line(error)}") from error
    missing = [name for name in result.missing_keys if not name.startswith(VIDEO_PARTS)]
    unknown = [name for name in result.unexpected_keys if not name.startswith(VIDEO_PARTS)]
    if missing or unknown:
        raise ModelError(
            f"{path} does not fit its SAM 2 configuration: {len(missing)} weights are missing and {len(unknown)} are "
            f"unknown, such as {(missing + unknown)[0]}; give the checkpoint of that model."
        )


def image_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model that single images need, by name: what a file of ours holds."""
    return {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith(VIDEO_PARTS)
    }


def write_weights(model: nn.Module, path: str | Path, header: Mapping[str, str], *, half: bool = False) -> None:
    """Write the weights for single images as safetensors, whole or not at all; `header` names at least the `config`.

    Raises
    ------
    InputError
        If the header names no configuration: the file could not be read again by itself.
    WriteError
        If the file cannot be written.
    """
    if "config" not in header:
        raise InputError("Weights of SAM 2 are not written without the name of their configuration; add config.")
    weights = image_weights(model)
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, sync=True) as part:
            save_file({k: v.half() if half else v for k, v in weights.items()}, str(part), metadata=dict(header))
    except (OSError, SafetensorError) as error:
        raise WriteError(f"{path} cannot be written ({error}); give a place that you may write to.") from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)].rstrip(".") + "; give the checkpoint of that model."
