"""Keep two copies of LLVM out of one process.

One decision: Mesa's OpenGL drivers bring an LLVM into napari's process, and triton, which torch imports
where it is installed, brings another; loading it then ends the process with a segmentation fault. We need
no compiled kernels, so in that one case triton is declared absent before torch is imported.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

_MAPS = Path("/proc/self/maps")


def keep_out_triton(maps: Path = _MAPS) -> bool:
    """Declare triton absent where it would crash this process; returns whether that was done."""
    if "triton" in sys.modules or not maps.exists():
        return False
    if "libLLVM" not in maps.read_text(encoding="utf-8", errors="replace"):
        return False
    sys.modules["triton"] = None  # type: ignore[assignment]
    return True


def read_units() -> None:
    """Let pint read its units now, on the main thread.

    It reads them at the first layer that has any, and a layer that another thread makes at that moment finds none
    ("'pixel' is not defined in the unit registry").
    """
    registry: Any = importlib.import_module("pint").get_application_registry()
    _ = registry.pixel
