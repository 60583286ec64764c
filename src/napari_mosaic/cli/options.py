"""Options of the command line made from the parameter dataclasses.

One decision: nothing is typed twice. Names, types, defaults, limits and texts of options are those of
the dataclass that the API takes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from cyclopts import Parameter

from napari_mosaic.cli.output import UsageError
from napari_mosaic.errors import InputError

T = TypeVar("T")

Flag = Annotated[bool, Parameter(show_default=False)]
Json = Annotated[bool, Parameter(name="--json", show_default=False)]


def options_of(cls: type[T]) -> type[T]:
    """A subclass of a parameter dataclass whose fields carry their texts for the command line.

    The text is a bare string, or the `help` of an object, among the annotations of the field.
    """
    hints = get_type_hints(cls, include_extras=True)
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    annotations = {name: _with_help(hint) for name, hint in hints.items() if name in names}
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    body = {"__annotations__": annotations, "__post_init__": _checked(cls), **defaults}
    made = type(f"{cls.__name__}Options", (cls,), body)
    made.__module__ = cls.__module__
    return dataclasses.dataclass(frozen=True, kw_only=True)(made)


def plain(options: Any, cls: type[T]) -> T:
    """The options as the plain dataclass that the API takes."""
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return cls(**values)


def _checked(cls: type[Any]) -> Callable[[Any], None]:
    """The checks of `cls`, answered as wrong usage of the command line."""
    check = getattr(cls, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        if check is None:
            return
        try:
            check(self)
        except InputError as error:
            raise UsageError(str(error)) from error

    return __post_init__


def _with_help(hint: Any) -> Any:
    if get_origin(hint) is not Annotated:
        return hint
    base, *extras = get_args(hint)
    texts = [extra if isinstance(extra, str) else getattr(extra, "help", None) for extra in extras]
    text = next((text for text in texts if text), None)
    bounds = [f"{e.low:g} to {e.high:g}" for e in extras if hasattr(e, "low") and hasattr(e, "high")]
    if not text:
        return hint
    return Annotated[base, *extras, Parameter(help=_sentence(" ".join([text, *(f"({b})" for b in bounds)])))]


def _sentence(text: str) -> str:
    start = text[:1] if text.startswith("auto,") else text[:1].upper()
    return start + text[1:] + ("" if text.endswith(".") else ".")
