"""Outlines as an SVG drawing, true to scale where the pixel size is confirmed.

One decision: coordinates are the photograph's pixels, and only the size of the whole is in millimetres, so that the
drawing lies on the photograph without a sum.

References
----------
W3C, Scalable Vector Graphics (SVG) 1.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.export.outlined import outlined_tiles, rings_of
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record

_DIGITS = 2
"""Decimals of a coordinate: a hundredth of a pixel."""


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write each tessera as a path named by its number, `t1` and so on, with its id."""
    height, width = record.plan.source_shape
    mm = record.pixel_mm
    size = (f"{width}", f"{height}") if mm is None else (f"{width * mm:.3f}mm", f"{height * mm:.3f}mm")
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
            f'viewBox="0 0 {width} {height}">\n'
            f"<title>{escape(record.source.name)}: tesserae</title>\n"
            '<g id="tesserae" fill="none" stroke="black" stroke-width="1" vector-effect="non-scaling-stroke" '
            'fill-rule="evenodd">\n'
        )
        for tile in outlined_tiles(record, ["number", "id"]):
            for number, id_, outline in zip(*tile.columns.values(), tile.outlines, strict=True):
                lines = "".join(path_data(ring) for ring in rings_of(outline))
                file.write(f'<path id="t{number}" data-id="{id_}" d="{lines}"/>\n')
            yield tile.progress
        file.write("</g>\n</svg>\n")


def path_data(ring: NDArray[np.float64]) -> str:
    """A ring `(n, 2)` as the data of a path, to a hundredth of a pixel."""
    return "M" + "L".join(f"{x:.10g} {y:.10g}" for x, y in ring.round(_DIGITS).tolist()) + "Z"
