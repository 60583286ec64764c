"""Random fields that everything drawn is made of.

One decision: a field is a small array of random numbers, enlarged smoothly; it costs milliseconds,
and its seed is the generator that the caller passes on.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """A smooth field of mean about 0 and deviation about 1 whose features measure `scale` pixels."""
    height, width = shape
    scale = max(1.0, scale)
    small = rng.standard_normal((int(height / scale) + 4, int(width / scale) + 4), dtype=np.float32)
    size = (int(np.ceil(small.shape[1] * scale)), int(np.ceil(small.shape[0] * scale)))
    large = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    oy, ox = (int(rng.uniform(0, 2 * scale)) for _ in range(2))
    return np.ascontiguousarray(large[oy : oy + height, ox : ox + width]) * np.float32(1.35)


def fractal_noise(
    rng: np.random.Generator, shape: tuple[int, int], scale: float, octaves: int = 3, gain: float = 0.55
) -> Field:
    """Smooth fields of halving scale and falling weight, added up; deviation about 1."""
    total = np.zeros(shape, np.float32)
    weight, power = 1.0, 0.0
    for octave in range(octaves):
        total += np.float32(weight) * smooth_noise(rng, shape, scale / 2**octave)
        power += weight**2
        weight *= gain
    return total / np.float32(np.sqrt(power))


def smoothstep(values: NDArray[np.floating], low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / max(high - low, 1e-6), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with `probability`."""
    return bool(rng.random() < probability)
