"""Clicks on a record: the photograph read for the windows that a person works in.

One decision: windows show the photograph as they do in a run, at the size of the tesserae that the record found, so
a click sees what guided masks would have seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.resample import read_patiently
from napari_mosaic.engine.sam.plan import usual_size
from napari_mosaic.image import MosaicImage
from napari_mosaic.record import Plan
from napari_mosaic.sam.clicks import ClickSession
from napari_mosaic.sam.masks import Frame
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import MaskNetwork


def open_clicks(plan: Plan, image: MosaicImage, network: MaskNetwork, params: SamParams | None = None) -> ClickSession:
    """A session of clicks on the working grid of a record.

    Parameters
    ----------
    plan
        Of the record.
    image
        Its photograph; it must stay open as long as the session is used.
    network
        A loaded model, such as `sam.network.load_sam` gives.
    params
        Size of a tessera that SAM 2 sees, thresholds.

    Examples
    --------
    >>> with open_record("floor.mosaic.zarr") as record:  # doctest: +SKIP
    ...     session = open_clicks(record.plan, record.open_source(), load_sam("sam2.1-hiera-tiny"))
    ...     session.suggest(Clicks(inside=((410.5, 220.5),))).piece.area
    """
    factor, size = plan.factor, network.image_size

    def read(frame: Frame) -> NDArray[np.uint8]:
        corner = (frame.read.y0 / factor, frame.read.x0 / factor)
        return read_patiently(image, corner, factor * frame.zoom, (size, size))

    return ClickSession(network, read, plan.shape, usual=usual_size(plan), params=params or SamParams())
