"""A picture to look at: thin outlines of the tesserae over the photograph.

One decision: nothing is filled and nothing outside of tesserae is touched, so that one sees what was
found and what was not; only where stones are too small for outlines are they tinted instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.image import MosaicImage
from napari_mosaic.measurement.table import typical_side
from napari_mosaic.output_files import replacing
from napari_mosaic.picture_marks import check_place, png_marks
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box

_COLOURS = np.array([(0, 235, 255), (255, 235, 0), (255, 60, 220), (90, 255, 70)], np.uint8)
_STONE_PX = 22
"""Size that stones are enlarged to, where there is room, so that a line of one pixel looks thin."""
_SMALLEST_STONE_PX = 6
"""Size of a tessera on the preview, px, from which outlines are drawn; not varied."""
_TINT = 0.45
"""How much of a tessera's colour is laid over the photograph; not varied."""
_BAND = 512
"""Rows that are drawn at once: bounds memory, changes nothing."""

_Picture = NDArray[np.uint8]


def draw_preview(
    record: Record,
    image: MosaicImage,
    path: str | Path,
    *,
    max_px: int = 3000,
    labels: str | None = None,
    overwrite: bool = True,
) -> Path:
    """Draw the outlines of all tesserae over the photograph, as PNG.

    Parameters
    ----------
    record, image
        The record and its photograph, both open.
    path
        The PNG file.
    max_px
        Longest side of the picture; a larger photograph is reduced, and one of small stones is
        enlarged up to this.
    labels
        Of which of its label layers, such as "sam2"; by default of what its method was asked for: see
        `Record.with_labels`.
    overwrite
        Whether to replace a preview that is there.

    Raises
    ------
    MissingError
        There are no labels of that name.
    WriteError
        There is a picture that is no preview of ours, or it cannot be written.
    """
    from PIL import Image

    path = Path(path)
    check_place(path)
    picture = render_preview(record.with_labels(labels), image, max_px=max_px)
    with replacing(path, overwrite=overwrite) as temporary:
        Image.fromarray(picture).save(
            temporary, format="PNG", compress_level=6, pnginfo=png_marks(record.source.fingerprint)
        )
    return path


def render_preview(record: Record, image: MosaicImage, *, max_px: int = 3000) -> _Picture:
    """The picture of `draw_preview` as an array `(h, w, 3)` uint8."""
    stone = typical_side(record) or float(_STONE_PX)
    scale = _scale(image.shape, stone, max_px)
    shape = tuple(max(1, round(side * scale)) for side in image.shape)
    picture = read_at(image, (shape[0], shape[1]))
    lines = stone * scale >= _SMALLEST_STONE_PX
    marked = _marked(record, (shape[0], shape[1]), lines=lines)
    colour = _contrasting(picture, marked)
    share = 1.0 if lines else _TINT
    picture[marked] = np.round(share * colour + (1 - share) * picture[marked]).astype(np.uint8)
    return picture


def _scale(shape: tuple[int, int], stone: float, max_px: int) -> float:
    """Pixels of the preview per source pixel."""
    room = max_px / max(shape)
    wish = float(np.clip(_STONE_PX / max(stone, 1.0), 1.0, 4.0))
    return min(room, wish)


def read_at(image: MosaicImage, shape: tuple[int, int]) -> _Picture:
    """The photograph at the size of the preview, from the smallest level that is large enough."""
    from PIL import Image

    level = max(k for k, size in enumerate(image.level_shapes) if k == 0 or size[0] >= shape[0])
    pixels = image.read(Box(0, 0, *image.level_shapes[level]), level)
    if pixels.shape[:2] == shape:
        return pixels.copy()
    method = Image.Resampling.BICUBIC if shape[0] > pixels.shape[0] else Image.Resampling.BOX
    return np.array(Image.fromarray(pixels).resize(shape[::-1], method))


def _marked(record: Record, shape: tuple[int, int], *, lines: bool) -> NDArray[np.bool_]:
    """Pixels of the preview to colour: borders of tesserae, or all of them; band by band."""
    levels = record.tessera_levels
    level = max(k for k, array in enumerate(levels) if k == 0 or array.shape[0] >= shape[0])
    rows, columns = (
        (np.arange(side + 1).clip(max=side - 1) * 2 + 1) * full // (2 * side)
        for side, full in zip(shape, levels[level].shape, strict=True)
    )
    marked = np.zeros(shape, bool)
    for y in range(0, shape[0], _BAND):
        stop = min(y + _BAND, shape[0])
        labels = _sample(record, level, rows[y : stop + 1], columns)
        here = labels[:-1, :-1]
        if lines:
            marked[y:stop] = (here != labels[1:, :-1]) | (here != labels[:-1, 1:])
        else:
            marked[y:stop] = here > 0
    return marked


def _sample(record: Record, level: int, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
    box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    labels = record.read_labels(box, level)
    sampled: NDArray[Any] = labels[(rows - box.y0)[:, None], columns - box.x0]
    return sampled


def _contrasting(picture: _Picture, marked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The colour that stands out most where it stands out least."""
    under = picture[marked]
    if len(under) == 0:
        return np.asarray(_COLOURS[0])
    under = under[:: max(1, len(under) // 20_000)].astype(float)
    distance = np.linalg.norm(under[:, None] - _COLOURS, axis=2)
    best: NDArray[np.uint8] = _COLOURS[int(np.percentile(distance, 5, axis=0).argmax())]
    return best
