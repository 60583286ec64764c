"""What must be done once in a session before the first network and the first labels, each for a fault of others.

One decision: each stands here with its reason, and is done at a moment that a person knows to be a wait.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from napari import Viewer

_MAPS = Path("/proc/self/maps")


def keep_out_triton(maps: Path = _MAPS) -> bool:
    """Declare triton absent where it would crash this process; returns whether that was done.

    Mesa's OpenGL drivers bring an LLVM into napari's process, and triton, which torch imports where it is installed,
    brings another; loading it then ends the process with a segmentation fault. We need no compiled kernels, so in that
    one case triton is declared absent before torch is imported.
    """
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


SHOWN_MS = 60
"""How long the layer is there: it must be drawn once; not varied."""

_warm = False


def warm_canvas(viewer: Viewer, layer: Labels | None, then: Callable[[], None]) -> None:
    """Show a tiny layer for a moment, once in a session, and call `then` when it is gone.

    napari 0.9 compiles shaders and kernels and builds the controls of labels when the first such layer is added, half
    a second on a slow machine, in a viewer without us as well. A layer of two pixels takes that upon itself and is gone
    before the panel is ready; whatever a person had selected stays selected.
    """
    global _warm
    if layer is None or _warm or any(isinstance(other, Labels) for other in viewer.layers):
        then()
        return
    _warm = True
    if len(viewer.layers):
        corner = viewer.layers[0]
        layer.scale, layer.translate, layer.units = corner.scale[-2:], corner.translate[-2:], corner.units[-2:]
    selected, active = set(viewer.layers.selection), viewer.layers.selection.active
    viewer.add_layer(layer)
    viewer.layers.selection = selected
    viewer.layers.selection.active = active

    def remove() -> None:
        if layer in viewer.layers:
            viewer.layers.remove(layer)
        then()

    QTimer.singleShot(SHOWN_MS, remove)
