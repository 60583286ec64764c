"""The proof: the mosaic drawn again from its table and outlines alone, beside the photograph.

One decision: a tessera is its outline filled with its mean colour, all joints have one colour, and how far that is from
the photograph is told as a number and as a map: what a table cannot say of a floor is what the map shows.

References
----------
Sharma, Wu and Dalal, The CIEDE2000 color-difference formula, Color Research and Application 30 (2005).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.areas import rasterise
from napari_mosaic.export.outlined import Outlined, outlined_tiles, rings_of
from napari_mosaic.export.preview import read_at
from napari_mosaic.files import write_json
from napari_mosaic.measurement.palette import hex_of, lab_to_srgb
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record
from napari_mosaic.record.looked_at import preserved_part
from napari_mosaic.tiling import Box

LONGEST = 4096
"""Longest side of the pictures, px: what one looks at, and some 200 MB in memory; the SVG is as large as the
photograph. Not varied."""
_BAND = 256
"""Rows that are compared at once: bounds memory, changes nothing."""
_LEVEL = 10
"""Grey levels of the map for a difference of 1: white from 25.5 on."""
_LAB = ("lightness", "colour_a", "colour_b")


def write_steps(record: Record, path: Path) -> Iterator[Progress]:
    """Write a folder: `proof.svg`, `proof.png` (photograph and drawing), `difference.png` and `proof.json`."""
    from PIL import Image, ImageDraw

    path.mkdir()
    height, width = record.plan.source_shape
    scale = min(1.0, LONGEST / max(height, width))
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    drawn, stones = Image.new("RGB", shape[::-1]), Image.new("L", shape[::-1])
    pens = ImageDraw.Draw(drawn), ImageDraw.Draw(stones)
    with record.open_source() as image:
        photograph = read_at(image, shape)
    with (path / "proof.svg").open("w", encoding="utf-8", newline="\n") as svg:
        svg.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" fill-rule="evenodd">\n'
            f'<rect class="joint" width="{width}" height="{height}"/>\n'
        )
        for tile in outlined_tiles(record, _LAB):
            _draw_tile(tile, svg, pens, scale)
            yield tile.progress
        inside = rasterise(preserved_part(record), Box(0, 0, *shape), scale)
        joint = _fill_joints(drawn, stones, photograph, inside)
        svg.write(f"<style>.joint {{ fill: {joint} }}</style>\n</svg>\n")
    picture, on_stones = np.asarray(drawn), np.asarray(stones) > 0
    difference = _differences(photograph, picture)
    Image.fromarray(np.concatenate([photograph, picture], axis=1)).save(path / "proof.png")
    Image.fromarray(np.minimum(difference * _LEVEL, 255).astype(np.uint8)).save(path / "difference.png")
    figures = {"tesserae": on_stones & inside, "joints": ~on_stones & inside, "preserved": inside}
    write_json(
        path / "proof.json",
        {
            "photograph": record.source.name,
            "pixels_per_source_pixel": scale,
            "joint_colour": joint,
            "grey_levels_per_unit": _LEVEL,
            "delta_e_2000": {name: _figures(difference[where]) for name, where in figures.items()},
        },
        sync=False,
    )


def _draw_tile(tile: Outlined, svg: IO[str], pens: tuple[Any, Any], scale: float) -> None:
    lab = np.column_stack([tile.columns[name] for name in _LAB])
    told = np.isfinite(lab).all(1)
    for number, outline, colour, known in zip(tile.columns["number"], tile.outlines, lab, told, strict=True):
        if not known:
            continue
        rgb = tuple(int(value) for value in lab_to_srgb(colour))
        rings = rings_of(outline)
        lines = "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in ring.round(2).tolist()) + "Z" for ring in rings)
        svg.write(f'<path id="t{number}" fill="{hex_of(colour)}" d="{lines}"/>\n')
        for ring in rings:
            points = [(x, y) for x, y in (ring * scale - 0.5).tolist()]
            if len(points) > 2:
                pens[0].polygon(points, fill=rgb)
                pens[1].polygon(points, fill=255)


def _fill_joints(drawn: Any, stones: Any, photograph: NDArray[np.uint8], inside: NDArray[np.bool_]) -> str:
    """Give what is no tessera the median colour of the joints; what is not preserved is white. Returns the colour."""
    from PIL import Image

    bare = np.asarray(stones) == 0
    pixels = photograph[bare & inside]
    joint = np.median(pixels, axis=0).astype(np.uint8) if len(pixels) else np.full(3, 128, np.uint8)
    colour = np.where(inside[..., None], joint, np.uint8(255))
    drawn.paste(Image.fromarray(colour.astype(np.uint8)), mask=Image.fromarray(bare))
    return "#" + "".join(f"{int(value):02x}" for value in joint)


def _differences(photograph: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIEDE2000 of two pictures, `(h, w)`, band by band."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    found = np.zeros(photograph.shape[:2], np.float32)
    for start in range(0, len(found), _BAND):
        part = slice(start, start + _BAND)
        found[part] = deltaE_ciede2000(rgb2lab(photograph[part]), rgb2lab(picture[part]))
    return found


def _figures(values: NDArray[np.float32]) -> dict[str, float] | None:
    if len(values) == 0:
        return None
    names = ("mean", "median", "p95")
    told = (values.mean(), np.median(values), np.quantile(values, 0.95))
    return {name: round(float(value), 2) for name, value in zip(names, told, strict=True)}
