"""Files that torch saved, read without running anything that is in them.

One decision: beside tensors and Python's plain values a file may hold numpy's numbers, as trainers leave them
(`best_metric=numpy.float64(…)`), and nothing else. They are made here, by name, of their bytes; no function
that a file names is ever called.
"""

from __future__ import annotations

import pickle
import struct
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

BAD_FILE = (
    pickle.UnpicklingError, zipfile.BadZipFile, struct.error, SafetensorError, RuntimeError, EOFError, ValueError,
    LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, OSError,
)  # fmt: skip
"""What reading a damaged file, or one that is something else, may raise."""
_NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}
"""numpy's codes of truth values, whole and floating-point numbers; not of objects, texts and records."""


class _Kind:
    """What a file says of the kind of a number: stands for `numpy.dtype`, and knows `_NUMBERS` only."""

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in _NUMBERS:
            raise pickle.UnpicklingError(f"{code!r} is no kind of number")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the order of the bytes from what `numpy.dtype` writes of itself; the rest is for other kinds."""
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


def _number(kind: Any, data: Any) -> Any:
    """A number of its bytes: stands for numpy's own maker of scalars."""
    if not isinstance(kind, _Kind) or not isinstance(data, bytes):
        raise pickle.UnpicklingError("a number without its kind or its bytes")
    return np.frombuffer(data, kind.dtype, count=1)[0]


_ALLOWED: list[Any] = [
    (_Kind, "numpy.dtype"),
    (_number, "numpy.core.multiarray.scalar"),  # as numpy 1 names it
    (_number, "numpy._core.multiarray.scalar"),  # as numpy 2 does
]


_one_at_a_time = threading.Lock()
"""torch keeps one list of what is allowed for all threads."""


def read_torch_file(path: str | Path) -> Any:
    """The content of a file of `torch.save`, tensors on the CPU; one of `BAD_FILE` where it is none, or carries code.

    Needs torch 2.6: before, `weights_only` could be got around (CVE-2025-32434).
    """
    with _one_at_a_time, torch.serialization.safe_globals(_ALLOWED):
        return torch.load(path, map_location="cpu", weights_only=True)
