"""Several maps of one mosaic into one: of several models, exposures or runs.

One decision: nothing but the maps themselves counts; they must lie on one grid, and each weighs the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from napari_mosaic.errors import InputError
from napari_mosaic.probability.maps import Floats, ProbabilityGrid, open_map, write_map_steps
from napari_mosaic.progress import Steps, drain
from napari_mosaic.tiling import Box

_CERTAIN = np.float32(0.5 / 255)
"""Half a byte: log odds of 0 and 1 have no end."""


def _logit_mean(maps: Floats) -> Floats:
    """The mean of the log odds, as a probability; certain values are kept half a byte away from 0 and 1."""
    values = np.clip(maps, _CERTAIN, 1 - _CERTAIN)
    odds = np.log(values / (1 - values)).mean(0)
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


WAYS: dict[str, Callable[[Floats], Floats]] = {
    "mean": lambda maps: np.asarray(maps.mean(0), np.float32),
    "max": lambda maps: np.asarray(maps.max(0), np.float32),
    "logit-mean": _logit_mean,
}
"""From maps `(n, h, w)` to one `(h, w)`."""


def fuse_maps(
    maps: Sequence[str | Path],
    output: str | Path,
    *,
    how: str = "mean",
    mask: str | Path | None = None,
    threshold: float = 0.5,
) -> Path:
    """Join several maps into one file; see `fuse_maps_steps`."""
    return drain(fuse_maps_steps(maps, output, how=how, mask=mask, threshold=threshold))


def fuse_maps_steps(
    maps: Sequence[str | Path],
    output: str | Path,
    *,
    how: str = "mean",
    mask: str | Path | None = None,
    threshold: float = 0.5,
) -> Steps[Path]:
    """Join several maps into one, band by band.

    Parameters
    ----------
    maps
        Records or maps in files, at least two, of one size.
    output, mask, threshold
        As for `write_map_steps`.
    how
        A name of `WAYS`: the mean, the largest, or the mean of the log odds.

    """
    if how not in WAYS:
        raise InputError(f"Maps cannot be fused by {how!r}; choose one of {', '.join(WAYS)}.")
    if len(maps) < 2:
        raise InputError("One map alone cannot be fused; give at least two of the same photograph.")
    with ExitStack() as stack:
        grids = [open_map(path, stack) for path in maps]
        for path, grid in zip(maps, grids, strict=True):
            if grid.shape != grids[0].shape:
                raise InputError(
                    f"{path} measures {grid.shape[1]} x {grid.shape[0]} px and {maps[0]} {grids[0].shape[1]} x "
                    f"{grids[0].shape[0]} px, so their pixels do not correspond; give maps of one photograph."
                )

        def read(box: Box) -> Floats:
            return WAYS[how](np.stack([grid.read(box) for grid in grids]))

        fused = ProbabilityGrid(grids[0].shape, read)
        return (yield from write_map_steps(fused, output, mask=mask, threshold=threshold))
