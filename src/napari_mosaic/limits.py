"""Bounds of a number, and what it means: for checks, forms and command lines alike.

One decision: they stand in the annotation of a field, so that whoever adds a parameter says them once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_type_hints

from napari_mosaic.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of a number, and what it means, for forms and command lines."""

    low: float
    high: float
    help: str


def check_limits(params: Any) -> None:
    """Raise `InputError` where a field of a dataclass lies outside of the `Limits` in its annotation."""
    for name, hint in get_type_hints(type(params), include_extras=True).items():
        value = getattr(params, name)
        for limits in getattr(hint, "__metadata__", ()):
            if isinstance(limits, Limits) and isinstance(value, int | float) and not limits.low <= value <= limits.high:
                raise InputError(
                    f"{name} is {value}, outside of {limits.low:g} to {limits.high:g} ({limits.help}); "
                    "choose a value within."
                )
