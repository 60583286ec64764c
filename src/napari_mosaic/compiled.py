"""Loops that numba compiles, once on a machine.

One decision: the compiled code is kept beside the package or in the user's cache folder, whichever can be written,
as numba itself finds out; where neither can, as in a sealed container, it is compiled at every start instead of
failing at the first import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, **options: Any) -> F:
    """The function compiled by numba, which lets go of Python's lock while it runs; `options` are numba's."""
    try:
        made: F = numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # numba's word for "no folder for the cache can be written"
        made = numba.njit(nogil=True, **options)(function)
    return made
