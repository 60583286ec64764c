"""Pictures that need no file and no network: to try the programme, for documentation and for tests.

One decision: samples come from packages that are installed anyway, or are drawn; none is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.fingerprints import fingerprint_bytes
from napari_mosaic.image.arrays import array_raster
from napari_mosaic.image.raster import Context, Raster, SourceInfo
from napari_mosaic.progress import Steps


@dataclass(frozen=True)
class Sample:
    """A named sample: what it shows, who may use it how, and how to get its pixels."""

    title: str
    rights: str
    load: Callable[[], NDArray[np.uint8]]


def _brick() -> NDArray[np.uint8]:
    """A picture in scikit-image's wheel, read as a file: its own loader may want to download."""
    from PIL import Image

    with as_file(files("skimage") / "data" / "brick.png") as path, Image.open(path) as picture:
        return np.asarray(picture)


def _drawn() -> NDArray[np.uint8]:
    from napari_mosaic.synthetic import draw_mosaic

    return np.asarray(draw_mosaic(1024, 1).image, dtype=np.uint8)


SAMPLES: dict[str, Sample] = {
    "brick": Sample("Brick pavement, grey photograph", "CC0 1.0, CC0Textures; in scikit-image", _brick),
    "drawn": Sample("Drawn mosaic", "", _drawn),
}
"""What "sample:NAME" can name."""


def open_sample(source: str, context: Context) -> Steps[Raster]:
    """Open "sample:NAME"."""
    yield from ()
    name = source.removeprefix("sample:")
    if name not in SAMPLES:
        raise InputError(
            f"There is no sample {name!r} to open; choose one of {', '.join(sorted(SAMPLES))}, as in 'sample:brick'."
        )
    sample = SAMPLES[name]
    data = sample.load()
    info: dict[str, Any] = {"size_bytes": data.nbytes, "fingerprint": fingerprint_bytes(data.tobytes())}
    return array_raster([data], name, source=SourceInfo(kind="sample", location=source, rights=sample.rights, **info))
