"""Methods: whatever turns windows of a photograph into maps of joints, found by name.

One decision: the engine knows a method only by this Protocol and the registry, so a network, a
classical rule and a user's own function run through the same lattice, record and viewer.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError

Windows = NDArray[np.uint8]


class Segmenter(Protocol):
    """A method ready to run."""

    name: str
    sha256: str
    channels: int
    tessera_px: float
    stride: int
    halo: int
    runtime: str
    precision: str
    batch: int
    temperature: float
    """By which the model's confidence is told; 1 = as it says."""
    streams: int
    """How many calls of `predict` are worth making at a time."""

    def predict(self, windows: Windows) -> NDArray[np.uint8]:
        """Windows `(N, H, W, 3)` uint8 to maps `(N, C, H, W)` uint8; H and W are multiples of `stride`."""


_LOADED: dict[tuple[Any, ...], Any] = {}
"""The last network, by what it was asked for and by what that turned out to be: compiling it takes a second."""
_LOADING = threading.Lock()


def _network(model: str, device: str, precision: str, runtime: str, threads: int | None) -> Any:
    from napari_mosaic.inference import load_network

    changed = os.stat(model).st_mtime if os.path.isfile(model) else 0.0
    asked = (model, device, precision, runtime, threads, changed)
    with _LOADING:
        if asked not in _LOADED:
            network = load_network(model, device=device, precision=precision, runtime=runtime, threads=threads)
            _LOADED.clear()
            _LOADED[model, device, network.precision, network.runtime, threads, changed] = _LOADED[asked] = network
        return _LOADED[asked]


def forget_network() -> None:
    """Load the network anew where it is next asked for."""
    _LOADED.clear()


class Network:
    """The grout network as a method."""

    def __init__(self, model: str, device: str, precision: str, runtime: str, threads: int | None) -> None:
        self._choices = (model, device, precision, runtime, threads)
        self._network = _network(*self._choices)
        card = self._network.card
        self.name: str = card.name
        self.sha256: str = card.sha256
        self.channels = len(card.channels)
        self.tessera_px = float(card.tessera_px)
        self.stride = int(card.stride)
        self.temperature = float(card.temperature)
        self.halo = int(card.halo)
        self.runtime: str = self._network.runtime
        self.precision: str = self._network.precision
        self.streams: int = self._network.streams
        self.batch = 1 if self._network.device == "cpu" else 8

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process by name: it loads the network itself, once, and in no other precision."""
        model, device, _, _, threads = self._choices
        own = device.partition(":")[0]  # its number there is another
        return type(self), (model, own, self.precision, self.runtime, threads)

    def predict(self, windows: Windows) -> NDArray[np.uint8]:
        """Maps of a batch of windows."""
        return np.asarray(self._network.predict(windows))


class FunctionSegmenter:
    """A user's own function as a method.

    Parameters
    ----------
    function
        From one window `(H, W, 3)` uint8 to a map `(C, H, W)` uint8: channel 0 the joints (255 =
        joint), channel 1, if any, the inner parts of the stones. The result at a pixel may depend on
        at most `halo` pixels around it.
    name
        Stands in the record.
    tessera_px
        Size of a tessera in pixels that the function works best at.
    channels, halo, stride
        Of the function.
    """

    def __init__(
        self,
        function: Callable[[Windows], NDArray[np.uint8]],
        *,
        name: str,
        tessera_px: float = 24.0,
        channels: int = 1,
        halo: int = 32,
        stride: int = 1,
    ) -> None:
        self._function = function
        self.name = name
        self.sha256 = ""
        self.channels = channels
        self.tessera_px = tessera_px
        self.stride = stride
        self.halo = halo
        self.runtime = "function"
        self.precision = "uint8"
        self.batch = 1
        self.temperature = 1.0
        self.streams = 1

    def predict(self, windows: Windows) -> NDArray[np.uint8]:
        """Maps of a batch of windows, one call each."""
        return np.stack([self._function(window) for window in windows])


Factory = Callable[..., Segmenter]


def _later(module: str, name: str) -> Factory:
    """A factory whose module is imported when it is first used."""

    def make(*settings: Any) -> Segmenter:
        segmenter: Segmenter = getattr(importlib.import_module(f"napari_mosaic.{module}"), name)(*settings)
        return segmenter

    return make


_METHODS: dict[str, Factory] = {
    "grout": Network,
    "grout+sam2": Network,
    "sam2": Network,
    "grout-augmented": _later("engine.augmented", "AugmentedNetwork"),
    "unet-watershed": _later("engine.baselines", "NetworkWithoutCore"),
    "gradient-watershed": _later("engine.baselines", "make_gradient"),
    "quadrangles": _later("engine.baselines", "make_quadrangles"),
    "edges": _later("engine.baselines", "make_edges"),
    "dis": _later("engine.dichotomous", "make_dichotomous"),
}


_OWN: set[str] = set()


def add_factory(name: str, factory: Factory) -> None:
    """Add a method; `factory(model, device, precision, runtime, threads)` makes it ready to run.

    For a plain function see `own_methods.register_method`.
    """
    _METHODS[name] = factory
    _OWN.add(name)


def method_names() -> tuple[str, ...]:
    """The names that `load_segmenter` knows."""
    return tuple(_METHODS)


def own_names() -> frozenset[str]:
    """Those of them that users added."""
    return frozenset(_OWN)


def load_segmenter(
    method: str,
    model: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    threads: int | None = None,
) -> Segmenter:
    """Make a method ready to run; `InputError` where there is none of that name.

    `MODULE:FUNCTION` is a function of the user's own; see `own_methods.import_method`.
    """
    if method not in _METHODS and ":" in method:
        from napari_mosaic.engine.own_methods import import_method  # it builds on this module

        return import_method(method)
    if method not in _METHODS:
        raise InputError(f"There is no method {method!r}; choose one of {', '.join(_METHODS)}.")
    return _METHODS[method](model, device, precision, runtime, threads)
