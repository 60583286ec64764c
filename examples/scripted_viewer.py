"""Segment a photograph in a viewer from a script; the layers appear while the work goes on.

python scripted_viewer.py PHOTOGRAPH
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import napari

from napari_mosaic import SegmentParams
from napari_mosaic.image import open_image
from napari_mosaic.widgets import segment_layer


def segment_in_viewer(viewer: napari.Viewer, photograph: Path | str, params: SegmentParams | None = None) -> Any:
    """Add a photograph and segment it; returns what was found."""
    image = open_image(photograph)
    layer = viewer.add_image(
        image.dask_levels(), name=image.name, rgb=True, metadata={"mosaic_source": image.source.location}
    )
    return segment_layer(viewer, layer, params=params).wait()


if __name__ == "__main__":
    window = napari.Viewer()
    found = segment_in_viewer(window, sys.argv[1] if len(sys.argv) > 1 else "sample:drawn")
    print(f"{found.count} tesserae, kept in {found.path}")
    napari.run()
