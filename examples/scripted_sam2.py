"""Automatic masks of SAM 2 in a viewer from a script, as a Labels layer beside the tesserae of the joints.

python scripted_sam2.py PHOTOGRAPH MODEL     (a name such as sam2.1-hiera-tiny, or a file)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import napari

from napari_mosaic import SegmentParams
from napari_mosaic.image import open_image
from napari_mosaic.sam.params import SamParams
from napari_mosaic.widgets import segment_layer


def find_masks(viewer: napari.Viewer, photograph: Path | str, model: Path | str, sam: SamParams | None = None) -> Any:
    """Add a photograph, let SAM 2 find its tesserae, and return the Labels layer of its masks."""
    image = open_image(photograph)
    layer = viewer.add_image(
        image.dask_levels(), name=image.name, rgb=True, metadata={"mosaic_source": image.source.location}
    )
    settings = sam or SamParams(model=str(model))
    segment_layer(viewer, layer, params=SegmentParams(method="sam2"), sam=settings).wait()
    return viewer.layers[f"{image.name} SAM 2"]


if __name__ == "__main__":
    window = napari.Viewer()
    masks = find_masks(window, sys.argv[1], sys.argv[2])
    print(f"{masks.name}: {[level.shape for level in masks.data]}")
    napari.run()
