"""The figures of a record in words and units, as the panel and the command line show them.

One decision: four significant digits, so that what is read is as good as what was measured.
"""

from __future__ import annotations

from napari_mosaic.areas import CLASSES
from napari_mosaic.record.looked_at import PARTS, Figures

_NAMES = {
    **{one.name: one.title for one in CLASSES},
    "surround": "Surround",
    "masked": "Masked by the file",
    "beyond regions": "Outside the regions",
    "excluded": "Left out",
    "not computed": "Not computed yet",
}
"""Every part as it is called, in the order in which it is shown."""

assert set(_NAMES) == set(PARTS)


def density_of(figures: Figures) -> str:
    """Density in words; an empty denominator has none."""
    if not figures.area_px:
        return "–"
    if figures.density_dm2 is not None:
        return f"{_digits(figures.density_dm2)} per dm²"
    return f"{_digits(figures.density_mpx or 0.0)} per megapixel"


def areas_of(figures: Figures) -> tuple[tuple[str, str], ...]:
    """What was looked at, then every part that covers anything, with its area in words."""
    least = 0.5  # half a pixel: what rounding leaves of a part that is not there
    shown = [part for part in _NAMES if part == "preserved" or figures.px[part] > least]
    return tuple((_NAMES[part], _area(figures, part)) for part in shown)


def _area(figures: Figures, part: str) -> str:
    metres = figures.area_m2(part)
    if metres is None:
        return f"{_digits(figures.px[part] / 1e6)} MP"
    return f"{_digits(metres)} m²" if metres >= 0.01 or metres == 0 else f"{_digits(metres * 1e4)} cm²"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
