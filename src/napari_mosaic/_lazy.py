"""Names of a package that are loaded when they are first used.

One decision: a package says in one table which of its modules holds which public name; importing it then
costs nothing, and neither torch nor Qt comes in before it is needed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from napari_mosaic.dependencies import needed_for


def lazy_names(package: str, table: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package whose names lie in the modules that `table` tells."""

    def find(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with needed_for(name):
            module = importlib.import_module(f"{package}.{table[name]}")
        return getattr(module, name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *table})

    return find, names
