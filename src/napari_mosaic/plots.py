"""Diagrams as PNG.

One decision: figures are drawn without pyplot, so they need no display, leave nothing behind in a global
list and may be made in any thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_mosaic.dependencies import needed_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float = 6.0, height: float = 4.5) -> Figure:
    """An empty figure in inches; `DependencyError` where matplotlib is not installed."""
    with needed_for("A diagram"):
        from matplotlib.figure import Figure
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all."""
    from napari_mosaic.output_files import replacing

    with replacing(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    return path
