"""How sure a model says it is, made honest by one number, the temperature.

One decision: a temperature changes what is told, never what is found. It moves no pixel across 0.5, and the
stored map, from which tesserae are cut, stays as the network gave it.

References
----------
Guo et al., On calibration of modern neural networks, ICML 2017.

"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError

_CERTAIN = 0.5 / 255
"""Half a byte: log odds of 0 and 1 have no end."""


def temperature_scale(probability: NDArray[Any], temperature: float) -> NDArray[np.float32]:
    """Probabilities whose log odds are divided by `temperature`: above 1 they become less sure.

    No value crosses 0.5. Values are first kept half a byte away from 0 and 1, where log odds have an end.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"A temperature of {temperature} is none; give a number above 0.")
    values = np.asarray(probability, np.float64)
    if temperature == 1:
        return values.astype(np.float32)
    values = np.clip(values, _CERTAIN, 1 - _CERTAIN)
    odds = np.log(values / (1 - values)) / temperature
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def temperature_scale_bytes(map_: NDArray[np.uint8], temperature: float) -> NDArray[np.uint8]:
    """The same for a map of bytes, 255 = 1."""
    if temperature == 1:
        return map_
    table = np.round(255 * temperature_scale(np.arange(256) / 255, temperature)).astype(np.uint8)
    return np.asarray(table[map_])
