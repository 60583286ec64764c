"""Edits as JSON: a list of objects, each with the name of a tool and its parameters.

One decision: the parameters are those of the tool's function, by name; all of a list is checked before anything
is done, and when one fails, those done before it are undone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_mosaic.areas import read_json
from napari_mosaic.editing.entries import Edit
from napari_mosaic.editing.history import undo
from napari_mosaic.editing.tools import TOOLS
from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.record import Record

Request = Mapping[str, Any]
_ARRAYS = ("before", "labels", "mask")
"""Parameters that are arrays: rows of numbers, or the name of a .npy file."""


def read_requests(path: str | Path) -> list[Request]:
    """The edits of a JSON file, checked; `labels` of a window may name a .npy file beside it."""
    values = read_json(path)
    if not isinstance(values, list):
        raise InputError(f'{path} holds no list of edits; write [{{"tool": "merge", "ids": [1, 2]}}, ...].')
    return [_with_labels(request, Path(path).parent) for request in check_requests(values)]


def check_requests(requests: Sequence[Request]) -> list[Request]:
    """The requests; `InputError` with the number of the first that names no tool or misses or misspells a parameter."""
    for number, request in enumerate(requests, 1):
        try:
            _check(request)
        except InputError as error:
            raise InputError(f"Edit {number} of {len(requests)} is wrong, so nothing was done: {error}") from error
    return list(requests)


def apply_requests(record: Record, requests: Sequence[Request], *, keep: bool = False) -> list[Edit | None]:
    """Do a list of edits, in order.

    Parameters
    ----------
    record
        Open for writing.
    requests
        Objects with `tool` and the parameters of the function of that name.
    keep
        Whether those before one that fails stay; else they are undone.

    Raises
    ------
    InputError
        With the number of the edit that failed, and why.
    """
    checked, made = check_requests(requests), []
    for number, request in enumerate(checked, 1):
        try:
            made.append(apply_request(record, request))
        except MosaicError as error:
            done = sum(edit is not None for edit in made)
            for _ in range(0 if keep else done):
                undo(record)
            left = f"the {done} before it are kept" if keep else "nothing was changed"
            raise InputError(f"Edit {number} of {len(checked)} ({request['tool']}) failed, {left}: {error}") from error
    return made


def apply_request(record: Record, request: Request) -> Edit | None:
    """Do one edit."""
    return TOOLS[request["tool"]](record, **{name: value for name, value in request.items() if name != "tool"})


def _check(request: Any) -> None:
    if not isinstance(request, Mapping) or request.get("tool") not in TOOLS:
        name = request.get("tool") if isinstance(request, Mapping) else request
        raise InputError(f"{str(name)[:60]!r} is no tool; choose one of {', '.join(TOOLS)}.")
    parameters = dict(list(inspect.signature(TOOLS[request["tool"]]).parameters.items())[1:])
    for name, value in request.items():
        if name != "tool" and name not in parameters:
            raise InputError(f"{request['tool']} has no parameter {name!r}; it takes {', '.join(parameters)}.")
        if name != "tool" and not (value is None and parameters[name].default is None):
            kind, fits = FORMS[name]
            if not fits(value):
                raise InputError(f"{name} of {request['tool']} is {str(value)[:60]}; give {kind}.")
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in request:
            raise InputError(f"{request['tool']} needs {name}; give {FORMS[name][0]}.")


def _with_labels(request: Request, folder: Path) -> Request:
    for name in _ARRAYS:
        if isinstance(request.get(name), str):
            path = folder / request[name]
            try:
                request = {**request, name: np.load(path, allow_pickle=False)}
            except (OSError, ValueError) as error:
                raise InputError(f"The {name} {path} cannot be read ({error}); write it with numpy.save.") from error
    return request


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_point(value: Any) -> bool:
    return _is_list(value, _is_number) and len(value) == 2


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(fits, value))


_LINE = ("a list of points [y, x] in pixels of the working grid", lambda value: _is_list(value, _is_point))
_WHOLE = ("a whole number", _is_int)
_TEXT = ("a text", lambda value: isinstance(value, str))
_BOX = (
    "[y0, x0, y1, x1] in pixels of the working grid",
    lambda value: _is_list(value, _is_int) and len(value) == 4,
)
_ROWS = ("rows of numbers, or the name of a .npy file", lambda value: isinstance(value, str | list | np.ndarray))
FORMS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "ids": ("a list of ids", lambda value: _is_list(value, lambda id_: _is_int(id_) and id_ > 0)),
    **dict.fromkeys(("line", "points", "outline"), _LINE),
    "point": ("a point [y, x] in pixels of the working grid", _is_point),
    **dict.fromkeys(("bridge", "gap", "px", "reach", "largest", "number"), _WHOLE),
    "tolerance": ("a number from 0 to 1", _is_number),
    "over": ("true or false", lambda value: isinstance(value, bool)),
    **dict.fromkeys(("material", "state", "kind", "name", "how"), _TEXT),
    "geometry": ("a GeoJSON polygon in pixels of the photograph", lambda value: isinstance(value, Mapping)),
    "box": _BOX,
    **dict.fromkeys(_ARRAYS, _ROWS),
}  # fmt: skip
