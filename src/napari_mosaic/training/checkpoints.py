"""The checkpoints of a run: files that are there whole or not at all, and are read without running anything in them."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from napari_mosaic.errors import ModelError, WriteError
from napari_mosaic.files import whole_file
from napari_mosaic.torch_files import BAD_FILE, read_torch_file

LAST, BEST = "checkpoint.pt", "best.pt"
_FIELDS = ("average", "params", "step", "seconds")


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write the checkpoint whole or not at all; raises `WriteError` where it cannot be."""
    try:
        with whole_file(path, sync=True) as part, part.open("wb") as stream:
            torch.save(dict(content), stream)
    except (OSError, RuntimeError) as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "write" in str(error).lower()
        why = "the disk is full" if full else str(error)
        raise WriteError(
            f"The checkpoint {path} could not be written ({why}); the one before is kept: free some space and "
            "go on with --resume."
        ) from error


def read_checkpoint(path: Path, fields: Iterable[str] = _FIELDS, training: str = "this training") -> dict[str, Any]:
    """The content of a checkpoint of a `training` with some `fields`; raises `ModelError` where it is none."""
    try:
        content: dict[str, Any] = read_torch_file(path)
        if not set(fields) <= content.keys():
            raise ValueError("fields are missing")
        return content
    except BAD_FILE as error:
        raise ModelError(f"{path} is no whole checkpoint of {training}; train again or resume.") from error
