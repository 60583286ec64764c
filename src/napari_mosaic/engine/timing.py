"""How long a run will take, from one window of it."""

from __future__ import annotations

import time

from napari_mosaic.engine.segmenters import Segmenter
from napari_mosaic.engine.tasks import compute_tile
from napari_mosaic.engine.windows import read_window, to_working
from napari_mosaic.image import MosaicImage
from napari_mosaic.record import Plan
from napari_mosaic.tiling import Box

_REST = 1.25
"""Writing and overviews, as a part of the time for the network and the tesserae."""


def seconds_per_megapixel(image: MosaicImage, segmenter: Segmenter, plan: Plan) -> float:
    """Seconds for a megapixel of the working grid, measured on the window in the middle."""
    rows, columns = plan.lattice.counts
    index = (rows // 2, columns // 2)
    core = plan.lattice.tile(index).core
    started = time.perf_counter()
    map_ = segmenter.predict(read_window(image, plan, index)[None])[0]
    alone = time.perf_counter() - started
    inner = to_working(plan, index, map_)
    flat = Plan(**{**plan.__dict__, "shape": core.shape})
    compute_tile(lambda box: inner[(slice(None), *box.slices)], flat, Box(0, 0, *core.shape))
    others = alone * (1 - 1 / segmenter.streams)
    return (time.perf_counter() - started - others) / (core.area / 1e6) * _REST
