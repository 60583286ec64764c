"""Stones coloured by what was measured of them, and those that are chosen.

One decision: a layer has one colormap for all its levels, so colours are put there and the one before is put back; what
is chosen is a further colour of it, and costs a look-up, whatever the number of stones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import ensure_colormap
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import NDArray

from napari_mosaic.widgets._measured import MeasuredFloor
from napari_mosaic.widgets._napari import IdColormap

SHADES = 64
"""Colours of a scale: more nobody tells apart; not varied."""
ROBUST = (2.0, 98.0)
"""Percentiles at which a scale ends, so that a few odd stones take no colour from all others; not varied."""
CHOSEN = "#ff2fd0"
"""Colour of what is chosen, in the viewer and in plots: neither viridis nor twilight nor stones have it."""
_UNTOLD = (0.5, 0.5, 0.5, 0.35)
"""Of stones that have no value."""
_CLASSES = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#9c755f", "#edc948", "#76b7b2")
"""Colours of classes that have none of their own (Tableau 10, without the pink and the grey of what is chosen)."""


@dataclass(frozen=True)
class Scale:
    """Colours of all stones by one column, and what they mean.

    `codes` `(n,)` are places in `colours` `(k, 4)`, the last of which is that of stones without a value. Of figures,
    `limits` are the ends of the scale and `colormap` its name; of classes, `names` and `counts` say which is which.
    """

    title: str
    codes: NDArray[np.uint16]
    colours: NDArray[np.float64]
    limits: tuple[float, float] | None = None
    colormap: str = ""
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()


def scale_of(floor: MeasuredFloor, name: str) -> Scale:
    """The colours of a column."""
    return _of_classes(floor, name) if name in floor.classes else _of_figures(floor, name)


def _of_figures(floor: MeasuredFloor, name: str) -> Scale:
    values = floor.column(name)
    told = np.isfinite(values)
    turning = name.endswith("_deg")
    if turning:
        limits = (0.0, 180.0)
    elif told.any():
        low, high = np.percentile(values[told], ROBUST)
        limits = (float(low), float(high))
    else:
        limits = (0.0, 1.0)
    colormap = "twilight" if turning else "viridis"
    share = ((values - limits[0]) / max(limits[1] - limits[0], 1e-12)).clip(0, 1)
    codes = np.where(told, np.round(np.nan_to_num(share) * (SHADES - 1)), SHADES).astype(np.uint16)
    shades = ensure_colormap(colormap).map(np.linspace(0, 1, SHADES))
    return Scale(title_of(name), codes, np.vstack([shades, _UNTOLD]), limits, colormap)


def _of_classes(floor: MeasuredFloor, name: str) -> Scale:
    names, places = floor.words_of(name)
    if name == "palette_class":
        colours = [str(colour["srgb"]) for colour in floor.whole["palette"]]
        names = [f"{number} {colour}" for number, colour in enumerate(colours, start=1)]
    else:
        colours = [_CLASSES[k % len(_CLASSES)] for k in range(len(names))]
    codes = np.where(places >= 0, places, len(names)).astype(np.uint16)
    counts = np.bincount(codes, minlength=len(names) + 1)[: len(names)]
    table = np.vstack([*(transform_color(colour) for colour in colours), _UNTOLD])
    return Scale(title_of(name), codes, table, names=tuple(names), counts=tuple(counts.tolist()))


def title_of(name: str) -> str:
    """A column as people read it, with its unit."""
    if name == "area_px":
        return "Area (px²)"
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            return f"{name.removesuffix(ending).replace('_', ' ').capitalize()} ({unit})"
    return name.replace("_", " ").capitalize()


_UNITS = {
    "_per_dm2": "per dm²", "_per_mpx": "per megapixel", "_mm2": "mm²", "_px": "px", "_mm": "mm",
    "_deg": "°",
}  # fmt: skip


class Colouring:
    """The colours of one labels layer while they are ours; `close` gives it back those that it had."""

    def __init__(self, layer: Labels, ids: NDArray[Any]) -> None:
        self.layer, self._ids = layer, ids
        self._before = layer.colormap
        self._scale: Scale | None = None
        self._chosen = np.zeros(len(ids), bool)

    def show(self, scale: Scale | None) -> None:
        """Colour by a scale; None for the colours that the layer had."""
        self._scale = scale
        self._apply()

    def choose(self, chosen: NDArray[np.bool_]) -> None:
        """Let `(n,)` stones stand out."""
        self._chosen = chosen
        self._apply()

    def close(self) -> None:
        """Give the layer its own colours back."""
        if isinstance(self.layer.colormap, IdColormap):
            self.layer.colormap = self._before

    def _apply(self) -> None:
        if self._scale is None and not self._chosen.any():
            self.close()
            return
        if self._scale is None:  # the others keep quiet, so that the chosen are seen
            codes, colours = np.zeros(len(self._ids), np.uint16), np.array([_UNTOLD])
        else:
            codes, colours = self._scale.codes, self._scale.colours
        codes = np.where(self._chosen, len(colours), codes)
        self.layer.colormap = IdColormap.of(self._ids, codes, np.vstack([colours, transform_color(CHOSEN)]))
