"""A user's own function as a method: from a window of the photograph to stones, or to a map of joints.

One decision: whatever a function numbers its stones by in a window is thrown away. Its labels become a map like that of
a network, so stones that lie across windows are named by their place and meet exactly, as they do with any method.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.engine.segmenters import FunctionSegmenter, add_factory, method_names, own_names
from napari_mosaic.errors import InputError

Gives = Literal["labels", "map"]
Function = Callable[[NDArray[np.uint8]], NDArray[Any]]
_NO_STONE = 255
"""Joint everywhere: nothing can be a tessera there."""
_BORDER = 120
"""What two stones that touch are parted by in the joints' channel: dear to grow over, and below every threshold that
makes a joint of it (0.5 is 127), so that no pixel of either is lost."""
_EVERY = np.ones((3, 3), bool)


def register_method(
    name: str,
    function: Function,
    *,
    gives: Gives = "labels",
    tessera_px: float = 24.0,
    halo: int = 64,
    stride: int = 1,
    channels: int = 2,
) -> None:
    """Make a function of your own a method: for `segment`, for the command line, in the panel.

    Parameters
    ----------
    name
        By which `SegmentParams(method=name)` finds it; it stands in the record. Registered twice, the last one counts.
    function
        From one window `(H, W, 3)` uint8 sRGB to an array over it.
    gives
        "labels": `(H, W)` whole numbers, 0 where there is no stone, one number a stone, as Cellpose, StarDist and
        scikit-image give them; the numbers themselves do not matter. "map": `(C, H, W)` uint8, channel 0 the joints
        (255 = joint), channel 1, if `channels` is 2, the inner parts of the stones, one blob each.
    tessera_px
        Size of a tessera, in pixels, that the function works best at. The photograph is brought to it.
    halo
        How many pixels around a pixel its result may depend on; with labels at least the size of the largest stone.
        That much of a window's border is read and not kept.
    stride
        Sides of windows are multiples of it.
    channels
        Of a map: 1 or 2.

    Raises
    ------
    InputError
        The name belongs to a method of this package, or `gives`, `halo` or `stride` is out of range.

    Examples
    --------
    >>> from skimage.measure import label
    >>> def bright(window):
    ...     return label(window.mean(2) > 120)
    >>> register_method("bright", bright, tessera_px=20)
    """
    if name in method_names() and name not in own_names():
        raise InputError(f"{name!r} is a method of this package; give your own another name.")
    make = functools.partial(_make, name, function, gives, tessera_px, halo, stride, channels)
    make()
    add_factory(name, make)


def _make(
    name: str, function: Function, gives: str, tessera_px: float, halo: int, stride: int, channels: int, *_: Any
) -> FunctionSegmenter:
    if gives not in get_args(Gives):
        raise InputError(f"A function cannot give {gives!r}; choose one of {', '.join(get_args(Gives))}.")
    if not (0 <= halo <= 1024 and 1 <= stride <= 256 and channels in (1, 2) and tessera_px > 0):
        raise InputError(
            f"The method {name!r} has a halo of {halo}, a stride of {stride}, {channels} channels, tesserae of "
            f"{tessera_px} px; a halo is 0 to 1024, a stride 1 to 256, channels are 1 or 2, a size is above 0."
        )
    convert = _labels_function if gives == "labels" else _map_function
    return FunctionSegmenter(
        functools.partial(convert, name, function, channels),
        name=name,
        tessera_px=tessera_px,
        channels=2 if gives == "labels" else channels,
        halo=halo,
        stride=stride,
    )


def _labels_function(name: str, function: Function, _channels: int, window: NDArray[np.uint8]) -> NDArray[np.uint8]:
    labels = np.asarray(function(window))
    if labels.shape != window.shape[:2] or labels.dtype.kind not in "iub":
        raise InputError(
            f"The method {name!r} gave an array of shape {labels.shape} {labels.dtype} for a window of "
            f"{window.shape[:2]}; it must give one whole number a pixel, 0 where there is no stone."
        )
    return labels_to_map(labels)


def _map_function(name: str, function: Function, channels: int, window: NDArray[np.uint8]) -> NDArray[np.uint8]:
    map_ = np.asarray(function(window))
    if map_.shape != (channels, *window.shape[:2]) or map_.dtype != np.uint8:
        raise InputError(
            f"The method {name!r} gave an array of shape {map_.shape} {map_.dtype} for a window of "
            f"{window.shape[:2]}; it must give a map of {channels} channels, uint8, 255 for sure."
        )
    return map_


def labels_to_map(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """A map from which the tessera pass finds the stones of `labels` again.

    Parameters
    ----------
    labels
        `(H, W)` whole numbers, 0 where there is no stone.

    Returns
    -------
    numpy.ndarray
        `(2, H, W)` uint8: joints where there is no stone; one inner part a stone, its pixels that touch no other
        stone and no joint, of which only the largest piece is kept.
    """
    _, numbers = np.unique(labels, return_inverse=True)
    dense: NDArray[np.int32] = np.where(labels == 0, 0, numbers.reshape(labels.shape) + 1).astype(np.int32)
    low, high = (f(dense, footprint=_EVERY, mode="nearest") for f in (ndimage.minimum_filter, ndimage.maximum_filter))
    stone = dense > 0
    rim = stone & (low != high)
    inner = stone & ~rim
    thin = np.bincount(dense[inner], minlength=int(dense.max()) + 1) == 0
    inner |= thin[dense] & stone & (high == dense) & ((low == dense) | (low == 0))
    joints = np.where(stone, np.where(rim, _BORDER, 0), _NO_STONE)
    return np.stack([joints, np.where(_largest_pieces(inner, dense), 255, 0)]).astype(np.uint8)


def _largest_pieces(inner: NDArray[np.bool_], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Of the inner pixels of each label those of its largest connected piece, the first of equals."""
    pieces, count = ndimage.label(inner)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)
    owner = np.zeros(count + 1, np.int64)
    owner[pieces[inner]] = labels[inner]
    order = np.lexsort((np.arange(count + 1), -areas, owner))
    order = order[owner[order] > 0]
    _, first = np.unique(owner[order], return_index=True)
    keep = np.zeros(count + 1, bool)
    keep[order[first]] = True
    return np.asarray(keep[pieces])


def import_method(address: str) -> FunctionSegmenter:
    """The function at `package.module:function` as a method; modules of the current folder are found too.

    Its attributes `gives`, `tessera_px`, `halo`, `stride` and `channels`, where it has them, say what
    `register_method` would be told.

    Raises
    ------
    InputError
        There is no such module or function.
    """
    module_name, _, name = address.partition(":")
    try:
        with _current_folder():
            function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"The method {address!r} cannot be found ({error}); give MODULE:FUNCTION of a module that Python can "
            f"import, or one of {', '.join(method_names())}."
        ) from error
    if not callable(function):
        raise InputError(f"{address!r} is no function; give MODULE:FUNCTION of one that takes a window.")
    settings: dict[str, Any] = {"gives": "labels", "tessera_px": 24.0, "halo": 64, "stride": 1, "channels": 2}
    settings |= {key: getattr(function, key) for key in settings if hasattr(function, key)}
    return _make(address, function, **settings)


@contextmanager
def _current_folder() -> Iterator[None]:
    """Let modules of the current folder be imported, as `python` itself does and an installed command does not."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
