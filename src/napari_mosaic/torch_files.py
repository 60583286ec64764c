"""Files that torch saved, read without running anything that is in them.

One decision: beside tensors and Python's plain values a file may hold numpy's numbers, as trainers leave them
(`best_metric=numpy.float64(…)`), and nothing else. They are made here, by name, of their bytes; no function
that a file names is ever called.
"""

from __future__ import annotations

import pickle
import re
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


_PROTOCOLS = (b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""Beginnings of what Python's pickle writes by itself; torch writes protocol 2, in a zip archive since 1.6."""
_ALONE = "write the weights alone with torch.save(model.state_dict(), PATH)"

_one_at_a_time = threading.Lock()
"""torch keeps one list of what is allowed for all threads."""


def read_torch_file(path: str | Path) -> Any:
    """The content of a file of `torch.save`, tensors on the CPU; one of `BAD_FILE` where it is none, or carries code.

    Needs torch 2.6: before, `weights_only` could be got around (CVE-2025-32434).
    """
    with _one_at_a_time, torch.serialization.safe_globals(_ALLOWED):
        return torch.load(path, map_location="cpu", weights_only=True)


def why_unread(path: str | Path, error: BaseException) -> str:
    """Why a file that `read_torch_file` refused is not read, and what to do, in the words after a colon."""
    if isinstance(error, OSError):
        return f"it cannot be read ({error.strerror or error}); check that it is there and yours to read"
    with Path(path).open("rb") as file:
        begins = file.read(2)
    if begins in _PROTOCOLS:
        return f"it was written by Python's pickle, which as a rule carries code, and that is never run; {_ALONE}"
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named is not None:
        held = "arrays of numpy" if named[1].endswith("multiarray._reconstruct") else named[1]
        return f"it holds {held} besides weights, and what makes that carries code, which is never run; {_ALONE}"
    return "it is damaged, is something else, or carries code besides weights; use safetensors or a plain checkpoint"
