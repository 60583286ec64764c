"""Options over a preset: what is not given on the command line is as the preset says.

One decision: an option has no default of its own, only the presets have; the help shows theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from cyclopts import Parameter

from napari_mosaic.cli.options import _with_help
from napari_mosaic.cli.output import UsageError
from napari_mosaic.errors import InputError

T = TypeVar("T")

_ENDS = ("steps", "minutes", "epochs")


def choices_of(cls: type[Any], presets: Mapping[str, Any], leave_out: tuple[str, ...] = ()) -> type[Any]:
    """A dataclass with the fields of `cls`, each None by default, whose texts name the presets' values."""
    hints = get_type_hints(cls, include_extras=True)
    made = []
    for field in dataclasses.fields(cls):
        if field.name in leave_out:
            continue
        shown = {name: _shown(getattr(preset, field.name)) for name, preset in presets.items()}
        made.append((field.name, _optional(hints[field.name], shown), None))
    choices = dataclasses.make_dataclass(f"{cls.__name__}Choices", made, frozen=True, kw_only=True)
    choices.__module__ = cls.__module__
    return choices


def over_preset(choices: Any, preset: T) -> T:
    """The preset with what was chosen; an end that was chosen replaces all ends of the preset.

    Raises
    ------
    UsageError
        If the choices do not go together.
    """
    chosen = {field.name: getattr(choices, field.name) for field in dataclasses.fields(choices)}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if any(name in chosen for name in _ENDS):
        chosen = dict.fromkeys(_ENDS) | chosen
    try:
        return dataclasses.replace(preset, **chosen)  # type: ignore[type-var]
    except InputError as error:
        raise UsageError(str(error)) from error


def _optional(hint: Any, shown: dict[str, str]) -> Any:
    """The annotation of an option that need not be given."""
    base, *extras = get_args(_with_help(hint)) if get_origin(hint) is Annotated else (hint,)
    text = next((extra.help for extra in extras if isinstance(extra, Parameter) and extra.help), "") or ""
    alike = len(set(shown.values())) == 1
    values = next(iter(shown.values())) if alike else ", ".join(f"{k}: {v}" for k, v in shown.items() if v)
    tail = f" [{values}]" if values else ""
    optional = base if get_origin(base) in (Union, UnionType) and type(None) in get_args(base) else base | None
    return Annotated[optional, Parameter(help=f"{text}{tail}", show_default=False)]


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
