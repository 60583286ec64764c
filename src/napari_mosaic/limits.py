"""Bounds of a number, and what it means: for checks, forms and command lines alike.

One decision: they stand in the annotation of a field, so that whoever adds a parameter says them once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

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


def check_kinds(values: Any) -> None:
    """Raise `TypeError` where a field of a dataclass is not of its annotated kind: what a file says may be anything."""
    for name, hint in get_type_hints(type(values)).items():
        value = getattr(values, name)
        if not _fits(value, hint):
            raise TypeError(f"{name} is {str(value)[:60]!r}")


def _fits(value: Any, hint: Any) -> bool:
    kind, args = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in args)
    if kind is tuple and isinstance(value, tuple):
        kinds = args[:1] * len(value) if args[-1:] == (...,) else args
        return len(kinds) == len(value) and all(map(_fits, value, kinds))
    if kind is dict and isinstance(value, dict):
        return all(_fits(key, args[0]) and _fits(item, args[1]) for key, item in value.items())
    if kind in (int, float):
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return number and (kind is float or isinstance(value, int))
    return value is None if kind is NoneType else isinstance(value, kind)
