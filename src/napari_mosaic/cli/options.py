"""Options of the command line made from the parameter dataclasses.

One decision: nothing is typed twice. Names, types, defaults, limits and texts of options are those of the dataclasses
that the API takes. Over presets an option has no default of its own, only the presets have; the help shows theirs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from cyclopts import Parameter

from napari_mosaic.cli.output import UsageError
from napari_mosaic.errors import InputError

T = TypeVar("T")

Flag = Annotated[bool, Parameter(show_default=False)]
Json = Annotated[bool, Parameter(name="--json", show_default=False)]

_ENDS = ("steps", "minutes", "epochs")
"""Of these a preset has what fits it: one that is chosen stands for all."""


def options_of(cls: type[Any]) -> type[Any]:
    """A dataclass with the parameters of another, their texts for the command line, and the checks of `cls`.

    The text is a bare string, or the `help` of an object, among the annotations of the field. Which of them were given
    says `given_of`.
    """

    def check(options: Any) -> None:
        try:
            plain(options, cls)
        except InputError as error:
            raise UsageError(str(error)) from error

    made = [(name, _with_help(hint), default) for name, hint, default in parameters_of(cls)]
    options = _make(cls, "Options", made, {"__post_init__": check})
    make: Any = options.__init__

    @functools.wraps(make)
    def __init__(self: Any, **values: Any) -> None:
        make(self, **values)
        object.__setattr__(self, "_given", frozenset(values))

    options.__init__ = __init__  # type: ignore[misc]
    return options


def choices_of(cls: type[Any], presets: Mapping[str, Any], leave_out: tuple[str, ...] = ()) -> type[Any]:
    """The same over presets: each option is None by default, and its text names the presets' values."""
    made = []
    for name, hint, _ in parameters_of(cls):
        if name not in leave_out:
            shown = {preset: _shown(getattr(values, name)) for preset, values in presets.items()}
            made.append((name, _optional(hint, shown), None))
    return _make(cls, "Choices", made, {})


def option_of(cls: type[Any], name: str) -> Any:
    """The annotation of one parameter, with its text, for an option that stands by itself."""
    return next(_with_help(hint) for other, hint, _ in parameters_of(cls) if other == name)


def _make(cls: type[Any], kind: str, made: list[Any], namespace: dict[str, Any]) -> type[Any]:
    options = dataclasses.make_dataclass(f"{cls.__name__}{kind}", made, frozen=True, kw_only=True, namespace=namespace)
    options.__module__ = cls.__module__
    return options


def parameters_of(cls: type[Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, annotation and default of each parameter of a dataclass.

    Of a dataclass within it those that `cls` takes by their own names, as if they were its own.
    """
    hints = get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[field.name]):
            within = parameters_of(hints[field.name])
            yield from (one for one in within if one[0] not in hints and hasattr(cls, one[0]))
        else:
            yield field.name, hints[field.name], field.default


def plain(options: Any, cls: type[T]) -> T:
    """The options as the plain dataclass that the API takes."""
    return cls(**_values(options))


def given_of(options: Any) -> frozenset[str]:
    """The names of options of `options_of` that stood on the command line, whether or not they are the defaults.

    Of those of `choices_of`, all that are not None.
    """
    if hasattr(options, "_given"):
        return frozenset(options._given)
    return frozenset(name for name, value in _values(options).items() if value is not None)


def over_preset(choices: Any, preset: T) -> T:
    """The preset with what was chosen; an end that was chosen replaces all ends of the preset.

    Raises
    ------
    UsageError
        If the choices do not go together.
    """
    chosen = {name: value for name, value in _values(choices).items() if value is not None}
    if all(hasattr(preset, name) for name in _ENDS) and any(name in chosen for name in _ENDS):
        chosen = dict.fromkeys(_ENDS) | chosen
    try:
        return dataclasses.replace(preset, **chosen)  # type: ignore[type-var]
    except InputError as error:
        raise UsageError(str(error)) from error


def _values(options: Any) -> dict[str, Any]:
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}


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


def _with_help(hint: Any) -> Any:
    """The annotation with its text and bounds as help."""
    base, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    texts = [extra if isinstance(extra, str) else getattr(extra, "help", None) for extra in extras]
    text = next((text for text in texts if text), None)
    bounds = [f"{e.low:g} to {e.high:g}" for e in extras if hasattr(e, "low") and hasattr(e, "high")]
    if not text:
        return hint
    return Annotated[base, *extras, Parameter(help=_sentence(" ".join([text, *(f"({b})" for b in bounds)])))]


def _sentence(text: str) -> str:
    start = text[:1] if text.startswith("auto,") else text[:1].upper()
    return start + text[1:] + ("" if text.endswith(".") else ".")
