"""The joints of a record as pictures: a mask, an overlay and four panels, as GROUT writes them, at any size.

One decision: the mask is `clean_joints` of what lies above the threshold in the probability that is written beside it,
pixel for pixel, whatever the bands. A piece of fewer pixels than `least` lies within so many rows, so a band that reads
that many more on both sides knows of each of its pieces whether it stays.

References
----------
Lovecky, GROUT (2026): the closing, the least size of a component, the colour of the overlay.

"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.evaluation.files import bands
from napari_mosaic.image import MosaicImage
from napari_mosaic.limits import Limits, check_limits
from napari_mosaic.output_files import replacing
from napari_mosaic.picture_marks import check_place, png_marks
from napari_mosaic.png_rows import PngRows
from napari_mosaic.probability import ProbabilityGrid, open_map, write_map_steps
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box

_GREEN, _SHARE = (0, 255, 0), 0.6
"""Colour of joints in the overlay and its part, as GROUT has them."""
_BAND_PIXELS = 2**22
"""Pixels that are in memory at once. *Not varied.*"""
_PANEL = 1024
"""Longest side of one of four panels, px. *Not varied.*"""
_GAP, _CAPTION = 12, 28
"""White between panels and above them, px. *Not varied.*"""
CAPTIONS = ("photograph", "probability of joints", "joints", "overlay")

_Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class JointParams:
    """How a mask of joints is made of a probability; the defaults are GROUT's."""

    threshold: Annotated[float, Limits(low=0.001, high=0.999, help="a joint's probability is above this")] = 0.5
    closing: Annotated[int, Limits(low=0, high=101, help="width in pixels of the closing of gaps, 0 = none")] = 3
    least: Annotated[int, Limits(low=0, high=100_000, help="pieces of fewer pixels are removed, 0 = none")] = 50

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True)
class JointPictures:
    """What was written of one record; `probability` are the numbers and the 8-bit picture, where they were wished."""

    mask: Path
    overlay: Path
    visualization: Path
    probability: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return (self.mask, self.overlay, self.visualization, *self.probability)


@dataclass(frozen=True)
class JointBand:
    """Rows of a picture: where they are, the probability, the mask."""

    box: Box
    probability: NDArray[np.float32]
    mask: _Bools


def clean_joints(mask: NDArray[Any], *, closing: int = 3, least: int = 50) -> _Bools:
    """Close gaps of a mask `(Y, X)`, True on *joints*, and remove its small pieces.

    Parameters
    ----------
    mask
        What lies above the threshold.
    closing
        Width of the round kernel, px; the border of the picture counts as nothing.
    least
        Pieces (8-connected) of fewer pixels are removed.
    """
    closed = np.asarray(mask, bool)
    if closing > 1:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (closing | 1, closing | 1))
        closed = cv2.morphologyEx(closed.astype(np.uint8), cv2.MORPH_CLOSE, kernel) > 0
    if least <= 1:
        return closed
    _, pieces, figures, _ = cv2.connectedComponentsWithStats(closed.astype(np.uint8), connectivity=8)
    large = figures[:, cv2.CC_STAT_AREA] >= least
    large[0] = False
    return np.asarray(large[pieces])


def clean_bands(map_: ProbabilityGrid, params: JointParams) -> Iterator[JointBand]:
    """The mask of a probability, band by band from the top; the same for any size of the bands."""
    reach = params.least + 2 * params.closing
    for box in bands(map_.shape, _BAND_PIXELS):
        wide = Box(box.y0 - reach, box.x0, box.y1 + reach, box.x1).clip(map_.shape)
        values = map_.read(wide)
        mask = clean_joints(values > np.float32(params.threshold), closing=params.closing, least=params.least)
        rows = slice(box.y0 - wide.y0, box.y1 - wide.y0)
        yield JointBand(box, values[rows], mask[rows])


def lay_over(photograph: NDArray[np.uint8], mask: NDArray[Any]) -> NDArray[np.uint8]:
    """A photograph `(Y, X, 3)` with the joints of a mask `(Y, X)` in green."""
    picture = photograph.copy()
    tinted = (1 - _SHARE) * photograph[mask].astype(np.float32) + _SHARE * np.array(_GREEN, np.float32)
    picture[mask] = np.round(tinted).astype(np.uint8)
    return picture


def write_joint_pictures_steps(
    record: Record,
    image: MosaicImage,
    folder: str | Path,
    name: str,
    *,
    params: JointParams | None = None,
    probability: bool = False,
    overwrite: bool = False,
) -> Steps[JointPictures]:
    """Write `NAME_mask.png`, `NAME_overlay.png` and `NAME_visualization.png` of a record, on the photograph's pixels.

    Parameters
    ----------
    record, image
        The record and its photograph, both open.
    folder
        Where to; it must be there.
    name
        What the names of the files begin with.
    params
        How the mask is made.
    probability
        Also write `NAME_prob.npy` (float32) and `NAME_prob8.png`; what lies above the threshold in the former is the
        mask before it is cleaned.
    overwrite
        Whether to replace files that are there; a picture that is not ours is never replaced.

    Raises
    ------
    WriteError
        A file is there, or cannot be written.
    """
    params, folder = params or JointParams(), Path(folder)
    mask, overlay, panels = (folder / f"{name}_{kind}.png" for kind in ("mask", "overlay", "visualization"))
    map_ = open_map(record)
    total = map_.shape[0] * map_.shape[1] / 1e6
    numbers = (folder / f"{name}_prob.npy", folder / f"{name}_prob8.png") if probability else ()
    for path in (mask, overlay, panels):
        check_place(path)
    with ExitStack() as stack:
        temporary = [stack.enter_context(replacing(path, overwrite=overwrite)) for path in (mask, overlay, panels)]
        masks = stack.enter_context(PngRows(temporary[0], map_.shape, depth=8))
        overlays = stack.enter_context(PngRows(temporary[1], map_.shape, depth=8, rgb=True))
        small = _Panels(map_.shape)
        for band in clean_bands(map_, params):
            photograph = image.read(band.box)
            laid = lay_over(photograph, band.mask)
            masks.write(band.mask * 255)
            overlays.write(laid)
            small.add(band, photograph, laid)
            yield Progress(phase="joints", done=band.box.y1 * band.box.x1 / 1e6, total=total)
        small.draw().save(temporary[2], format="PNG", pnginfo=png_marks())
    for path in numbers:
        yield from write_map_steps(map_, path, overwrite=overwrite)
    return JointPictures(mask, overlay, panels, numbers)


class _Panels:
    """Four panels, filled band by band with every so-many-th pixel."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._step = max(1, -(-max(shape) // _PANEL))
        tall, wide = (-(-side // self._step) for side in shape)
        self._parts = [np.zeros((tall, wide, 3), np.uint8) for _ in CAPTIONS]

    def add(self, band: JointBand, photograph: NDArray[np.uint8], laid: NDArray[np.uint8]) -> None:
        """Take the rows of a band in."""
        first = -(-band.box.y0 // self._step)
        rows = slice(first * self._step - band.box.y0, None, self._step)
        likely = np.round(band.probability[rows, :: self._step] * 255).astype(np.uint8)
        parts = (
            photograph[rows, :: self._step], likely[..., None],
            band.mask[rows, :: self._step, None] * np.uint8(255), laid[rows, :: self._step],
        )  # fmt: skip
        for panel, part in zip(self._parts, parts, strict=True):
            panel[first : first + len(part)] = part

    def draw(self) -> Any:
        """The panels side by side under their captions, as a picture of Pillow's."""
        from PIL import Image, ImageDraw, ImageFont

        tall, wide = self._parts[0].shape[:2]
        picture = Image.new("RGB", (len(CAPTIONS) * (wide + _GAP) + _GAP, tall + _CAPTION + _GAP), "white")
        words, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
        for k, (caption, panel) in enumerate(zip(CAPTIONS, self._parts, strict=True)):
            left = _GAP + k * (wide + _GAP)
            picture.paste(Image.fromarray(panel), (left, _CAPTION))
            words.text((left, 5), caption, fill="black", font=font)
        return picture
