"""SAM 2 models from configuration files.

One decision: hydra is never asked. A configuration is read with OmegaConf and built by a resolver of ten
lines that makes classes of the sam2 package and nothing else; what `import sam2` does to hydra's global
state is undone. So two models, any working directory and the user's own hydra go together.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from torch import nn

from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import InputError, ModelError
from napari_mosaic.sam.registry import config_names

_IMPORTING = threading.Lock()
_TARGETS = "sam2.modeling."
_DECODER_EXTRA = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}
"""What sam2's own `build_sam2` adds by default: of an unstable single mask the best of three instead."""


def import_sam2() -> Any:
    """The sam2 package, imported without leaving hydra initialised; `DependencyError` where it is missing.

    A run and the estimate of its cost ask for it at the same time: the second waits, it would get half a package.
    """
    with _IMPORTING:
        if "sam2" in sys.modules:
            return sys.modules["sam2"]
        with needed_for("SAM 2"), warnings.catch_warnings():
            from hydra.core.global_hydra import GlobalHydra

            initialised = GlobalHydra.instance().is_initialized()
            warnings.simplefilter("ignore")
            package = importlib.import_module("sam2")
        if not initialised:
            GlobalHydra.instance().clear()
        return package


def config_path(config: str | Path) -> Path:
    """The file of a configuration given by name or path; `InputError` where there is none."""
    names = config_names()
    if str(config) in names:
        path = Path(names[str(config)])
        return path if path.is_absolute() else Path(str(import_sam2().__path__[0])) / path
    path = Path(config)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise InputError(
            f"There is no SAM 2 configuration {str(config)!r}; choose one of {', '.join(names)}, or give a .yaml file."
        )
    return path


def read_config(config: str | Path) -> dict[str, Any]:
    """The `model` part of a configuration as plain values.

    Raises
    ------
    InputError
        If there is none of that name.
    ModelError
        If the file is no configuration of a SAM 2 model.
    """
    path = config_path(config)
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        values: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        model: dict[str, Any] = dict(values["model"])
        _signature(model)
    except (KeyError, TypeError, ValueError, AttributeError, OSError, OmegaConfBaseException, YAMLError) as error:
        raise ModelError(f"{path} is no configuration of a SAM 2 model; give one like those of sam2.") from error
    return model


def build_model(config: str | Path) -> nn.Module:
    """A SAM 2 model with random weights, in evaluation mode on the CPU.

    Parameters
    ----------
    config
        A name such as `sam2.1-hiera-tiny`, or a YAML file.

    Raises
    ------
    DependencyError
        If sam2 is not installed.
    InputError, ModelError
        If the configuration is unknown, or cannot be built.

    Examples
    --------
    >>> build_model("sam2.1-hiera-mosaic").image_size  # doctest: +SKIP
    256
    """
    import_sam2()
    values = read_config(config)
    extra = {**_DECODER_EXTRA, **(values.get("sam_mask_decoder_extra_args") or {})}
    try:
        model: nn.Module = _build({**values, "sam_mask_decoder_extra_args": extra})
    except (TypeError, AttributeError, ImportError, AssertionError, RuntimeError) as error:
        raise ModelError(f"The SAM 2 configuration {config} cannot be built ({error}); correct the file.") from error
    return model.eval()


def _build(values: Any) -> Any:
    """Values with every `{_target_: …}` in them replaced by an object of that class."""
    if isinstance(values, list):
        return [_build(value) for value in values]
    if not isinstance(values, dict):
        return values
    arguments = {name: _build(value) for name, value in values.items() if name != "_target_"}
    if "_target_" not in values:
        return arguments
    target = str(values["_target_"])
    if not target.startswith(_TARGETS):
        raise ModelError(
            f"A SAM 2 configuration may not make a {target}; only classes of {_TARGETS[:-1]} are built, because "
            "a configuration is no program."
        )
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)(**arguments)


Signature = tuple[int, int, int, bool]


def _signature(values: dict[str, Any]) -> Signature:
    """Width and number of blocks of the trunk, width of the decoder, whether 2.1: what tells sizes apart."""
    trunk, neck = values["image_encoder"]["trunk"], values["image_encoder"]["neck"]
    later = bool(values.get("no_obj_embed_spatial", False))
    return int(trunk["embed_dim"]), sum(trunk.get("stages", (2, 3, 16, 3))), int(neck["d_model"]), later


def config_signature(config: str | Path) -> Signature:
    """Trunk width, trunk blocks, decoder width, whether 2.1, of a configuration."""
    return _signature(read_config(config))
